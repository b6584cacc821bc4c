"""Existing records that rows of a file mean: by id, by address, by domain, by name. Many at once."""

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


def knows(kind: str, by: str) -> bool:
    """Whether records of a kind are known by something."""
    return (kind, by) in _KEYS


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
