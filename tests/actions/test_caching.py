"""Answers that are given again: never older than the question, never somebody else's, worked out once."""

from __future__ import annotations

import asyncio
import pickle
import random
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from syncline import clock
from syncline.actions import cache_store, caching, metrics, overview
from syncline.actions.cache_store import InMemory, InRedis, open_store
from syncline.actions.caching import LIFETIMES, Question, Use, answer, ask_reports, close_cache, using
from syncline.actions.hub import Hub, open_hub
from syncline.actions.measuring import Filters
from syncline.actions.overview import BESIDES, TABLES
from syncline.actions.records import recall_record
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.errors import NotFound, Unavailable
from syncline.store import reports
from syncline.store.generations import WATCHED
from syncline.store.reports import REPORTS
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

Psql = psycopg.AsyncConnection[Any]
ADA = UUID(int=(5 << 120) + 1)
BO = UUID(int=(5 << 120) + 2)
COMPANY = Question("company", ("?",), frozenset({"crm.companies"}))


def manager(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "manager", "ada@example.com", "api")


def rep(hub: Hub, *owner_ids: UUID) -> Caller:
    return Caller(hub.tenant_id, "rep", "bo@example.com", "api", owner_ids=frozenset(owner_ids))


class Counted:
    """Reads the number of companies, and counts how often it was asked."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.times = 0

    async def __call__(self) -> int:
        self.times += 1
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            cursor = await conn.execute(
                "select count(*) from crm.companies where tenant_id = %s", [self.hub.tenant_id]
            )
            row = await cursor.fetchone()
        return row[0] if row else 0


async def ask(hub: Hub, caller: Caller, compute: Callable[[], Awaitable[Any]], *, anew: bool = False) -> Any:
    with using(Use(may_read=not anew)):
        return await answer(hub, caller, COMPANY, compute)


async def add_company(admin: Psql, tenant_id: UUID, owner: UUID | None = None) -> UUID:
    made = uuid4()
    await admin.execute(
        "insert into crm.companies (tenant_id, id, name, owner_id) values (%s, %s, 'Acme', %s)",
        [tenant_id, made, owner],
    )
    return made


async def test_an_answer_is_given_again_until_something_under_it_changes(hub: Hub, admin: Psql) -> None:
    count = Counted(hub)
    assert [await ask(hub, manager(hub), count) for _ in range(3)] == [0, 0, 0]
    assert count.times == 1
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, email) values (%s, %s, 'a@example.com')",
        [hub.tenant_id, uuid4()],
    )
    assert (await ask(hub, manager(hub), count), count.times) == (0, 1)
    await add_company(admin, hub.tenant_id)
    assert (await ask(hub, manager(hub), count), count.times) == (1, 2)


async def test_outside_of_a_door_and_over_unwatched_tables_nothing_is_kept(hub: Hub) -> None:
    count = Counted(hub)
    for _ in range(2):
        await answer(hub, manager(hub), COMPANY, count)
    with using(Use()) as use:
        for _ in range(2):
            await answer(hub, manager(hub), Question("table", (), frozenset({"sync.runs"})), count)
    assert (count.times, use.hits, use.misses) == (4, 0, 0)


async def test_who_wants_no_kept_answer_gets_a_new_one_and_leaves_it_for_others(hub: Hub) -> None:
    count = Counted(hub)
    await ask(hub, manager(hub), count)
    await ask(hub, manager(hub), count, anew=True)
    assert count.times == 2
    await ask(hub, manager(hub), count)
    assert count.times == 2


async def test_nobody_is_given_what_was_made_for_another_view(hub: Hub, admin: Psql) -> None:
    await admin.execute(
        "insert into crm.owners (tenant_id, id, email) select %s, o, o || '@example.com'"
        " from unnest(%s::uuid[]) o",
        [hub.tenant_id, [ADA, BO]],
    )
    theirs = await add_company(admin, hub.tenant_id, ADA)
    with using(Use()) as use:
        for caller in (manager(hub), rep(hub, ADA)):
            assert (await recall_record(hub, caller, "company", theirs)).id == theirs
        for caller in (rep(hub, BO), rep(hub)):
            with pytest.raises(NotFound):
                await recall_record(hub, caller, "company", theirs)
        assert use.hits == 0
        await recall_record(hub, manager(hub), "company", theirs)
        assert use.hits == 1


async def test_another_tenants_answer_is_another_answer(hub: Hub, admin: Psql) -> None:
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [uuid4()]
    )
    await add_company(admin, hub.tenant_id)
    async with open_hub(hub.settings, tenant="other", application_name="test") as theirs:
        other = Hub(hub.settings, hub.location, hub.db, theirs.tenant)
        assert await ask(hub, manager(hub), Counted(hub)) == 1
        assert await ask(other, manager(other), Counted(other)) == 0


async def test_fifty_who_ask_at_once_wait_for_one_computation(hub: Hub, admin: Psql) -> None:
    count = Counted(hub)
    assert await asyncio.gather(*(ask(hub, manager(hub), count) for _ in range(50))) == [0] * 50
    assert count.times == 1
    await add_company(admin, hub.tenant_id)
    assert await asyncio.gather(*(ask(hub, manager(hub), count) for _ in range(50))) == [1] * 50
    assert count.times == 2


async def test_what_one_does_to_an_answer_no_other_sees(hub: Hub) -> None:
    async def compute() -> list[int]:
        return [1]

    found = await asyncio.gather(*(ask(hub, manager(hub), compute) for _ in range(3)))
    for each in found:
        each.append(2)
    assert await ask(hub, manager(hub), compute) == [1]


async def test_one_who_goes_away_takes_nobody_along_and_failures_are_not_kept(hub: Hub) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def compute() -> int:
        begun.set()
        await go_on.wait()
        return 7

    async def fail() -> int:
        raise NotFound("no")

    first = asyncio.create_task(ask(hub, manager(hub), compute))
    await begun.wait()
    second = asyncio.create_task(ask(hub, manager(hub), compute))
    first.cancel()
    go_on.set()
    assert await second == 7
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(NotFound):
        await ask(hub, rep(hub), fail)
    assert await ask(hub, rep(hub), Counted(hub)) == 0


class Slow:
    """Takes until it is let go on; knows how often it was begun, and how often ended before."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()
        self.times = 0

    async def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.set()
            raise
        return self.times


async def test_what_nobody_waits_for_any_more_is_not_worked_out_to_its_end(hub: Hub) -> None:
    slow = Slow()
    asking = [asyncio.create_task(ask(hub, manager(hub), slow)) for _ in range(3)]
    await slow.begun.wait()
    for each in asking:
        each.cancel()
    async with asyncio.timeout(10):
        assert all(isinstance(each, asyncio.CancelledError) for each in await gone(asking))
        await slow.ended.wait()
    assert not slow.go_on.is_set()
    slow.go_on.set()
    assert (await ask(hub, manager(hub), slow), slow.times) == (2, 2)


async def test_who_comes_when_the_last_has_just_gone_is_not_taken_along(hub: Hub) -> None:
    slow = Slow()
    first = asyncio.create_task(ask(hub, manager(hub), slow))
    await slow.begun.wait()
    first.cancel()
    second = asyncio.create_task(ask(hub, manager(hub), slow))
    slow.go_on.set()
    async with asyncio.timeout(10):
        assert await second in (1, 2)
        await gone([first])


async def gone(asking: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*asking, return_exceptions=True)


async def test_reads_of_tokens_end_with_the_last_who_waits_and_the_next_reads_anew(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, begun, hold, ended = caching.generations.read, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def held(conn: Any, *, tenant_id: UUID) -> Any:
        begun.set()
        try:
            await hold.wait()
        finally:
            ended.set()
        return await read(conn, tenant_id=tenant_id)

    monkeypatch.setattr(caching.generations, "read", held)
    asking = [asyncio.create_task(ask(hub, manager(hub), Counted(hub))) for _ in range(3)]
    await begun.wait()
    for each in asking:
        each.cancel()
    async with asyncio.timeout(10):
        await gone(asking)
        await ended.wait()
        hold.set()
        assert await ask(hub, manager(hub), Counted(hub)) == 0


async def test_nothing_is_worked_out_any_more_once_the_cache_is_closed(hub: Hub) -> None:
    slow = Slow()
    asking = [asyncio.create_task(ask(hub, manager(hub), slow)) for _ in range(3)]
    await slow.begun.wait()
    async with asyncio.timeout(10):
        await close_cache(hub.db)
        assert slow.ended.is_set()
        found = await gone(asking)
    assert [type(each) for each in found] == [Unavailable] * 3
    assert slow.times == 1


@pytest.mark.parametrize("seed", range(4))
async def test_no_answer_is_older_than_its_question(hub: Hub, database_urls: DatabaseUrls, seed: int) -> None:
    """Writers commit in random order, some late, some not at all; readers ask all the time."""
    chance = random.Random(seed)
    committed = 0
    over = asyncio.Event()
    count = Counted(hub)

    async def write() -> None:
        nonlocal committed
        async with await psycopg.AsyncConnection.connect(database_urls.superuser) as conn:
            for _ in range(25):
                await add_company(conn, hub.tenant_id)
                await asyncio.sleep(chance.random() / 100)
                if chance.random() < 0.2:
                    await conn.rollback()
                else:
                    await conn.commit()
                    committed += 1

    async def read() -> None:
        while not over.is_set():
            least = committed
            assert await ask(hub, manager(hub), count) >= least
            await asyncio.sleep(chance.random() / 500)

    readers = [asyncio.create_task(read()) for _ in range(6)]
    await asyncio.gather(*(write() for _ in range(4)))
    over.set()
    await asyncio.gather(*readers)
    assert await ask(hub, manager(hub), count) == committed


async def test_counts_that_cannot_be_put_together_stop_no_read_and_that_is_said_once(
    hub: Hub, admin: Psql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "_MOST_ROWS", -1)
    tries = 0

    async def fail(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        raise psycopg.errors.ReadOnlySqlTransaction

    monkeypatch.setattr(caching.generations, "fold", fail)
    count = Counted(hub)
    with capture_logs() as logs:
        assert [await ask(hub, manager(hub), count) for _ in range(3)] == [0, 0, 0]
        assert tries == 1
        monkeypatch.setattr(caching, "_FOLD_AGAIN_SECONDS", 0.0)
        caching._caches[hub.db].fold_at = 0.0  # pyright: ignore[reportPrivateUsage] - half a minute later
        assert [await ask(hub, manager(hub), count) for _ in range(2)] == [0, 0]
    assert tries == 3
    assert [each["event"] for each in logs if each["event"].startswith("cache")] == ["cache_counts_unfolded"]
    monkeypatch.undo()
    assert await ask(hub, manager(hub), count) == 0


# What numbers rest on -------------------------------------------------------------------------------------


def is_of_syncs(name: str) -> bool:
    return name.startswith("sync_")


async def test_the_tables_under_every_number_are_known_and_watched(hub: Hub, admin: Psql) -> None:
    cursor = await admin.execute(
        "select schemaname || '.' || viewname from pg_views where schemaname = 'crm'"
    )
    views = {row[0] for row in await cursor.fetchall()}
    for name, report in REPORTS.items():
        question = ask_reports("metrics", [report], (), Filters())
        assert (question.tables <= WATCHED) == (not is_of_syncs(name)), name
        assert not question.tables & views, name
        links = report.statement.count("sync.links")
        behind = re.findall(
            r"%\(connection\)s(?:::uuid)? is null\s+or exists\s*\(\s*select\s+from sync\.links",
            report.statement,
        )
        assert links == len(behind), name
        assert (
            is_of_syncs(name)
            or not links
            or ("sync.links" in ask_reports("metrics", [report], (), Filters(connection="acme")).tables)
        )


async def test_a_view_rests_on_the_tables_it_is_said_to(hub: Hub, admin: Psql) -> None:
    cursor = await admin.execute(
        """select distinct v.oid::regclass::text, t.oid::regclass::text
           from pg_rewrite w join pg_class v on v.oid = w.ev_class and v.relkind = 'v'
           join pg_namespace n on n.oid = v.relnamespace and n.nspname = 'crm'
           join pg_depend d on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
             and d.refclassid = 'pg_class'::regclass
           join pg_class t on t.oid = d.refobjid and t.oid <> v.oid"""
    )
    rests_on: dict[str, set[str]] = {}
    for view, table in await cursor.fetchall():
        rests_on.setdefault(view, set()).add(table)
    told: dict[str, frozenset[str]] = dict(caching.VIEWS)
    assert {view: rests_on[view] for view in told} == {view: set(tables) for view, tables in told.items()}


@pytest.mark.parametrize("name", sorted(TABLES))
async def test_a_table_asks_the_reports_it_is_said_to_ask(
    hub: Hub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    run = reports.run_report

    async def heard(conn: Any, report: reports.Report, values: Any) -> Any:
        asked.add(report.name)
        return await run(conn, report, values)

    monkeypatch.setattr(reports, "run_report", heard)
    await overview.read_table(hub, manager(hub), name)
    assert asked == {name, *BESIDES.get(name, ())}


async def test_numbers_are_given_again_until_what_they_rest_on_changes(hub: Hub, admin: Psql) -> None:
    with using(Use()) as use:
        await metrics.read_metrics(hub, manager(hub))
        await metrics.read_metrics(hub, manager(hub))
        assert (use.hits, use.misses) == (1, 1)
        await admin.execute("update app.tenants set time_zone = 'Asia/Tokyo'")
        await metrics.read_metrics(hub, manager(hub))
        await metrics.read_metrics(hub, rep(hub))
        assert (use.hits, use.misses) == (1, 3)
        await admin.execute(
            """insert into sync.connections (tenant_id, id, platform, name, base_url, created_at, updated_at)
               values (%s, gen_random_uuid(), 'hubspot', 'acme', 'https://crm.test', now(), now())""",
            [hub.tenant_id],
        )
        by = Filters(connection="acme")
        for _ in range(2):
            await metrics.read_metrics(hub, manager(hub), None, by, names=["win_rate"])
        assert (use.hits, use.misses) == (1, 3)


async def test_who_sees_everything_shares_answers_but_not_their_own_numbers(hub: Hub) -> None:
    ada, bo = (
        Caller(hub.tenant_id, "manager", "ada@example.com", "api", owner_ids=frozenset([each]))
        for each in (ADA, BO)
    )
    for owner, hits in ((None, 1), (" Me", 0)):
        with using(Use()) as use:
            for caller in (ada, bo):
                await metrics.read_metrics(hub, caller, None, Filters(owner=owner), names=["win_rate"])
        assert use.hits == hits
    with using(Use()) as use:
        for caller in (rep(hub, ADA), rep(hub, BO)):
            await metrics.read_metrics(hub, caller, names=["win_rate"])
    assert use.hits == 0


async def test_what_was_planned_comes_up_when_its_minute_comes(
    hub: Hub, admin: Psql, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2026, 3, 2, 12, 1, 30, tzinfo=UTC)
    await admin.execute(
        "insert into crm.activities (tenant_id, id, type, occurred_at) values (%s, %s, 'call', %s)",
        [hub.tenant_id, uuid4(), at + timedelta(seconds=20)],
    )
    shown: list[int] = []
    with using(Use()) as use:
        for seconds in (0, 10, 30):
            monkeypatch.setattr(clock, "now", lambda now=at + timedelta(seconds=seconds): now)
            shown.append(len((await overview.read_table(hub, manager(hub), "recent_activities")).rows))
    assert (shown, use.hits) == ([0, 0, 1], 1)


async def test_the_lifetimes_are_those_that_were_asked_for() -> None:
    asked = {"contact": 300, "company": 600, "deal": 180, "hot_leads": 60, "dashboard": 300}
    assert asked.items() <= LIFETIMES.items()


# Where answers are kept -----------------------------------------------------------------------------------


async def test_memory_is_bounded_and_what_was_not_used_for_longest_goes_first() -> None:
    store = InMemory(10_000)
    for n in range(30):
        await store.keep(f"k{n:02}", b"x" * 997, 60)
        await store.find("k00")
    assert store.bytes == 10_000
    assert await store.find("k00") is not None
    assert await store.find("k01") is None
    assert await store.find("k29") is not None
    await store.keep("large", b"x" * 20_000, 60)
    assert await store.find("large") is None
    await store.close()


async def test_what_has_expired_is_gone_and_takes_no_room() -> None:
    store = InMemory(10_000)
    await store.keep("k", b"x" * 100, 0.01)
    async with asyncio.timeout(5):
        while await store.find("k") is not None:
            await asyncio.sleep(0.005)
    assert store.bytes == 0
    await store.close()


async def test_what_has_expired_is_swept_out_though_nobody_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_store, "SWEEP_SECONDS", 0.0)
    store = InMemory(10_000)
    await store.keep("person", b"x" * 100, 0.02)
    assert store.bytes > 100
    async with asyncio.timeout(5):
        while store.bytes > 100:
            await asyncio.sleep(0.005)
    assert store.bytes == 0
    await store.close()


async def test_a_cache_of_no_size_is_none(keyed: Settings) -> None:
    assert (
        open_store(keyed.model_copy(update={"cache_mb": 0}), lambda: pytest.fail("no key is needed")) is None
    )


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncGenerator[tuple[str, subprocess.Popen[bytes]]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


async def test_processes_share_a_redis_in_which_nobody_can_read(
    hub: Hub, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    vault = hub.vault()
    one, other = InRedis(redis[0], vault), InRedis(redis[0], vault)
    await one.keep("syncline:contact:a", b"Ada Lovelace", 60)
    assert await other.find("syncline:contact:a") == b"Ada Lovelace"
    assert await other.find("syncline:contact:b") is None

    reader, writer = await asyncio.open_connection("127.0.0.1", int(redis[0].split(":")[2].split("/")[0]))
    writer.write(b"GET syncline:contact:a\r\n")
    stored = await reader.readuntil(b"\r\n") + await reader.readuntil(b"\r\n")
    assert b"Ada" not in stored
    # Moved to another key, or forged, it is as good as not there.
    writer.write(b"COPY syncline:contact:a syncline:contact:c\r\nSET syncline:contact:d forged\r\n")
    await reader.readuntil(b"+OK\r\n")
    assert await other.find("syncline:contact:c") is None
    assert await other.find("syncline:contact:d") is None
    writer.close()
    await one.close()
    await other.close()


class Trap:
    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


async def test_what_others_put_into_redis_is_no_hit_and_is_not_run(
    hub: Hub, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    store = InRedis(redis[0], hub.vault())
    reader, writer = await asyncio.open_connection("127.0.0.1", int(redis[0].split(":")[2].split("/")[0]))
    for value in (
        b"12",
        b"bytes:12",
        b"",
        pickle.dumps(Trap()),
        pickle.dumps("text"),
        b"bytes:" + b"x" * 200,
    ):
        writer.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n" % (len(value), value))
        assert await reader.readuntil(b"\r\n") == b"+OK\r\n"
        assert await store.find("k") is None
    assert not Trap.sprung
    writer.close()
    await store.close()


async def test_without_its_redis_everything_works_and_that_is_said_once(
    hub: Hub, admin: Psql, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, process = redis
    settings = hub.settings.model_copy(update={"redis_url": SecretStr(url)})
    async with open_hub(settings, application_name="test") as shared:
        count = Counted(shared)
        for _ in range(2):
            assert await ask(shared, manager(shared), count) == 0
        assert count.times == 1
        process.kill()
        process.wait()
        with capture_logs() as logs:
            for expected in range(1, 4):
                await add_company(admin, hub.tenant_id)
                assert await ask(shared, manager(shared), count) == expected
        assert [each["event"] for each in logs if each["event"].startswith("cache")] == ["cache_away"]
        await close_cache(shared.db)
