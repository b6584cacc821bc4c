"""What a batch of answers comes to: what is agreed on, what waits, and what of erased persons is let go.

A call may take long, and its answer come when the person it was about has been erased: then nothing of it is
stored, and whom the CRM made meanwhile is erased there as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from syncline.clock import from_ms, now
from syncline.connectors.writes import WriteOutcome
from syncline.domain.mapping import Mapper
from syncline.domain.subject import Ref
from syncline.engine import barring
from syncline.engine.answers import note_failure, note_success
from syncline.engine.gate import list_erased
from syncline.engine.intents import Intents, Item, put_off
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.errors import RetryLater
from syncline.store import queue, sent
from syncline.store.db import Conn
from syncline.store.queue import Aside, Waiting
from syncline.store.runs import RunCounts

Pair = tuple[Item, WriteOutcome]


@dataclass(slots=True)
class Settlement:
    """What is to be stored of the answers to one call."""

    counts: RunCounts
    done: list[Waiting] = field(default_factory=list[Waiting])
    aside: list[Aside] = field(default_factory=list[Aside])
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    written: list[tuple[str, datetime | None, datetime]] = field(
        default_factory=list[tuple[str, datetime | None, datetime]]
    )

    @property
    def parked(self) -> int:
        return sum(each.state == "parked" for each in self.aside)

    async def store(self, conn: Conn, target: Target, record_type: str) -> None:
        """Make what was answered the new base, and put aside what was not written."""
        await sent.outdate_payloads(conn, target.table, self.written, **target.keys)
        await sent.answer(
            conn,
            self.answers,
            **target.object_keys,
            record_type=record_type,
            mapping_version=target.mapping_version,
            now=now(),
        )
        await queue.done(conn, self.done, **target.keys)
        await queue.set_aside(conn, self.aside, **target.keys, now=now())
        await target.record_counts(conn, self.counts)


def settle(
    pairs: Sequence[Pair],
    mapper: Mapper,
    intents: Intents,
    must_tie: Callable[[Item], bool],
    sent_at: datetime,
) -> Settlement:
    """Say what follows from answers. `must_tie` tells whether something a new record belongs to follows."""
    found = Settlement(RunCounts(read=len(pairs)))
    for item, outcome in pairs:
        if outcome.failure is not None:
            later, answer = note_failure(item, outcome)
            found.aside.append(later)
            found.answers.extend(answer)
            found.counts.failed += later.state == "parked"
            continue
        _count(found.counts, item, outcome)
        answer, is_whole = note_success(mapper, intents, item, outcome)
        found.answers.append(answer)
        if item.left:
            found.aside.append(Aside(item.row, "parked", item.left))
        elif item.action == "created" and must_tie(item):
            found.aside.append(Aside(item.row, "pending", "What it belongs to follows."))
        elif is_whole:
            found.done.append(item.row)
        else:  # read again what the answer did not tell
            found.aside.append(put_off(item.row, "The CRM did not confirm what was written.", most=3))
        if outcome.remote_id is not None:
            updated_ms = None if outcome.record is None else outcome.record.updated_ms
            at = None if updated_ms is None else from_ms(updated_ms)
            found.written.append((outcome.remote_id, at, sent_at))
    return found


def _count(counts: RunCounts, item: Item, outcome: WriteOutcome) -> None:
    if item.action == "archived":
        counts.archived += 1
    elif item.action == "created" and outcome.created is not False:
        counts.created += 1
    else:
        counts.updated += 1


async def let_go(conn: Conn, target: Target, remote: Remote, pairs: Sequence[Pair]) -> set[UUID]:
    """Store nothing of answers about erased persons but that they came; returns whose these are.

    Whom the CRM made is asked for there; whom it may have made stays unanswered, for the erasure to look for
    them. Needs no lease: nobody else would ever come to it.
    """
    erased = await list_erased(target, conn, [item.row.record_id for item, _ in pairs])
    if not erased:
        return erased
    theirs = [(item, outcome) for item, outcome in pairs if item.row.record_id in erased]
    answers = [
        {"id": item.change_id, "state": "done" if outcome.failure is None else "refused"}
        for item, outcome in theirs
        if not _may_have_arrived(outcome)
    ]
    await sent.answer_ties(conn, answers, tenant_id=target.tenant_id, now=now())
    await queue.done(conn, [item.row for item, _ in theirs], **target.keys)
    made = {
        item.row.record_id: Ref(target.connection_id, target.object_name, remote_id)
        for item, outcome in theirs
        if item.action == "created"
        # Who has what must be unique was made by an earlier call, or is the same person.
        and (remote_id := outcome.remote_id or outcome.existing_id) is not None
    }
    if made:
        await barring.add_made(conn, remote.vault, made, tenant_id=target.tenant_id)
    return erased


def _may_have_arrived(outcome: WriteOutcome) -> bool:
    return isinstance(outcome.failure, RetryLater) and not outcome.unwritten
