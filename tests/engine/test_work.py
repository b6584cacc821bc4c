from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from made_rows import make_connection

from syncline.clock import now
from syncline.config import Settings
from syncline.engine.work import DoJob, RunJob, work
from syncline.errors import Busy, Invalid, LeaseLost, RetryLater, TokenRejected
from syncline.store import jobs, queueing, runs, workers
from syncline.store.db import Database
from syncline.store.jobs import RunOrder
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def working(
    db: Database, settings: Settings, run_job: DoJob, *, grace_seconds: float = 30.0
) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(
        work(db, settings, run_job, concurrency=4, stop=stop, grace_seconds=grace_seconds)
    )
    try:
        yield
    finally:
        stop.set()
        await worker


async def order(
    db: Database, tenant_id: UUID, connection_id: UUID, *objects: str, run_id: UUID | None = None
) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await queueing.enqueue(
            conn, [RunOrder(tenant_id, connection_id, name, "incremental", run_id) for name in objects]
        )


async def request(db: Database, tenant_id: UUID, connection_id: UUID, name: str = "contacts") -> UUID:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await runs.request(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            object_name=name,
            mode="manual",
            requested_by="sql",
            now=now(),
        )


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def is_queue_empty(db: Database) -> bool:
    async with db.statement() as conn:
        depth = await jobs.measure(conn)
    return depth.queued + depth.running == 0


async def test_jobs_are_done_with_what_was_ordered(db: Database, settings: Settings, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    done: list[RunJob] = []

    async def run_job(job: RunJob) -> None:
        done.append(job)

    await order(db, tenant_id, connection_id, "contacts", "deals", "calls")
    async with working(db, settings, run_job):
        await until(lambda: is_queue_empty(db))
    assert sorted(job.object_name for job in done) == ["calls", "contacts", "deals"]
    assert {(job.tenant_id, job.connection_id, job.mode, job.run_id) for job in done} == {
        (tenant_id, connection_id, "incremental", None)
    }


async def test_a_run_that_was_asked_for_is_found_without_being_told(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    found = asyncio.Queue[UUID | None]()

    async def run_job(job: RunJob) -> None:
        assert job.run_id is not None
        async with db.transaction(tenant_id=job.tenant_id) as conn:
            await runs.start(conn, job.run_id, tenant_id=job.tenant_id, now=now())
        found.put_nowait(job.run_id)

    async with working(db, settings, run_job), asyncio.timeout(10):
        for _ in range(3):
            run_id = await request(db, tenant_id, connection_id)
            assert await found.get() == run_id


async def test_what_can_be_done_later_is_done_later(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    failures: list[Exception] = [RetryLater(after_seconds=0.1), LeaseLost(after_seconds=0), Busy()]
    done = asyncio.Event()

    async def run_job(job: RunJob) -> None:
        if failures:
            raise failures.pop(0)
        done.set()

    await order(db, tenant_id, connection_id, "contacts")
    async with working(db, settings, run_job), asyncio.timeout(30):
        await done.wait()
        await until(lambda: is_queue_empty(db))


@pytest.mark.parametrize(
    "error", [TokenRejected(), Invalid("no such object"), ValueError("secret@example.com")]
)
async def test_what_waiting_does_not_cure_is_tried_once_and_its_run_ends_as_failed(
    db: Database, settings: Settings, tenant_id: UUID, error: Exception
) -> None:
    connection_id = await make_connection(db, tenant_id)
    run_id = await request(db, tenant_id, connection_id)
    tries = 0

    async def run_job(job: RunJob) -> None:
        nonlocal tries
        tries += 1
        raise error

    async def has_failed() -> bool:
        async with db.transaction(tenant_id=tenant_id) as conn:
            return (await runs.get(conn, run_id, tenant_id=tenant_id)).status == "failed"

    async with working(db, settings, run_job):
        await until(has_failed)
        await until(lambda: is_queue_empty(db))
    assert tries == 1
    async with db.statement() as conn:
        cursor = await conn.execute(
            "select traceback::text from jobs.pgqueuer_log where traceback is not null"
        )
        told = "".join(row[0] for row in await cursor.fetchall())
    assert type(error).__name__ in told
    assert "secret@example.com" not in told


async def test_a_requested_run_that_another_took_off_the_list_is_not_waited_for(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    run_id = await request(db, tenant_id, connection_id)
    tries = 0

    async def run_job(job: RunJob) -> None:
        nonlocal tries
        tries += 1
        async with db.transaction(tenant_id=tenant_id) as conn:
            await runs.finish(conn, run_id, tenant_id=tenant_id, status="cancelled", now=now(), api_calls=0)
        raise Busy

    async def has_tried() -> bool:
        return tries > 0

    async with working(db, settings, run_job):
        await until(has_tried)
        await until(lambda: is_queue_empty(db))
    assert tries == 1


async def test_jobs_are_told_to_stop_and_another_worker_goes_on(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    chunks: list[str] = []
    begun = asyncio.Event()

    async def first(job: RunJob) -> None:
        begun.set()
        await job.stop.wait()
        chunks.append("first half")
        raise RetryLater(after_seconds=0)

    async def second(job: RunJob) -> None:
        chunks.append("second half")

    await order(db, tenant_id, connection_id, "contacts")
    async with working(db, settings, first):
        await begun.wait()
    async with working(db, settings, second):
        await until(lambda: is_queue_empty(db))
    assert chunks == ["first half", "second half"]


async def test_a_job_that_does_not_stop_in_time_is_cancelled_and_done_again(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    events: list[str] = []
    begun = asyncio.Event()

    async def deaf(job: RunJob) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def quick(job: RunJob) -> None:
        events.append("done")

    await order(db, tenant_id, connection_id, "contacts")
    async with working(db, settings, deaf, grace_seconds=0.1):
        await begun.wait()
    async with working(db, settings, quick):
        await until(lambda: is_queue_empty(db))
    assert events == ["cancelled", "done"]


async def test_a_worker_is_on_the_list_while_it_works(
    db: Database, settings: Settings, tenant_id: UUID
) -> None:
    async def run_job(job: RunJob) -> None:
        raise AssertionError

    async def is_listed() -> bool:
        async with db.statement() as conn:
            return [(w.pid, w.concurrency) for w in await workers.list_workers(conn)] == [(os.getpid(), 4)]

    async with working(db, settings, run_job):
        await until(is_listed)
    async with db.statement() as conn:
        assert await workers.list_workers(conn) == []


async def test_lost_connections_to_the_database_stop_no_worker(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    connection_id = await make_connection(db, tenant_id)
    done = asyncio.Queue[str]()

    async def run_job(job: RunJob) -> None:
        done.put_nowait(job.object_name)

    async with (
        Database.open(database_urls.superuser, application_name="cutter") as cutter,
        working(db, settings, run_job),
        asyncio.timeout(60),
    ):
        for n in range(3):
            async with cutter.statement() as conn:
                await conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and application_name = 'test'"
                )
                # The pool may still lend out connections that it does not know to be dead.
                await conn.execute("set role syncline_app")
                await conn.execute("select app.set_tenant(%(id)s)", {"id": tenant_id})
                await queueing.enqueue(
                    conn, [RunOrder(tenant_id, connection_id, f"object{n}", "incremental")]
                )
                await conn.execute("reset role")
            assert await done.get() == f"object{n}"


async def test_the_frozen_ddl_of_the_queue_is_that_of_the_installed_version(
    db: Database, database_urls: DatabaseUrls
) -> None:
    queries = queueing.make_queries(queueing.QueueDriver(db, give_up=asyncio.Event()))
    plan = await queries.plan_upgrade()
    assert plan.statements == ()


async def start_worker(url: str, log: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("work_process.py")),
        *(url, str(log)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def end_worker(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> None:
    if process.returncode is None:
        process.send_signal(number)
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode == (0 if number is signal.SIGTERM else -number)


def overlaps(lines: list[str]) -> list[str]:
    """Jobs that began while the same connection and object was being worked on."""
    running: set[str] = set()
    found: list[str] = []
    for line in lines:
        event, connection, name, _ = line.split()
        key = f"{connection} {name}"
        if event == "begin":
            if key in running:
                found.append(key)
            running.add(key)
        else:
            running.discard(key)
    return found


async def test_two_workers_never_work_on_the_same_object_at_once(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    connection_id = await make_connection(db, tenant_id)
    processes = [await start_worker(database_urls.app, log) for _ in range(2)]
    # A schedule's run and one that was asked for may be queued at once; the lease keeps them apart.
    await order(db, tenant_id, connection_id, *(f"slow{n}" for n in range(6)))
    for n in range(3):
        await order(db, tenant_id, connection_id, f"slow{n}", run_id=UUID(int=n))
        await request(db, tenant_id, connection_id, f"slow{n}")

    async def is_done() -> bool:
        async with db.transaction(tenant_id=tenant_id) as conn:
            await conn.execute(
                "update sync.runs set status = 'cancelled', completed_at = now()"
                " where tenant_id = %(id)s and status = 'pending'"
                " and not exists (select from jobs.pgqueuer where dedupe_key = 'run:' || runs.id)",
                {"id": tenant_id},
            )
        return await is_queue_empty(db)

    await until(is_done, 60)
    for process in processes:
        await end_worker(process)
    lines = log.read_text().splitlines()
    assert overlaps(lines) == []
    ended = Counter(line.split()[2] for line in lines if line.startswith("end"))
    assert set(ended) == {f"slow{n}" for n in range(6)}
    assert len({line.split()[3] for line in lines}) == 2


async def test_the_job_of_a_killed_worker_is_done_by_another(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    connection_id = await make_connection(db, tenant_id)

    async def began(times: int) -> bool:
        return log.exists() and log.read_text().count("begin") == times

    victim = await start_worker(database_urls.app, log)
    await order(db, tenant_id, connection_id, "endless")
    await until(lambda: began(1))
    await end_worker(victim, signal.SIGKILL)
    heir = await start_worker(database_urls.app, log)
    await until(lambda: began(2), 60)
    await end_worker(heir)
    pids = [line.split()[3] for line in log.read_text().splitlines() if line.startswith("begin")]
    assert pids == [str(victim.pid), str(heir.pid)]


async def test_a_worker_told_to_end_lets_its_job_come_to_a_good_end(
    db: Database, database_urls: DatabaseUrls, tenant_id: UUID, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    connection_id = await make_connection(db, tenant_id)
    process = await start_worker(database_urls.app, log)
    await order(db, tenant_id, connection_id, "endless")

    async def has_begun() -> bool:
        return log.exists() and "begin" in log.read_text()

    await until(has_begun)
    await end_worker(process)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["begin", "stopped"]
    async with db.statement() as conn:
        depth = await jobs.measure(conn)
        assert (depth.queued, depth.running) == (1, 0)
        assert await workers.list_workers(conn) == []
    async with db.transaction(tenant_id=tenant_id) as conn:
        cursor = await conn.execute(
            "select holder from sync.leases where tenant_id = %(id)s", {"id": tenant_id}
        )
        assert await cursor.fetchall() == [(None,)]
