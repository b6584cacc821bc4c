"""Measures how fast local changes go out: updates, creates and single edits, beside the quota's ceiling.

The simulated account allows 190 calls per 10 s, as a real one does; the worker is a process of its own with
default settings but for the brakes, which would hold so much. Ratios within one run are what counts.

    python bench/push.py                        20,000 updates, 20,000 creates, 60 single edits
    python bench/push.py --contacts 5000 --latency-ms 50 --rate 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from contest import Account, simulate
from syncline.store import migrate
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.urls import DatabaseUrls

HERE = Path(__file__).parent
SYNCLINE = Path(sys.executable).with_name("syncline")
KEY = "A" * 43 + "="
WINDOW_SECONDS = 10
BATCH = 100
TENANT = "00000000-0000-7000-8000-000000000001"
NO_BRAKES = json.dumps({"brakes": {kind: {"count": 10**9, "share": 1.0} for kind in ("change", "create")}})


class Side:
    """One installation and its account, driven by the command line as a person would."""

    def __init__(self, urls: DatabaseUrls, home: Path, account: Account, rate: int) -> None:
        self._urls = urls
        self._account = account
        self._rate = rate
        self.environment = os.environ | {
            "SYNCLINE_DATABASE_URL": urls.app,
            "SYNCLINE_ADMIN_DATABASE_URL": urls.admin,
            "SYNCLINE_HOME": str(home),
            "SYNCLINE_SECRET_KEY": KEY,
            "SYNCLINE_LOG_LEVEL": "warning",
            "HUBSPOT_API_KEY": account.token,
        }

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [SYNCLINE, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"syncline {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._urls.superuser, autocommit=True) as conn:
            found = conn.execute(query.encode(), values)
            return found.fetchall() if found.description else []

    def prepare(self) -> None:
        self.run("connect", "hubspot", "--name", "bench", "--base-url", self._account.url)
        self.run("sync", "bench", "--object", "owners", "--object", "contacts")
        self.run("properties", "apply", "bench", "--object", "contacts")
        self.run("writing", "allow", "bench", "--object", "contacts", "--yes")
        self.run("writing", "allow", "bench", "--object", "contacts", "--create", "--yes")
        self.select("update sync.connections set settings = settings || %s::jsonb", NO_BRAKES)

    def push(self, what: str, statement: str, *values: Any) -> str:
        """Change many records by one statement, send them, and return a row of the table."""
        self.select(statement, *values)
        if self._rate:
            time.sleep(WINDOW_SECONDS + 1)  # whatever was called before is out of the window
        self._account.reset()
        began = time.perf_counter()
        self.run("push", "bench", "--json")
        seconds = time.perf_counter() - began
        calls = self._account.stats()
        run_seconds = self.select(
            "select max(duration_ms) / 1000.0, sum(records_created + records_updated) from sync.runs"
            " where mode = 'push' and requested_at > now() - %s * interval '1 second'",
            seconds + 1,
        )[0]
        count, span = int(run_seconds[1]), float(run_seconds[0])
        requests = calls["calls"]
        ceiling = "" if not self._rate else self._share(count, span, requests)
        return f"| {what} | {count:,} | {span:.1f} | {count / span:,.0f} | {requests:,} | {ceiling} |"

    def _share(self, count: int, seconds: float, requests: int) -> str:
        allowed = self._rate * seconds / WINDOW_SECONDS
        return f"{requests / allowed:.0%} of its calls, {count / (allowed * BATCH):.0%} of its records"

    def _await_quiet(self) -> None:
        """Wait until the worker has done what was due when it began."""
        quiet = 0
        while quiet < 20:
            time.sleep(0.25)
            busy = self.select(
                "select 1 from jobs.pgqueuer union all"
                " select 1 from sync.runs where status in ('pending', 'running') limit 1"
            )
            quiet = 0 if busy else quiet + 1

    def edit_singly(self, times: int) -> str:
        """Edit single records in SQL while a worker runs; return percentiles of commit to answer."""
        worker = subprocess.Popen([SYNCLINE, "worker"], env=self.environment, stdout=subprocess.DEVNULL)
        try:
            self._await_quiet()
            ids = self.select(
                "select c.id from crm.contacts c join sync.links l on l.record_id = c.id"
                " where c.archived_at is null order by c.id limit %s",
                times,
            )
            began = self.select("select clock_timestamp()")[0][0]
            for number, (record_id,) in enumerate(ids):
                self.select(
                    "update crm.contacts set first_name = %s where id = %s", f"Single {number}", record_id
                )
                time.sleep(0.4)
            deadline = time.monotonic() + 30
            while self.select("select 1 from sync.queue limit 1") and time.monotonic() < deadline:
                time.sleep(0.1)
            found = self.select(
                "select percentile_cont(array[0.5, 0.95, 1]) within group"
                " (order by extract(epoch from r.answered_at - g.changed_at)), count(*)"
                " from sync.remote_changes r join crm.change_log g on g.record_id = r.record_id"
                " and g.source = 'sql' and g.changed_at > %s where r.sent_at > %s and r.state = 'done'",
                began,
                began,
            )[0]
        finally:
            worker.terminate()
            worker.wait(40)
        half, most, all_of_them = (float(each) * 1000 for each in found[0])
        return f"{found[1]} single edits: p50 {half:.0f} ms, p95 {most:.0f} ms, slowest {all_of_them:.0f} ms"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--rate", type=int, default=190, help="calls per 10 s; 0 for no limit")
    parser.add_argument("--edits", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        embedded = EmbeddedServer(home, idle_seconds=5)
        try:
            urls = await embedded.start()
            await migrate.upgrade(urls.admin)
            with simulate(options.contacts, latency_ms=options.latency_ms, rate=options.rate) as account:
                print("\n".join(measure(Side(urls, home, account, options.rate), options)))
        finally:
            embedded.close()
            await stop_server(home)


def measure(side: Side, options: argparse.Namespace) -> list[str]:
    side.prepare()
    rows = [
        "| push | records | s | records/s | calls | of the quota, 100 records a call |",
        "|---|---|---|---|---|---|",
        side.push(
            "updates",
            "update crm.contacts set job_title = 'Pushed ' || right(id::text, 6)"
            " where tenant_id = %s and archived_at is null",
            TENANT,
        ),
        side.push(
            "creates",
            "insert into crm.contacts (tenant_id, id, email, first_name, last_name, job_title)"
            " select %s, gen_random_uuid(), 'new' || g || '@bench.example', 'New', 'No. ' || g, 'Made here'"
            " from generate_series(1, %s) g",
            TENANT,
            options.contacts,
        ),
    ]
    return [*rows, "", side.edit_singly(options.edits)]


asyncio.run(main())
