"""Exchange rates: what one unit of a currency was worth in another, from a day on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit of `from_currency` is `rate` units of `to_currency`, until a later day has another rate."""

    from_currency: str
    to_currency: str
    valid_on: date
    rate: Decimal


PUT = """
insert into crm.exchange_rates as r (tenant_id, from_currency, to_currency, valid_on, rate, given_at,
  given_by)
select %(tenant_id)s, n.from_currency, n.to_currency, n.valid_on, n.rate, %(now)s, %(by)s
from unnest(%(froms)s::text[], %(tos)s::text[], %(days)s::date[], %(rates)s::numeric[])
  as n (from_currency, to_currency, valid_on, rate)
on conflict on constraint exchange_rates_pkey do update
  set rate = excluded.rate, given_at = excluded.given_at, given_by = excluded.given_by
where r.rate <> excluded.rate
"""


async def put(conn: Conn, rates: Sequence[Rate], *, tenant_id: UUID, now: datetime, by: str) -> int:
    """Store rates, one a day and pair; returns how many were new or other than before."""
    cursor = await conn.execute(
        PUT,
        {
            "tenant_id": tenant_id,
            "froms": [each.from_currency for each in rates],
            "tos": [each.to_currency for each in rates],
            "days": [each.valid_on for each in rates],
            "rates": [each.rate for each in rates],
            "now": now,
            "by": by,
        },
    )
    return cursor.rowcount


LIST = """
select r.from_currency, r.to_currency, r.valid_on, r.rate
from crm.exchange_rates r
where r.tenant_id = %(tenant_id)s
  and (%(currency)s::text is null or %(currency)s in (r.from_currency, r.to_currency))
order by r.valid_on desc, r.from_currency, r.to_currency
limit %(limit)s
"""


async def list_all(conn: Conn, *, tenant_id: UUID, currency: str | None, limit: int) -> list[Rate]:
    """Return rates, the latest day first; of one currency, or of all."""
    async with conn.cursor(row_factory=class_row(Rate)) as cursor:
        await cursor.execute(
            LIST, {"tenant_id": tenant_id, "currency": currency, "limit": limit}, prepare=False
        )
        return await cursor.fetchall()


REMOVE = """
delete from crm.exchange_rates r
where r.tenant_id = %(tenant_id)s and r.from_currency = %(from_currency)s and r.to_currency = %(to_currency)s
  and r.valid_on = %(valid_on)s
"""


async def remove(
    conn: Conn, from_currency: str, to_currency: str, valid_on: date, *, tenant_id: UUID
) -> bool:
    cursor = await conn.execute(
        REMOVE,
        {
            "tenant_id": tenant_id,
            "from_currency": from_currency,
            "to_currency": to_currency,
            "valid_on": valid_on,
        },
    )
    return cursor.rowcount == 1
