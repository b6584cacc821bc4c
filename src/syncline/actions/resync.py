"""One record brought up to date while a person waits: read from each CRM, merged, sent where it differs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.referring import Referred, Remote, refer
from syncline.domain.merge import Merged
from syncline.engine import push
from syncline.engine.chunk import Agreed
from syncline.engine.leave import WritingStopped
from syncline.engine.remotes import Remotes
from syncline.engine.resync import Reread, reread
from syncline.errors import Busy, Invalid, NotFound, SynclineError
from syncline.store import finding, traces, waiting
from syncline.store.finding import Found

#: How long what is to be sent is waited for.
_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.05

#: What became of a field: taken from the CRM, sent to it, still on its way, refused by it, asked of a
#: person, or kept though it differs.
What = Literal["taken", "sent", "waiting", "refused", "conflict", "kept"]


@dataclass(frozen=True, slots=True)
class FieldResult:
    field: str
    what: What
    #: As they were before; values of a record.
    ours: Any
    theirs: Any
    #: Why, where there is more to say.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Resynced:
    """What became of a record towards one remote record."""

    connection: str
    object: str
    remote_id: str
    #: `same`: both sides agreed already; `gone`: the CRM does not show it; `new`: it was not here yet.
    outcome: Literal["same", "changed", "new", "gone", "left_out", "failed"]
    fields: list[FieldResult] = field(default_factory=list[FieldResult])
    #: What a person should know, in a sentence.
    note: str | None = None
    run_id: UUID | None = None
    error: SynclineError | None = None


async def resync(hub: Hub, text: str, *, connection: str | None = None, by: str = "cli") -> list[Resynced]:
    """Read the record that `text` means from each CRM it is linked to, merge, send, and tell what happened.

    `connection` names the only one to ask. Raises `NotFound` and `Invalid` as `referring.refer` does, and
    `Invalid` for a record that no CRM has.
    """
    subject = await refer(hub, text, connection=connection)
    remotes = await _list_remotes(hub, subject, connection)
    if not remotes:
        raise Invalid("No CRM has this record, as far as we know. `syncline explain` says why.")
    async with hub.remotes() as opened:
        return [await _one(hub, opened, each, subject, by) for each in remotes]


async def _list_remotes(hub: Hub, subject: Referred, name: str | None) -> list[Remote]:
    if subject.record is None or (subject.remote is not None and name is not None):
        return [] if subject.remote is None else [subject.remote]
    found = {each.id: each for each in await hub.list_connections([] if name is None else [name])}
    record = subject.record
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        links = await traces.list_links(conn, record.record_type, record.record_id, tenant_id=hub.tenant_id)
    return [
        Remote(found[each.connection_id], each.object, each.remote_id)
        for each in links
        if each.connection_id in found and each.is_primary
    ]


async def _one(hub: Hub, opened: Remotes, where: Remote, subject: Referred, by: str) -> Resynced:
    names = (where.connection.name, where.object, where.remote_id)
    try:
        remote = opened.open(where.connection, lane="person")
        done = await reread(hub.db, remote, where.object, where.remote_id, hub.settings, requested_by=by)
        if not done.is_there:
            note = (
                "The CRM does not show it: archived, merged or deleted there, or hidden from the token. "
                f"`syncline reconcile {where.connection.name} --object {where.object}` finds out."
            )
            return Resynced(*names, "gone", note=note, run_id=done.run_id)
        if done.agreed is None:
            return _unmerged(names, done)
        record = subject.record or await _find_record(hub, where)
        sent = await _send(hub, opened, where, record) if done.agreed.merged.push else None
        fields = list(_tell(done, done.agreed, sent))
        outcome = "changed" if any(each.what != "kept" for each in fields) else "same"
        return Resynced(*names, outcome, fields, done.fault, done.run_id)
    except SynclineError as error:
        return Resynced(*names, "failed", error=error)


def _unmerged(names: tuple[str, str, str], done: Reread) -> Resynced:
    if done.is_new:
        return Resynced(*names, "new", note=done.fault, run_id=done.run_id)
    note = done.fault or "It is mirrored only, was deleted here, or has been merged into another record."
    return Resynced(*names, "left_out", note=note, run_id=done.run_id)


async def _find_record(hub: Hub, where: Remote) -> Found:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await finding.list_by_remote(
            conn,
            where.remote_id,
            tenant_id=hub.tenant_id,
            connection_id=where.connection.id,
            object_name=where.object,
        )
    for each in found:
        if each.record_id is not None and each.record_type is not None:
            return Found(each.record_type, each.record_id)
    raise NotFound("The record is gone.")


@dataclass(frozen=True, slots=True)
class _Sent:
    what: What
    reason: str | None


async def _send(hub: Hub, opened: Remotes, where: Remote, record: Found) -> _Sent:
    """Drain the connection's queue until this record has left it; another process may be at it already."""
    stop = asyncio.Event()
    remote = opened.open(where.connection, lane="person")
    draining = asyncio.create_task(push.drain(hub.db, remote, hub.settings, stop=stop, requested_by="resync"))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while (await _look(hub, where, record)).what == "waiting":
                    if draining.done() and not isinstance(draining.exception(), Busy):
                        break
                    await asyncio.sleep(_LOOK_SECONDS)
    finally:
        stop.set()
        await asyncio.wait([draining])
    with suppress(Busy):
        try:
            draining.result()
        except WritingStopped as stopped:
            return _Sent("waiting", str(stopped))
    return await _look(hub, where, record)


async def _look(hub: Hub, where: Remote, record: Found) -> _Sent:
    wanted = waiting.Filter(where.connection.id, record.record_type, record.record_id)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        rows = await waiting.list_waiting(conn, wanted, tenant_id=hub.tenant_id, limit=1)
    if not rows:
        return _Sent("sent", None)
    return _Sent("refused" if rows[0].state == "parked" else "waiting", rows[0].reason)


def _tell(done: Reread, agreed: Agreed, sent: _Sent | None) -> Iterator[FieldResult]:
    merged, ours, theirs = agreed.merged, agreed.existing.row, agreed.mapped.values
    reasons = {each.field: each.reason for each in merged.decisions}
    names = _order([*merged.write, *merged.push, *(each.field for each in merged.conflicts)])
    for name in names:
        what, reason = _what(name, merged, sent)
        yield FieldResult(name, what, ours.get(name), theirs.get(name), reason or reasons.get(name))
    for each in done.left:
        if each.state == "kept" and each.field not in names:
            yield FieldResult(each.field, "kept", each.ours, each.theirs, _WHY_KEPT.get(each.cause))


_WHY_KEPT = {
    "unwritable": "It may not be written there, and the policy keeps ours.",
    "unreadable": "The value there could not be read.",
}


def _what(name: str, merged: Merged, sent: _Sent | None) -> tuple[What, str | None]:
    if name in merged.push:
        return ("waiting", None) if sent is None else (sent.what, sent.reason)
    if name in merged.write:
        return "taken", None
    return "conflict", "Both sides changed it: `syncline conflicts list`."


def _order(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
