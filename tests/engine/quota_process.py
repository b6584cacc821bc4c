"""A process that calls a LimitedServer from several tasks, under the governor. Run by the quota tests.

Arguments: database URL, port, window in seconds, first guess, tasks, seconds to run, whether headers are
expected, seconds after which a silent process is forgotten, lane.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta

from limited_server import Client

from syncline.connectors.transport import Quota, QuotaFacts
from syncline.engine.lanes import LANES, Lane
from syncline.engine.quota import Governor
from syncline.store.db import Database


def read_facts(headers: dict[str, str]) -> QuotaFacts:
    if "x-max" not in headers:
        return QuotaFacts()
    return QuotaFacts(
        limit=int(headers["x-max"]),
        remaining=int(headers["x-remaining"]),
        window=timedelta(milliseconds=int(headers["x-window-ms"])),
    )


async def call_until(governor: Governor, port: int, end: float, lane: Lane = "incremental") -> int:
    calls = 0
    async with Client.connect(port) as client:
        while time.monotonic() < end:
            slot = await governor.acquire("burst", lane=lane)
            assert slot is not None
            if time.monotonic() >= end:
                slot.unsent()
                break
            status, headers = await client.get()
            calls += 1
            if status == 429:
                slot.refused(None, daily=False)
            else:
                slot.passed(read_facts(headers))
    return calls


async def main() -> None:
    url, port, window, guess, tasks, seconds, has_headers, forget_after, lane_name = sys.argv[1:]
    lane = LANES[[str(each) for each in LANES].index(lane_name)]
    quota = Quota("burst", int(guess), timedelta(seconds=float(window)), has_headers=has_headers == "yes")
    async with (
        Database.open(url, min_size=1, max_size=3) as db,
        Governor(
            db,
            platform="test",
            account_id="a",
            quotas=[quota],
            forget_after_seconds=float(forget_after),
        ) as governor,
    ):
        cpu, end = time.process_time(), time.monotonic() + float(seconds)
        print("ready", flush=True)
        calling = (call_until(governor, int(port), end, lane) for _ in range(int(tasks)))
        calls = sum(await asyncio.gather(*calling))
        print(calls, round(time.process_time() - cpu, 3), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
