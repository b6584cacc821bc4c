"""Measures Syncline against the floor and against a script with the vendor's SDK, all in one run.

Ratios within one run are what counts; absolute figures are this machine's. How it is measured: contest.py.

    make bench                     the tables of docs/benchmarks.md
    make bench ARGS="--contacts 2900 --only floor,syncline --no-write"
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from contest import RESULTS, Bench, Contest, measure, on_postgres, run_seconds, simulate, table, write

CONTEST = Contest(
    platform="hubspot",
    objects=("contacts", "deals", "calls"),
    token_variable="HUBSPOT_API_KEY",
    account="account.py",
    scripts={"floor": "floor.py", "sdk": "sdk_script.py"},
)


async def follow(bench: Bench, contacts: int) -> str:
    """Measure what comes after the first load: 200 changes, and none at all."""
    command = [sys.executable, "-m", "syncline", "sync", "bench", "--json", "--object", "contacts"]
    server = bench.server_pid
    async with bench.database() as name:
        with simulate(contacts, latency_ms=0, rate=0) as account:
            settings = await bench.set_up(name, account)
            measure("load", command[:-2], settings, account, server)
            await asyncio.sleep(5)  # past the overlap and the second look at what came late
            measure("settle", command, settings, account, server)
            account.control("touch", {"object": "contacts", "count": 200, "properties": {"city": "Bern"}})
            changed = measure("changed", command, settings, account, server)
            await asyncio.sleep(5)
            measure("settle", command, settings, account, server)
            before = await bench.count_writes(name)
            idle = measure("idle", command, settings, account, server)
            await asyncio.sleep(2)  # statistics reach the view a second after the transaction
            written = await bench.count_writes(name) - before
    return (
        f"After 200 of {contacts:,} contacts changed, a sync makes {changed.calls} calls and takes"
        f" {run_seconds(changed.output):.2f} s ({changed.wall_seconds:.2f} s with the start of the"
        f" command). When nothing changed it makes {idle.calls} calls and writes {written} rows of"
        " records, payloads, links and the change log.\n"
    )


async def compare(bench: Bench, options: argparse.Namespace, only: list[str]) -> list[str]:
    title = f"{options.contacts:,} contacts, 1,000 deals, 2,000 calls"
    results = await bench.compare(options.contacts)
    parts = [table(f"{title}; no latency, no quota", results)]
    small = await bench.narrowed(["syncline"]).compare(
        options.contacts, environment={"SYNCLINE_CHUNK_ROWS": "500"}
    )
    whole = next((each for each in results if each.who == "syncline"), None)
    if whole:
        seconds = small[0].wall_seconds
        parts.append(
            "In chunks of 500 rows instead of 2,000 the same load takes"
            f" {seconds / whole.wall_seconds:.2f} times as long ({seconds:.2f} s).\n"
        )
    if "syncline" in only:
        parts.append(await follow(bench, options.contacts))
    if not options.skip_quota:
        slow = await bench.narrowed(repeat=1).compare(options.contacts, latency_ms=150, rate=190)
        parts.append(table(f"{title}; 150 ms latency, 190 calls per 10 s", slow))
    if options.large:
        large = await bench.narrowed(["syncline"], repeat=1).compare(290_000)
        parts.append(table("290,000 contacts, 1,000 deals, 2,000 calls; no latency, no quota", large))
    return parts


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contacts", type=int, default=29_000)
    parser.add_argument("--only", default="floor,sdk,syncline")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument(
        "--skip-quota", action="store_true", help="leave out the runs at 150 ms and 190 per 10 s"
    )
    parser.add_argument("--large", action="store_true", help="also 290,000 contacts, for the memory")
    parser.add_argument("--no-write", action="store_true", help=f"print only; leave {RESULTS.name} alone")
    options = parser.parse_args()
    only = options.only.split(",")
    async with on_postgres(CONTEST, only, options.repeat) as bench:
        text = "\n".join(await compare(bench, options, only))
    print(text)
    if not options.no_write:
        write(text, "make bench")


if __name__ == "__main__":
    asyncio.run(main())
