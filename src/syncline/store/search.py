"""Records found by what somebody types: words of their names, an address as it begins, a telephone number.

Returns ids only, and never more than asked for; which of them are shown, and how, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.records import RecordType
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose records are looked through."""

    tenant_id: UUID
    #: Owners whose records are seen beside those of nobody; None for all.
    owner_ids: Sequence[UUID] | None = None
    #: True for records that were archived, False for those that live.
    archived: bool = False

    def parameters(self) -> dict[str, object]:
        owners = None if self.owner_ids is None else list(self.owner_ids)
        return {"tenant_id": self.tenant_id, "owners": owners, "archived": self.archived}


FIND_BY_WORDS = """
select f.id from crm.find_by_words(%(tenant_id)s::uuid, %(kind)s, %(words)s::text[], %(owners)s::uuid[],
  %(archived)s, %(limit)s) as f (id)
"""


async def find_by_words(conn: Conn, kind: str, words: Sequence[str], seen: Seen, *, limit: int) -> list[UUID]:
    """Return records in whose name each word begins one; in no order."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FIND_BY_WORDS,
            seen.parameters() | {"kind": kind, "words": list(words), "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()


_SEEN = """
  and (c.archived_at is not null) = %(archived)s and c.merged_into is null
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
"""

FIND_BY_ADDRESS = (
    """
select c.id from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.email_norm collate "C" >= %(begin)s
  and c.email_norm collate "C" < %(end)s and (%(archived)s or c.archived_at is null)
"""
    + _SEEN
    + 'order by c.email_norm collate "C" limit %(limit)s'
)


async def find_by_address(conn: Conn, text: str, seen: Seen, *, limit: int) -> list[UUID]:
    """Return contacts whose address begins with a text, in the order of their addresses."""
    begin = text.strip().lower()
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FIND_BY_ADDRESS,
            seen.parameters() | {"begin": begin, "end": begin + chr(0x10FFFF), "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()


FIND_BY_NAME = sql.SQL("""
select c.id from {table} c
where c.tenant_id = %(tenant_id)s and c.sort_name >= %(begin)s and c.sort_name < %(end)s
  and (%(archived)s or c.archived_at is null)
  and (c.archived_at is not null) = %(archived)s and c.merged_into is null
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
order by c.sort_name limit %(limit)s
""")
_NAMED = ("company", "contact", "deal")


async def find_by_name(conn: Conn, kind: RecordType, text: str, seen: Seen, *, limit: int) -> list[UUID]:
    """Return companies, contacts or deals whose name begins with a text, by name; of other kinds none."""
    if kind.name not in _NAMED:
        return []
    begin = text.strip().lower()
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            FIND_BY_NAME.format(table=sql.Identifier("crm", kind.table)),
            seen.parameters() | {"begin": begin, "end": begin + chr(0x10FFFF), "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()


FIND_BY_PHONE = sql.SQL("""
select c.id from {table} c
where c.tenant_id = %(tenant_id)s and c.phone_e164 = %(number)s{of_calls}
  and (c.archived_at is not null) = %(archived)s and c.merged_into is null
  and (%(owners)s::uuid[] is null or c.owner_id is null or c.owner_id = any(%(owners)s::uuid[]))
order by c.id desc limit %(limit)s
""")


async def find_by_phone(conn: Conn, kind: RecordType, number: str, seen: Seen, *, limit: int) -> list[UUID]:
    """Return records with a telephone number in E.164, the newest first."""
    statement = FIND_BY_PHONE.format(
        table=sql.Identifier("crm", kind.table),
        # Only calls have their numbers in an index.
        of_calls=sql.SQL(" and c.type = 'call'" if kind.name == "activity" else ""),
    )
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(statement, seen.parameters() | {"number": number, "limit": limit}, prepare=False)
        return await cursor.fetchall()


FIND_OWNERS = """
select c.id from crm.owners c
where c.tenant_id = %(tenant_id)s and (c.archived_at is not null) = %(archived)s and c.merged_into is null
  and (position(lower(%(text)s) in lower(coalesce(c.name, ''))) > 0
       or position(lower(%(text)s) in c.email_norm) > 0)
order by c.name limit %(limit)s
"""


async def find_owners(conn: Conn, text: str, seen: Seen, *, limit: int) -> list[UUID]:
    """Return owners in whose name or address a text occurs. They are few, and seen by everybody."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_OWNERS, seen.parameters() | {"text": text.strip(), "limit": limit})
        return await cursor.fetchall()
