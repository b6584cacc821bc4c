"""The values fields had over time: `crm.field_history`, from a CRM's own history and from the change log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from syncline.store.db import Conn


class PastValue(NamedTuple):
    record_id: UUID
    field: str
    valid_from: datetime
    value: str | None
    source: str


LIST_RECORD_IDS = """
select l.remote_id, l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
"""


async def list_record_ids(
    conn: Conn, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[str, UUID]:
    """Return remote id → our record's id, for those that are linked."""
    cursor = await conn.execute(
        LIST_RECORD_IDS,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )
    return {str(row[0]): row[1] for row in await cursor.fetchall()}


INSERT = """
insert into crm.field_history as h (tenant_id, record_type, record_id, field, valid_from, value, source)
select distinct on (s.record_id, s.field, s.valid_from)
  %(tenant_id)s::uuid, %(record_type)s, s.record_id, s.field, s.valid_from, s.value, s.source
from unnest(%(record_ids)s::uuid[], %(fields)s::text[], %(valid_from)s::timestamptz[], %(values)s::text[],
            %(sources)s::text[]) as s (record_id, field, valid_from, value, source)
order by s.record_id, s.field, s.valid_from
on conflict (tenant_id, record_type, record_id, field, valid_from) do update
  set value = excluded.value, source = excluded.source
where (h.value, h.source) is distinct from (excluded.value, excluded.source)
"""

# Each value ends where the next one begins. Found again by its place: of a table that was just filled the
# planner knows nothing, and would compare it with itself row by row, 166 s for 20,000 rows.
CLOSE = """
with spans as materialized (
  select f.ctid as place, f.valid_to,
         lead(f.valid_from) over (partition by f.record_id, f.field order by f.valid_from) as ends_at
  from crm.field_history f
  where f.tenant_id = %(tenant_id)s and f.record_type = %(record_type)s
    and f.record_id = any(%(record_ids)s::uuid[])
)
update crm.field_history h set valid_to = s.ends_at
from spans s
where h.tenant_id = %(tenant_id)s and h.ctid = s.place and s.valid_to is distinct from s.ends_at
"""


async def put(conn: Conn, rows: Iterable[PastValue], *, tenant_id: UUID, record_type: str) -> None:
    """Store past values and close the spans between them. Running it again changes nothing."""
    rows = list(rows)
    if not rows:
        return
    await conn.execute(
        INSERT,
        {
            "tenant_id": tenant_id,
            "record_type": record_type,
            "record_ids": [row.record_id for row in rows],
            "fields": [row.field for row in rows],
            "valid_from": [row.valid_from for row in rows],
            "values": [row.value for row in rows],
            "sources": [row.source for row in rows],
        },
    )
    await conn.execute(
        CLOSE,
        {
            "tenant_id": tenant_id,
            "record_type": record_type,
            "record_ids": list({row.record_id for row in rows}),
        },
    )


# A record that was pulled begins when the CRM says it did, unless its CRM has told its history. What is
# known already is not told again: a value equal to the one before it adds nothing.
FROM_CHANGE_LOG = """
with logged as (
  select c.record_id, f.field, c.source, c.action = 'created' as is_first,
         case when f.field = f.logged then c.changes -> f.logged ->> 1
              else left(c.changes -> f.logged ->> 1, 10) end as value,
         case when c.action = 'created'
              then coalesce((c.changes -> 'created_at' ->> 1)::timestamptz, c.changed_at)
              else c.changed_at end as valid_from
  from crm.change_log c
  cross join unnest(%(fields)s::text[], %(logged)s::text[]) as f (field, logged)
  where c.tenant_id = %(tenant_id)s and c.record_type = %(record_type)s
    and c.changed_at > %(after)s and c.changed_at <= %(until)s
    and jsonb_typeof(c.changes -> f.logged) = 'array'
    and (f.field = f.logged or c.changes -> f.logged ->> 1 is not null)
), news as (
  select distinct on (n.record_id, n.field, n.valid_from) n.*
  from logged n
  where (select h.value from crm.field_history h
         where h.tenant_id = %(tenant_id)s and h.record_type = %(record_type)s
           and h.record_id = n.record_id and h.field = n.field and h.valid_from <= n.valid_from
         order by h.valid_from desc limit 1) is distinct from n.value
    and not (n.is_first and exists (
      select from crm.field_history h
      where h.tenant_id = %(tenant_id)s and h.record_type = %(record_type)s
        and h.record_id = n.record_id and h.field = n.field))
  order by n.record_id, n.field, n.valid_from
)
insert into crm.field_history (tenant_id, record_type, record_id, field, valid_from, value, source)
select %(tenant_id)s, %(record_type)s, n.record_id, n.field, n.valid_from, n.value, n.source
from news n
on conflict (tenant_id, record_type, record_id, field, valid_from) do nothing
returning record_id
"""


async def follow_change_log(
    conn: Conn,
    *,
    tenant_id: UUID,
    record_type: str,
    fields: Sequence[tuple[str, str]],
    after: datetime,
    until: datetime,
) -> int:
    """Carry changes of `fields` (name here, name in the change log) over into the history.

    A field that has another name there is a date here, whatever it is there. Running it again, also over
    changes that were carried over, changes nothing.
    Covers changes logged after `after` up to `until`; returns how many values were new.
    """
    cursor = await conn.execute(
        FROM_CHANGE_LOG,
        {
            "tenant_id": tenant_id,
            "record_type": record_type,
            "fields": [name for name, _ in fields],
            "logged": [logged for _, logged in fields],
            "after": after,
            "until": until,
        },
    )
    changed = list({row[0] for row in await cursor.fetchall()})
    if changed:
        await conn.execute(CLOSE, {"tenant_id": tenant_id, "record_type": record_type, "record_ids": changed})
    return cursor.rowcount
