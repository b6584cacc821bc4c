"""One record of ours goes into another: values, links, children, what waited for it, and the log of it all.

Both records are locked first, in id order. Row triggers are passed over (`bulk`): every row they would have
written is written here, so that a merge by a person and one that a CRM made leave the same behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.clock import new_id, to_ms
from syncline.domain.agreement import describe_changes, encode
from syncline.domain.identity import Lost, United, unite
from syncline.domain.records import RecordType
from syncline.store import merging
from syncline.store.db import Conn
from syncline.store.rows import exact_rows


@dataclass(frozen=True, slots=True)
class Cause:
    """On whose behalf a merge is made, as the change log has it."""

    source: str
    actor: str
    #: The connection it came from; None for a person's here.
    connection_id: UUID | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What a merge did."""

    united: United
    #: Connections that had only the record that went: what it was there is the survivor now.
    moved: list[UUID]


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    row: dict[str, Any]


LOCK_PAIR = sql.SQL("""
select c.id, to_jsonb(c) as row from {table} c
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]) order by c.id for update
""")


async def lock_rows(
    conn: Conn, kind: RecordType, ids: Sequence[UUID], *, tenant_id: UUID
) -> dict[UUID, dict[str, Any]]:
    """Lock records in id order and return their columns as JSON has them; those that are gone are absent."""
    async with exact_rows(conn, _Row) as cursor:
        await cursor.execute(
            LOCK_PAIR.format(table=sql.Identifier("crm", kind.table)),
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
        return {each.id: each.row for each in await cursor.fetchall()}


# Remote records of the one that went are now the survivor's; of two of one connection only one is written to.
# Each half of the OR has an index of its own.
HAND_OVER = """
update sync.links l set record_id = %(into)s,
  is_primary = l.is_primary and not exists (
    select from sync.links own
    where own.tenant_id = %(tenant_id)s and own.connection_id = l.connection_id
      and own.record_type = %(record_type)s and own.record_id = %(into)s and own.is_primary),
  sent = case when l.is_primary and not exists (
    select from sync.links own
    where own.tenant_id = %(tenant_id)s and own.connection_id = l.connection_id
      and own.record_type = %(record_type)s and own.record_id = %(into)s and own.is_primary) then l.sent end
where l.tenant_id = %(tenant_id)s and l.record_type = %(record_type)s
  and (l.record_id = %(record_id)s and l.is_primary or l.record_id = %(record_id)s and not l.is_primary)
returning l.connection_id, l.object, l.remote_id, l.is_primary
"""


@dataclass(frozen=True, slots=True)
class _Handed:
    connection_id: UUID
    object: str
    remote_id: str
    is_primary: bool


# A record may have been on its way to a CRM when it went into another: what was made there is the other's.
HAND_OVER_STRAYS = sql.SQL("""
update sync.links l set record_id = c.merged_into,
  is_primary = l.is_primary and not exists (
    select from sync.links own
    where own.tenant_id = %(tenant_id)s and own.connection_id = l.connection_id
      and own.record_type = %(record_type)s and own.record_id = c.merged_into and own.is_primary)
from {table} c
where l.tenant_id = %(tenant_id)s and c.tenant_id = %(tenant_id)s and l.record_type = %(record_type)s
  and l.record_id = c.id and c.merged_into is not null and c.id = any(%(ids)s::uuid[])
  and l.connection_id = %(connection_id)s
""")


async def hand_over_strays(
    conn: Conn, kind: RecordType, ids: Sequence[UUID], *, tenant_id: UUID, connection_id: UUID
) -> None:
    """Let what a connection calls records that have gone into others be those others."""
    await conn.execute(
        HAND_OVER_STRAYS.format(table=sql.Identifier("crm", kind.table)),
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "record_type": kind.name,
            "ids": list(ids),
        },
    )


def write_values(kind: RecordType, names: Sequence[str]) -> sql.Composed:
    """Compose the update of a survivor; values come as JSON and take the columns' own types."""
    settings = sql.SQL("").join(sql.SQL("{0} = p.{0}, ").format(sql.Identifier(name)) for name in names)
    return sql.SQL(
        "update {table} c set {settings}version = c.version + 1, updated_at = %(now)s,"
        " field_times = c.field_times || %(times)s::jsonb"
        " from jsonb_populate_record(null::{table}, %(values)s::jsonb) p"
        " where c.tenant_id = %(tenant_id)s and c.id = %(into)s"
    ).format(table=sql.Identifier("crm", kind.table), settings=settings)


LOG_UPDATE = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
values (%(tenant_id)s, %(id)s, %(now)s, %(record_type)s, %(into)s, 'updated', %(changes)s::jsonb, %(source)s,
  %(connection_id)s, %(actor)s, %(run_id)s)
"""

# What waited for the one that went waits for the survivor, but for what the CRM refused of it.
QUEUE_INHERITED = """
with gone as (
  delete from sync.queue q using sync.connections n
  where q.tenant_id = %(tenant_id)s and n.tenant_id = %(tenant_id)s and q.connection_id = n.id
    and q.record_type = %(record_type)s and q.record_id = %(record_id)s
  returning q.connection_id, q.fields, q.state, q.queued_at
)
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before,
  state)
select %(tenant_id)s, g.connection_id, %(record_type)s, %(into)s, array_remove(g.fields, 'archived_at'),
  g.queued_at, %(now)s,
  case g.state when 'held' then 'held' else 'pending' end
from gone g
order by g.connection_id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set fields = array(select distinct f from unnest(q.fields || excluded.fields) f order by 1),
      revision = q.revision + 1, not_before = excluded.not_before, attempts = 0, last_error = null,
      state = case when 'held' in (q.state, excluded.state) then 'held' else 'pending' end
"""

# As change capture does; and a connection that had only the one that went is looked at as a whole, since
# what it agreed on were the other's values.
QUEUE_SURVIVOR = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before)
select %(tenant_id)s, w.connection_id, %(record_type)s, %(into)s,
  case when w.connection_id = any(%(moved)s::uuid[]) then %(all)s::text[] else %(changed)s::text[] end,
  %(now)s, %(now)s
from sync.writing w
join sync.links l on l.tenant_id = %(tenant_id)s and l.record_id = %(into)s
  and l.record_type = %(record_type)s and l.connection_id = w.connection_id and l.is_primary
  and l.object = w.object
where w.tenant_id = %(tenant_id)s and w.record_type = %(record_type)s and w.scope = 'field'
  and w.connection_id is distinct from %(connection_id)s
  and (w.connection_id = any(%(moved)s::uuid[])
       or case when w.field = '' then cardinality(%(changed)s::text[]) > 0
               else w.field = any(%(changed)s::text[]) end)
group by w.connection_id
order by w.connection_id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set fields = array(select distinct f from unnest(q.fields || excluded.fields) f order by 1),
      revision = q.revision + 1, not_before = excluded.not_before, attempts = 0, last_error = null,
      state = case q.state when 'held' then 'held' else 'pending' end
"""

# What a person is asked about the one that went is asked about the survivor, where it is the connection's
# now; what nobody can be asked any more is closed.
MOVE_CONFLICTS = """
update sync.conflicts c set record_id = %(into)s,
  ours = coalesce(case when starts_with(c.field, 'custom_fields.')
    then %(row)s::jsonb -> 'custom_fields' -> substr(c.field, 15) else %(row)s::jsonb -> c.field end, 'null'),
  our_record = %(row)s::jsonb, ours_at = %(now)s
where c.tenant_id = %(tenant_id)s and c.record_type = %(record_type)s and c.record_id = %(record_id)s
  and c.status = 'open' and c.connection_id = any(%(moved)s::uuid[])
  and not exists (
    select from sync.conflicts own
    where own.tenant_id = %(tenant_id)s and own.connection_id = c.connection_id
      and own.record_type = %(record_type)s and own.record_id = %(into)s and own.field = c.field
      and own.status = 'open')
"""
SETTLE_CONFLICTS = """
update sync.conflicts c set status = 'settled', resolved_at = %(now)s
where c.tenant_id = %(tenant_id)s and c.record_type = %(record_type)s and c.status = 'open'
  and c.connection_id in (select n.id from sync.connections n where n.tenant_id = %(tenant_id)s)
  and c.record_id in (%(record_id)s, %(into)s)
  and (c.record_id = %(record_id)s
       or c.record_id = %(into)s and c.connection_id = any(%(moved)s::uuid[])
          and coalesce(nullif(c.ours, '""'), 'null') = coalesce(nullif(c.theirs, '""'), 'null'))
"""

# Nobody will ask any more what became of a change on its way to the one that went: its record has been merged
# with all it had. What was being made is found by our id of it.
SETTLE_CHANGES = """
update sync.remote_changes c set state = 'done', answered_at = %(now)s
where c.tenant_id = %(tenant_id)s and c.record_type = %(record_type)s and c.record_id = %(record_id)s
  and c.state = 'sent' and c.action not in ('created', 'merged')
"""

ABSORB = sql.SQL("""
update {table} c set merged_into = %(into)s, archived_at = coalesce(c.archived_at, %(now)s),
  version = c.version + 1, updated_at = %(now)s
where c.tenant_id = %(tenant_id)s and c.id = %(record_id)s and c.merged_into is null
""")

LOG_MERGE = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
values (%(tenant_id)s, %(id)s, %(now)s, %(record_type)s, %(record_id)s, 'merged',
  jsonb_build_object('merged_into', jsonb_build_array(null, %(into)s::uuid)), %(source)s, %(connection_id)s,
  %(actor)s, %(run_id)s)
"""

REPOINT = sql.SQL("""
with before as (
  select c.id from {table} c
  where c.tenant_id = %(tenant_id)s and c.{column} = %(record_id)s order by c.id for update
), written as (
  update {table} c set {column} = %(into)s, version = c.version + 1, updated_at = %(now)s
  from before b where c.tenant_id = %(tenant_id)s and c.id = b.id
  returning c.id
)
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
select %(tenant_id)s, gen_random_uuid(), %(now)s, {kind}, w.id, 'updated',
  jsonb_build_object({column_name}, jsonb_build_array(%(record_id)s::uuid, %(into)s::uuid)), %(source)s,
  %(connection_id)s, %(actor)s, %(run_id)s
from written w
on conflict (tenant_id, changed_at, id) do nothing
""")

#: Record type → (child's type, child's table, column) that point to it.
CHILDREN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "contact": (
        ("deal", "deals", "contact_id"),
        ("activity", "activities", "contact_id"),
        ("task", "tasks", "contact_id"),
    ),
    "company": (
        ("contact", "contacts", "company_id"),
        ("deal", "deals", "company_id"),
        ("activity", "activities", "company_id"),
        ("task", "tasks", "company_id"),
    ),
    "deal": (("activity", "activities", "deal_id"), ("task", "tasks", "deal_id")),
}


async def absorb(
    conn: Conn,
    kind: RecordType,
    record_id: UUID,
    into: UUID,
    cause: Cause,
    *,
    tenant_id: UUID,
    now: datetime,
    taken: Collection[str] = (),
) -> Absorbed | None:
    """Merge one record into another; None where it has been, or one of them is gone.

    Of the fields in `taken` the value of the one that goes stands. Other connections' links move with what
    was agreed on; where ours stands against it now, ours is pushed. The row of the one that went stays, with
    all its values and with where it went.
    """
    rows = await lock_rows(conn, kind, [record_id, into], tenant_id=tenant_id)
    if len(rows) != 2 or rows[record_id].get("merged_into") or rows[into].get("merged_into"):
        return None
    united = unite(kind.name, rows[into], rows[record_id], taken=taken, now_ms=to_ms(now))
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "record_type": kind.name,
        "record_id": record_id,
        "into": into,
        "source": cause.source,
        "actor": cause.actor,
        "connection_id": cause.connection_id,
        "run_id": cause.run_id,
        "now": now,
    }
    async with conn.cursor(row_factory=class_row(_Handed)) as cursor:
        await cursor.execute(HAND_OVER, values)
        handed = await cursor.fetchall()
    moved = sorted({each.connection_id for each in handed if each.is_primary})
    await _write(conn, kind, united, rows[into], values)
    whole = [name for name in kind.content if name not in ("archived_at", "created_at")]
    fields = {"moved": moved, "changed": sorted(united.changes), "all": whole}
    await conn.execute(QUEUE_INHERITED, values)
    await conn.execute(QUEUE_SURVIVOR, {**values, **fields})
    row = encode({**rows[into], **united.columns})
    await conn.execute(MOVE_CONFLICTS, {**values, "moved": moved, "row": row})
    await conn.execute(SETTLE_CONFLICTS, {**values, "moved": moved})
    await conn.execute(SETTLE_CHANGES, values)
    await _write_lost_down(conn, kind, united, handed, values)
    await conn.execute(ABSORB.format(table=sql.Identifier("crm", kind.table)), values)
    await conn.execute(LOG_MERGE, {**values, "id": new_id()})
    await _repoint(conn, kind, values)
    return Absorbed(united, moved)


async def _write(
    conn: Conn, kind: RecordType, united: United, row: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    if not united.changes:
        return
    await conn.execute(
        write_values(kind, list(united.columns)),
        {**values, "values": encode(united.columns), "times": encode(united.times)},
        prepare=False,
    )
    new = {name: value for name, (_, value) in united.changes.items()}
    old = {name: value for name, (value, _) in united.changes.items()}
    changes = encode(describe_changes({**row, **old}, new))
    await conn.execute(LOG_UPDATE, {**values, "id": new_id(), "changes": changes})


async def _write_lost_down(
    conn: Conn,
    kind: RecordType,
    united: United,
    handed: Sequence[_Handed],
    values: Mapping[str, Any],
) -> None:
    """Write values that gave way down as decisions, from where a person can put them back.

    Decisions are kept by connection: of a record that no CRM had, the row that stays is what is left.
    """
    own = values["connection_id"]
    if not united.lost or (own is None and not handed):
        return
    origin = own if own is not None else min(each.connection_id for each in handed)
    await merging.put_decisions(
        conn,
        [_describe(each, values["into"]) for each in united.lost],
        tenant_id=values["tenant_id"],
        connection_id=origin,
        record_type=kind.name,
        run_id=values["run_id"],
        now=values["now"],
    )


def _describe(lost: Lost, record_id: UUID) -> dict[str, Any]:
    ours, theirs = (lost.value, lost.kept) if lost.was_survivors else (lost.kept, lost.value)
    return {
        "id": new_id(),
        "record_id": record_id,
        "field": lost.field,
        "rule": "merged",
        "winner": "theirs" if lost.was_survivors else "ours",
        "value": lost.kept,
        "losing": lost.value,
        "ours": ours,
        "theirs": theirs,
        "read": theirs,
        "reason": "Two records were merged, and this value gave way.",
    }


async def _repoint(conn: Conn, kind: RecordType, values: Mapping[str, Any]) -> None:
    for child, table, column in CHILDREN.get(kind.name, ()):
        await conn.execute(
            REPOINT.format(
                table=sql.Identifier("crm", table),
                column=sql.Identifier(column),
                column_name=sql.Literal(column),
                kind=sql.Literal(child),
            ),
            values,
        )
