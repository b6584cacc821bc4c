"""Existing records that rows of a file mean: by address, by domain, by name, by the file. Many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Known:
    key: str
    record_id: UUID


#: (kind, what it is known by) → the column that is compared, with the text that is given.
_KEYS = {
    ("owner", "email"): (sql.SQL("c.email_norm"), sql.SQL("lower(btrim(w.key))")),
    ("contact", "email"): (sql.SQL("c.email_norm"), sql.SQL("lower(btrim(w.key))")),
    ("company", "domain"): (sql.SQL("c.domain_norm"), sql.SQL("lower(btrim(w.key))")),
    ("company", "name"): (sql.SQL("c.sort_name"), sql.SQL("left(lower(btrim(w.key)), 100)")),
    ("deal", "name"): (sql.SQL("c.sort_name"), sql.SQL("left(lower(btrim(w.key)), 100)")),
}


def find_known(kind: RecordType, by: str) -> sql.Composed:
    column, given = _KEYS[kind.name, by]
    return sql.SQL("""
select w.key, c.id as record_id from unnest(%(keys)s::text[]) as w (key)
join {table} c on c.tenant_id = %(tenant_id)s and {column} = {given} and c.archived_at is null
where c.tenant_id = %(tenant_id)s
order by w.key, c.id
""").format(table=sql.Identifier("crm", kind.table), column=column, given=given)


# What was taken back since, or is no more, is not found: it is made again.
LIST_MADE_OF = sql.SQL("""
select r.position, r.record_id from app.batches b
join app.batch_rows r on r.tenant_id = %(tenant_id)s and r.batch_id = b.id
  and r.position = any(%(positions)s::integer[]) and r.state = 'done' and r.record_id is not null
join {table} c on c.tenant_id = %(tenant_id)s and c.id = r.record_id and c.archived_at is null
where b.tenant_id = %(tenant_id)s and b.kind = 'import' and b.record_type = %(record_type)s
  and b.terms ->> 'digest' = %(digest)s and b.id <> %(batch_id)s and b.state <> 'planned'
order by r.position, b.planned_at, b.id
""")


@dataclass(frozen=True, slots=True)
class _Made:
    position: int
    record_id: UUID


async def list_made_of(
    conn: Conn, kind: RecordType, digest: str, positions: Sequence[int], *, tenant_id: UUID, batch_id: UUID
) -> dict[int, UUID]:
    """Return line → the living record that another import made of that line of the very same file."""
    async with conn.cursor(row_factory=class_row(_Made)) as cursor:
        await cursor.execute(
            LIST_MADE_OF.format(table=sql.Identifier("crm", kind.table)),
            {
                "tenant_id": tenant_id,
                "record_type": kind.name,
                "digest": digest,
                "positions": list(positions),
                "batch_id": batch_id,
            },
            prepare=False,
        )
        return {each.position: each.record_id for each in await cursor.fetchall()}


async def list_known(
    conn: Conn, kind: RecordType, by: str, keys: Sequence[str], *, tenant_id: UUID
) -> dict[str, list[UUID]]:
    """Return key → the living records that it means; keys that mean none are left out."""
    found: dict[str, list[UUID]] = {}
    if not keys:
        return found
    async with conn.cursor(row_factory=class_row(Known)) as cursor:
        await cursor.execute(
            find_known(kind, by), {"tenant_id": tenant_id, "keys": list(keys)}, prepare=False
        )
        for each in await cursor.fetchall():
            found.setdefault(each.key, []).append(each.record_id)
    return found
