"""Measures a first load of a simulated Pipedrive against the floor, and against what its quota allows.

Ratios within one run are what counts; absolute figures are this machine's. How it is measured: contest.py.

    make bench-pipedrive           the tables of docs/benchmarks.md
    make bench-pipedrive ARGS="--persons 2000 --repeat 1 --no-write"
"""

from __future__ import annotations

import argparse
import asyncio

from contest import RESULTS, Bench, Contest, Result, on_postgres, table, write

CONTEST = Contest(
    platform="pipedrive",
    objects=("organizations", "persons", "deals"),
    token_variable="PIPEDRIVE_API_TOKEN",
    account="account_pipedrive.py",
    scripts={"floor": "floor_pipedrive.py"},
    settle_seconds=3,
)
PAGE = 500
#: The smallest plan's calls, in so many seconds.
RATE, WINDOW_SECONDS = 20, 2.0
LATENCY_MS = 150


def quota_seconds(persons: int) -> tuple[int, float]:
    """Return the pages there are, and how long they take at the quota's rate, as if it dripped evenly."""
    pages = -(-persons // PAGE) + 2 * -(-(persons // 4) // PAGE)
    return pages, pages * WINDOW_SECONDS / RATE


def tell_quota(results: list[Result], persons: int) -> str:
    pages, seconds = quota_seconds(persons)
    ours = next((each for each in results if each.who == "syncline"), None)
    if ours is None:
        return ""
    return (
        f"The {pages} pages at {RATE} calls per {WINDOW_SECONDS:.0f} s are {seconds:.1f} s of quota: Syncline"
        f" takes {ours.wall_seconds / seconds:.2f} times that. With the {ours.calls - pages} calls that it"
        f" makes besides they are {ours.calls * WINDOW_SECONDS / RATE:.1f} s:"
        f" {ours.wall_seconds * RATE / WINDOW_SECONDS / ours.calls:.2f} times.\n"
    )


async def compare(bench: Bench, persons: int) -> str:
    title = f"{persons:,} persons, {persons // 4:,} organizations, {persons // 4:,} deals"
    quick = await bench.compare(persons)
    slow = await bench.compare(persons, latency_ms=LATENCY_MS, rate=RATE)
    limits = f"{LATENCY_MS} ms latency, {RATE} calls per {WINDOW_SECONDS:.0f} s"
    return "\n".join(
        [
            table(f"{title}; no latency, no quota", quick, tokens=True),
            table(f"{title}; {limits}", slow, tokens=True),
            tell_quota(slow, persons),
        ]
    )


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--persons", type=int, default=20_000)
    parser.add_argument("--only", default="floor,syncline")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--no-write", action="store_true", help=f"print only; leave {RESULTS.name} alone")
    options = parser.parse_args()
    async with on_postgres(CONTEST, options.only.split(","), options.repeat) as bench:
        text = await compare(bench, options.persons)
    print(text)
    if not options.no_write:
        write(text, "make bench-pipedrive")


asyncio.run(main())
