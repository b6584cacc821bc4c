"""Reports ask their indexes by what they look for: row-level security lets only what is leakproof through."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, LiteralString
from uuid import UUID

import pytest
from psycopg import sql

from syncline.store.db import Database
from syncline.store.reports import REPORTS

pytestmark = pytest.mark.anyio

BEGIN, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "currency": "EUR",
    "home_currency": "EUR",
    **dict.fromkeys(("seen", "owners", "pipeline", "connection")),
    "now_at": END,
    "edges": [BEGIN, END],
    "from_at": BEGIN,
    "to_at": END,
    "moments": [BEGIN, END],
    "first_at": BEGIN,
    "last_at": END,
    "is_now": True,
    **{name: ["x"] for name in ("qualified", "unqualified", "no_trial", "retained", "cancelled")},
    "limit": 10,
}
#: Report → what an index must be asked by.
EXPECTED = {
    "total_sales": "closed_at >=",
    "win_rate": "closed_at >=",
    "new_contacts": "created_at >=",
    "conversion_rate": "created_at >=",
    "vsl_watch_rate": "created_at >=",
    "sales_script_performance": "created_at >=",
    "time_to_first_contact": "occurred_at >=",
    "trial_rate": "created_at >=",
    "total_calls": "occurred_at >=",
    "five_minute_rate": "occurred_at >=",
    "recent_activities": "occurred_at <=",
}


#: Three years of records, three a day; of history only what had ended long before.
ROWS: LiteralString = """
insert into crm.contacts (tenant_id, id, created_at)
select %(tenant_id)s, gen_random_uuid(), %(end)s::timestamptz - interval '8 hours' * n
from generate_series(1, 3000) n;
insert into crm.deals (tenant_id, id, status, created_at, closed_at)
select %(tenant_id)s, gen_random_uuid(), (array['open', 'won', 'lost'])[1 + n %% 3], x.at, x.at
from generate_series(1, 3000) n
cross join lateral (select %(end)s::timestamptz - interval '8 hours' * n as at) x;
insert into crm.activities (tenant_id, id, type, direction, phone_e164, occurred_at, created_at)
select %(tenant_id)s, gen_random_uuid(), 'call', 'outbound', '+15550001234', x.at, x.at
from generate_series(1, 3000) n
cross join lateral (select %(end)s::timestamptz - interval '8 hours' * n as at) x;
insert into crm.field_history (tenant_id, record_type, record_id, field, valid_from, valid_to, value, source)
select %(tenant_id)s, 'deal', gen_random_uuid(), f, %(end)s::timestamptz - interval '90 days',
  %(end)s::timestamptz - interval '40 days', 'new', 'crm'
from generate_series(1, 3000) n cross join unnest(array['stage', 'amount']) f
"""


@pytest.fixture(autouse=True)
async def rows(db: Database, tenant_id: UUID) -> None:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        for statement in ROWS.split(";"):
            await conn.execute(statement, {"tenant_id": tenant_id, "end": END})
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute("select app.refresh_statistics()")


async def plan_of(db: Database, tenant_id: UUID, name: str) -> list[str]:
    report = REPORTS[name]
    values = VALUES | {"tenant_id": tenant_id}
    async with db.transaction(tenant_id=tenant_id) as conn:
        # Small as the tables are here, nothing else would be looked up.
        await conn.execute("set local enable_seqscan = off")
        await conn.execute("set local enable_bitmapscan = off")
        explain = sql.SQL("explain (costs off) ") + sql.SQL(report.statement)  # type: ignore[arg-type]
        cursor = await conn.execute(
            explain, {each: values[each] for each in report.parameters}, prepare=False
        )
        return [str(row[0]).strip() for row in await cursor.fetchall()]


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_report_asks_an_index_for_its_period(db: Database, tenant_id: UUID, name: str):
    lines = await plan_of(db, tenant_id, name)
    asked = [line for line in lines if line.startswith("Index Cond:")]
    assert any(EXPECTED[name] in line for line in asked), "\n".join(lines)


async def test_the_past_is_asked_for_what_had_not_ended(db: Database, tenant_id: UUID):
    for name in ("pipeline_value", "deals_by_stage"):
        lines = await plan_of(db, tenant_id, name)
        asked = [
            condition
            for line, condition in pairwise(lines)
            if "using field_history_until on" in line and "CASE WHEN (valid_to IS NULL)" in condition
        ]
        assert len(asked) == 2, "\n".join(lines)  # stages, and amounts


async def test_rates_are_looked_up_by_currency_and_day(db: Database, tenant_id: UUID):
    lines = await plan_of(db, tenant_id, "total_sales")
    asked = next(condition for line, condition in pairwise(lines) if "exchange_rates_pkey" in line)
    assert "from_currency =" in asked
    assert "valid_on <=" in asked
