"""Measures every metric and the page of all of them, at the sizes their bars name.

python bench/metrics.py                      29,000 contacts, 1,000 deals, 2,000 calls
python bench/metrics.py --large              1,000,000 contacts, 100,000 deals, 1,000,000 calls
python bench/metrics.py --large --keep FOLDER   the same, keeping the database for the next time

What is measured is the action behind pages, API and commands, as the application, without the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import quantiles

from contest import write
from filled import Filled, add_options, chosen_size, describe, filled, load
from metric_rows import SMALL, TENANT, Size
from syncline.actions.hub import Hub
from syncline.actions.metrics import Asked, Filters, list_metrics, read_metric, read_metrics
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.store.db import Database
from syncline.store.location import Location
from syncline.store.tenants import Tenant

#: For one metric up to the small size, and beyond; and for all of them at any.
SMALL_BAR_MS, LARGE_BAR_MS, ALL_BAR_MS = 100, 250, 300


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    bar_ms: int
    p50_ms: float
    p95_ms: float

    def row(self) -> str:
        met = "met" if self.p95_ms < self.bar_ms else "missed"
        return f"| {self.name} | {self.bar_ms} | {self.p50_ms:.1f} | {self.p95_ms:.1f} | {met} |"


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


async def measure_all(base: Filled, asked: Asked, filters: Filters, repeat: int) -> list[Figure]:
    bar = SMALL_BAR_MS if base.size.contacts <= SMALL.contacts else LARGE_BAR_MS
    figures: list[Figure] = []
    async with Database.open(base.urls.app, application_name="bench", min_size=4, max_size=8) as db:
        settings = Settings(home=base.home, _env_file=None)  # type: ignore[call-arg]
        tenant = Tenant(TENANT, "default", "Default", "active", "UTC")
        hub = Hub(settings, Location(settings, None), db, tenant)
        caller = Caller(TENANT, "manager", "bench", "cli")
        for metric in list_metrics(caller):
            found = await measure(
                lambda name=metric.name: read_metric(hub, caller, name, asked, filters), repeat
            )
            figures.append(Figure(f"`{metric.name}`", bar, *found))
            print(figures[-1].row(), flush=True)
        found = await measure(lambda: read_metrics(hub, caller, asked, filters), repeat)
        figures.append(Figure(f"all {len(figures)} at once", ALL_BAR_MS, *found))
        print(figures[-1].row(), flush=True)
    return figures


def tell(size: Size, period: str, figures: list[Figure], busy: str) -> str:
    return "\n".join(
        [
            f"### Metrics of a {period} at {describe(size)}",
            "",
            f"Load of the machine: {busy}.",
            "",
            "| | bar ms | p50 ms | p95 ms | |",
            "|---|---|---|---|---|",
            *(each.row() for each in figures),
            "",
        ]
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--period", default="month")
    parser.add_argument("--owner")
    parser.add_argument("--pipeline")
    parser.add_argument("--connection")
    parser.add_argument("--repeat", type=int, default=40)
    given = parser.parse_args()
    filters = Filters(given.owner, given.pipeline, given.connection)
    size = chosen_size(given)
    async with filled(size, given.keep) as base:
        figures = await measure_all(base, Asked(given.period), filters, given.repeat)
        busy = load()
    if not given.no_write:
        made_by = "make bench-metrics" + (" ARGS=--large" if given.large else "")
        write(tell(size, given.period, figures, busy), made_by)


if __name__ == "__main__":
    asyncio.run(main())
