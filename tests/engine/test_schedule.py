from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from made_rows import make_connection

from syncline.clock import now
from syncline.engine.cron import next_after
from syncline.engine.schedule import enqueue_due
from syncline.errors import NotFound, SettingInvalid
from syncline.store import connections, jobs, queueing, runs, schedules
from syncline.store.db import Database
from syncline.store.jobs import RunOrder
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


async def put(
    db: Database,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str = "contacts",
    cron: str = "*/5 * * * *",
    next_at: datetime = NOON,
) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await schedules.put_default(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            object_name=object_name,
            mode="incremental",
            cron=cron,
            next_at=next_at,
        )


async def queued(db: Database) -> list[RunOrder]:
    async with db.statement() as conn:
        cursor = await conn.execute("select payload from jobs.pgqueuer order by priority desc, id")
        return [jobs.decode_order(row[0]) for row in await cursor.fetchall()]


async def schedule_of(db: Database, tenant_id: UUID, object_name: str = "contacts") -> schedules.Schedule:
    async with db.transaction(tenant_id=tenant_id) as conn:
        found = await schedules.list_schedules(conn, tenant_id=tenant_id)
    return next(schedule for schedule in found if schedule.object == object_name)


async def test_what_is_due_becomes_a_job_and_is_due_again_at_its_next_time(
    db: Database, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id)
    assert await enqueue_due(db, NOON - timedelta(seconds=1)) == 0
    assert await enqueue_due(db, NOON + timedelta(seconds=1)) == 1
    assert await queued(db) == [RunOrder(tenant_id, connection_id, "contacts", "incremental")]
    schedule = await schedule_of(db, tenant_id)
    assert schedule.next_at == NOON + timedelta(minutes=5)
    assert schedule.last_enqueued_at == NOON + timedelta(seconds=1)


async def test_missed_times_do_not_pile_up(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id)
    late = NOON + timedelta(days=3, minutes=2)
    assert await enqueue_due(db, late) == 1
    assert await enqueue_due(db, late) == 0
    assert (await schedule_of(db, tenant_id)).next_at == NOON + timedelta(days=3, minutes=5)


async def test_what_is_still_queued_is_not_queued_again(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id)
    await put(db, tenant_id, connection_id, "deals")
    assert await enqueue_due(db, NOON) == 2
    assert await enqueue_due(db, NOON + timedelta(minutes=5)) == 0
    assert len(await queued(db)) == 2


async def test_many_workers_make_each_job_once(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    objects = [f"object{n}" for n in range(30)]
    for name in objects:
        await put(db, tenant_id, connection_id, name)
    made = await asyncio.gather(*(enqueue_due(db, NOON) for _ in range(6)))
    assert sum(made) == 30
    assert Counter(order.object for order in await queued(db)) == Counter(objects)


async def test_all_tenants_are_served_each_in_its_own_time_zone(
    db: Database, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    other = UUID("00000000-0000-7000-8000-000000000002")
    async with Database.open(database_urls.superuser) as admin, admin.statement() as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label, time_zone)"
            " values (%(id)s, 'berlin', 'Berlin', 'Europe/Berlin')",
            {"id": other},
        )
    for tenant in (tenant_id, other):
        await put(db, tenant, await make_connection(db, tenant), cron="0 6 * * *")
    assert await enqueue_due(db, NOON) == 2
    assert (await schedule_of(db, tenant_id)).next_at == datetime(2026, 3, 3, 6, tzinfo=UTC)
    assert (await schedule_of(db, other)).next_at == datetime(2026, 3, 3, 5, tzinfo=UTC)


async def test_a_paused_connection_is_left_alone_until_it_is_resumed(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id)
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.pause(conn, connection_id, "token revoked", tenant_id=tenant_id, now=now())
    assert await enqueue_due(db, NOON) == 0
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.resume(conn, connection_id, tenant_id=tenant_id, now=now())
    assert await enqueue_due(db, NOON) == 1


async def test_a_schedule_that_cannot_be_kept_is_switched_off_with_the_reason(
    db: Database, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id, cron="61 * * * *")
    await put(db, tenant_id, connection_id, "deals")
    assert await enqueue_due(db, NOON) == 1
    schedule = await schedule_of(db, tenant_id)
    assert not schedule.enabled
    assert schedule.problem is not None
    assert "61" in schedule.problem


async def test_a_default_does_not_undo_what_a_person_has_set(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    keys = {"tenant_id": tenant_id, "connection_id": connection_id, "mode": "incremental"}
    await put(db, tenant_id, connection_id)
    async with db.transaction(tenant_id=tenant_id) as conn:
        await schedules.change(
            conn, object_name="contacts", cron="0 * * * *", enabled=False, next_at=NOON, **keys
        )
    await put(db, tenant_id, connection_id)
    schedule = await schedule_of(db, tenant_id)
    assert (schedule.cron, schedule.enabled) == ("0 * * * *", False)
    assert await enqueue_due(db, NOON) == 0
    async with db.transaction(tenant_id=tenant_id) as conn:
        with pytest.raises(NotFound):
            await schedules.change(
                conn, object_name="nothing", cron="0 * * * *", enabled=True, next_at=NOON, **keys
            )


async def test_a_run_somebody_asked_for_is_queued_once_and_before_the_schedules(
    db: Database, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    await put(db, tenant_id, connection_id)
    await enqueue_due(db, NOON)
    async with db.transaction(tenant_id=tenant_id) as conn:
        run_id = await runs.request(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            object_name="contacts",
            mode="manual",
            requested_by="sql",
            now=now(),
        )
    assert await enqueue_due(db, NOON) == 1
    assert await enqueue_due(db, NOON) == 0
    assert [order.run_id for order in await queued(db)] == [run_id, None]


async def test_a_job_is_not_made_when_the_transaction_fails(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    order = RunOrder(tenant_id, connection_id, "contacts", "incremental")

    async def fail() -> None:
        async with db.transaction(tenant_id=tenant_id) as conn:
            assert await queueing.enqueue(conn, [order, order]) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await queued(db) == []


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("*/5 * * * *", "UTC", "2026-03-02T12:00:00+00:00", "2026-03-02T12:05:00+00:00"),
        ("0 6 * * *", "America/New_York", "2026-01-05T12:00:00+00:00", "2026-01-06T11:00:00+00:00"),
        # The clocks go forward at 02:00 and back at 03:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T04:00:00+00:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", "2026-10-25T05:00:00+00:00"),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00+00:00", "2026-10-25T01:00:00+00:00"),
    ],
)
def test_times_follow_the_tenants_clock(cron: str, zone: str, after: str, expected: str) -> None:
    found = next_after(cron, datetime.fromisoformat(after), zone)
    assert found == datetime.fromisoformat(expected)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "cron", ["", "* * *", "* * * * * *", "61 * * * *", "a b c d e", "0 0 30 2 *", "@daily"]
)
def test_an_expression_that_makes_no_sense_is_refused(cron: str) -> None:
    with pytest.raises(SettingInvalid):
        next_after(cron, NOON, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "Europe", "../etc/passwd"])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(SettingInvalid):
        next_after("* * * * *", NOON, zone)
