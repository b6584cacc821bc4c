"""Sends what differs here to one object of a CRM: read again, merge, write down, send, agree.

What is about to be sent is committed before the call that carries it, and what was answered becomes the new
base. Ended at any moment, the next attempt reads again and finds by that what has arrived and what has not.
Knows batches of one object; what they come to is `intents`', which are due, and when to stop, the drain's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from syncline.clock import from_ms, now
from syncline.connectors.reads import Page
from syncline.connectors.writes import WriteOutcome
from syncline.domain.mapping import Mapper
from syncline.domain.records import RecordType
from syncline.domain.writing import Writer
from syncline.engine.adopt import Adopter
from syncline.engine.calls import asking
from syncline.engine.doubts import take_up
from syncline.engine.gate import list_erased
from syncline.engine.intents import Batch, Intents, Item, put_off
from syncline.engine.leave import Permit, WritingStopped
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.remotes import Remote
from syncline.engine.settling import let_go, settle
from syncline.engine.shield import hold_flips
from syncline.engine.tie import Foreseen, Ties
from syncline.engine.together import Makers, Together
from syncline.engine.write import Target
from syncline.errors import (
    AlreadyExists,
    LeaseLost,
    PauseConnection,
    RetryLater,
    SynclineError,
)
from syncline.store import absences, creates, locked, queue, sent
from syncline.store.allowances import Allowance
from syncline.store.db import Conn
from syncline.store.queue import Aside, Waiting
from syncline.store.runs import RunCounts

_T = TypeVar("_T")


class Sender:
    """Sends rows of one object of one connection, on behalf of one run.

    With `rehearse` it comes as far as the first call that would write, tells what it would have sent, and
    sends nothing; the target's database then has to be one that takes everything back.
    """

    def __init__(
        self, target: Target, remote: Remote, mapper: Mapper, writer: Writer, names: list[str]
    ) -> None:
        self._target = target
        self._remote = remote
        self._mapper = mapper
        self._names = names
        self._kind: RecordType = mapper.record_type
        self._intents = Intents(mapper, writer, target.access)
        self.rehearse: Callable[[Batch, list[Foreseen]], None] | None = None
        #: Sends what belongs to what; None where that is not allowed.
        self.ties: Ties | None = None
        #: Says what new records are made together with; None where that follows.
        self.makers: Makers | None = None
        #: What may be written, as everything else here was made for. Without `create`, what was sent to be
        #: made before is looked for, and nothing is made.
        self.permit = Permit(target, Allowance())
        #: Whom this one took over from, in the same run.
        self.former: Sender | None = None
        self._adopter = Adopter(target, remote, mapper, names)
        self._parked = 0

    @property
    def target(self) -> Target:
        return self._target

    @property
    def parked(self) -> int:
        """Return how many rows a person has to look at, also of those who sent before in the same run."""
        before = 0 if self.former is None else self.former.parked
        return before + self._parked + self._adopter.parked

    async def send_changes(self, rows: Sequence[Waiting]) -> None:
        """Bring records that the CRM has to what they are here, where they still differ."""
        if self.ties is not None and self.rehearse is None:
            with asking(self.permit.look_again()):
                rows, parked = await self.ties.send(rows, self._require_leave)
            self._parked += parked
            if not rows:
                return
        by_id = {row.remote_id: row for row in rows if row.remote_id is not None}
        page = await self._attempt(
            rows, lambda: self._remote.connector.read_many(self._target.object_name, list(by_id), self._names)
        )
        if page is None:
            return
        prepared, unreadable = prepare_page(page, self._mapper), list_unreadable(page)
        read = {record.remote_id: record for record in page.records}
        # Archived on both sides, or not to be synced: what differs is sent if it comes back.
        resting = await self._find_at_rest(by_id, page) | {i.remote_id for i in prepared if i.mapped is None}
        batch = Batch()

        async def intend() -> None:
            nonlocal batch
            batch = Batch()
            async with self._transaction() as conn:
                await self._require_leave(conn)
                erased = await list_erased(self._target, conn, [row.record_id for row in rows])
                agreed = await self._target.write_chunk(
                    conn, prepared, unreadable, RunCounts(), always=frozenset(by_id)
                )
                for remote_id, row in by_id.items():
                    if remote_id in resting or row.record_id in erased:
                        batch.done.append(row)
                    else:
                        self._intents.plan_change(batch, row, agreed.get(remote_id), read.get(remote_id))
                await hold_flips(conn, batch, self._remote.connection.settings, **self._target.keys)
                quiet = [each.remote_id for each in batch.done if each.remote_id is not None]
                if quiet:
                    await sent.clear(conn, quiet, **self._target.object_keys)
                await self._write_down(conn, batch, rows)

        await self._target.persist(intend)
        await self._carry_out(batch, rows)

    async def _find_at_rest(self, by_id: Mapping[str, Waiting], page: Page) -> set[str]:
        """Return the ids of what the CRM no longer has and is archived here, and agree on that.

        Taken out of the bin before it is read again, it has changed there. What came unreadable is there.
        """
        there = {each.remote_id for each in page.records} | {each[0] for each in page.unreadable}
        absent = {} if "" in there else {row.record_id: i for i, row in by_id.items() if i not in there}
        if not absent:
            return set()
        target, asked_at = self._target, from_ms(page.requested_ms)
        at_rest: list[str] = []

        async def agree() -> None:
            nonlocal at_rest
            async with self._transaction() as conn:
                await self._require_leave(conn)
                archived = await absences.filter_archived(
                    conn, self._kind, list(absent), tenant_id=target.tenant_id
                )
                at_rest = sorted(absent[each] for each in archived)
                outdated = [(each, None, asked_at) for each in at_rest]
                await sent.outdate_payloads(conn, target.table, outdated, **target.keys)
                await absences.agree_on_archive(conn, self._kind, at_rest, **target.object_keys)

        await target.persist(agree)
        return set(at_rest)

    async def send_new(self, rows: Sequence[Waiting]) -> None:
        """Make records that the CRM does not have. Sent again after any failure, they are made once."""
        rows = await self._adopter.adopt(rows, self._attempt)
        batch = Batch()

        async def intend() -> None:
            nonlocal batch
            batch = Batch()
            async with self._transaction() as conn:
                await self._require_leave(conn)
                erased = await list_erased(self._target, conn, [row.record_id for row in rows])
                found = await locked.lock_unlinked_by_id(
                    conn, self._kind, ids=[row.record_id for row in rows], **self._target.keys
                )
                together = {} if self.makers is None else await self.makers.gather(conn, list(found))
                for row in rows:
                    existing = found.get(row.record_id)
                    if not self.permit.allowance.create or row.record_id in erased:
                        batch.done.append(row)
                    elif existing is None:
                        # Linked in the meantime, or no more.
                        if row.attempts >= 2:
                            batch.done.append(row)
                        else:
                            batch.aside.append(Aside(row, "pending", "Looked at again.", 0.5))
                    else:
                        others = together.get(row.record_id)
                        wait = self._find_wait(row, others)
                        self._intents.plan_new(batch, row, existing.row, others, wait)
                await self._write_down(conn, batch, rows)

        if rows:
            await self._target.persist(intend)
            await self._carry_out(batch, rows)

    def _find_wait(self, row: Waiting, together: Together | None) -> Aside | None:
        if self.makers is None or together is None:
            return None
        return self.makers.find_wait(row, together, rehearses=self.rehearse is not None)

    async def send_deleted(self, rows: Sequence[Waiting]) -> None:
        """Archive at the CRM what was deleted here."""
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            buried = await sent.list_buried(conn, [row.record_id for row in rows], **self._target.object_keys)
        # An id that was merged away may lead to another's record, which is not what was deleted.
        page = await self._attempt(
            rows,
            lambda: self._remote.connector.read_many(
                self._target.object_name, list(buried.values()), self._names
            ),
        )
        if page is None:
            return
        living = {each.remote_id for each in page.records if each.archived_ms is None}
        batch = Batch()

        async def intend() -> None:
            nonlocal batch
            batch = Batch()
            async with self._transaction() as conn:
                await self._require_leave(conn)
                for row in rows:
                    remote_id = buried.get(row.record_id)
                    self._intents.plan_deleted(batch, row, remote_id if remote_id in living else None)
                await self._write_down(conn, batch, rows)

        await self._target.persist(intend)
        await self._carry_out(batch)

    async def _carry_out(self, batch: Batch, rows: Sequence[Waiting] = ()) -> None:
        self._parked += batch.parked
        if self.rehearse is not None:
            self.rehearse(batch, [] if self.ties is None else await self.ties.foresee(rows))
            return
        await self._send_archives(batch.archives)
        await self._send(batch.writes)

    async def _write_down(self, conn: Conn, batch: Batch, rows: Sequence[Waiting]) -> None:
        """Commit to what is about to be sent, and to what need not be."""
        target = self._target
        await sent.put(
            conn,
            [self._intents.describe(each) for each in batch.items],
            [row.record_id for row in rows],
            **target.object_keys,
            record_type=self._kind.name,
            run_id=target.run_id,
            now=now(),
        )
        await queue.done(conn, batch.done, **target.keys)
        await queue.set_aside(conn, batch.aside, **target.keys, now=now())

    async def _send(self, items: Sequence[Item]) -> None:
        if not items:
            return
        writes = [each.write for each in items if each.write is not None]
        sent_at = now()
        outcomes = await self._call(
            items, lambda: self._remote.connector.write_many(self._target.object_name, writes)
        )
        by_key = {each.key: each for each in outcomes}
        pairs = [(item, by_key[str(item.row.record_id)]) for item in items]
        await self._store(pairs, sent_at)
        taken = [
            outcome.existing_id
            for item, outcome in pairs
            if item.action == "created"
            and isinstance(outcome.failure, AlreadyExists)
            and outcome.existing_id is not None
        ]
        await self._adopter.read_anew(taken)
        _raise_for_all(outcomes)
        if any(item.action == "created" for item in items):
            # What looked like one of them, and is none, is waiting for this.
            await self._attempt((), lambda: take_up(self._target, self._remote.connector, self._names))

    async def _send_archives(self, items: Sequence[Item]) -> None:
        if not items:
            return
        ids = {str(each.remote_id): each for each in items}
        sent_at = now()
        outcomes = await self._call(
            items, lambda: self._remote.connector.archive_many(self._target.object_name, list(ids))
        )
        pairs = [(ids[each.key], each) for each in outcomes]
        await self._store(pairs, sent_at)
        _raise_for_all(outcomes)

    async def _store(self, pairs: Sequence[tuple[Item, WriteOutcome]], sent_at: datetime) -> None:
        try:
            await self._target.persist(partial(self._agree, pairs, sent_at))
        except BaseException:
            # Whoever comes next sees creates without an answer, and must not look for them too early.
            with suppress(RetryLater):
                await asyncio.shield(self._note_lost([item for item, _ in pairs]))
            raise

    async def _agree(self, pairs: Sequence[tuple[Item, WriteOutcome]], sent_at: datetime) -> None:
        """Make what was answered the new base, and put aside what was not written."""
        target = self._target
        try:
            async with self._transaction() as conn:
                await target.prove_lease(conn)
                erased = await let_go(conn, target, self._remote, pairs)
                left = [each for each in pairs if each[0].row.record_id not in erased]
                settled = settle(left, self._mapper, self._intents, self._must_tie, sent_at)
                await settled.store(conn, target, self._kind.name)
        except LeaseLost:
            async with self._transaction() as conn:
                await let_go(conn, target, self._remote, pairs)
            raise
        self._parked += settled.parked
        target.counts.add(settled.counts)

    def _must_tie(self, item: Item) -> bool:
        """Say whether something that a new record belongs to has to follow."""
        if self.ties is None:
            return False
        if item.together is None:
            return self.ties.follow(item.row)
        return not item.together.untied.isdisjoint(item.row.fields)

    async def _attempt(self, rows: Sequence[Waiting], call: Callable[[], Awaitable[_T]]) -> _T | None:
        """Make a call that writes nothing; when it fails for now, its rows are put off and None returned."""
        try:
            return await call()
        except RetryLater as error:
            if self.rehearse is not None:
                raise
            await self._put_all_off(rows, error)
            return None

    async def _call(
        self, items: Sequence[Item], call: Callable[[], Awaitable[list[WriteOutcome]]]
    ) -> list[WriteOutcome]:
        """Make a call that writes. What it raises means that nothing was written, unless it is ended."""
        try:
            with asking(self.permit.look_again(self._list_making(items))):
                outcomes = await call()
        except LeaseLost as error:
            # Of several calls some may have been made before.
            outcomes = [WriteOutcome(_key_of(item), item.row.remote_id, failure=error) for item in items]
        except RetryLater as error:
            return [
                WriteOutcome(_key_of(item), item.row.remote_id, failure=error, unwritten=True)
                for item in items
            ]
        except (asyncio.CancelledError, WritingStopped):
            with suppress(RetryLater):
                await asyncio.shield(self._note_lost(items))
            raise
        lost = {each.key for each in outcomes if isinstance(each.failure, RetryLater) and not each.unwritten}
        await self._note_lost([each for each in items if _key_of(each) in lost])
        return outcomes

    async def _note_lost(self, items: Sequence[Item]) -> None:
        """Note when creates may have been sent at the latest: a call may wait long for its quota."""
        ids = [each.change_id for each in items if each.action == "created"]
        if ids:
            async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
                await creates.note_lost(conn, ids, tenant_id=self._target.tenant_id)

    def _list_making(self, items: Sequence[Item]) -> list[UUID]:
        """Return the changes of creates that would be looked for before they are sent again."""
        if self._target.doubts is None and self._remote.connector.capabilities.repeats_creates:
            return []
        return [each.change_id for each in items if each.action == "created"]

    async def _put_all_off(self, rows: Iterable[Waiting], error: RetryLater) -> None:
        aside = [put_off(row, str(error), after=error.after_seconds) for row in rows]
        async with self._target.db.transaction(tenant_id=self._target.tenant_id) as conn:
            await queue.set_aside(conn, aside, **self._target.keys, now=now())
        self._parked += sum(each.state == "parked" for each in aside)

    def _transaction(self) -> Any:
        return self._target.db.transaction(tenant_id=self._target.tenant_id, bulk=True)

    async def _require_leave(self, conn: Conn) -> None:
        """Raise what keeps rows from being sent: asked in the transaction that commits to sending."""
        if self.rehearse is None:
            await self.permit.require_unchanged(conn)


def _key_of(item: Item) -> str:
    return str(item.remote_id) if item.write is None else item.write.key


def _raise_for_all(outcomes: Iterable[WriteOutcome]) -> None:
    """Raise what concerns the whole connection, once every answer has been stored."""
    for each in outcomes:
        failure: SynclineError | None = each.failure
        if isinstance(failure, PauseConnection):
            raise failure
