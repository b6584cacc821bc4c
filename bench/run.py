"""Measures Syncline against the floor and against a script with the vendor's SDK, all in one run.

Each contestant is a process of its own, loads the same simulated account into a database of its own on the
same embedded Postgres with default settings, and is measured from outside: wall time, processor time, peak
memory, calls. Ratios within one run are what counts; absolute figures are this machine's.

    make bench                     the tables of docs/benchmarks.md
    make bench ARGS="--contacts 2900 --only floor,syncline --no-write"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from syncline.store import migrate
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.roles import OWNER, admit_roles
from syncline.store.urls import DatabaseUrls, with_database

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "benchmarks.md"
OBJECTS = ["contacts", "deals", "calls"]
MARK = "<!-- made by make bench -->"


@dataclass
class Result:
    who: str
    wall_seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_mb: float
    records: int
    calls: int
    refused: int
    output: str = ""

    @property
    def rate(self) -> float:
        return self.records / self.wall_seconds


@dataclass
class Account:
    """A simulated account, in a process of its own."""

    url: str
    token: str
    pid: int

    def stats(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/_simulator/stats", timeout=10) as answer:
            stats = json.load(answer)
        refused = sum(by_status.get("429", 0) for by_status in stats["routes"].values())
        return {"calls": stats["requests"], "refused": refused}

    def reset(self) -> None:
        self.control("stats/reset", {})

    def control(self, path: str, given: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_simulator/{path}", data=json.dumps(given).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def simulate(contacts: int, *, latency_ms: int, rate: int) -> Iterator[Account]:
    job = json.dumps({"contacts": contacts, "latency_ms": latency_ms, "rate": rate})
    command = [sys.executable, str(HERE / "account.py"), job]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Account(ready["url"], ready["token"], process.pid)
    finally:
        process.terminate()
        process.wait(20)


def measure(
    who: str, command: list[str], environment: dict[str, str], account: Account, server: int
) -> Result:
    account.reset()
    before = _tree_cpu(server)
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    errors: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # type: ignore[union-attr]
    reader.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    reader.join()
    if process.returncode != 0:
        raise SystemExit(f"{who} failed:\n{output}\n{''.join(errors)}")
    stats = account.stats()
    # A backend's time is added to its parent's once that has taken note of its end.
    time.sleep(1)
    return Result(
        who=who,
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        server_cpu_seconds=_tree_cpu(server) - before,
        peak_mb=usage.ru_maxrss / 1024,
        records=_count(output),
        calls=stats["calls"],
        refused=stats["refused"],
        output=output,
    )


def _run_seconds(output: str) -> float:
    """What the run itself took, without the start of the process."""
    answer = json.loads(output[output.index("{") :])
    return sum(each["run"]["duration_ms"] for each in answer["items"]) / 1000


def _count(output: str) -> int:
    answer = json.loads(output[output.index("{") :])
    if "records" in answer:
        return int(answer["records"])
    if not answer["ok"]:
        raise SystemExit(f"The sync failed:\n{output}")
    return sum(each["run"]["records_created"] for each in answer["items"])


def _tree_cpu(pid: int) -> float:
    """Seconds of processor time of a process and all that it has started, ended ones included."""
    total = 0.0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == pid:
            total += sum(int(each) for each in fields[11:15])
        elif int(fields[1]) == pid:
            total += sum(int(each) for each in fields[11:13])
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, urls: DatabaseUrls, home: Path, server_pid: int, only: list[str], repeat: int) -> None:
        self._urls = urls
        self._home = home
        self._server_pid = server_pid
        self._only = only
        self._repeat = repeat

    async def compare(
        self, contacts: int, *, latency_ms: int, rate: int, environment: dict[str, str]
    ) -> list[Result]:
        results: list[Result] = []
        with simulate(contacts, latency_ms=latency_ms, rate=rate) as account:
            for _ in range(self._repeat):
                for who in self._only:
                    results.append(await self._one(who, account, environment))
                    print(_row(results[-1]), file=sys.stderr)
        return [_median([each for each in results if each.who == who]) for who in self._only]

    async def _one(self, who: str, account: Account, environment: dict[str, str]) -> Result:
        name = f"bench_{secrets.token_hex(4)}"
        await self._administer(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        )
        try:
            superuser = with_database(self._urls.superuser, name)
            job = json.dumps(
                {"url": account.url, "token": account.token, "database": superuser, "objects": OBJECTS}
            )
            if who != "syncline":
                script = {"floor": "floor.py", "sdk": "sdk_script.py"}[who]
                command = [sys.executable, str(HERE / script), job]
                return measure(who, command, {}, account, self._server_pid)
            settings = await self._set_up(name, account) | environment
            objects = [part for each in OBJECTS for part in ("--object", each)]
            command = [sys.executable, "-m", "syncline", "sync", "bench", "--json", *objects]
            return measure(who, command, settings, account, self._server_pid)
        finally:
            await self._administer(sql.SQL("drop database {} (force)").format(sql.Identifier(name)))

    async def follow(self, contacts: int) -> str:
        """Measure what comes after the first load: 200 changes, and none at all."""
        name = f"bench_{secrets.token_hex(4)}"
        await self._administer(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        )
        command = [sys.executable, "-m", "syncline", "sync", "bench", "--json", "--object", "contacts"]
        try:
            with simulate(contacts, latency_ms=0, rate=0) as account:
                settings = await self._set_up(name, account)
                measure("load", command[:-2], settings, account, self._server_pid)
                await asyncio.sleep(5)  # past the overlap and the second look at what came late
                measure("settle", command, settings, account, self._server_pid)
                account.control("touch", {"object": "contacts", "count": 200, "properties": {"city": "Bern"}})
                changed = measure("changed", command, settings, account, self._server_pid)
                await asyncio.sleep(5)
                measure("settle", command, settings, account, self._server_pid)
                before = await self._count_writes(name)
                idle = measure("idle", command, settings, account, self._server_pid)
                await asyncio.sleep(2)  # statistics reach the view a second after the transaction
                written = await self._count_writes(name) - before
        finally:
            await self._administer(sql.SQL("drop database {} (force)").format(sql.Identifier(name)))
        return (
            f"After 200 of {contacts:,} contacts changed, a sync makes {changed.calls} calls and takes"
            f" {_run_seconds(changed.output):.2f} s ({changed.wall_seconds:.2f} s with the start of the"
            f" command). When nothing changed it makes {idle.calls} calls and writes {written} rows of"
            " records, payloads, links and the change log.\n"
        )

    async def _count_writes(self, name: str) -> int:
        async with await psycopg.AsyncConnection.connect(with_database(self._urls.superuser, name)) as conn:
            cursor = await conn.execute(
                "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables"
                " where schemaname in ('crm', 'raw') or relname = 'links'"
            )
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])

    async def _set_up(self, name: str, account: Account) -> dict[str, str]:
        superuser = with_database(self._urls.superuser, name)
        async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
            await admit_roles(conn)
        await migrate.upgrade(with_database(self._urls.admin, name))
        settings = {
            "SYNCLINE_HOME": str(self._home / "client"),
            "SYNCLINE_DATABASE_URL": with_database(self._urls.app, name),
            "SYNCLINE_ADMIN_DATABASE_URL": with_database(self._urls.admin, name),
            "SYNCLINE_SECRET_KEY": "A" * 43 + "=",
            "SYNCLINE_LOG_LEVEL": "error",
            "HUBSPOT_API_KEY": account.token,
        }
        subprocess.run(
            [
                *(sys.executable, "-m", "syncline", "connect", "hubspot", "--name", "bench"),
                *("--base-url", account.url),
            ],
            env=os.environ | settings,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return settings

    async def _administer(self, statement: sql.Composed) -> None:
        async with await psycopg.AsyncConnection.connect(self._urls.superuser, autocommit=True) as conn:
            await conn.execute(statement)


def _median(results: list[Result]) -> Result:
    return sorted(results, key=lambda each: each.wall_seconds)[len(results) // 2]


def _row(result: Result) -> str:
    return (
        f"| {result.who} | {result.wall_seconds:.2f} | {result.rate:,.0f} | {result.cpu_seconds:.2f} |"
        f" {result.server_cpu_seconds:.2f} | {result.peak_mb:.0f} | {result.records:,} | {result.calls:,} |"
        f" {result.refused} |"
    )


def _table(title: str, results: list[Result]) -> str:
    lines = [
        f"### {title}",
        "",
        "| | wall s | records/s | client CPU s | server CPU s | peak MB | records | calls | refused |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_row, results),
        "",
    ]
    by_name = {each.who: each for each in results}
    ours, floor, sdk = by_name.get("syncline"), by_name.get("floor"), by_name.get("sdk")
    if ours and floor:
        lines.append(f"Syncline takes {ours.wall_seconds / floor.wall_seconds:.2f} times the floor's time.")
    if ours and sdk:
        lines.append(
            f"Syncline is {sdk.wall_seconds / ours.wall_seconds:.1f} times as fast as the SDK script."
        )
    return "\n".join([*lines, ""])


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
    parts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        embedded = EmbeddedServer(home, idle_seconds=60)
        urls = await embedded.start()
        try:
            bench = Bench(urls, Path(folder), await _server_pid(urls), only, options.repeat)
            title = f"{options.contacts:,} contacts, 1,000 deals, 2,000 calls"
            results = await bench.compare(options.contacts, latency_ms=0, rate=0, environment={})
            parts.append(_table(f"{title}; no latency, no quota", results))
            small = await Bench(
                urls, Path(folder), await _server_pid(urls), ["syncline"], options.repeat
            ).compare(options.contacts, latency_ms=0, rate=0, environment={"SYNCLINE_CHUNK_ROWS": "500"})
            whole = next((each for each in results if each.who == "syncline"), None)
            if whole:
                seconds = small[0].wall_seconds
                parts.append(
                    "In chunks of 500 rows instead of 2,000 the same load takes"
                    f" {seconds / whole.wall_seconds:.2f} times as long ({seconds:.2f} s).\n"
                )
            if "syncline" in only:
                parts.append(await bench.follow(options.contacts))
            if not options.skip_quota:
                once = Bench(urls, Path(folder), await _server_pid(urls), only, 1)
                slow = await once.compare(options.contacts, latency_ms=150, rate=190, environment={})
                parts.append(_table(f"{title}; 150 ms latency, 190 calls per 10 s", slow))
            if options.large:
                once = Bench(urls, Path(folder), await _server_pid(urls), ["syncline"], 1)
                large = await once.compare(290_000, latency_ms=0, rate=0, environment={})
                parts.append(
                    _table("290,000 contacts, 1,000 deals, 2,000 calls; no latency, no quota", large)
                )
        finally:
            embedded.close()
            await stop_server(home)
    text = "\n".join(parts)
    print(text)
    if not options.no_write:
        write(text)


async def _server_pid(urls: DatabaseUrls) -> int:
    async with await psycopg.AsyncConnection.connect(urls.superuser) as conn:
        cursor = await conn.execute("select pg_read_file('postmaster.pid')")
        row = await cursor.fetchone()
        assert row is not None
        return int(str(row[0]).splitlines()[0])


def write(text: str) -> None:
    about = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bench` on {os.cpu_count()} cores,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )
    old = RESULTS.read_text() if RESULTS.exists() else f"# Benchmarks\n\n{MARK}\n{MARK}\n"
    head, _, rest = old.partition(MARK)
    tail = rest.partition(MARK)[2]
    RESULTS.write_text(f"{head}{MARK}\n\n{about}\n\n{text}\n{MARK}{tail}")


if __name__ == "__main__":
    asyncio.run(main())
