"""Tables of the dashboard and the state of the syncs come from their indexes, under row-level security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString
from uuid import UUID

import pytest

from syncline.store import dashboard, health, runs
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

#: Two years of deals, three a day, and of runs, ten a day.
ROWS: LiteralString = """
insert into crm.companies (tenant_id, id, name)
select %(t)s, ('00000001-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Company ' || n
from generate_series(0, 99) n;
insert into crm.deals (tenant_id, id, status, amount, company_id, created_at, closed_at)
select %(t)s, gen_random_uuid(), s.status, n,
  ('00000001-0000-7000-8000-' || lpad(to_hex(n %% 100), 12, '0'))::uuid, now(),
  case when s.status <> 'open' then now() - interval '8 hours' * n end
from generate_series(1, 3000) n
cross join lateral (select (array['open', 'won', 'lost'])[1 + n %% 3] as status) s;
insert into sync.connections (tenant_id, id, platform, name, base_url, created_at, updated_at)
values (%(t)s, gen_random_uuid(), 'hubspot', 'main', 'https://crm.example', now(), now());
insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by, requested_at,
  started_at, completed_at, updated_at)
select %(t)s, gen_random_uuid(), c.id, (array['contacts', 'deals'])[1 + n %% 2], 'incremental', 'success',
  'schedule', x.at, x.at, x.at, x.at
from sync.connections c, generate_series(1, 6000) n
cross join lateral (select now() - interval '2 hours' * n as at) x
where c.tenant_id = %(t)s
"""


@pytest.fixture(autouse=True)
async def rows(db: Database, tenant_id: UUID) -> None:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        for statement in ROWS.split(";"):
            await conn.execute(statement, {"t": tenant_id})
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute("select app.refresh_statistics()")


async def plan_of(db: Database, tenant_id: UUID, statement: str, values: Mapping[str, Any]) -> str:
    async with db.transaction(tenant_id=tenant_id) as conn:
        # Small as the tables are here, nothing else would be looked up.
        await conn.execute("set local enable_seqscan = off")
        await conn.execute("set local enable_bitmapscan = off")
        cursor = await conn.execute(
            f"explain (costs off) {statement}".encode(), {"tenant_id": tenant_id, **values}, prepare=False
        )
        return "\n".join(str(row[0]) for row in await cursor.fetchall())


async def test_companies_are_added_up_in_the_order_of_the_index(db: Database, tenant_id: UUID):
    plan = await plan_of(db, tenant_id, dashboard.LIST_COMPANIES, {"owners": None, "limit": 10})
    assert "using deals_open on" in plan, plan
    assert "HashAggregate" not in plan, plan


async def test_win_rates_look_at_no_month_that_is_not_shown(db: Database, tenant_id: UUID):
    plan = await plan_of(db, tenant_id, dashboard.LIST_WIN_RATE, {"owners": None, "limit": 24})
    asked = [line for line in plan.splitlines() if "Index Cond:" in line and "closed_at" in line]
    assert len(asked) == 2, plan  # from one month to the next, and in each
    async with db.transaction(tenant_id=tenant_id) as conn:
        found = await dashboard.list_win_rate(conn, tenant_id=tenant_id, owner_ids=None, limit=3)
    assert len(found) == 3
    assert found == sorted(found, key=lambda each: each.month, reverse=True)


async def test_a_months_win_rate_counts_what_closed_in_it(db: Database, tenant_id: UUID):
    async with db.transaction(tenant_id=tenant_id) as conn:
        found = await dashboard.list_win_rate(conn, tenant_id=tenant_id, owner_ids=None, limit=200)
        cursor = await conn.execute(
            "select date_trunc('month', c.closed_at at time zone 'UTC')::date,"
            " count(*) filter (where c.status = 'won'), count(*) filter (where c.status = 'lost')"
            " from crm.deals c where c.tenant_id = %s and c.status <> 'open' group by 1 order by 1 desc",
            [tenant_id],
        )
        assert [(each.month, each.won, each.lost) for each in found] == await cursor.fetchall()
        assert sum(each.won + each.lost for each in found) == 2000
        none = await dashboard.list_win_rate(conn, tenant_id=tenant_id, owner_ids=[], limit=24)
    assert none != []  # nobody's are everybody's


@pytest.mark.parametrize(
    ("statement", "index"), [(runs.LIST_LATEST, "runs_latest"), (health.LIST_SUCCESSES, "runs_succeeded")]
)
async def test_of_many_runs_only_the_last_ones_are_read(
    db: Database, tenant_id: UUID, statement: str, index: str
):
    plan = await plan_of(db, tenant_id, statement, {})
    assert f"using {index} on" in plan, plan
    assert "Sort" not in plan, plan


async def test_the_last_run_and_the_last_success_of_each_object_are_found(db: Database, tenant_id: UUID):
    async with db.transaction(tenant_id=tenant_id) as conn:
        await conn.execute(
            "update sync.runs set status = 'failed' where tenant_id = %s and object = 'deals'"
            " and requested_at = (select max(requested_at) from sync.runs where object = 'deals')",
            [tenant_id],
        )
        latest = {each.object: each for each in await runs.list_latest(conn, tenant_id=tenant_id)}
        successes = await health.list_successes(conn, tenant_id=tenant_id)
    assert {name: each.status for name, each in latest.items()} == {"contacts": "success", "deals": "failed"}
    by_object = {name: at for (_, name), at in successes.items()}
    assert by_object["contacts"] == latest["contacts"].completed_at
    assert latest["deals"].completed_at is not None
    assert by_object["deals"] < latest["deals"].completed_at
