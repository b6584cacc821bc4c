"""Who a person is here: the contacts they are, what was done with them, and how they were known over time."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from syncline.domain.subject import Ref
from syncline.store.db import Conn
from syncline.store.payloads import Table

# A merge leaves the lost row behind: whoever is one of them is all of them.
LIST_CONTACTS = """
with recursive merged (id, into_id) as materialized (
  select c.id, c.merged_into from crm.contacts c
  where c.tenant_id = %(tenant_id)s and c.merged_into is not null
), family (id) as (
  select c.id from crm.contacts c
  where c.tenant_id = %(tenant_id)s
    and (c.id = any(%(ids)s::uuid[]) or c.email_norm = any(%(emails)s::text[]))
  union
  select case when m.id = f.id then m.into_id else m.id end
  from family f join merged m on m.id = f.id or m.into_id = f.id
)
select id from family order by id
"""


async def list_contacts(
    conn: Conn, ids: Sequence[UUID], emails: Sequence[str], *, tenant_id: UUID
) -> list[UUID]:
    """Return the contacts with one of these ids or addresses (lower case), and all merged with them."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_CONTACTS, {"tenant_id": tenant_id, "ids": list(ids), "emails": list(emails)}
        )
        return await cursor.fetchall()


LIST_ACTIVITIES = """
select a.id from crm.activities a
where a.tenant_id = %(tenant_id)s and a.contact_id = any(%(contact_ids)s::uuid[])
union
select a.id from crm.activities a
where a.tenant_id = %(tenant_id)s and a.phone_e164 = any(%(phones)s::text[]) and a.type = 'call'
  and a.contact_id is null
"""
LIST_TASKS = """
select t.id from crm.tasks t
where t.tenant_id = %(tenant_id)s and t.contact_id = any(%(contact_ids)s::uuid[])
"""


async def list_activities(
    conn: Conn, contact_ids: Sequence[UUID], phones: Sequence[str], *, tenant_id: UUID
) -> list[UUID]:
    """Return what was done with contacts, and calls of their numbers that are nobody's."""
    return await _ids(conn, LIST_ACTIVITIES, contact_ids, tenant_id, phones)


async def list_tasks(conn: Conn, contact_ids: Sequence[UUID], *, tenant_id: UUID) -> list[UUID]:
    return await _ids(conn, LIST_TASKS, contact_ids, tenant_id)


async def _ids(
    conn: Conn, statement: str, contact_ids: Sequence[UUID], tenant_id: UUID, phones: Sequence[str] = ()
) -> list[UUID]:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            statement.encode(),
            {"tenant_id": tenant_id, "contact_ids": list(contact_ids), "phones": list(phones)},
        )
        return await cursor.fetchall()


# What stands in the row now, and what stood there once.
LIST_TEXTS = """
select 'email' as field, c.email as value from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]) and c.email is not null
union
select f.field, f.value from crm.contacts c
cross join lateral (values ('phone', c.phone), ('phone', c.phone_e164)) f (field, value)
where c.tenant_id = %(tenant_id)s and c.id = any(%(ids)s::uuid[]) and f.value is not null
union
select k.field, v.value #>> '{}' from crm.change_log l
cross join (values ('email'), ('phone')) k (field)
cross join lateral jsonb_array_elements(case when jsonb_typeof(l.changes -> k.field) = 'array'
                                             then l.changes -> k.field else '[]' end) v (value)
where l.tenant_id = %(tenant_id)s and l.record_id = any(%(ids)s::uuid[]) and l.record_type = 'contact'
  and jsonb_typeof(v.value) = 'string'
"""


async def list_texts(conn: Conn, ids: Sequence[UUID], *, tenant_id: UUID) -> tuple[set[str], set[str]]:
    """Return the addresses (lower case) and the numbers (as written) that contacts have, or once had."""
    cursor = await conn.execute(LIST_TEXTS, {"tenant_id": tenant_id, "ids": list(ids)})
    emails: set[str] = set()
    numbers: set[str] = set()
    for field, value in await cursor.fetchall():
        if field == "email":
            emails.add(str(value).strip().lower())
        else:
            numbers.add(str(value).strip())
    return emails - {""}, numbers - {""}


# An address that a contact once had may be somebody else's by now; a line may be an office's.
LIST_TAKEN_EMAILS = """
select c.email_norm, false as is_colleague from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.email_norm = any(%(values)s::text[]) and c.archived_at is null
  and c.merged_into is null and c.id <> all(%(ids)s::uuid[])
union
select o.email_norm, true from crm.owners o
where o.tenant_id = %(tenant_id)s and o.email_norm = any(%(values)s::text[])
"""
LIST_TAKEN_PHONES = """
select c.phone_e164 from crm.contacts c
where c.tenant_id = %(tenant_id)s and c.phone_e164 = any(%(values)s::text[]) and c.archived_at is null
  and c.merged_into is null and c.id <> all(%(ids)s::uuid[])
union
select o.phone_e164 from crm.companies o
where o.tenant_id = %(tenant_id)s and o.phone_e164 = any(%(values)s::text[])
"""


async def list_taken_emails(
    conn: Conn, emails: Sequence[str], ids: Sequence[UUID], *, tenant_id: UUID
) -> tuple[set[str], set[str]]:
    """Return those of `emails` that other living contacts have, and those that colleagues have."""
    values = {"tenant_id": tenant_id, "values": list(emails), "ids": list(ids)}
    cursor = await conn.execute(LIST_TAKEN_EMAILS, values)
    rows = await cursor.fetchall()
    return {row[0] for row in rows if not row[1]}, {row[0] for row in rows if row[1]}


async def list_taken_phones(
    conn: Conn, phones: Sequence[str], ids: Sequence[UUID], *, tenant_id: UUID
) -> set[str]:
    """Return those of `phones` that somebody else has: a living contact, or a company."""
    values = {"tenant_id": tenant_id, "values": list(phones), "ids": list(ids)}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_TAKEN_PHONES, values)
        return set(await cursor.fetchall())


LIST_REFS = """
select l.connection_id, l.object, l.remote_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.record_id = any(%(record_ids)s::uuid[])
"""


async def list_refs(conn: Conn, record_ids: Sequence[UUID], *, tenant_id: UUID) -> list[Ref]:
    """Return the remote records that records are linked to."""
    cursor = await conn.execute(LIST_REFS, {"tenant_id": tenant_id, "record_ids": list(record_ids)})
    return [Ref(*row) for row in await cursor.fetchall()]


LIST_LINKED = """
select distinct l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.record_type = 'contact'
  and (l.connection_id, l.object, l.remote_id) in (
    select s.connection_id, s.object, s.remote_id
    from unnest(%(connection_ids)s::uuid[], %(objects)s::text[], %(remote_ids)s::text[])
      as s (connection_id, object, remote_id))
"""


async def list_linked(conn: Conn, refs: Sequence[Ref], *, tenant_id: UUID) -> list[UUID]:
    """Return the contacts that remote records are linked to."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_LINKED,
            {
                "tenant_id": tenant_id,
                "connection_ids": [each.connection_id for each in refs],
                "objects": [each.object for each in refs],
                "remote_ids": [each.remote_id for each in refs],
            },
        )
        return await cursor.fetchall()


IS_MIRRORED = sql.SQL("""
select exists (select from {table} r
               where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
                 and r.remote_id = %(remote_id)s)
""")


async def is_mirrored(conn: Conn, table: Table, ref: Ref, *, tenant_id: UUID) -> bool:
    values = {"tenant_id": tenant_id, "connection_id": ref.connection_id, "remote_id": ref.remote_id}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(IS_MIRRORED.format(table=table), values)
        return bool(await cursor.fetchone())


LIST_PAYLOADS = sql.SQL("""
select r.raw::text from {table} r
where r.tenant_id = %(tenant_id)s and r.connection_id = %(connection_id)s
  and r.remote_id = any(%(remote_ids)s::text[])
""")


async def list_payloads(
    conn: Conn, table: Table, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID
) -> list[str]:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_PAYLOADS.format(table=table),
            {"tenant_id": tenant_id, "connection_id": connection_id, "remote_ids": list(remote_ids)},
        )
        return await cursor.fetchall()


# A mirror of them that is linked to nobody else: archived, filtered out, or parked. Reads the whole table.
LIST_UNLINKED = sql.SQL("""
select r.connection_id, %(object)s::text, r.remote_id from {table} r
where r.tenant_id = %(tenant_id)s and app.mentions(r.raw::text, %(needles)s::text[], %(patterns)s::text[])
  and not exists (select from sync.links l
                  where l.tenant_id = %(tenant_id)s and l.connection_id = r.connection_id
                    and l.object = %(object)s and l.remote_id = r.remote_id
                    and l.record_id <> all(%(contact_ids)s::uuid[]))
""")


async def list_unlinked(
    conn: Conn,
    table: Table,
    *,
    tenant_id: UUID,
    object_name: str,
    contact_ids: Sequence[UUID],
    texts: Sequence[str],
    patterns: Sequence[str],
) -> list[Ref]:
    """Return the payloads of persons that hold an address, and are of no other contact."""
    cursor = await conn.execute(
        LIST_UNLINKED.format(table=table),
        {
            "tenant_id": tenant_id,
            "object": object_name,
            "contact_ids": list(contact_ids),
            "needles": list(texts),
            "patterns": list(patterns),
        },
        prepare=False,
    )
    return [Ref(*row) for row in await cursor.fetchall()]


COUNT_NAMED_DEALS = """
select count(*) from crm.deals d
join crm.contacts c on c.tenant_id = %(tenant_id)s and c.id = d.contact_id
where d.tenant_id = %(tenant_id)s and d.contact_id = any(%(contact_ids)s::uuid[])
  and char_length(c.full_name) > 3 and strpos(lower(d.name), lower(c.full_name)) > 0
"""


async def count_named_deals(conn: Conn, contact_ids: Sequence[UUID], *, tenant_id: UUID) -> int:
    """Return how many deals have a contact's name in their own."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(COUNT_NAMED_DEALS, {"tenant_id": tenant_id, "contact_ids": list(contact_ids)})
        return await cursor.fetchone() or 0
