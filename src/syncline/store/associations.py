"""Associations of remote records: rows for joins, and the same within each record's payload."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql

from syncline.store.db import Conn
from syncline.store.payloads import Table


@dataclass(frozen=True, slots=True)
class Pair:
    """Two objects of one connection, in the direction in which their associations are read."""

    tenant_id: UUID
    connection_id: UUID
    from_object: str
    to_object: str

    def parameters(self) -> dict[str, object]:
        return {
            "tenant_id": self.tenant_id,
            "connection_id": self.connection_id,
            "from_object": self.from_object,
            "to_object": self.to_object,
        }


@dataclass(frozen=True, slots=True)
class AssociationRow:
    from_id: str
    to_id: str
    type_id: int
    type: str
    category: str
    label: str | None


CREATE_STAGING = """
create temp table pull_associations (
  from_id text, to_id text, type_id bigint, type text, category text, label text
) on commit drop
"""
COPY_STAGING = "copy pull_associations from stdin"
# What was read is compared with what is stored by looking up, never by scanning one for each of the other.
INDEX_STAGING = "create index on pull_associations (from_id, to_id, type_id)"

REMOVE_ABSENT = """
delete from raw.associations a
where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
  and a.from_object = %(from_object)s and a.to_object = %(to_object)s
  and a.from_id = any(%(from_ids)s::text[])
  and not exists (select from pull_associations s
                  where s.from_id = a.from_id and s.to_id = a.to_id and s.type_id = a.type_id)
returning a.from_id, a.to_id
"""

ADD_PRESENT = """
insert into raw.associations as a (tenant_id, connection_id, from_object, from_id, to_object, to_id, type_id,
  type, category, label, synced_at)
select distinct on (s.from_id, s.to_id, s.type_id) %(tenant_id)s::uuid, %(connection_id)s::uuid,
  %(from_object)s, s.from_id, %(to_object)s, s.to_id, s.type_id, s.type, s.category, s.label,
  %(now)s::timestamptz
from pull_associations s
order by s.from_id, s.to_id, s.type_id
on conflict (tenant_id, connection_id, from_object, to_object, from_id, to_id, type_id) do update
  set type = excluded.type, category = excluded.category, label = excluded.label,
      synced_at = excluded.synced_at
where (a.type, a.category, a.label) is distinct from (excluded.type, excluded.category, excluded.label)
returning a.from_id, a.to_id
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    #: Far-side ids that lost an association: nothing else would lead to them any more.
    lost_to_ids: set[str]
    #: Ids of both sides of rows that were added, removed or relabelled.
    moved: set[str]


async def replace(
    conn: Conn,
    pair: Pair,
    from_ids: Sequence[str],
    rows: Sequence[AssociationRow],
    *,
    now: datetime,
) -> Replaced:
    """Make the associations of `from_ids` be exactly `rows`.

    `from_ids` must all have been read: an id without rows loses those it had. Once per transaction.
    """
    await conn.execute(CREATE_STAGING)
    async with conn.cursor() as cursor, cursor.copy(COPY_STAGING) as copy:
        for row in rows:
            await copy.write_row((row.from_id, row.to_id, row.type_id, row.type, row.category, row.label))
    await conn.execute(INDEX_STAGING)
    values = {**pair.parameters(), "from_ids": list(from_ids), "now": now}
    removed = await conn.execute(REMOVE_ABSENT, values, prepare=False)
    lost = [(str(row[0]), str(row[1])) for row in await removed.fetchall()]
    added = await conn.execute(ADD_PRESENT, values, prepare=False)
    moved = {each for row in lost for each in row}
    moved.update(str(each) for row in await added.fetchall() for each in row)
    return Replaced({far for _, far in lost}, moved)


# The payload's own copy, in the form the CRM's list gives: {"results": [{"id", "type", "label"?}]}. Lateral,
# and so by index for each record, however few associations the planner believes in.
PUT_IN_PAYLOAD = sql.SQL("""
update {table} r
set raw = case when f.results is null then r.raw #- array['associations', %(far_object)s::text]
          else r.raw || jsonb_build_object('associations', coalesce(r.raw -> 'associations', '{{}}')
                 || jsonb_build_object(%(far_object)s::text, jsonb_build_object('results', f.results))) end
from unnest(%(remote_ids)s::text[]) as wanted (remote_id)
cross join lateral (
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', a.{far_id}, 'type', {type}, 'label', a.label))
                   order by (a.label is not null) desc, length(a.{far_id}), a.{far_id}, a.type_id) as results
  from raw.associations a
  where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
    and a.from_object = %(from_object)s and a.to_object = %(to_object)s
    and a.{near_id} = wanted.remote_id) f
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.remote_id = wanted.remote_id
  and r.raw #> array['associations', %(far_object)s::text, 'results'] is distinct from f.results
""")

_AS_READ = sql.SQL("a.type")
_REVERSED = sql.SQL("split_part(a.type, '_to_', 2) || '_to_' || split_part(a.type, '_to_', 1)")


async def put_in_payloads(
    conn: Conn, pair: Pair, table: Table, remote_ids: Sequence[str], *, reverse: bool
) -> None:
    """Bring the payloads of records up to the rows. `reverse`: the records are the pair's far side."""
    statement = PUT_IN_PAYLOAD.format(
        table=table,
        near_id=sql.Identifier("to_id" if reverse else "from_id"),
        far_id=sql.Identifier("from_id" if reverse else "to_id"),
        type=_REVERSED if reverse else _AS_READ,
    )
    values = pair.parameters() | {
        "remote_ids": list(remote_ids),
        "far_object": pair.from_object if reverse else pair.to_object,
    }
    await conn.execute(statement, values, prepare=False)


# Sets a reference of ours from associations: the primary one first, else the oldest id. Where the CRM moved
# none of a record's associations since they were last read, what stands here was changed here, and stays. The
# change is logged in the same statement, since only here both the old and the new value are at hand.
SET_REFERENCE = sql.SQL("""
with chosen as (
  select distinct on (a.{child_id}) a.{child_id} as remote_id, l.record_id as parent_id
  from raw.associations a
  cross join lateral (
    select l.record_id from sync.links l
    where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
      and l.object = %(parent_object)s and l.remote_id = a.{parent_id} and l.record_type = %(parent_type)s
    offset 0) l
  where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
    and a.from_object = %(from_object)s and a.to_object = %(to_object)s
    and a.{child_id} = any(%(remote_ids)s::text[])
  order by a.{child_id}, (lower(a.label) = 'primary') desc nulls last, length(a.{parent_id}), a.{parent_id}
), children as materialized (
  select cl.remote_id, cl.record_id from sync.links cl
  where cl.tenant_id = %(tenant_id)s and cl.connection_id = %(connection_id)s
    and cl.object = %(child_object)s and cl.remote_id = any(%(remote_ids)s::text[]) and cl.is_primary
), wanted as (
  select c.id, c.{column} as old_id, chosen.parent_id as new_id{old_link}
  from children
  join {table} c on c.tenant_id = %(tenant_id)s and c.id = children.record_id
  left join chosen on chosen.remote_id = children.remote_id
  where {differs} and ({is_open} or children.remote_id = any(%(moved)s::text[]))
  order by c.id
  for update of c
), written as (
  update {table} c
  set {column} = w.new_id, version = c.version + 1, updated_at = %(now)s{set_link}
  from wanted w
  where c.tenant_id = %(tenant_id)s and c.id = w.id
  returning w.*
)
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
select %(tenant_id)s, gen_random_uuid(), %(now)s, %(child_type)s, w.id, 'updated',
  case when w.old_id is not distinct from w.new_id then '{{}}'
       else jsonb_build_object({column_name}, jsonb_build_array(w.old_id, w.new_id)) end{log_link},
  'pull', %(connection_id)s, %(actor)s, %(run_id)s
from written w
on conflict (tenant_id, changed_at, id) do nothing
""")


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of a record that an association fills: `deal.company_id` from deals and companies."""

    child_type: str
    child_table: str
    column: str
    parent_type: str
    #: True for activities' contact, which also stores how it was found.
    keeps_link: bool = False
    #: True for activities' deal, which may have been found by phone, and their contact with it.
    frees_contact: bool = False


def set_reference(reference: Reference, *, child_is_from: bool) -> sql.Composed:
    column = sql.Identifier(reference.column)
    old_link, differs, set_link, log_link, is_open = _link_parts(reference)
    return SET_REFERENCE.format(
        child_id=sql.Identifier("from_id" if child_is_from else "to_id"),
        parent_id=sql.Identifier("to_id" if child_is_from else "from_id"),
        table=sql.Identifier("crm", reference.child_table),
        column=column,
        column_name=sql.Literal(reference.column),
        old_link=old_link,
        differs=differs,
        set_link=set_link,
        log_link=log_link,
        is_open=is_open,
    )


# A contact found by phone stays while no association says otherwise.
_KEEPS_LINK = (
    sql.SQL(", c.contact_link as old_link"),
    sql.SQL(
        "case when chosen.parent_id is null then c.contact_link = 'association'"
        " else (c.contact_id, c.contact_link) is distinct from (chosen.parent_id, 'association') end"
    ),
    sql.SQL(
        ", contact_link = case when w.new_id is null then null else 'association' end,"
        " contact_candidates = null"
    ),
    sql.SQL(
        " || case when w.old_link is distinct from (case when w.new_id is null then null"
        " else 'association' end) then jsonb_build_object('contact_link', jsonb_build_array(w.old_link,"
        " case when w.new_id is null then null else 'association' end)) else '{}' end"
    ),
    sql.SQL("(c.contact_id is null or c.contact_link is distinct from 'association')"),
)
# So does a deal; once an association names another, the contact that came with it goes, too.
_FREES_CONTACT = (
    sql.SQL(", c.contact_link as old_link, c.contact_id as old_contact"),
    sql.SQL(
        "case when c.contact_link = 'deal_phone' then chosen.parent_id is not null"
        " else c.deal_id is distinct from chosen.parent_id end"
    ),
    sql.SQL(
        ", contact_id = case when c.contact_link = 'deal_phone' then null else c.contact_id end,"
        " contact_link = nullif(c.contact_link, 'deal_phone')"
    ),
    sql.SQL(
        " || case when w.old_link = 'deal_phone' then jsonb_build_object("
        "'contact_link', jsonb_build_array(w.old_link, null)) else '{}' end"
        " || case when w.old_link = 'deal_phone' and w.old_contact is not null then jsonb_build_object("
        "'contact_id', jsonb_build_array(w.old_contact, null)) else '{}' end"
    ),
    sql.SQL("(c.deal_id is null or c.contact_link = 'deal_phone')"),
)


def _link_parts(
    reference: Reference,
) -> tuple[sql.Composable, sql.Composable, sql.Composable, sql.Composable, sql.Composable]:
    """Return what is selected beside the reference, when it is set, what is set and logged with it.

    Last comes when it is set even though the CRM moved nothing: nobody has said anything else yet.
    """
    if reference.keeps_link:
        return _KEEPS_LINK
    if reference.frees_contact:
        return _FREES_CONTACT
    differs = sql.SQL("c.{} is distinct from chosen.parent_id").format(sql.Identifier(reference.column))
    is_open = sql.SQL("c.{} is null").format(sql.Identifier(reference.column))
    return sql.SQL(""), differs, sql.SQL(""), sql.SQL(""), is_open


async def put_reference(
    conn: Conn,
    pair: Pair,
    reference: Reference,
    remote_ids: Sequence[str],
    *,
    child_is_from: bool,
    moved: AbstractSet[str],
    run_id: UUID,
    actor: str,
    now: datetime,
) -> int:
    """Set the reference of the records behind `remote_ids` (the child's side); returns how many changed.

    One that a person set here stays, unless the record is among those whose associations `moved`.
    """
    cursor = await conn.execute(
        set_reference(reference, child_is_from=child_is_from),
        pair.parameters()
        | {
            "remote_ids": list(remote_ids),
            "moved": [each for each in remote_ids if each in moved],
            "child_object": pair.from_object if child_is_from else pair.to_object,
            "parent_object": pair.to_object if child_is_from else pair.from_object,
            "child_type": reference.child_type,
            "parent_type": reference.parent_type,
            "run_id": run_id,
            "actor": actor,
            "now": now,
        },
        prepare=False,
    )
    return cursor.rowcount


# The other side needs no such care: the CRM tells of living records only.
REMOVE_OF_GONE = sql.SQL("""
delete from raw.associations a
where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
  and a.from_object = %(from_object)s and a.to_object = %(to_object)s
  and not exists (select from {table} r
                  where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
                    and r.remote_id = a.from_id and r.archived_at is null)
returning a.to_id
""")


async def remove_of_gone(conn: Conn, pair: Pair, table: Table) -> set[str]:
    """Remove the associations of records that live no more; returns the far-side ids that lost one."""
    cursor = await conn.execute(REMOVE_OF_GONE.format(table=table), pair.parameters(), prepare=False)
    return {str(row[0]) for row in await cursor.fetchall()}


LIST_PAIRS = """
select a.from_id, a.to_id
from raw.associations a
where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
  and a.from_object = %(from_object)s and a.to_object = %(to_object)s
  and a.to_id = any(%(to_ids)s::text[])
"""


async def list_pairs(conn: Conn, pair: Pair, to_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Return (near id, far id) of what is stored for the far side's `to_ids`."""
    cursor = await conn.execute(LIST_PAIRS, pair.parameters() | {"to_ids": list(to_ids)}, prepare=False)
    return {(str(row[0]), str(row[1])) for row in await cursor.fetchall()}


COUNT = """
select count(*) from raw.associations where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s
"""


async def count(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> int:
    cursor = await conn.execute(COUNT, {"tenant_id": tenant_id, "connection_id": connection_id})
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
