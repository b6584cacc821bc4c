"""Associations of records that an undo has made again at a CRM, under new ids: put back as they were known.

May be repeated: what is there already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from uuid import UUID

from syncline.clock import new_id, now
from syncline.connectors.writes import RemoteLink, WriteOutcome
from syncline.engine.remotes import Remote
from syncline.errors import PauseConnection
from syncline.store import allowances, effects, sent, undo
from syncline.store.db import Conn, Database
from syncline.store.keys import ObjectKeys
from syncline.store.runs import Run
from syncline.store.undo import Tie

#: (object, remote id) → record of ours.
_Archived = Mapping[tuple[str, str], tuple[str, UUID]]


async def find_ties(db: Database, remote: Remote, run: Run) -> list[Tie]:
    """Return the associations of what a run archived at the CRM, as far as they may be put back."""
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        return await _find(conn, remote, await _find_archived(conn, remote, run))


async def tie_again(db: Database, remote: Remote, run: Run, run_id: UUID) -> int:
    """Put back the associations of what a run archived and is made again; returns how many.

    `run_id` is the undo's. Raises `PauseConnection`, `RetryLater`.
    """
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        archived = await _find_archived(conn, remote, run)
        ties = await _find(conn, remote, archived)
        renamed = await _find_renamed(conn, remote, archived)
    tied = 0
    wanted = [each for each in ties if _is_renamed(each, renamed)]
    for (from_object, to_object), group in groupby(wanted, lambda each: (each.from_object, each.to_object)):
        part = list(group)
        size = remote.connector.capabilities.association_batch
        for start in range(0, len(part), size):
            links = [_rename(each, renamed) for each in part[start : start + size]]
            change_ids = await _write_down(db, remote, run_id, archived, part[start : start + size])
            outcomes = await remote.connector.associate_many(from_object, to_object, links)
            await _answer(db, remote, change_ids, outcomes)
            tied += sum(each.failure is None for each in outcomes)
    return tied


async def _find_archived(conn: Conn, remote: Remote, run: Run) -> dict[tuple[str, str], tuple[str, UUID]]:
    sent_there = await effects.list_remote_changes(conn, [run.id], tenant_id=remote.tenant_id)
    return {
        (each.object, each.remote_id): (each.record_type, each.record_id)
        for each in sent_there
        if each.action == "archived" and each.state != "refused" and each.remote_id is not None
    }


async def _find(conn: Conn, remote: Remote, archived: _Archived) -> list[Tie]:
    found: dict[Tie, None] = {}
    for object_name in sorted({each[0] for each in archived}):
        keys: ObjectKeys = {**remote.keys, "object_name": object_name}
        if (await allowances.find_allowance(conn, **keys)).associate:
            ids = [remote_id for name, remote_id in archived if name == object_name]
            found |= dict.fromkeys(await undo.list_ties(conn, ids, keys=keys))
    return sorted(found, key=lambda each: (each.from_object, each.to_object, each.from_id, each.to_id))


async def _find_renamed(conn: Conn, remote: Remote, archived: _Archived) -> dict[tuple[str, str], str]:
    """Return (object, remote id) → the id it has now, of what has been made again."""
    renamed: dict[tuple[str, str], str] = {}
    for kind in sorted({each[0] for each in archived.values()}):
        ids = [record_id for name, record_id in archived.values() if name == kind]
        links = await undo.lock_links(conn, ids, keys=remote.keys, record_type=kind)
        for key, (_, record_id) in archived.items():
            link = links.get(record_id)
            if link is not None and link.object == key[0] and link.remote_id != key[1]:
                renamed[key] = link.remote_id
    return renamed


def _is_renamed(tie: Tie, renamed: Mapping[tuple[str, str], str]) -> bool:
    return (tie.from_object, tie.from_id) in renamed or (tie.to_object, tie.to_id) in renamed


def _rename(tie: Tie, renamed: Mapping[tuple[str, str], str]) -> RemoteLink:
    from_id = renamed.get((tie.from_object, tie.from_id), tie.from_id)
    to_id = renamed.get((tie.to_object, tie.to_id), tie.to_id)
    return RemoteLink(f"{from_id} {to_id} {tie.type_id}", from_id, to_id, tie.type_id, tie.category)


async def _write_down(
    db: Database, remote: Remote, run_id: UUID, archived: _Archived, ties: Sequence[Tie]
) -> list[UUID]:
    """Write down what is about to be sent, each under the record that was made again."""
    change_ids: list[UUID] = []
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        for tie in ties:
            kind, record_id = (
                archived.get((tie.from_object, tie.from_id)) or archived[tie.to_object, tie.to_id]
            )
            change_id = new_id()
            change_ids.append(change_id)
            other = f"{tie.to_object} {tie.to_id}"
            row = {
                "id": change_id,
                "record_id": record_id,
                "action": "associated",
                "changes": {"association": [None, other]},
            }
            keys: ObjectKeys = {**remote.keys, "object_name": tie.from_object}
            await sent.put_ties(conn, [row], **keys, record_type=kind, run_id=run_id, now=now())
    return change_ids


async def _answer(
    db: Database,
    remote: Remote,
    change_ids: Sequence[UUID],
    outcomes: Sequence[WriteOutcome],
) -> None:
    answers = [
        {"id": change_id, "state": "done"}
        if outcome.failure is None
        else {"id": change_id, "state": "refused", "reason": str(outcome.failure)}
        for change_id, outcome in zip(change_ids, outcomes, strict=True)
    ]
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        await sent.answer_ties(conn, answers, tenant_id=remote.tenant_id, now=now())
    for outcome in outcomes:
        if isinstance(outcome.failure, PauseConnection):
            raise outcome.failure
