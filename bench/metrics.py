"""Measures every metric and the overview of all, at the sizes their bars name.

python bench/metrics.py                     29,000 contacts, 1,000 deals, 2,000 calls
python bench/metrics.py --large             1,000,000 contacts, 100,000 deals, 1,000,000 calls
python bench/metrics.py --database URL --owner URL --app URL    one that was filled before
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from uuid import UUID

from metric_rows import LARGE, SMALL, fill
from syncline import clock
from syncline.actions.hub import Hub
from syncline.actions.metrics import Asked, Filters, list_metrics, read_metric, read_metrics
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.store import migrate
from syncline.store.db import Database
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.location import Location
from syncline.store.tenants import Tenant

TENANT = UUID("00000000-0000-7000-8000-000000000001")


async def measure(work: Callable[[], Awaitable[object]], repeat: int) -> tuple[float, float]:
    """Return median and 95th percentile in ms, after two rounds to warm up."""
    for _ in range(2):
        await work()
    taken: list[float] = []
    for _ in range(repeat):
        started = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return taken[len(taken) // 2], quantiles(taken, n=20)[-1]


async def run(app: str, asked: Asked, filters: Filters, repeat: int) -> None:
    async with Database.open(app, application_name="bench", min_size=4, max_size=8) as db:
        settings = Settings(home=Path(tempfile.gettempdir()))
        tenant = Tenant(TENANT, "default", "Default", "active", "UTC")
        hub = Hub(settings, Location(settings, None), db, tenant)
        caller = Caller(TENANT, "manager", "bench", "cli")
        print(f"{'metric':<28}{'median':>10}{'p95':>10}  ms")
        for metric in list_metrics(caller):
            found = await measure(
                lambda name=metric.name: read_metric(hub, caller, name, asked, filters), repeat
            )
            print(f"{metric.name:<28}{found[0]:>10.1f}{found[1]:>10.1f}", flush=True)
        found = await measure(lambda: read_metrics(hub, caller, asked, filters), repeat)
        print(f"{'all of them':<28}{found[0]:>10.1f}{found[1]:>10.1f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--app", help="a database filled before, as the application")
    parser.add_argument("--period", default="month")
    parser.add_argument("--owner")
    parser.add_argument("--pipeline")
    parser.add_argument("--connection")
    parser.add_argument("--repeat", type=int, default=20)
    given = parser.parse_args()
    filters = Filters(given.owner, given.pipeline, given.connection)
    asked = Asked(given.period)
    if given.app:
        await run(given.app, asked, filters, given.repeat)
        return
    folder = Path(tempfile.mkdtemp(prefix="syncline-bench-", dir=os.environ.get("TMPDIR")))
    folder.chmod(0o711)
    server = EmbeddedServer(folder / "home", idle_seconds=60)
    try:
        urls = await server.start()
        await migrate.upgrade(urls.admin)
        await fill(
            urls.superuser, str(TENANT), LARGE if given.large else SMALL, clock.now().date().isoformat()
        )
        await run(urls.app, asked, filters, given.repeat)
    finally:
        server.close()
        await stop_server(folder / "home")


if __name__ == "__main__":
    asyncio.run(main())
