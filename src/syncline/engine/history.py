"""Reads the past of fields that numbers need: once from the CRM, afterwards from the change log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from syncline.clock import from_ms, now
from syncline.connectors.base import Connector
from syncline.domain.mapping import FieldMap, Lookups, ObjectMap
from syncline.domain.values import CONVERTERS, Unreadable
from syncline.engine.lookups import load_lookups
from syncline.engine.write import Target
from syncline.store import cursors, history, payloads, planner, runs
from syncline.store.history import PastValue

#: Record type → fields with a past, each as (field, names it has in the change log).
TRACKED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "deal": {
        "owner_id": ("owner_id",),
        "stage": ("stage",),
        "amount": ("amount",),
        # One date at the CRM: expected while open, real once closed.
        "close_date": ("expected_close_date", "closed_at"),
    },
}
_KIND = "history"
#: A call gives fewer records with history than without.
_BATCH = 50
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_TRANSACTION = timedelta(hours=1)


async def read_history(target: Target, connector: Connector, mapping: ObjectMap, *, full: bool) -> None:
    """Bring the history of one object's records up to now. Continues where an earlier reading stopped."""
    tracked = TRACKED.get(mapping.record_type)
    if tracked is None:
        return
    keys = target.cursor_keys(_KIND)
    until = now()
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        state = ({} if full else await cursors.find_state(conn, **keys)) or {}
        lookups = await load_lookups(conn, **target.keys, currency=None, places=mapping.stages)
        ids = await payloads.list_living_ids(conn, target.table, **target.keys)
    ids.sort(key=_by_number)
    fields = [each for each in mapping.fields if each.field in tracked]
    after = str(state.get("after", ""))
    todo = [remote_id for remote_id in ids if _by_number(remote_id) > _by_number(after)]
    for start in range(0, len(todo), _BATCH):
        await _read_batch(target, connector, mapping, fields, lookups, todo[start : start + _BATCH])
    since = _BEGINNING
    if "logged_to" in state:
        # A transaction that was still open then has an earlier time than what was looked through.
        since = datetime.fromisoformat(state["logged_to"]) - _LONGEST_TRANSACTION
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        await target.prove_lease(conn)
        await planner.prefer_indexes(conn)
        await history.follow_change_log(
            conn,
            tenant_id=target.tenant_id,
            record_type=mapping.record_type,
            fields=[(name, logged) for name, names in tracked.items() for logged in names],
            after=since,
            until=until,
        )
        await cursors.put(conn, {"logged_to": until.isoformat()}, now=now(), **keys)


async def _read_batch(
    target: Target,
    connector: Connector,
    mapping: ObjectMap,
    fields: list[FieldMap],
    lookups: Lookups,
    remote_ids: list[str],
) -> None:
    found = await connector.read_history(target.object_name, remote_ids, [each.property for each in fields])
    tracked = TRACKED[mapping.record_type]
    async with target.db.transaction(tenant_id=target.tenant_id) as conn:
        await target.prove_lease(conn)
        await planner.prefer_indexes(conn)
        records = await history.list_record_ids(conn, remote_ids, **target.object_keys)
        rows = [
            row
            for remote_id, by_property in found.items()
            if remote_id in records
            for each in fields
            for row in _past_of(
                records[remote_id], each, tracked[each.field], by_property.get(each.property, []), lookups
            )
        ]
        await history.put(conn, rows, tenant_id=target.tenant_id, record_type=mapping.record_type)
        await cursors.put(
            conn,
            {"after": remote_ids[-1]},
            now=now(),
            **target.cursor_keys(_KIND),
        )
        await target.record_counts(conn, runs.RunCounts(read=len(remote_ids)))
    target.counts.read += len(remote_ids)
    target.on_progress()
    target.check_stop()


def _past_of(
    record_id: UUID,
    each: FieldMap,
    logged: tuple[str, ...],
    versions: list[tuple[int, str | None, str]],
    lookups: Lookups,
) -> list[PastValue]:
    """Turn versions (newest first) into past values; one that cannot be read is kept as the CRM's text."""
    read = _reader(each, lookups, is_date=len(logged) > 1)
    # Of several values of one moment the newest, which comes first, is what the others were replaced by.
    lasting = {at_ms: (value, source) for at_ms, value, source in reversed(versions)}
    return [
        PastValue(record_id, each.field, from_ms(at_ms), read(value), source)
        for at_ms, (value, source) in lasting.items()
    ]


def _reader(each: FieldMap, lookups: Lookups, *, is_date: bool) -> Callable[[str | None], str | None]:
    def read(value: str | None) -> str | None:
        if value is None or value == "":
            return None
        if each.convert == "owner":
            return lookups.owners.get(value, value)
        convert: Callable[[Any], Any] | None = CONVERTERS.get("date" if is_date else each.convert)
        try:
            return str(convert(value)) if convert is not None else value
        except Unreadable:
            return value

    return read


def _by_number(remote_id: str) -> tuple[int, str]:
    return (len(remote_id), remote_id)
