"""Sends what belongs to what: a contact's company, a deal's contact, as associations at the CRM.

Parents come first: a record whose parent the CRM does not have yet waits for it. Associations that are there
are left as they are, so that all of this may be repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from syncline.clock import new_id, now
from syncline.connectors.writes import RemoteLink, WriteOutcome
from syncline.domain.records import RECORD_TYPES
from syncline.engine.gate import list_erased
from syncline.engine.intents import put_off
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.errors import PauseConnection, RetryLater
from syncline.store import queue, sent, ties
from syncline.store.db import Conn
from syncline.store.queue import Aside, Waiting
from syncline.store.ties import Tie

#: Column → the kind of record it refers to.
PARENTS = {"company_id": "company", "contact_id": "contact", "deal_id": "deal"}
#: In what is foreseen: the id that a record will have at the CRM, which does not have it yet.
NEW = "new"
_WAITS = "What it belongs to is not at the CRM yet."

#: Raises unless writing is allowed.
RequireLeave = Callable[[Conn], Awaitable[None]]
_Action = Literal["associated", "dissociated"]
#: (row, action, column → [former, new] remote id).
Foreseen = tuple[Waiting, str, dict[str, list[str | None]]]


@dataclass(frozen=True, slots=True)
class _Change:
    row: Waiting
    action: _Action
    column: str
    other: tuple[str, str]
    link: RemoteLink


class Ties:
    """Makes and takes away associations of one object's records, on behalf of one run."""

    def __init__(self, target: Target, remote: Remote, record_type: str) -> None:
        self._target = target
        self._remote = remote
        self._kind = RECORD_TYPES[record_type]

    def follow(self, row: Waiting) -> bool:
        """Say whether a row asks for associations."""
        return not PARENTS.keys().isdisjoint(row.fields)

    async def send(self, rows: Sequence[Waiting], require_leave: RequireLeave) -> tuple[list[Waiting], int]:
        """Send what rows ask for; return those that may go on, and how many were parked.

        `require_leave` raises unless writing is allowed; it is asked in the transaction that writes the
        intent down.
        """
        asking = [row for row in rows if self.follow(row)]
        if not asking:
            return list(rows), 0
        changes, aside = await self._plan(asking)
        kinds: dict[tuple[str, _Action], None] = {(each.other[0], each.action): None for each in changes}
        for name, action in kinds:
            part = [each for each in changes if (each.other[0], each.action) == (name, action)]
            size = self._remote.connector.capabilities.association_batch
            for start in range(0, len(part), size):
                aside += await self._send_part(name, action, part[start : start + size], require_leave)
        if aside:
            async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
                await queue.set_aside(conn, aside, **self._target.keys, now=now())
        held = {each.row.record_id for each in aside}
        parked = sum(each.state == "parked" for each in aside)
        return [row for row in rows if row.record_id not in held], parked

    async def foresee(self, rows: Sequence[Waiting]) -> list[Foreseen]:
        """Return what would be sent for rows, also for records that the CRM does not have yet."""
        found: list[Foreseen] = []
        for row, column, tie in await self._list([row for row in rows if self.follow(row)]):
            if tie.parent_id is not None:
                found.append((row, "associated", {column: [None, tie.parent_remote_id or NEW]}))
            found += [(row, "dissociated", {column: [remote_id, None]}) for _, remote_id in tie.former]
        return found

    async def _plan(self, rows: Sequence[Waiting]) -> tuple[list[_Change], list[Aside]]:
        changes: list[_Change] = []
        aside: dict[object, Aside] = {}
        for row, column, tie in await self._list(rows):
            if tie.parent_id is not None and tie.parent_remote_id is None:
                aside[row.record_id] = put_off(row, _WAITS)
                continue
            if tie.parent_object is not None and tie.parent_remote_id is not None:
                other = (tie.parent_object, tie.parent_remote_id)
                changes.append(_change(row, "associated", column, other))
            for name, remote_id in tie.former:
                changes.append(_change(row, "dissociated", column, (name, remote_id)))
        return [each for each in changes if each.row.record_id not in aside], list(aside.values())

    async def _list(self, rows: Sequence[Waiting]) -> list[tuple[Waiting, str, Tie]]:
        """Return the references that rows ask to be sent, column by column."""
        if not rows:
            return []
        by_id = {row.record_id: row for row in rows}
        since = min(row.queued_at for row in rows) - timedelta(seconds=1)
        listed: list[tuple[Waiting, str, Tie]] = []
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            for column, parent_type in PARENTS.items():
                wanted = [row.record_id for row in rows if column in row.fields]
                if wanted:
                    found = await ties.list_ties(
                        conn, self._kind, column, parent_type, wanted, **self._target.keys, since=since
                    )
                    listed += [(by_id[each.record_id], column, each) for each in found]
        return listed

    async def _send_part(
        self, other: str, action: _Action, part: Sequence[_Change], require_leave: RequireLeave
    ) -> list[Aside]:
        target, connector = self._target, self._remote.connector
        ids = {each.link.key: new_id() for each in part}
        going: list[_Change] = []

        async def intend() -> None:
            nonlocal going
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await require_leave(conn)
                erased = await list_erased(target, conn, {each.row.record_id for each in part})
                going = [each for each in part if each.row.record_id not in erased]
                await sent.put_ties(
                    conn,
                    [
                        {
                            "id": ids[each.link.key],
                            "remote_id": each.row.remote_id,
                            "record_id": each.row.record_id,
                            "action": action,
                            "changes": {each.column: _before_and_after(each)},
                        }
                        for each in going
                    ],
                    **target.object_keys,
                    record_type=self._kind.name,
                    run_id=target.run_id,
                    now=now(),
                )

        await target.persist(intend)
        links = [each.link for each in going]
        if not links:
            return []
        call = connector.associate_many if action == "associated" else connector.dissociate_many
        try:
            outcomes = await call(target.object_name, other, links)
        except RetryLater as error:
            outcomes = [WriteOutcome(each.key, failure=error, unwritten=True) for each in links]
        await target.persist(partial(self._answer, ids, outcomes))
        by_key = {each.link.key: each.row for each in part}
        aside: list[Aside] = []
        for outcome in outcomes:
            if isinstance(outcome.failure, PauseConnection):
                raise outcome.failure
            row = by_key[outcome.key]
            if isinstance(outcome.failure, RetryLater):
                aside.append(put_off(row, str(outcome.failure), after=outcome.failure.after_seconds))
            elif outcome.failure is not None:
                aside.append(Aside(row, "parked", str(outcome.failure)))
        return aside

    async def _answer(self, ids: dict[str, Any], outcomes: Sequence[WriteOutcome]) -> None:
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            await sent.answer_ties(
                conn,
                [
                    {
                        "id": ids[each.key],
                        "state": "done" if each.failure is None else "refused",
                        "reason": None if each.failure is None else str(each.failure),
                    }
                    for each in outcomes
                ],
                tenant_id=self._target.tenant_id,
                now=now(),
            )


def _change(row: Waiting, action: _Action, column: str, other: tuple[str, str]) -> _Change:
    key = f"{row.record_id} {column} {other[1]}"
    return _Change(row, action, column, other, RemoteLink(key, row.remote_id or "", other[1]))


def _before_and_after(change: _Change) -> list[str | None]:
    return [None, change.other[1]] if change.action == "associated" else [change.other[1], None]
