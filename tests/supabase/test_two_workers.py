"""Two workers, each a process of its own, on one database: directly and through pgbouncer."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command_line import Crm, simulator, syncline, worker
from real_pgbouncer import PROGRAM, WHY_NOT, pgbouncer, through

from syncline.domain.sealing import new_key
from syncline.store.urls import DatabaseUrls, parse

LEASE_SECONDS = "3"
FEW = ("--companies", "20", "--deals", "20", "--calls", "20", "--meetings", "5", "--emails", "5")
NONE = ("--companies", "0", "--deals", "0", "--calls", "0", "--meetings", "0", "--emails", "0")


@dataclass(frozen=True, slots=True)
class Place:
    """A migrated database, and the surroundings of the programs that work in it."""

    urls: DatabaseUrls
    environment: dict[str, str]

    def look(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask, or change something, as a superuser, whom no policy holds back."""
        with psycopg.connect(self.urls.superuser, autocommit=True) as conn:
            cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def connect(self, crm: Crm, *options: str) -> None:
        environment = {**self.environment, "HUBSPOT_API_KEY": crm.token}
        done = syncline(environment, "connect", "hubspot", "--name", "a", "--base-url", crm.url, *options)
        assert (done.code, done.err) == (0, "")


@pytest.fixture
def urls(server: Any, template: str) -> Generator[DatabaseUrls]:
    """The URLs of a migrated database of this test's own, for tests that are no coroutines."""
    name = f"test_{secrets.token_hex(8)}"
    asyncio.run(server.create(name, template))
    yield server.urls_of(name)
    with psycopg.connect(server.urls.superuser, autocommit=True) as conn:
        conn.execute(f"drop database {name} (force)".encode())


@pytest.fixture(params=["direct", "pooled"])
def place(request: pytest.FixtureRequest, urls: DatabaseUrls, tmp_path: Path) -> Generator[Place]:
    environment = {
        "SYNCLINE_DATABASE_URL": urls.app,
        "SYNCLINE_SECRET_KEY": new_key(),
        "SYNCLINE_HOME": str(tmp_path / "home"),
        "SYNCLINE_LEASE_SECONDS": LEASE_SECONDS,
    }
    if request.param == "direct":
        yield Place(urls, environment)
        return
    if PROGRAM is None:
        pytest.skip(WHY_NOT)
    parts = parse(urls.app)
    with pgbouncer(int(parts["port"]), {parts["user"]: parts["password"]}) as port:
        environment["SYNCLINE_DATABASE_URL"] = f"{through(urls.app, port)}?pool_mode=transaction"
        yield Place(urls, environment)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


OVERLAPS = """
select a.object from sync.runs a join sync.runs b
  on b.connection_id = a.connection_id and b.object = a.object and b.id <> a.id
 and tstzrange(a.started_at, a.completed_at) && tstzrange(b.started_at, b.completed_at)
"""
UNDONE = "select count(*) from sync.runs where status in ('pending', 'running')"
QUEUED = "select count(*) from jobs.pgqueuer"
#: Due once, now; the next time is far away.
ONE_WAVE = "update sync.schedules set cron = '0 3 29 2 *', next_at = now()"
NOT_AT_NIGHT = " where mode <> 'reconcile'"


def test_what_is_due_is_done_once_by_whichever_worker(place: Place) -> None:
    with simulator("--contacts", "150", *FEW) as crm:
        place.connect(
            crm, "--object", "owners", "--object", "contacts", "--object", "deals", "--object", "calls"
        )
        ((schedules,),) = place.look("select count(*) from sync.schedules where mode <> 'reconcile'")

        def is_done(waves: int) -> bool:
            ((done,),) = place.look("select count(*) from sync.runs where completed_at is not null")
            return done >= waves * schedules and place.look(UNDONE) == place.look(QUEUED) == [(0,)]

        place.look(ONE_WAVE + NOT_AT_NIGHT)
        with worker(place.environment), worker(place.environment):
            for wave in (1, 2):
                until(lambda wave=wave: is_done(wave))
                if wave < 2:
                    place.look(ONE_WAVE + NOT_AT_NIGHT)
        runs = place.look("select object, status, requested_by from sync.runs")
        counts = Counter(name for name, _, _ in runs)
        # Whoever comes first reads the owners beforehand, since the others refer to them.
        assert counts.pop("owners") in {2, 3}
        assert set(counts.values()) == {2}
        assert len(counts) == schedules - 1
        assert {(status, by) for _, status, by in runs} == {("success", "schedule")}
        assert place.look(OVERLAPS) == []
        assert place.look("select count(*) from sync.workers") == [(0,)]


def test_a_sync_asked_for_in_sql_is_begun_by_a_worker_that_was_not_told(place: Place) -> None:
    with simulator("--contacts", "20", *NONE) as crm:
        place.connect(crm, "--object", "deals")
        place.look("update sync.schedules set enabled = false")
        with worker(place.environment), worker(place.environment):
            until(lambda: place.look("select count(*) from sync.workers") == [(2,)])
            for _ in range(3):
                run_id = _trigger(place)
                until(lambda run_id=run_id: _status(place, run_id) == "success", 15)
        asked = "select count(*) from sync.runs where requested_by = 'sql' and object = 'deals'"
        assert place.look(asked) == [(3,)]
        assert place.look(OVERLAPS) == []


def _trigger(place: Place) -> str:
    with psycopg.connect(place.urls.reader, autocommit=True) as conn, conn.transaction():
        conn.execute("set transaction read write")
        conn.execute("select app.set_tenant('00000000-0000-7000-8000-000000000001')")
        row = conn.execute("select compat.trigger_hubspot_sync('deals')").fetchone()
        assert row is not None
        return str(row[0])


def _status(place: Place, run_id: str) -> str:
    ((status,),) = place.look(f"select status from sync.runs where id = '{run_id}'")
    return status


SNAPSHOT = """
select (select jsonb_agg(state) from sync.cursors where object = 'contacts' and kind = 'backfill'),
  array(select remote_id::bigint from raw.hubspot_contacts)
"""


def _is_awaited(remote_id: int, ranges: list[dict[str, Any]]) -> bool:
    return any(
        not each["done"]
        and int(each["after"] or 0) < remote_id
        and (not each["until"] or remote_id <= int(each["until"]))
        for each in ranges
    )


def test_at_any_moment_what_is_not_stored_is_in_a_range_still_to_be_walked(place: Place) -> None:
    with simulator("--contacts", "3000", "--latency-ms", "30", *NONE) as crm:
        place.connect(crm, "--object", "contacts")
        environment = {**place.environment, "SYNCLINE_CHUNK_ROWS": "200"}
        snapshots: list[tuple[list[dict[str, Any]], list[int]]] = []
        with (
            psycopg.connect(place.urls.superuser, autocommit=True) as conn,
            ThreadPoolExecutor(1) as pool,
        ):
            running = pool.submit(syncline, environment, "sync", "--object", "contacts")
            while not running.done():
                ranges, stored = conn.execute(SNAPSHOT).fetchone() or (None, [])
                if ranges is not None and (not snapshots or ranges != snapshots[-1][0]):
                    snapshots.append((ranges, stored))
                time.sleep(0.005)
        assert running.result().code == 0
        everything = {int(remote_id) for remote_id in crm.records("contacts")}
    assert len(snapshots) > 5
    for ranges, stored in snapshots:
        lost = [each for each in everything.difference(stored) if not _is_awaited(each, ranges)]
        assert lost == []


HOLDER = """
select split_part(l.holder, ':', 2)::integer from sync.leases l
where l.purpose = 'pull:contacts' and l.expires_at > now() and exists (
  select from sync.runs r where r.object = 'contacts' and r.status = 'running' and r.records_read > 0)
"""


def test_a_worker_killed_amid_a_first_load_is_succeeded_by_the_other(place: Place) -> None:
    with simulator("--contacts", "3000", "--archived-contacts", "0", "--latency-ms", "150", *NONE) as crm:
        place.connect(crm, "--object", "contacts")
        place.look(f"{ONE_WAVE}, enabled = (object = 'contacts')")
        environment = {**place.environment, "SYNCLINE_CHUNK_ROWS": "200"}
        with worker(environment) as one, worker(environment) as other:
            until(lambda: place.look(HOLDER) != [])
            ((victim,),) = place.look(HOLDER)
            assert victim in {one.pid, other.pid}
            os.kill(victim, signal.SIGKILL)
            ((before,),) = place.look("select count(*) from raw.hubspot_contacts")
            until(lambda: place.look(UNDONE) == place.look(QUEUED) == [(0,)], 90)
        assert 0 < before < 3000
        here = place.look("select remote_id, raw -> 'properties' ->> 'email' from raw.hubspot_contacts"
                          " where archived_at is null")  # fmt: skip
        there = {remote_id: values.get("email") for remote_id, values in crm.records("contacts").items()}
        assert len(here) == 3000
        assert dict(here) == there
        assert place.look("select count(*) from crm.contacts where archived_at is null") == [(3000,)]
        linked = "select count(*), count(distinct record_id) from sync.links where object = 'contacts'"
        assert place.look(linked) == [(3000, 3000)]
        statuses = place.look("select status from sync.runs order by started_at")
        assert statuses[-1] == ("success",)
