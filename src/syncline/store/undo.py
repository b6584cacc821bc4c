"""Putting back what a run did to records, many at a time; each as an edit that the row triggers see.

Knows no run's history (`effects` does) and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import errors, sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from syncline.domain.records import RecordType
from syncline.errors import Invalid
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys, ObjectKeys
from syncline.store.rows import exact_rows, to_json

SET_TRIGGERS_ON = "set local app.bulk = 'off'"


async def begin_edits(conn: Conn, run_id: UUID) -> None:
    """Let the row triggers see what follows in the transaction, and write it down under this run."""
    await conn.execute(SET_TRIGGERS_ON)
    await conn.execute(sql.SQL("set local app.run_id = {}").format(sql.Literal(str(run_id))))


@dataclass(frozen=True, slots=True)
class _Row:
    row: dict[str, Any]


LOCK_ROWS = sql.SQL("""
select to_jsonb(c) as row from {table} c
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[])
order by c.id
for update
""")


async def lock_rows(
    conn: Conn, kind: RecordType, ids: Sequence[UUID], *, tenant_id: UUID
) -> dict[UUID, dict[str, Any]]:
    """Lock records in id order and return their columns as JSON has them; those that are gone are absent."""
    async with exact_rows(conn, _Row) as cursor:
        await cursor.execute(
            LOCK_ROWS.format(table=sql.Identifier("crm", kind.table)),
            {"tenant_id": tenant_id, "ids": list(ids)},
            prepare=False,
        )
        return {UUID(each.row["id"]): each.row for each in await cursor.fetchall()}


def write_rows(kind: RecordType, names: Sequence[str]) -> sql.Composed:
    """Compose the update of some columns; where a record's document has no such key, it keeps its value."""
    table = sql.Identifier("crm", kind.table)
    settings = sql.SQL(", ").join(sql.SQL("{0} = (s.p).{0}").format(sql.Identifier(name)) for name in names)
    return sql.SQL("""
update {table} c set {settings}
from (select b.id, jsonb_populate_record(b, r.values) as p
      from jsonb_to_recordset(%(rows)s::jsonb) as r (id uuid, values jsonb)
      join {table} b on b.tenant_id = %(tenant_id)s and b.id = r.id) s
where c.tenant_id = %(tenant_id)s and c.id = s.id
""").format(table=table, settings=settings)


async def write(
    conn: Conn, kind: RecordType, rows: Mapping[UUID, Mapping[str, Any]], *, tenant_id: UUID
) -> None:
    """Write columns of records that are locked: id → column → value as JSON has it."""
    if not rows:
        return
    names = sorted({name for values in rows.values() for name in values})
    document = to_json([{"id": each, "values": dict(values)} for each, values in rows.items()])
    await conn.execute(write_rows(kind, names), {"tenant_id": tenant_id, "rows": document}, prepare=False)


def insert_row(kind: RecordType, names: Sequence[str]) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    values = sql.SQL(", ").join(sql.SQL("p.{}").format(sql.Identifier(name)) for name in names)
    return sql.SQL("""
insert into {table} (tenant_id, id, {columns})
select %(tenant_id)s, %(id)s, {values}
from jsonb_populate_record(null::{table}, %(values)s::jsonb) p
on conflict (tenant_id, id) do nothing
""").format(table=sql.Identifier("crm", kind.table), columns=columns, values=values)


async def insert(
    conn: Conn, kind: RecordType, record_id: UUID, values: Mapping[str, Any], *, tenant_id: UUID
) -> None:
    """Make a record again that was deleted, with the id it had. Raises `Invalid` as `write` does."""
    parameters = {"tenant_id": tenant_id, "id": record_id, "values": to_json(dict(values))}
    try:
        async with conn.transaction():
            await conn.execute(insert_row(kind, sorted(values)), parameters, prepare=False)
    except (errors.DataError, errors.IntegrityError):
        raise Invalid(f"That {kind.name} cannot be made again as it was.") from None


@dataclass(frozen=True, slots=True)
class _Deleted:
    record_id: UUID
    changes: dict[str, Any]


LIST_DELETED = """
select distinct on (c.record_id) c.record_id, c.changes from crm.change_log c
where c.tenant_id = %(tenant_id)s and c.record_id = any(%(ids)s::uuid[]) and c.action = 'deleted'
order by c.record_id, c.changed_at desc
"""


async def list_deleted(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> dict[UUID, dict[str, Any]]:
    """Return what deleted records held when they were deleted: id → field → [value, nothing]."""
    async with exact_rows(conn, _Deleted) as cursor:
        await cursor.execute(LIST_DELETED, {"tenant_id": tenant_id, "ids": list(ids)})
        return {each.record_id: each.changes for each in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Link:
    record_id: UUID
    object: str
    remote_id: str
    base: dict[str, list[Any]]


LOCK_LINKS = """
select l.record_id, l.object, l.remote_id, l.base from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.record_type = %(record_type)s and l.record_id = any(%(ids)s::uuid[]) and l.is_primary
order by l.object, l.remote_id
for update
"""


async def lock_links(
    conn: Conn, ids: Sequence[UUID], *, keys: ConnectionKeys, record_type: str
) -> dict[UUID, Link]:
    """Lock and return what records are to a connection, where they are something. Lock records first."""
    async with exact_rows(conn, Link) as cursor:
        await cursor.execute(LOCK_LINKS, {**keys, "record_type": record_type, "ids": list(ids)})
        return {each.record_id: each for each in await cursor.fetchall()}


LIST_LINKED = """
select l.remote_id, l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.record_type = %(record_type)s and l.remote_id = any(%(remote_ids)s::text[])
"""


async def list_linked(
    conn: Conn, remote_ids: Sequence[str], *, keys: ConnectionKeys, record_type: str
) -> dict[str, UUID]:
    """Return remote id → record, of what a connection calls records of a kind."""
    cursor = await conn.execute(
        LIST_LINKED, {**keys, "record_type": record_type, "remote_ids": list(remote_ids)}
    )
    return {str(row[0]): row[1] for row in await cursor.fetchall()}


AGREE = """
update sync.links l set base = l.base || r.base
from jsonb_to_recordset(%(rows)s::jsonb) as r (object text, remote_id text, base jsonb)
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = r.object
  and l.remote_id = r.remote_id
"""


async def agree(
    conn: Conn, pairs: Iterable[tuple[Link, Mapping[str, Sequence[Any]]]], *, keys: ConnectionKeys
) -> None:
    """Lay pairs over what was agreed on with remote records."""
    rows = [
        {"object": link.object, "remote_id": link.remote_id, "base": dict(base)}
        for link, base in pairs
        if base
    ]
    if rows:
        await conn.execute(AGREE, {**keys, "rows": to_json(rows)})


# What was parted must not come back as a stranger.
PART = """
with gone as (
  delete from sync.links l
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object_name)s
    and l.remote_id = any(%(remote_ids)s::text[])
  returning l.remote_id, l.record_type, l.record_id
)
insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id, reason,
  buried_at)
select %(tenant_id)s, %(connection_id)s, %(object_name)s, g.remote_id, g.record_type, g.record_id, 'deleted',
  %(now)s
from gone g
on conflict (tenant_id, connection_id, object, remote_id) do update set buried_at = excluded.buried_at
"""


async def part(conn: Conn, remote_ids: Sequence[str], *, keys: ObjectKeys, now: datetime) -> None:
    """Part records from their remote records for good; the records stay."""
    await conn.execute(PART, {**keys, "remote_ids": list(remote_ids), "now": now})


QUEUE = """
insert into sync.queue as q (tenant_id, connection_id, record_type, record_id, fields, queued_at, not_before,
  what)
select %(tenant_id)s, %(connection_id)s, %(record_type)s, r.id, '{}', %(now)s, %(now)s, %(what)s
from unnest(%(ids)s::uuid[]) as r (id)
order by r.id
on conflict (tenant_id, connection_id, record_type, record_id) do update
  set what = excluded.what, revision = q.revision + 1, not_before = excluded.not_before, attempts = 0,
    state = case q.state when 'held' then 'held' else 'pending' end, last_error = null
"""


async def queue(
    conn: Conn, ids: Sequence[UUID], what: str, *, keys: ConnectionKeys, record_type: str, now: datetime
) -> None:
    """Queue records to be made (`changed`), or what they were parted from to be archived (`deleted`)."""
    if ids:
        await conn.execute(
            QUEUE, {**keys, "record_type": record_type, "ids": list(ids), "what": what, "now": now}
        )


LOG_PARTED = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source,
  connection_id, actor, run_id)
select %(tenant_id)s, gen_random_uuid(), clock_timestamp(), %(record_type)s, r.id, 'updated',
  jsonb_build_object(%(field)s::text, jsonb_build_array(r.called, null)), 'undo', %(connection_id)s,
  %(actor)s, %(run_id)s
from unnest(%(ids)s::uuid[], %(called)s::text[]) as r (id, called)
on conflict (tenant_id, changed_at, id) do nothing
"""


async def log_parted(
    conn: Conn,
    called: Mapping[UUID, str],
    *,
    keys: ConnectionKeys,
    record_type: str,
    field: str,
    actor: str,
    run_id: UUID,
) -> None:
    """Write down that records were parted from what a CRM calls them: id → that."""
    await conn.execute(
        LOG_PARTED,
        {
            **keys,
            "record_type": record_type,
            "ids": list(called),
            "called": list(called.values()),
            "field": field,
            "actor": actor,
            "run_id": run_id,
        },
    )


SET_UNDOES = """
update sync.runs set error_details = %(details)s where tenant_id = %(tenant_id)s and id = %(run_id)s
"""


async def set_undoes(conn: Conn, run_id: UUID, undone: UUID, *, tenant_id: UUID) -> None:
    """Note which run an undo takes back, so that it can be gone on with."""
    details = Jsonb({"undoes": str(undone)})
    await conn.execute(SET_UNDOES, {"tenant_id": tenant_id, "run_id": run_id, "details": details})


FIND_UNFINISHED = """
select r.id from sync.runs r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s and r.mode = 'undo'
  and r.status = 'running' and r.error_details ->> 'undoes' = %(undone)s
order by r.requested_at desc limit 1
"""


async def find_unfinished(conn: Conn, undone: UUID, *, keys: ConnectionKeys) -> UUID | None:
    """Return the undo of a run that its process did not live to end. Asked by who holds its lease."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_UNFINISHED, {**keys, "undone": str(undone)})
        return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class Tie:
    """An association of a remote record that is no more."""

    from_object: str
    from_id: str
    to_object: str
    to_id: str
    type_id: int
    category: str


LIST_TIES = """
select a.from_object, a.from_id, a.to_object, a.to_id, a.type_id, a.category from raw.associations a
where a.tenant_id = %(tenant_id)s and a.connection_id = %(connection_id)s
  and (a.from_object = %(object_name)s and a.from_id = any(%(remote_ids)s::text[])
       or a.to_object = %(object_name)s and a.to_id = any(%(remote_ids)s::text[]))
order by a.from_object, a.to_object, a.from_id, a.to_id, a.type_id
"""


async def list_ties(conn: Conn, remote_ids: Sequence[str], *, keys: ObjectKeys) -> list[Tie]:
    """Return the associations that remote records had when they were last read."""
    async with conn.cursor(row_factory=class_row(Tie)) as cursor:
        await cursor.execute(LIST_TIES, {**keys, "remote_ids": list(remote_ids)})
        return await cursor.fetchall()
