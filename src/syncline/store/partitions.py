"""The change log's partitions, one per month, made before the month begins."""

from __future__ import annotations

from datetime import date, datetime

from psycopg.rows import scalar_row

from syncline.store.db import Conn

ENSURE = "select crm.ensure_change_log_partitions(%(month)s::date, 3)"


async def ensure(conn: Conn, at: datetime) -> int:
    """Make the partitions for the month of `at` and the next two; return how many were missing."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(ENSURE, {"month": at.date().replace(day=1)})
        return await cursor.fetchone() or 0


LIST_MISSING = """
select to_char(m.month, 'YYYY-MM') from unnest(%(months)s::date[]) as m (month)
where to_regclass('crm.change_log_' || to_char(m.month, 'YYYY_MM')) is null
order by 1
"""


async def list_missing(conn: Conn, months: list[date]) -> list[str]:
    """Return which of the months, given by their first days, have no partition, as `2026-11`."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_MISSING, {"months": months})
        return await cursor.fetchall()
