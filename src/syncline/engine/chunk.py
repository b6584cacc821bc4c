"""One chunk of remote records within its transaction: payloads, merges, records, links, change log.

Locks payloads in id order, then records in id order; what it decides rests on locked rows only.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from syncline.clock import from_ms, new_id
from syncline.domain.agreement import agree_on_new, describe_changes, encode
from syncline.domain.changes import ALL, Copy, copy_row
from syncline.domain.mapping import MappedRecord
from syncline.domain.merge import Merged, merge
from syncline.domain.records import RecordType
from syncline.engine.gate import admit, pass_gate
from syncline.engine.prepare import Prepared, is_meaningful, is_news, is_outdated, latest_of
from syncline.engine.recognise import recognise, tie_made
from syncline.errors import Unavailable
from syncline.store import absorbing, locked, merges, merging, payloads, records, sent
from syncline.store.db import Conn
from syncline.store.locked import ExistingRecord
from syncline.store.payloads import KnownPayload, NewPayload
from syncline.store.records import RecordWrite
from syncline.store.runs import RunCounts

if TYPE_CHECKING:
    from syncline.engine.write import Target

_ARCHIVED = "archived_at"
_NONE: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Agreed:
    """A remote record and the record of ours it was merged with, as both were before."""

    mapped: MappedRecord
    existing: ExistingRecord
    merged: Merged
    #: When it changed there, milliseconds since 1970; None where the CRM does not tell.
    theirs_ms: int | None

    def values(self) -> dict[str, Any]:
        """Return our record as it stands after the merge."""
        return {**self.existing.row, **self.merged.write, **self.merged.derived}

    @property
    def is_at_rest(self) -> bool:
        """True when it is archived on both sides: what differs is sent when it comes back."""
        theirs, ours = self.mapped.values.get(_ARCHIVED), self.existing.row.get(_ARCHIVED)
        return theirs is not None and self.merged.write.get(_ARCHIVED, ours) is not None


class Chunk:
    """Writes one chunk. `always` names records that are to be merged though nothing is new about them."""

    def __init__(
        self, target: Target, conn: Conn, counts: RunCounts, at: datetime, *, always: AbstractSet[str] = _NONE
    ) -> None:
        self._target = target
        self._conn = conn
        self._counts = counts
        self._now = at
        self._always = always
        #: Remote id → what became of it, for records that existed here.
        self.agreed: dict[str, Agreed] = {}
        #: Remote ids of persons who were erased: not stored.
        self.shut_out: set[str] = set()

    async def write(self, batch: Sequence[Prepared]) -> None:
        target, conn = self._target, self._conn
        key = await pass_gate(target, conn)
        latest = latest_of(batch)
        known = await payloads.lock_known(conn, target.table, remote_ids=list(latest), **target.keys)
        if key is not None:
            latest, self.shut_out = await admit(target, conn, key, latest, known, self._now)
        fresh = [record for record in latest.values() if is_news(record, known.get(record.remote_id))]
        fresh = await self._without_buried(fresh, known)
        self._counts.unchanged += len(batch) - len(fresh)
        target.has_unresolved |= any(each.mapped and each.mapped.digest is None for each in fresh)
        if fresh:
            written = await payloads.upsert(
                conn, target.table, (_payload_row(record) for record in fresh), now=self._now, **target.keys
            )
            # A pull and a webhook may both read a record that is new here: the later state of it stays.
            self._counts.unchanged += len(fresh) - len(written)
            fresh = [record for record in fresh if record.remote_id in written]
        if target.mapper is None:
            created = sum(record.remote_id not in known for record in fresh)
            self._counts.created += created
            self._counts.updated += len(fresh) - created
            await self._mark_merged(fresh)
            return
        moved = [record for record in fresh if is_meaningful(record, known.get(record.remote_id))]
        self._counts.updated += len(fresh) - len(moved)
        moved += self._also_wanted(latest, known, {record.remote_id for record in moved})
        if moved:
            await self._write_records(target.mapper.record_type, moved, known)

    async def _without_buried(
        self, fresh: list[Prepared], known: Mapping[str, KnownPayload]
    ) -> list[Prepared]:
        """Leave out what was erased for privacy: not even its payload may come back."""
        strangers = [record.remote_id for record in fresh if record.remote_id not in known]
        if not strangers:
            return fresh
        buried = await merging.find_tombstones(
            self._conn, **self._target.keys, object_name=self._target.object_name, remote_ids=strangers
        )
        return [record for record in fresh if buried.get(record.remote_id) != "erased"]

    def _also_wanted(
        self, latest: Mapping[str, Prepared], known: Mapping[str, KnownPayload], moved: AbstractSet[str]
    ) -> Iterator[Prepared]:
        for remote_id, record in latest.items():
            wanted = remote_id in self._always and remote_id not in moved and record.mapped is not None
            if wanted and not is_outdated(record, known.get(remote_id)):
                yield record

    async def _mark_merged(self, fresh: Sequence[Prepared]) -> None:
        for record in fresh:
            gone = [remote_id for remote_id in record.merged_ids if remote_id != record.remote_id]
            if gone:
                await payloads.mark_gone(
                    self._conn,
                    self._target.table,
                    gone,
                    **self._target.keys,
                    reason="merged",
                    merged_into=record.remote_id,
                    now=self._now,
                )

    async def _write_records(
        self, kind: RecordType, moved: Sequence[Prepared], known: Mapping[str, KnownPayload]
    ) -> None:
        target, conn = self._target, self._conn
        if kind.identity is not None and any(record.remote_id not in known for record in moved):
            # Before any record is locked: whoever waits for this must hold nothing others may want.
            await locked.lock_identities(conn, kind, tenant_id=target.tenant_id)
        survivors = {record.remote_id: record.merged_ids for record in moved if record.merged_ids}
        # In a chain of merges an earlier survivor may be in the same chunk, as it was read before the next.
        merged_away = {remote_id for ids in survivors.values() for remote_id in ids}
        survivors = {each: ids for each, ids in survivors.items() if each not in merged_away}
        moved = [record for record in moved if record.remote_id not in merged_away]
        await tie_made(target, conn, kind, [each for each in moved if each.remote_id in survivors], self._now)
        for survivor_id, merged_ids in survivors.items():
            await merges.follow(
                conn,
                kind,
                target.table,
                **target.keys,
                object_name=target.object_name,
                survivor_id=survivor_id,
                merged_ids=merged_ids,
                run_id=target.run_id,
                actor=target.actor,
                now=self._now,
            )
            await target.release(conn, merged_ids)
        await self._store(kind, await self._plan_writes(kind, moved))
        await self._write_down(kind, survivors)
        if survivors:
            await merging.unqueue_absorbed(conn, kind, **target.keys)
            await merges.remember(
                conn, kind, survivors, **target.keys, object_name=target.object_name, now=self._now
            )

    async def _plan_writes(self, kind: RecordType, moved: Sequence[Prepared]) -> list[RecordWrite]:
        target, conn, doubts = self._target, self._conn, self._target.doubts
        pending = [] if doubts is None else await doubts.list_pending(conn)
        found = await self._lock_linked(kind, [record.remote_id for record in moved])
        # An id that was merged away means the survivor; a state of it that was read before is no news.
        own = [each for each in moved if each.remote_id not in found or found[each.remote_id].is_primary]
        self._counts.unchanged += len(moved) - len(own)
        strangers = [record for record in own if record.remote_id not in found]
        if doubts is not None and pending:
            in_doubt = doubts.find(pending, strangers)
            await doubts.leave(target, conn, strangers, in_doubt, self._now)
            self._counts.unchanged += len(in_doubt)
            strangers = [each for each in strangers if each.remote_id not in in_doubt]
            own = [each for each in own if each.remote_id not in in_doubt]
        recognised = await recognise(target, conn, kind, strangers, self._now)
        found.update(recognised.found)
        self._counts.unchanged += len(recognised.buried)
        own = [each for each in own if each.remote_id not in recognised.buried]
        planned = (self._plan_write(kind, each, found.get(each.remote_id)) for each in own)
        return [write for write in planned if write is not None]

    async def _lock_linked(self, kind: RecordType, remote_ids: Sequence[str]) -> dict[str, ExistingRecord]:
        """Lock the records that remote records are. None has gone into another: those would be lost words."""
        keys = self._target.keys
        for _ in range(3):
            found = await locked.lock_linked_records(
                self._conn, kind, **keys, object_name=self._target.object_name, remote_ids=remote_ids
            )
            gone = [each.record_id for each in found.values() if each.row.get("merged_into") is not None]
            if not gone:
                return found
            await absorbing.hand_over_strays(self._conn, kind, gone, **keys)
        raise Unavailable("A record was merged into another meanwhile; it is looked at again.")

    def _plan_write(
        self, kind: RecordType, record: Prepared, existing: ExistingRecord | None
    ) -> RecordWrite | None:
        mapped = record.mapped
        if mapped is None:
            raise Unavailable("A record reached its writing without having been mapped.")
        if existing is None:
            base, changes = agree_on_new(kind, mapped)
            self._counts.created += 1
            times = "{}" if record.updated_ms is None else f'{{"{ALL}":{record.updated_ms}}}'
            return RecordWrite(
                new_id(), record.remote_id, None, mapped.values, base, changes, "created", new_id(), times
            )
        merged = self._merge(kind, record, mapped, existing)
        agreed = self.agreed[record.remote_id] = Agreed(mapped, existing, merged, record.updated_ms)
        changes = describe_changes(existing.row, merged.write)
        if not changes and not merged.derived:
            self._counts.unchanged += 1
            if not merged.base and existing.remote_id:
                return None
        elif merged.write.get(_ARCHIVED) is not None:
            self._counts.archived += 1
        else:
            self._counts.updated += 1
        return RecordWrite(
            existing.record_id,
            record.remote_id,
            existing.version,
            agreed.values(),
            encode(merged.base),
            encode(changes) if changes else None,
            _action(merged),
            new_id(),
            encode(merged.times),
            bool(changes or merged.derived),
        )

    def _merge(
        self, kind: RecordType, record: Prepared, mapped: MappedRecord, existing: ExistingRecord
    ) -> Merged:
        target = self._target
        return merge(
            kind,
            target.policy,
            existing.base,
            copy_row(existing.row),
            Copy(mapped.values, mapped.theirs, record.updated_ms, source=target.source),
            sent=existing.sent,
            access=target.access,
        )

    async def _store(self, kind: RecordType, writes: Sequence[RecordWrite]) -> None:
        target, conn = self._target, self._conn
        if not writes:
            return
        await records.stage(conn, kind, writes)
        await records.write_staged(
            conn,
            kind,
            **target.keys,
            object_name=target.object_name,
            mapping_version=target.mapping_version,
            run_id=target.run_id,
            actor=target.actor,
            now=self._now,
            any_new=any(write.version is None for write in writes),
            any_existing=any(write.version is not None for write in writes),
        )

    async def _write_down(self, kind: RecordType, survivors: Container[str]) -> None:
        """Write down what the merges decided, left to a person, settled, and left to be pushed."""
        if not self.agreed:
            return
        target, conn, agreed = self._target, self._conn, self.agreed
        conflicts = [row for each in agreed.items() for row in _conflict_rows(kind, *each)]
        if conflicts:
            await merging.put_conflicts(
                conn,
                conflicts,
                **target.keys,
                object_name=target.object_name,
                record_type=kind.name,
                run_id=target.run_id,
                now=self._now,
            )
        await merging.settle_conflicts(
            conn,
            [each.existing.record_id for each in agreed.values()],
            [(row["record_id"], row["field"]) for row in conflicts],
            **target.keys,
            record_type=kind.name,
            now=self._now,
        )
        decisions = [row for each in agreed.values() for row in _decision_rows(each)]
        if decisions:
            await merging.put_decisions(
                conn,
                decisions,
                **target.keys,
                record_type=kind.name,
                run_id=target.run_id,
                now=self._now,
            )
        await self._keep_queue(kind, survivors)
        overtaken = [
            {"remote_id": remote_id, "fields": sorted(each.existing.sent.keys() & each.merged.base)}
            for remote_id, each in agreed.items()
            if not each.existing.sent.keys().isdisjoint(each.merged.base)
        ]
        if overtaken:
            await sent.overtake(conn, overtaken, **target.object_keys)

    async def _keep_queue(self, kind: RecordType, survivors: Container[str]) -> None:
        """Queue what is left to be pushed; what rests archived on both sides waits for nothing."""
        target, conn = self._target, self._conn
        at_rest = [each.existing.record_id for each in self.agreed.values() if each.is_at_rest]
        if at_rest:
            await merging.unqueue(conn, at_rest, **target.keys, record_type=kind.name)
            await sent.settle_unanswered(conn, at_rest, **target.object_keys, now=self._now)
        queued = [
            {
                "record_id": each.existing.record_id,
                "fields": fields,
                "in_hand": remote_id in self._always,
                "is_back": _action(each.merged) == "restored" or remote_id in survivors,
            }
            for remote_id, each in self.agreed.items()
            if (fields := self._list_sendable(each)) and not each.is_at_rest
        ]
        if queued:
            await merging.queue_own(conn, queued, **target.keys, record_type=kind.name, now=self._now)

    def _list_sendable(self, agreed: Agreed) -> list[str]:
        mapper = self._target.mapper
        push = agreed.merged.push.items()
        return sorted(name for name, value in push if mapper is None or not mapper.is_foreign(name, value))


def _action(merged: Merged) -> str:
    if _ARCHIVED in merged.write:
        return "restored" if merged.write[_ARCHIVED] is None else "archived"
    return "updated"


def _conflict_rows(kind: RecordType, remote_id: str, agreed: Agreed) -> Iterator[dict[str, Any]]:
    row = agreed.existing.row
    ours = {name: row.get(name) for name in kind.content}
    for each in agreed.merged.conflicts:
        yield {
            "id": new_id(),
            "remote_id": remote_id,
            "record_id": agreed.existing.record_id,
            "field": each.field,
            "base": each.base,
            "ours": each.ours,
            "theirs": each.theirs,
            "read": each.read,
            "seen": each.seen,
            "our_record": ours,
            "their_record": agreed.mapped.values,
            "ours_at": row["updated_at"],
            "theirs_at": None if agreed.theirs_ms is None else from_ms(agreed.theirs_ms),
        }


def _decision_rows(agreed: Agreed) -> Iterator[dict[str, Any]]:
    for each in agreed.merged.decisions:
        yield {
            "id": new_id(),
            "record_id": agreed.existing.record_id,
            "field": each.field,
            "rule": each.rule,
            "winner": each.winner,
            "value": each.value,
            "losing": each.losing,
            "ours": each.ours,
            "theirs": each.theirs,
            "read": each.read,
            "reason": each.reason,
        }


def _payload_row(record: Prepared) -> NewPayload:
    return NewPayload(
        record.remote_id,
        record.payload.decode(),
        record.payload_hash,
        record.mapped.digest if record.mapped is not None else None,
        None if record.updated_ms is None else from_ms(record.updated_ms),
        from_ms(record.requested_ms),
        None if record.archived_ms is None else from_ms(record.archived_ms),
        None if record.archived_ms is None else "archived",
    )
