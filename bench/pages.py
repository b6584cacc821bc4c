"""Pages and API as people ask for them: over HTTP, of a `syncline web` process, beside years of a company.

python bench/pages.py                        29,000 contacts
python bench/pages.py --large                1,000,000 contacts
python bench/pages.py --large --keep FOLDER  the same, keeping the database for the next time
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from contest import write
from filled import Filled, add_options, chosen_size, describe, filled, load
from syncline.actions.access import sign_in
from syncline.actions.hub import open_hub
from syncline.actions.people import add_person
from syncline.api.calls import SESSION_COOKIES
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.errors import AlreadyExists

PASSWORD, WHO = "correct horse battery staple", "maria@example.com"
KEY = "A" * 43 + "="


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    #: 95 % of the answers are to be here by then.
    bar_ms: int


ASKED = (
    Asked("/api/dashboard/stats", 100),
    Asked("/api/v1/subscriptions", 100),
    Asked("/api/v1/contacts", 100),
    Asked("/api/v1/deals?sort=-amount", 100),
    Asked("/api/v1/syncs", 100),
    Asked("/api/v1/metrics/values?period=month", 300),
    Asked("/api/v1/metrics/pipeline_value?period=month", 250),
    Asked("/api/v1/reports/revenue_forecast", 250),
    Asked("/", 300),
    Asked("/syncs", 300),
    Asked("/runs", 300),
    Asked("/sales-pipeline", 300),
    Asked("/dashboard", 300),
    Asked("/parts/dashboard", 300),
    Asked("/dashboard/pipeline_value", 300),
    Asked("/dashboard/pipeline", 300),
    Asked("/dashboard/forecast", 300),
    Asked("/dashboard/activity", 300),
    Asked("/dashboard/sync", 300),
    Asked("/contacts", 300),
    Asked("/deals", 300),
)


@dataclass(frozen=True, slots=True)
class Figure:
    p50_ms: float
    p95_ms: float


def environment(base: Filled, cache_mb: int) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SYNCLINE_")},
        "SYNCLINE_HOME": str(base.home),
        "SYNCLINE_DATABASE_URL": base.urls.app,
        "SYNCLINE_SECRET_KEY": KEY,
        "SYNCLINE_LOG_LEVEL": "error",
        "SYNCLINE_CACHE_MB": str(cache_mb),
    }


async def session_of(base: Filled) -> str:
    """Return the token of somebody who signed in, a manager."""
    settings = Settings(
        home=base.home, database_url=SecretStr(base.urls.app), secret_key=SecretStr(KEY), _env_file=None
    )  # type: ignore[call-arg]
    async with open_hub(settings) as hub:
        operator = Caller(hub.tenant_id, "admin", "bench", "cli", is_operator=True)
        with suppress(AlreadyExists):  # they were kept from the last time
            await add_person(hub, operator, WHO, "Maria Manager", "admin", password=PASSWORD)
        return await sign_in(hub, WHO, PASSWORD, address=None, user_agent=None)


@asynccontextmanager
async def serving(base: Filled, cache_mb: int) -> AsyncIterator[str]:
    """Run `syncline web` for the length of the block; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [sys.executable, "-m", "syncline", "web", "--port", str(port)]
    process = subprocess.Popen(command, env=environment(base, cache_mb), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(retries=6)) as client:
            await client.get(f"{url}/healthz")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def ask(url: str, token: str, times: int) -> dict[str, Figure]:
    """Ask for everything in turn, so often, after each was asked for twice."""
    taken: dict[str, list[float]] = {each.path: [] for each in ASKED}
    cookies = dict.fromkeys(SESSION_COOKIES, token)
    async with httpx2.AsyncClient(base_url=url, cookies=cookies, timeout=60) as client:
        for round_ in range(times + 2):
            for each in ASKED:
                began = time.perf_counter()
                answer = await client.get(each.path)
                took = (time.perf_counter() - began) * 1000
                if answer.status_code != 200:
                    raise SystemExit(f"{each.path}: {answer.status_code}\n{answer.text[:2000]}")
                if round_ >= 2:
                    taken[each.path].append(took)
    return {path: summed_up(values) for path, values in taken.items()}


def summed_up(values: Sequence[float]) -> Figure:
    ranked = sorted(values)
    return Figure(statistics.median(ranked), ranked[max(0, int(len(ranked) * 0.95 + 0.5) - 1)])


def tell(found: dict[str, Figure], kept: dict[str, Figure]) -> list[str]:
    lines = [
        "| | bar ms | p50 ms | p95 ms | with the cache p50 | p95 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in ASKED:
        one, two = found[each.path], kept[each.path]
        met = "met" if one.p95_ms < each.bar_ms else "missed"
        lines.append(
            f"| `{each.path}` | {each.bar_ms} | {one.p50_ms:.0f} | {one.p95_ms:.0f} | {two.p50_ms:.0f} |"
            f" {two.p95_ms:.0f} | {met} |"
        )
    return lines


async def measure(options: argparse.Namespace) -> str:
    size = chosen_size(options)
    async with filled(size, options.keep) as base:
        token = await session_of(base)
        async with serving(base, 0) as url:
            without = await ask(url, token, options.times)
        busy = load()
        async with serving(base, 64) as url:
            kept = await ask(url, token, options.times)
    return "\n".join(
        [
            f"### Pages and API at {describe(size)}",
            "",
            f"Load of the machine: {busy}.",
            "",
            *tell(without, kept),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--times", type=int, default=40)
    options = parser.parse_args()
    text = asyncio.run(measure(options))
    print(text)
    if not options.no_write:
        write(text, "make bench-pages" + (" ARGS=--large" if options.large else ""))


if __name__ == "__main__":
    main()
