"""What the loading benches have in common: an account in a process of its own, contestants, measures, tables.

Each contestant is a process of its own, loads the same simulated account into a database of its own on the
same embedded Postgres with default settings, and is measured from outside: wall time, processor time, peak
memory, calls. Knows no platform.
"""

from __future__ import annotations

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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
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


@dataclass(frozen=True)
class Contest:
    """What is loaded, and who else loads it."""

    platform: str
    objects: Sequence[str]
    #: The environment variable that `syncline connect` reads the token from.
    token_variable: str
    #: The script that is the simulated account; its argument is a job in JSON.
    account: str
    #: Contestant → script; its argument is a job in JSON, as its answer is.
    scripts: Mapping[str, str]
    #: More for `syncline connect`.
    connect: Sequence[str] = ()
    #: How long to wait under a quota until what was called before is out of its window.
    settle_seconds: float = 0


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
    #: What the calls took of the day's budget, where calls cost different amounts.
    tokens: int = 0
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
        return {"calls": stats["requests"], "refused": refused, "tokens": stats.get("spent_today", 0)}

    def reset(self) -> None:
        self.control("stats/reset", {})

    def control(self, path: str, given: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_simulator/{path}", data=json.dumps(given).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def simulate(contacts: int, *, latency_ms: int, rate: int, script: str = "account.py") -> Iterator[Account]:
    """Run an account; `rate` is calls in the platform's own window."""
    job = json.dumps({"contacts": contacts, "latency_ms": latency_ms, "rate": rate})
    command = [sys.executable, str(HERE / script), job]
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
    tokens_before = account.stats()["tokens"]
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
        tokens=stats["tokens"] - tokens_before,
        output=output,
    )


def run_seconds(output: str) -> float:
    """Return what the run itself took, without the start of the process."""
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
    """Loads of one contest on one Postgres."""

    def __init__(
        self,
        contest: Contest,
        urls: DatabaseUrls,
        home: Path,
        server_pid: int,
        only: Sequence[str],
        repeat: int,
    ) -> None:
        self._contest = contest
        self._urls = urls
        self._home = home
        self.server_pid = server_pid
        self._only = only
        self._repeat = repeat

    def narrowed(self, only: Sequence[str] | None = None, *, repeat: int | None = None) -> Bench:
        """Return the same bench with other contestants, or other repeats."""
        only, repeat = only or self._only, repeat or self._repeat
        return Bench(self._contest, self._urls, self._home, self.server_pid, only, repeat)

    async def compare(
        self,
        contacts: int,
        *,
        latency_ms: int = 0,
        rate: int = 0,
        environment: dict[str, str] | None = None,
    ) -> list[Result]:
        """Let every contestant load the account; returns the median of each."""
        results: list[Result] = []
        script = self._contest.account
        with simulate(contacts, latency_ms=latency_ms, rate=rate, script=script) as account:
            for _ in range(self._repeat):
                for who in self._only:
                    results.append(await self._one(who, account, environment or {}, rate))
                    print(row(results[-1]), file=sys.stderr)
        return [_median([each for each in results if each.who == who]) for who in self._only]

    async def _one(self, who: str, account: Account, environment: dict[str, str], rate: int) -> Result:
        async with self.database() as name:
            if who == "syncline":
                settings = await self.set_up(name, account) | environment
                await asyncio.sleep(self._contest.settle_seconds if rate else 0)
                objects = [part for each in self._contest.objects for part in ("--object", each)]
                command = [sys.executable, "-m", "syncline", "sync", "bench", "--json", *objects]
                return measure(who, command, settings, account, self.server_pid)
            job = {
                "url": account.url,
                "token": account.token,
                "database": with_database(self._urls.superuser, name),
                "objects": self._contest.objects,
                "rate": rate,
            }
            await asyncio.sleep(self._contest.settle_seconds if rate else 0)
            command = [sys.executable, str(HERE / self._contest.scripts[who]), json.dumps(job)]
            return measure(who, command, {}, account, self.server_pid)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Make a database for the length of the block; yields its name."""
        name = f"bench_{secrets.token_hex(4)}"
        await self._administer(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
        )
        try:
            yield name
        finally:
            await self._administer(sql.SQL("drop database {} (force)").format(sql.Identifier(name)))

    async def set_up(self, name: str, account: Account) -> dict[str, str]:
        """Install Syncline into a database, connect it, and return the environment it runs with."""
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
            self._contest.token_variable: account.token,
        }
        subprocess.run(
            [
                *(sys.executable, "-m", "syncline", "connect", self._contest.platform, "--name", "bench"),
                *("--base-url", account.url, *self._contest.connect),
            ],
            env=os.environ | settings,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return settings

    async def count_writes(self, name: str) -> int:
        """Return how many rows of records, payloads, links and the change log were written so far."""
        async with await psycopg.AsyncConnection.connect(with_database(self._urls.superuser, name)) as conn:
            cursor = await conn.execute(
                "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables"
                " where schemaname in ('crm', 'raw') or relname = 'links'"
            )
            found = await cursor.fetchone()
            assert found is not None
            return int(found[0])

    async def _administer(self, statement: sql.Composed) -> None:
        async with await psycopg.AsyncConnection.connect(self._urls.superuser, autocommit=True) as conn:
            await conn.execute(statement)


@asynccontextmanager
async def on_postgres(contest: Contest, only: Sequence[str], repeat: int) -> AsyncIterator[Bench]:
    """Start an embedded Postgres for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        embedded = EmbeddedServer(home, idle_seconds=60)
        urls = await embedded.start()
        try:
            yield Bench(contest, urls, Path(folder), await _server_pid(urls), only, repeat)
        finally:
            embedded.close()
            await stop_server(home)


async def _server_pid(urls: DatabaseUrls) -> int:
    async with await psycopg.AsyncConnection.connect(urls.superuser) as conn:
        cursor = await conn.execute("select pg_read_file('postmaster.pid')")
        found = await cursor.fetchone()
        assert found is not None
        return int(str(found[0]).splitlines()[0])


def _median(results: list[Result]) -> Result:
    return sorted(results, key=lambda each: each.wall_seconds)[len(results) // 2]


def row(result: Result, *, tokens: bool = False) -> str:
    return (
        f"| {result.who} | {result.wall_seconds:.2f} | {result.rate:,.0f} | {result.cpu_seconds:.2f} |"
        f" {result.server_cpu_seconds:.2f} | {result.peak_mb:.0f} | {result.records:,} | {result.calls:,} |"
        + (f" {result.tokens:,} |" if tokens else "")
        + f" {result.refused} |"
    )


def table(title: str, results: Sequence[Result], *, tokens: bool = False) -> str:
    names = ["wall s", "records/s", "client CPU s", "server CPU s", "peak MB", "records", "calls"]
    names += ["tokens"] * tokens + ["refused"]
    lines = [
        f"### {title}",
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
        *(row(each, tokens=tokens) for each in results),
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


def write(text: str, made_by: str) -> None:
    """Put results where the last ones of the same command are: between its two marks."""
    mark = f"<!-- made by {made_by} -->"
    about = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `{made_by}` on {os.cpu_count()} cores,"
        f" {platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )
    old = RESULTS.read_text() if RESULTS.exists() else "# Benchmarks\n"
    if mark not in old:
        old = f"{old.rstrip()}\n\n{mark}\n{mark}\n"
    head, _, rest = old.partition(mark)
    tail = rest.partition(mark)[2]
    RESULTS.write_text(f"{head}{mark}\n\n{about}\n\n{text}\n{mark}{tail}")
