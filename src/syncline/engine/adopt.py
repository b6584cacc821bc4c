"""Looks for records that an earlier attempt may have made, before they are sent to be made again.

By our own id where the CRM keeps it. Where it does not, by what was sent: each remote record becomes one of
ours at most, none that is somebody's already, and where it cannot be told a person is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite
from syncline.domain.mapping import Mapper
from syncline.engine.answers import ARRIVES_SECONDS
from syncline.engine.doubts import take_up
from syncline.engine.intents import ANOTHERS, put_off
from syncline.engine.prepare import Prepared, list_unreadable, prepare_page
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.store import creates, locked, queue
from syncline.store.creates import Claim, Unanswered
from syncline.store.db import Conn
from syncline.store.queue import Aside, Waiting

_T = TypeVar("_T")
_ON_ITS_WAY = "It was sent, and the answer was lost; it is looked for once it must have arrived."
_DOUBTFUL = (
    "Its making was never confirmed, and the CRM has {count} that hold just the same: made again, it might "
    "be there twice. Delete what is too many there, or this record here, then retry."
)


class Attempt(Protocol):
    """Makes a call that writes nothing; when it fails for now, puts its rows off and returns None."""

    async def __call__(self, rows: Sequence[Waiting], call: Callable[[], Awaitable[_T]], /) -> _T | None: ...


class Adopter:
    """Gives records of one object the remote records that were made of them, on behalf of one run."""

    def __init__(self, target: Target, remote: Remote, mapper: Mapper, names: Sequence[str]) -> None:
        self._target = target
        self._remote = remote
        self._mapper = mapper
        self._names = list(names)
        #: Rows that a person has to look at.
        self.parked = 0

    async def adopt(self, rows: Sequence[Waiting], attempt: Attempt) -> Sequence[Waiting]:
        """Link what has been made of rows; return those that are (still) to be made."""
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            sent = await creates.list_unanswered(conn, [row.record_id for row in rows], **target.object_keys)
            tried = {each.record_id: each for each in sent.values() if self._find_wait(each) <= 0}
            rows = await self._wait_for_others(conn, rows, sent, tried)
            if not tried:
                return rows
            writes = await self._rebuild(conn, list(tried.values()))
        retried = [row for row in rows if row.record_id in tried]
        found = await attempt(retried, lambda: self._find_all(writes, tried))
        if found is None:
            return [row for row in rows if row.record_id not in tried]
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            ids = [each.remote_id for made in found.values() for each in made]
            claims = await creates.list_claims(conn, ids, **target.object_keys)
        if target.doubts is None:
            # With our id it is ours, whatever else it may have become.
            adopted, doubtful = {key: made[0] for key, made in found.items()}, {}
        else:
            adopted, doubtful = _decide(list(tried.values()), found, claims)
        await self._link(adopted, writes)
        await self._set_aside(retried, adopted, doubtful)
        if adopted or doubtful:
            await take_up(target, self._remote.connector, self._names)
        return [
            row for row in rows if str(row.record_id) not in adopted and str(row.record_id) not in doubtful
        ]

    def _find_wait(self, unanswered: Unanswered) -> float:
        """Return for how many seconds a create may still be on its way, whatever made its row due before.

        Looked for too early it is not found, and made again.
        """
        if self._target.doubts is None and self._remote.connector.capabilities.repeats_creates:
            return 0.0
        return ARRIVES_SECONDS - unanswered.age_seconds

    async def _wait_for_others(
        self,
        conn: Conn,
        rows: Sequence[Waiting],
        sent: Mapping[UUID, Unanswered],
        tried: Mapping[UUID, Unanswered],
    ) -> list[Waiting]:
        """Set aside what was sent just now; return the rest."""
        aside = [
            Aside(row, "pending", _ON_ITS_WAY, self._find_wait(sent[row.record_id]), was_tried=False)
            for row in rows
            if row.record_id in sent and row.record_id not in tried
        ]
        await queue.set_aside(conn, aside, **self._target.keys, now=now())
        waiting = {each.row.record_id for each in aside}
        return [row for row in rows if row.record_id not in waiting]

    async def read_anew(self, remote_ids: Sequence[str]) -> None:
        """Bring records in as a pull does: what is in the way of what we made gets its link."""
        if remote_ids:
            page = await self._read(remote_ids)
            await self._target.commit(prepare_page(page, self._mapper), list_unreadable(page))

    async def _rebuild(self, conn: Conn, unanswered: Sequence[Unanswered]) -> list[RemoteWrite]:
        if self._target.doubts is not None:
            return await self._target.doubts.rebuild(conn, unanswered)
        ids = [str(each.record_id) for each in unanswered]
        return [RemoteWrite(each, None, {}, external_id=each) for each in ids]

    async def _find_all(
        self, writes: Sequence[RemoteWrite], tried: Mapping[UUID, Unanswered]
    ) -> dict[str, list[RemoteRecord]]:
        # By how long ago it was: this process's clock may be another than that of who sent it.
        since_ms = to_ms(now()) - int(max(each.age_seconds for each in tried.values()) * 1000)
        if self._target.doubts is not None:
            since_ms += int(await self._remote.skew.find(self._remote.connector) * 1000)
        connector, name = self._remote.connector, self._target.object_name
        size = connector.capabilities.write_batch
        found: dict[str, list[RemoteRecord]] = {}
        for start in range(0, len(writes), size):
            part = writes[start : start + size]
            made = await connector.find_made(name, part, self._names, since_ms)
            for write in part:
                # One whose parent was merged is looked for twice, and may be found both times.
                known = found.setdefault(str(write.external_id), [])
                ids = {each.remote_id for each in known}
                known += [each for each in made.get(write.key, ()) if each.remote_id not in ids]
        return {key: records for key, records in found.items() if records}

    async def _read(self, remote_ids: Sequence[str]) -> Page:
        return await self._remote.connector.read_many(self._target.object_name, list(remote_ids), self._names)

    async def _link(self, adopted: Mapping[str, RemoteRecord], writes: Sequence[RemoteWrite]) -> None:
        """Read what was found once more, and let it come in as what it is."""
        if not adopted:
            return
        page = await self._read([each.remote_id for each in adopted.values()])
        prepared = prepare_page(page, self._mapper)
        if self._target.doubts is not None:
            keys = {record.remote_id: key for key, record in adopted.items()}
            read = zip(page.records, prepared, strict=True)
            prepared = [self._mark(each, record, keys[each.remote_id], writes) for record, each in read]
        await self._target.commit(prepared, list_unreadable(page))

    def _mark(
        self, prepared: Prepared, record: RemoteRecord, key: str, writes: Sequence[RemoteWrite]
    ) -> Prepared:
        """Say whose a record is that does not say so itself, and which of its fields are what was sent."""
        name, connector = self._target.object_name, self._remote.connector
        sent = (connector.find_likeness(name, each, record) for each in writes if each.external_id == key)
        alike = next((each for each in sent if each is not None), frozenset[str]())
        fields = frozenset(each.field for each in self._remote.mapping[name].fields if each.property in alike)
        return msgspec.structs.replace(prepared, external_id=key, alike=fields)

    async def _set_aside(
        self,
        rows: Sequence[Waiting],
        adopted: Mapping[str, RemoteRecord],
        doubtful: Mapping[str, str],
    ) -> None:
        """Park what cannot be told, and what was found again and again and is linked to nothing here."""
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            unlinked = await locked.lock_unlinked_by_id(
                conn,
                self._mapper.record_type,
                ids=[row.record_id for row in rows if str(row.record_id) in adopted],
                **target.keys,
            )
            aside = [put_off(row, ANOTHERS, most=3) for row in rows if row.record_id in unlinked]
            aside += [
                Aside(row, "parked", doubtful[str(row.record_id)])
                for row in rows
                if str(row.record_id) in doubtful
            ]
            await queue.set_aside(conn, aside, **target.keys, now=now())
        self.parked += sum(each.state == "parked" for each in aside)


def _decide(
    tried: Sequence[Unanswered], found: Mapping[str, Sequence[RemoteRecord]], claims: Mapping[str, Claim]
) -> tuple[dict[str, RemoteRecord], dict[str, str]]:
    """Return key → the record that is it, and key → why it cannot be told. The rest was never made.

    Creates that hold the same may have what any of them made: nobody could tell a difference.
    """
    free: dict[str, list[RemoteRecord]] = {}
    lately: Counter[str] = Counter()
    for each in tried:
        key = str(each.record_id)
        made = found.get(key, ())
        free[key] = [record for record in made if record.remote_id not in claims]
        # Linked since, and not by an answer of ours: it may be what this one made, taken for a stranger.
        lately[key] = sum(_is_late(claims.get(record.remote_id), each.sent_at) for record in made)
    rivals = Counter(record.remote_id for records in free.values() for record in records)
    adopted: dict[str, RemoteRecord] = {}
    doubtful: dict[str, str] = {}
    taken: set[str] = set()
    for key, records in free.items():
        most = max((rivals[record.remote_id] for record in records), default=0)
        if lately[key] or len(records) > most:
            doubtful[key] = _DOUBTFUL.format(count=len(records) + lately[key])
            continue
        left = [record for record in records if record.remote_id not in taken]
        if left:
            adopted[key] = left[0]
            taken.add(left[0].remote_id)
    return adopted, doubtful


def _is_late(claim: Claim | None, sent_at: datetime) -> bool:
    return claim is not None and not claim.is_certain and claim.since >= sent_at
