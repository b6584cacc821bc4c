"""Drift: fields in which a CRM and we differ, as reconcile found them, and how many records either side has.

Rows that hold no longer are taken away by the next reconcile of their record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn
from syncline.store.keys import ObjectKeys
from syncline.store.rows import exact_rows, to_json

State = Literal["open", "healed", "kept"]
#: Why two sides differ. docs/concepts.md says what each means.
Cause = Literal[
    "unread",
    "unmerged",
    "unqueued",
    "undisputed",
    "unwritable",
    "unreadable",
    "missing_there",
    "missing_here",
    "archived_there",
    "restored_here",
    "record_lost",
]
#: The field of a row that is about the record as a whole.
WHOLE = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One field of one remote record that differs, or the record as a whole."""

    remote_id: str
    field: str
    state: State
    cause: Cause
    ours: Any = None
    theirs: Any = None
    base: Any = None


# Since when stays, unless it had been mended meanwhile. Which record it is, the link tells.
PUT = """
insert into sync.drift as d (tenant_id, connection_id, object, remote_id, field, record_type, record_id,
  state, cause, ours, theirs, base, found_at, run_id, checked_at)
select %(tenant_id)s, %(connection_id)s, %(object_name)s, r.remote_id, r.field, l.record_type, l.record_id,
  r.state, r.cause, coalesce(r.ours, 'null'), coalesce(r.theirs, 'null'), coalesce(r.base, 'null'),
  %(now)s, %(run_id)s, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb)
  as r (remote_id text, field text, state text, cause text, ours jsonb, theirs jsonb, base jsonb)
left join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object_name)s and l.remote_id = r.remote_id
order by r.remote_id, r.field
on conflict (tenant_id, connection_id, object, remote_id, field) do update
  set state = excluded.state, cause = excluded.cause, ours = excluded.ours, theirs = excluded.theirs,
    base = excluded.base, checked_at = excluded.checked_at,
    record_type = coalesce(excluded.record_type, d.record_type),
    record_id = coalesce(excluded.record_id, d.record_id),
    found_at = case d.state when 'healed' then excluded.found_at else d.found_at end,
    run_id = case d.state when 'healed' then excluded.run_id else d.run_id end
"""


async def put(
    conn: Conn, findings: Sequence[Finding], *, keys: ObjectKeys, run_id: UUID, now: datetime
) -> None:
    """Write down what differs; what is known already keeps since when."""
    if findings:
        rows = [
            {
                "remote_id": each.remote_id,
                "field": each.field,
                "state": each.state,
                "cause": each.cause,
                "ours": each.ours,
                "theirs": each.theirs,
                "base": each.base,
            }
            for each in findings
        ]
        await conn.execute(PUT, {**keys, "run_id": run_id, "now": now, "rows": to_json(rows)})


REMOVE_UNCHECKED = """
delete from sync.drift d
where d.tenant_id = %(tenant_id)s and d.connection_id = %(connection_id)s and d.object = %(object_name)s
  and (%(remote_ids)s::text[] is null or d.remote_id = any(%(remote_ids)s::text[]))
  and d.checked_at < %(before)s
"""


async def remove_unchecked(
    conn: Conn, *, keys: ObjectKeys, before: datetime, remote_ids: Sequence[str] | None = None
) -> None:
    """Take away rows that were not seen to hold since `before`: of these records, or of the whole object."""
    ids = None if remote_ids is None else list(remote_ids)
    await conn.execute(REMOVE_UNCHECKED, {**keys, "remote_ids": ids, "before": before})


HEAL = """
update sync.drift d set state = 'healed', checked_at = %(now)s
where d.tenant_id = %(tenant_id)s and d.connection_id = %(connection_id)s and d.object = %(object_name)s
  and d.remote_id = any(%(remote_ids)s::text[]) and d.state = 'open' and d.checked_at < %(now)s
"""


async def heal(conn: Conn, remote_ids: Sequence[str], *, keys: ObjectKeys, now: datetime) -> None:
    """Note that what was open of these records, and was not found again at `now`, has been mended."""
    await conn.execute(HEAL, {**keys, "remote_ids": list(remote_ids), "now": now})


LIST_OPEN = """
select distinct d.remote_id from sync.drift d
where d.tenant_id = %(tenant_id)s and d.connection_id = %(connection_id)s and d.object = %(object_name)s
  and d.state = 'open' and d.checked_at >= %(since)s and d.cause = any(%(causes)s::text[])
order by d.remote_id
"""


async def list_open_ids(
    conn: Conn, causes: Sequence[Cause], *, keys: ObjectKeys, since: datetime
) -> list[str]:
    """Return remote ids with something open for one of these causes, as seen since a moment."""
    cursor = await conn.execute(LIST_OPEN, {**keys, "causes": list(causes), "since": since})
    return [str(row[0]) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class DriftCount:
    """Rows of one state and cause, and of how many records."""

    state: State
    cause: Cause
    fields: int
    records: int


COUNT = """
select d.state, d.cause, count(*) as fields, count(distinct d.remote_id) as records from sync.drift d
where d.tenant_id = %(tenant_id)s and d.connection_id = %(connection_id)s and d.object = %(object_name)s
  and (%(since)s::timestamptz is null or d.checked_at >= %(since)s)
group by d.state, d.cause order by d.state, d.cause
"""


async def list_counts(conn: Conn, *, keys: ObjectKeys, since: datetime | None = None) -> list[DriftCount]:
    """Return how much of an object is in which state for which cause; of what was seen since a moment."""
    async with conn.cursor(row_factory=class_row(DriftCount)) as cursor:
        await cursor.execute(COUNT, {**keys, "since": since})
        return await cursor.fetchall()


COUNT_RECORDS = """
select count(distinct d.remote_id) filter (where d.state = 'open'),
  count(distinct d.remote_id) filter (where d.state <> 'kept')
from sync.drift d
where d.tenant_id = %(tenant_id)s and d.connection_id = %(connection_id)s and d.object = %(object_name)s
  and d.checked_at >= %(since)s
"""


async def count_records(conn: Conn, *, keys: ObjectKeys, since: datetime) -> tuple[int, int]:
    """Return how many records have something open, and how many had drift at all, mended or not."""
    cursor = await conn.execute(COUNT_RECORDS, {**keys, "since": since})
    row = await cursor.fetchone()
    return (0, 0) if row is None else (row[0], row[1])


@dataclass(frozen=True, slots=True)
class Drift:
    """A row of `sync.drift` as people look at it. Holds values of records."""

    connection: str
    object: str
    remote_id: str
    field: str
    record_type: str | None
    record_id: UUID | None
    state: State
    cause: Cause
    ours: Any
    theirs: Any
    base: Any
    found_at: datetime
    checked_at: datetime
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Filter:
    """Which drift is meant; None and () leave open."""

    connection_id: UUID | None = None
    objects: Sequence[str] = ()
    states: Sequence[State] = ()
    record_id: UUID | None = None


LIST_DRIFT = """
select n.name as connection, d.object, d.remote_id, d.field, d.record_type, d.record_id, d.state, d.cause,
  d.ours, d.theirs, d.base, d.found_at, d.checked_at, d.run_id
from sync.drift d
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = d.connection_id
where d.tenant_id = %(tenant_id)s
  and (%(connection_id)s::uuid is null or d.connection_id = %(connection_id)s)
  and (cardinality(%(objects)s::text[]) = 0 or d.object = any(%(objects)s::text[]))
  and (cardinality(%(states)s::text[]) = 0 or d.state = any(%(states)s::text[]))
  and (%(record_id)s::uuid is null or d.record_id = %(record_id)s)
order by n.name, d.object, d.found_at desc, d.remote_id, d.field
limit %(limit)s
"""


async def list_drift(conn: Conn, wanted: Filter, *, tenant_id: UUID, limit: int = 1000) -> list[Drift]:
    """Return drift by connection and object, the latest found first."""
    async with exact_rows(conn, Drift) as cursor:
        await cursor.execute(
            LIST_DRIFT,
            {
                "tenant_id": tenant_id,
                "connection_id": wanted.connection_id,
                "objects": list(wanted.objects),
                "states": list(wanted.states),
                "record_id": wanted.record_id,
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many records an object has at the source and here, as one run counted them."""

    connection: str
    object: str
    #: What the CRM says; None where it does not tell.
    at_source: int | None
    #: What its list holds; None when it was not read to the end.
    listed: int | None
    #: Living in the mirror, and records of ours that these are (None for objects that are mirrored only).
    mirrored: int
    records: int | None
    drifted: int
    open: int
    counted_at: datetime


PUT_COUNT = """
insert into sync.source_counts (tenant_id, connection_id, object, run_id, counted_at, at_source, listed,
  mirrored, records, drifted, open)
values (%(tenant_id)s, %(connection_id)s, %(object_name)s, %(run_id)s, %(now)s, %(at_source)s, %(listed)s,
  %(mirrored)s, %(records)s, %(drifted)s, %(open)s)
on conflict (tenant_id, connection_id, object, run_id) do nothing
"""


async def put_source_count(
    conn: Conn,
    *,
    keys: ObjectKeys,
    run_id: UUID,
    at_source: int | None,
    listed: int | None,
    mirrored: int,
    records: int | None,
    drifted: int,
    open_records: int,
    now: datetime,
) -> None:
    await conn.execute(
        PUT_COUNT,
        {
            **keys,
            "run_id": run_id,
            "at_source": at_source,
            "listed": listed,
            "mirrored": mirrored,
            "records": records,
            "drifted": drifted,
            "open": open_records,
            "now": now,
        },
    )


LIST_LATEST_COUNTS = """
select c.connection, c.object, c.at_source, c.listed, c.mirrored, c.records, c.drifted, c.open, c.counted_at
from sync.latest_source_counts c
where c.tenant_id = %(tenant_id)s
  and (%(connection_id)s::uuid is null or c.connection_id = %(connection_id)s)
order by c.connection, c.object
"""


async def list_source_counts(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID | None = None
) -> list[SourceCount]:
    """Return the latest counts of each object, by connection and object."""
    async with conn.cursor(row_factory=class_row(SourceCount)) as cursor:
        await cursor.execute(LIST_LATEST_COUNTS, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()
