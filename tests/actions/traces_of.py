"""What stands in the database about somebody, wherever it is: every table as text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from syncline.actions.hub import Hub

Admin = psycopg.AsyncConnection[Any]


async def dump(admin: Admin) -> dict[str, str]:
    """Return everything that stands in any table, as text; bytes as hexadecimal digits."""
    cursor = await admin.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('app', 'crm', 'sync', 'raw', 'jobs') and c.relkind = 'r'"
    )
    found: dict[str, str] = {}
    for schema, table in await cursor.fetchall():
        rows = await admin.execute(
            sql.SQL("select coalesce(string_agg(t::text, E'\\n'), '') from {} t").format(
                sql.Identifier(schema, table)
            )
        )
        row = await rows.fetchone()
        found[f"{schema}.{table}"] = str(row[0]) if row else ""
    return found


async def where(admin: Admin, text: str) -> list[str]:
    """Return the tables that hold a text, in whatever case."""
    return sorted(name for name, told in (await dump(admin)).items() if text.lower() in told.lower())


async def somebody(admin: Admin, hub: Hub) -> tuple[UUID, str, str]:
    """Return a contact with calls and a line of their own: id, address, number."""
    cursor = await admin.execute(
        "select c.id, c.email_norm, c.phone_e164 from crm.contacts c"
        " join crm.activities a on a.tenant_id = c.tenant_id and a.contact_id = c.id and a.type = 'call'"
        "   and a.body is not null"
        " where c.tenant_id = %s and c.email_norm is not null and c.phone_e164 is not null"
        " and (select count(*) from crm.contacts o"
        "      where o.tenant_id = c.tenant_id and o.phone_e164 = c.phone_e164) = 1 order by 1 limit 1",
        [hub.tenant_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    return row
