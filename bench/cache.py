"""Measures what a kept answer saves, what it costs to know that it still holds, and what writers pay for it.

python bench/cache.py             29,000 contacts, 1,000 deals, 2,000 calls
python bench/cache.py --large     1,000,000 contacts, 100,000 deals, 1,000,000 calls
python bench/cache.py --redis redis://localhost:6379/0
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from pydantic import SecretStr

from metric_rows import LARGE, SMALL, fill
from syncline import clock
from syncline.actions.caching import Use, close_cache, using
from syncline.actions.dashboard import read_dashboard
from syncline.actions.gauges import read_gauges
from syncline.actions.hub import Hub
from syncline.actions.metrics import read_metrics
from syncline.actions.records import recall_record
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import new_key
from syncline.store import generations, migrate, sync_metrics
from syncline.store.db import Database
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.location import Location
from syncline.store.tenants import Tenant

TENANT = UUID("00000000-0000-7000-8000-000000000001")
RUNS = """
insert into sync.runs (tenant_id, connection_id, id, object, mode, status, requested_by, requested_at,
  started_at, completed_at, records_updated, updated_at)
select %(tenant)s, c.id, gen_random_uuid(), o, 'webhook', 'success', 'schedule', t, t,
  t + interval '2 seconds', 3, t
from (select id from sync.connections where tenant_id = %(tenant)s limit 1) c,
  unnest(array['contacts', 'deals', 'calls']) o,
  generate_series(now() - interval '10 days', now(), interval '10 days' / 100000) t
"""
UPDATE = "update crm.contacts set job_title = %(text)s where tenant_id = %(tenant)s and id = any(%(ids)s)"
DROP = sql.SQL("drop trigger {trigger} on crm.contacts")


async def measure(name: str, work: Callable[[], Awaitable[object]], repeat: int) -> None:
    for _ in range(3):
        await work()
    taken: list[float] = []
    for _ in range(repeat):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    print(f"{name:<52}{median(taken):>9.2f}{quantiles(taken, n=20)[-1]:>9.2f}", flush=True)


async def answers(hub: Hub, caller: Caller, repeat: int) -> None:
    """Each question worked out, and answered with what was kept."""
    async with hub.db.transaction(tenant_id=TENANT) as conn:
        row = await (await conn.execute("select id from crm.contacts limit 1")).fetchone()
    assert row is not None
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "a contact": lambda: recall_record(hub, caller, "contact", row[0]),
        "the dashboard's figures": lambda: read_dashboard(hub, caller),
        "all metrics": lambda: read_metrics(hub, caller),
    }
    for name, ask in questions.items():

        async def look(*, anew: bool, ask: Callable[[], Awaitable[object]] = ask) -> object:
            with using(Use(may_read=not anew)):
                return await ask()

        await measure(f"{name}, worked out", lambda look=look: look(anew=True), max(5, repeat // 10))
        await measure(f"{name}, kept", lambda look=look: look(anew=False), repeat)


async def states(hub: Hub, repeat: int) -> None:
    async def tokens() -> Any:
        async with hub.db.transaction(tenant_id=TENANT) as conn:
            return await generations.read(conn, tenant_id=TENANT)

    async def figures() -> Any:
        async with hub.db.transaction(tenant_id=TENANT) as conn:
            return await sync_metrics.read(conn, tenant_id=TENANT, now=clock.now())

    await measure("the tokens of all watched tables", tokens, repeat)
    await measure("the nine figures, over 300,000 runs", figures, repeat // 10)
    await measure(
        "everything that Prometheus is told of the database", lambda: read_gauges(hub), repeat // 10
    )


async def writers(superuser: str, repeat: int) -> None:
    """Updates of 2,000 contacts in one statement by a set-based writer, with the triggers and without."""
    async with await psycopg.AsyncConnection.connect(superuser) as conn:
        cursor = await conn.execute("select id from crm.contacts limit 2000")
        ids = [row[0] for row in await cursor.fetchall()]

        async def update() -> None:
            await conn.execute("set local app.bulk = 'on'")
            await conn.execute(UPDATE, {"text": str(time.time()), "tenant": TENANT, "ids": ids})
            await conn.rollback()

        await measure("2,000 contacts updated, changes counted", update, repeat)
        for name in ("a_note_change", "a_note_removal"):
            await conn.execute(DROP.format(trigger=sql.Identifier(name)))
        await conn.commit()
        await measure("2,000 contacts updated, not counted", update, repeat)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--redis")
    parser.add_argument("--repeat", type=int, default=200)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="syncline-bench-", dir=os.environ.get("TMPDIR")))
    folder.chmod(0o711)
    server = EmbeddedServer(folder / "home", idle_seconds=60)
    try:
        urls = await server.start()
        await migrate.upgrade(urls.admin)
        size = LARGE if given.large else SMALL
        await fill(urls.superuser, str(TENANT), size, clock.now().date().isoformat())
        async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
            await conn.execute(RUNS, {"tenant": TENANT})
            await conn.execute("vacuum analyze")
        settings = Settings(
            home=folder,
            secret_key=SecretStr(new_key()),
            redis_url=None if given.redis is None else SecretStr(given.redis),
        )
        tenant = Tenant(TENANT, "default", "Default", "active", "UTC")
        print(f"{'':<52}{'median':>9}{'p95':>9}  ms")
        async with Database.open(urls.app, application_name="bench", min_size=4, max_size=8) as db:
            hub = Hub(settings, Location(settings, None), db, tenant)
            await answers(hub, Caller(TENANT, "manager", "bench", "api"), given.repeat)
            await states(hub, given.repeat)
            await close_cache(db)
        await writers(urls.superuser, 30)
    finally:
        server.close()
        await stop_server(folder / "home")


if __name__ == "__main__":
    asyncio.run(main())
