"""Takes back what a run did: here as edits, and at the CRM by what those edits push there.

What was sent is read again first; whatever stands otherwise than the run left it has been edited since, and
is spared. Ended at any moment, it goes on when it is begun again: what is back already is seen to be so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypeVar
from uuid import UUID

from syncline.clock import new_id, now
from syncline.config import Settings
from syncline.connectors.reads import Page
from syncline.domain import identifiers
from syncline.domain.records import RECORD_TYPES, RecordType, flatten
from syncline.domain.undoing import LINK, Later
from syncline.domain.values import write_moment
from syncline.engine.barring import find_kept_out
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.putting_back import Author, PuttingBack, Undone
from syncline.engine.rehearse import NoLease
from syncline.engine.remotes import Remote
from syncline.engine.restoring import Known, Restoring, Terms
from syncline.engine.telemetry import traced
from syncline.engine.terms import set_terms
from syncline.engine.tie import PARENTS
from syncline.engine.tie_again import find_ties, tie_again
from syncline.engine.write import Target
from syncline.errors import NotFound, SynclineError, Unavailable
from syncline.store import allowances, definitions, effects, payloads, runs, tenants, undo
from syncline.store.db import Conn, Database
from syncline.store.effects import Change, RemoteChange
from syncline.store.runs import Run, RunCounts

MODE = "undo"
#: Records taken back in one transaction; also how many are read again by one call.
_AT_ONCE = 100
#: How often a transaction is tried.
_ATTEMPTS = 4

OnProgress = Callable[[int, int], None]
_T = TypeVar("_T", Change, RemoteChange)


def _tell(_db: Database, remote: Remote, _settings: Settings, run: Run, **_: Any) -> dict[str, str]:
    return {"syncline.connection": remote.name, "syncline.object": run.object, "syncline.mode": MODE}


@traced("run", _tell)
async def undo_run(
    db: Database,
    remote: Remote,
    settings: Settings,
    run: Run,
    *,
    by: str,
    send: Callable[[Undone], Awaitable[None]],
    on_progress: OnProgress,
) -> Undone:
    """Take a run back here, then `send` what was queued by it. Begun again after a crash, it goes on.

    Raises `Busy` while another undo of the connection is under way, and what sending raises: what is queued
    then waits, and this run is `partial`.
    """
    async with hold_lease(db, **remote.keys, purpose=MODE, seconds=settings.lease_seconds) as lease:
        run_id = await _begin(db, remote, run, by)
        undoing = _Undoing(db, remote, lease, run, by, run_id)
        undoing.undone.run_id = run_id
        try:
            await undoing.run(on_progress)
            await send(undoing.undone)
            undoing.undone.tied = await tie_again(db, remote, run, run_id)
        except SynclineError as error:
            await _end(db, remote, run, undoing.undone, str(error))
            raise
        await _end(db, remote, run, undoing.undone, None)
        return undoing.undone


async def _begin(db: Database, remote: Remote, run: Run, by: str) -> UUID:
    keys = remote.keys
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        run_id = await undo.find_unfinished(conn, run.id, keys=keys)
        if run_id is None:
            run_id = await runs.request(
                conn, **keys, object_name=run.object, mode=MODE, requested_by=by, now=now()
            )
            await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
            await undo.set_undoes(conn, run_id, run.id, tenant_id=remote.tenant_id)
        await runs.abandon_others(
            conn, **keys, object_name=run.object, current=run_id, now=now(), modes=(MODE,)
        )
        return run_id


async def _end(db: Database, remote: Remote, run: Run, undone: Undone, problem: str | None) -> None:
    if undone.run_id is None:
        return
    details: dict[str, Any] = {"undoes": str(run.id)}
    if undone.left:
        details["left"] = len(undone.left)
    if problem is not None:
        details["error"] = problem
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        await runs.finish(
            conn,
            undone.run_id,
            tenant_id=remote.tenant_id,
            status="partial" if undone.left or problem is not None else "success",
            now=now(),
            api_calls=remote.count_calls(),
            error_details=details,
        )


async def rehearse_undo(db: Database, remote: Remote, run: Run, *, on_progress: OnProgress) -> Undone:
    """Return what `undo_run` would do. Reads again what that would, and writes nothing."""
    undoing = _Undoing(db.rehearsed(_look_away), remote, NoLease(remote.keys), run, "plan", None)
    await undoing.run(on_progress)
    undoing.undone.ties = len(await find_ties(db, remote, run))
    return undoing.undone


async def _look_away(conn: Conn) -> None:
    del conn


@dataclass(frozen=True, slots=True)
class _Reader:
    """What reads records of one object again and brings them in, as a pull does; under a run of its own."""

    target: Target
    names: list[str]
    terms: Terms


class _Undoing:
    """One undo on its way. Without a `run_id` it is a rehearsal."""

    def __init__(
        self, db: Database, remote: Remote, lease: Lease, run: Run, by: str, run_id: UUID | None
    ) -> None:
        self._db = db
        self._remote = remote
        self._lease = lease
        self._run = run
        self._is_real = run_id is not None
        self._author = Author(by, run_id or new_id(), "")
        self._readers: dict[str, _Reader | None] = {}
        self._gone: set[str] = set()
        self.undone = Undone()

    async def run(self, on_progress: OnProgress) -> None:
        """Take back everything, some records at a time, parents before their children."""
        tenant_id = self._remote.tenant_id
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            listed = await effects.list_records(conn, self._run.id, tenant_id=tenant_id)
            gone = await effects.list_merged(conn, self._run.id, tenant_id=tenant_id)
            region = (await tenants.get_settings(conn, tenant_id=tenant_id)).default_region
        self._gone = {str(each) for each in gone}
        self._author = Author(self._author.name, self._author.run_id, region)
        done = 0
        failed = True
        try:
            for kind, ids in _batches(listed):
                await self._take_back(kind, ids)
                done += len(ids)
                on_progress(done, len(listed))
            failed = False
        finally:
            if self._is_real:
                await self._end_readings(failed=failed)

    async def _take_back(self, kind: RecordType, ids: Sequence[UUID]) -> None:
        run_id, tenant_id = self._run.id, self._remote.tenant_id
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            changes = await effects.list_changes_of(conn, ids, run_id, tenant_id=tenant_id)
            sent = await effects.list_remote_changes_of(conn, ids, run_id, tenant_id=tenant_id)
        here = _by_record(each for each in changes if each.record_type == kind.name)
        there = _by_record(each for each in sent if each.record_type == kind.name and each.state != "refused")
        for each in changes:
            if LINK in each.changes:
                await self._open(_object_called(each))
        # What is read again comes in with its object, one at a time; most records have only one.
        objects = {record_id: each[0].object for record_id, each in there.items()}
        for object_name in sorted({objects.get(each, "") for each in ids}):
            part = [each for each in ids if objects.get(each, "") == object_name]
            reader = await self._open(object_name)
            page = await self._read_again(reader, part, there)
            await self._persist(partial(self._write, kind, part, here, there, reader, page))

    async def _read_again(
        self, reader: _Reader | None, ids: Sequence[UUID], there: Mapping[UUID, Sequence[RemoteChange]]
    ) -> Page | None:
        remote_ids = {
            each.remote_id for record_id in ids for each in there.get(record_id, ()) if each.remote_id
        }
        if reader is None or not remote_ids:
            return None
        connector = self._remote.connector
        return await connector.read_many(reader.target.object_name, sorted(remote_ids), reader.names)

    async def _write(
        self,
        kind: RecordType,
        asked: Sequence[UUID],
        here: Mapping[UUID, Sequence[Change]],
        there: Mapping[UUID, Sequence[RemoteChange]],
        reader: _Reader | None,
        page: Page | None,
    ) -> Undone:
        """Bring in what was read, then put back what stands as the run left it; in one transaction."""
        keys = self._remote.keys
        async with self._db.transaction(tenant_id=self._remote.tenant_id, bulk=True) as conn:
            await self._lease.require(conn)
            ids = await self._without_erased(conn, asked)
            if reader is not None and page is not None:
                target = reader.target
                prepared = prepare_page(page, target.mapper)
                # What looks as it did when it was last read may not be what was agreed on since.
                always = frozenset(each.remote_id for each in prepared)
                await target.write_chunk(conn, prepared, list_unreadable(page), RunCounts(), always=always)
            found = await undo.lock_rows(conn, kind, ids, tenant_id=self._remote.tenant_id)
            rows = {record_id: flatten(row) for record_id, row in found.items()}
            links = await undo.lock_links(conn, ids, keys=keys, record_type=kind.name)
            missing = [each for each in ids if each not in rows]
            deleted = await undo.list_deleted(conn, missing, tenant_id=self._remote.tenant_id)
            later = await self._list_later(conn, ids)
            others = await self._find_others(conn, [each for one in ids for each in there.get(one, ())])
            terms = {name: each.terms for name, each in self._readers.items() if each is not None}
            restoring = Restoring(kind, self._remote.connection_id, terms, self._gone, write_moment(now()))
            tasks = [
                restoring.decide(
                    Known(
                        each,
                        rows.get(each),
                        here.get(each, ()),
                        there.get(each, ()),
                        links.get(each),
                        deleted.get(each),
                        later.get(each, ()),
                        others,
                    )
                )
                for each in ids
            ]
            putting = PuttingBack(conn, kind, keys, self._author, rows, links)
            await putting.carry_out(tasks)
            if self._is_real:
                await self._count(conn, putting.undone, len(asked))
        return putting.undone

    async def _without_erased(self, conn: Conn, ids: Sequence[UUID]) -> list[UUID]:
        """Leave out records of persons who were erased: what they held was read a while ago."""
        wanted = {identifiers.record(str(each)): each for each in ids}
        tenant_id = self._remote.tenant_id
        erased = await find_kept_out(conn, lambda: self._remote.vault, list(wanted), tenant_id=tenant_id)
        return [each for known, each in wanted.items() if known not in erased]

    async def _list_later(self, conn: Conn, ids: Sequence[UUID]) -> dict[UUID, list[Later]]:
        later: dict[UUID, list[Later]] = {}
        for each in await effects.list_later_changes(
            conn, ids, self._run.id, tenant_id=self._remote.tenant_id
        ):
            change = Later(each.changed_at, each.changes, each.connection_id is not None)
            later.setdefault(each.record_id, []).append(change)
        return later

    async def _find_others(self, conn: Conn, there: Sequence[RemoteChange]) -> dict[tuple[str, str], str]:
        """Find the records of ours that the run tied others to, or parted them from."""
        wanted: dict[str, set[str]] = {}
        for each in there:
            for column, values in each.changes.items():
                if column in PARENTS and each.action in ("associated", "dissociated"):
                    wanted.setdefault(column, set()).update(str(half) for half in values if half is not None)
        others: dict[tuple[str, str], str] = {}
        for column, remote_ids in wanted.items():
            found = await undo.list_linked(
                conn, sorted(remote_ids), keys=self._remote.keys, record_type=PARENTS[column]
            )
            others |= {(column, remote_id): str(record_id) for remote_id, record_id in found.items()}
        return others

    async def _count(self, conn: Conn, undone: Undone, read: int) -> None:
        # A record that is taken back on both sides is one record.
        actions = Counter(action for _, action in {(each.record_id, each.action) for each in undone.taken})
        counts = RunCounts(
            read,
            actions["created"],
            actions["updated"] + actions["restored"],
            0,
            actions["archived"],
            len({each.record_id for each in undone.left}),
        )
        await runs.add_counts(
            conn,
            self._author.run_id,
            counts,
            tenant_id=self._remote.tenant_id,
            api_calls=self._remote.count_calls(),
            now=now(),
        )

    async def _persist(self, write: Callable[[], Awaitable[Undone]]) -> None:
        """Run a transaction, again where Postgres gave it up."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.undone.add(await write())
            except Unavailable:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * attempt)
            else:
                return

    async def _open(self, object_name: str) -> _Reader | None:
        """Make ready to read an object's records again, and learn what may be written of it."""
        if object_name not in self._readers:
            self._readers[object_name] = await self._make_reader(object_name) if object_name else None
        return self._readers[object_name]

    async def _make_reader(self, object_name: str) -> _Reader | None:
        remote, keys = self._remote, self._remote.keys
        if object_name not in remote.mapping:
            return None
        try:
            remote_object = await remote.connector.get_object(object_name)
        except NotFound:
            return None
        async with self._db.transaction(tenant_id=remote.tenant_id) as conn:
            # What the CRM says meanwhile is no part of the undo, and is not taken back with it.
            run_id = await runs.request(
                conn, **keys, object_name=object_name, mode="push", requested_by=MODE, now=now()
            )
            await runs.start(conn, run_id, tenant_id=remote.tenant_id, now=now())
            target = Target(
                db=self._db,
                tenant_id=remote.tenant_id,
                connection_id=remote.connection_id,
                remote_object=remote_object,
                table=await payloads.ensure_table(conn, remote.platform_name, object_name),
                mapper=None,
                mapping_version=1,
                run_id=run_id,
                actor="syncline",
                lease=self._lease,
                count_calls=remote.count_calls,
            )
            await set_terms(conn, target, remote)
            names = await definitions.list_property_names(conn, **target.object_keys)
            allowance = await allowances.find_allowance(conn, **target.object_keys)
        return _Reader(target, names, Terms(object_name, target.access, allowance))

    async def _end_readings(self, *, failed: bool) -> None:
        for reader in self._readers.values():
            if reader is not None:
                async with self._db.transaction(tenant_id=self._remote.tenant_id) as conn:
                    await runs.finish(
                        conn,
                        reader.target.run_id,
                        tenant_id=self._remote.tenant_id,
                        status="failed" if failed else "success",
                        now=now(),
                        api_calls=self._remote.count_calls(),
                    )


def _batches(listed: Sequence[tuple[str, UUID]]) -> Iterator[tuple[RecordType, list[UUID]]]:
    """Cut records into batches of one kind, parents first."""
    order = list(RECORD_TYPES)
    known = [each for each in listed if each[0] in RECORD_TYPES]
    for name, group in groupby(sorted(known, key=lambda each: order.index(each[0])), lambda each: each[0]):
        ids = [each[1] for each in group]
        for start in range(0, len(ids), _AT_ONCE):
            yield RECORD_TYPES[name], ids[start : start + _AT_ONCE]


def _by_record(changes: Iterable[_T]) -> dict[UUID, list[_T]]:
    found: dict[UUID, list[_T]] = {}
    for each in changes:
        found.setdefault(each.record_id, []).append(each)
    return found


def _object_called(change: Change) -> str:
    """Return the object that the change log says a record was parted from."""
    return str(change.changes[LINK][0]).partition(" ")[0]
