"""Rules are looked at: alerts begin once, end once, and nobody is told twice or of what is switched off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from watched import DEFAULT, Watched, put_rules, tenant_of

from syncline.clock import now
from syncline.domain.alerts import parse_rules
from syncline.engine.alerts import Looked, look, preview
from syncline.store import alerts
from syncline.store.alerts import Alert
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio
AT_ONCE = timedelta()
OTHER = UUID("00000000-0000-7000-8000-0000000000ff")


@pytest.fixture
async def admin(database_urls: DatabaseUrls) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn


@pytest.fixture
def watched(admin: psycopg.AsyncConnection[Any]) -> Watched:
    return Watched(admin)


def rule(condition: str, more: str = "") -> str:
    return (
        f"alerts:\n  - name: tried\n    condition: {condition}\n    notify: [role:admin, slack:ops]\n{more}"
    )


async def look_now(db: Database, tenant_id: UUID = DEFAULT) -> Looked:
    looked = await look(db, await tenant_of(db, tenant_id), every=AT_ONCE)
    assert looked is not None
    return looked


async def opened(db: Database) -> list[tuple[str, str]]:
    return [(each.rule, each.place) for each in (await look_now(db)).opened]


async def closed(db: Database) -> list[tuple[str, str | None]]:
    return [(each.rule, each.ended_by) for each in (await look_now(db)).closed]


async def list_alerts(db: Database, tenant_id: UUID = DEFAULT) -> list[Alert]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await alerts.list_page(conn, tenant_id=tenant_id, state=None, limit=50)


async def news(admin: psycopg.AsyncConnection[Any]) -> list[tuple[str, str, str]]:
    cursor = await admin.execute(
        "select template_name, notification_type, recipient from crm.notifications order by created_at, 1, 2"
    )
    return [(str(row[0]), str(row[1]), str(row[2])) for row in await cursor.fetchall()]


MINUTES = timedelta(minutes=1)


async def test_contacts_that_were_not_synced_for_ten_minutes_are_told_and_so_is_recovery(
    db: Database, watched: Watched, admin: psycopg.AsyncConnection[Any]
):
    acme = await watched.connection()
    await watched.schedule(acme, "contacts")
    await watched.run(acme, "contacts", ago=9 * MINUTES)
    assert await opened(db) == []
    await watched.execute("update sync.runs set completed_at = now() - interval '11 minutes'")
    assert await opened(db) == [("contacts_stale", "acme/contacts")]
    assert await opened(db) == []
    await watched.run(acme, "contacts")
    assert await closed(db) == [("contacts_stale", "recovered")]
    assert await closed(db) == []
    assert await news(admin) == [
        ("alert.opened", "email", "admin"),
        ("alert.opened", "email", "manager"),
        ("alert.closed", "email", "admin"),
        ("alert.closed", "email", "manager"),
    ]


async def test_deals_have_thirty_minutes(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.schedule(acme, "deals", "*/15 * * * *")
    await watched.run(acme, "deals", ago=25 * MINUTES)
    assert await opened(db) == []
    await watched.execute("update sync.runs set completed_at = now() - interval '31 minutes'")
    assert await opened(db) == [("deals_stale", "acme/deals")]


async def test_what_is_read_once_a_day_is_not_stale_after_ten_minutes(db: Database, watched: Watched):
    acme = await watched.connection()
    hour = (now() - timedelta(hours=2)).hour
    await watched.schedule(acme, "contacts", f"0 {hour} * * *")
    await watched.run(acme, "contacts", ago=timedelta(minutes=30))
    assert await opened(db) == []


async def test_a_connection_that_was_just_added_or_resumed_gets_its_time(db: Database, watched: Watched):
    fresh = await watched.connection("fresh", made=3 * MINUTES)
    await watched.schedule(fresh, "contacts")
    back = await watched.connection("back")
    await watched.schedule(back, "contacts")
    await watched.execute("update sync.connections set resumed_at = now() where id = %(id)s", id=back)
    assert await opened(db) == []


async def test_a_first_load_that_moves_is_not_stale_and_one_that_hangs_is(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.schedule(acme, "contacts")
    await watched.run(acme, "contacts", "running", mode="backfill", read=500)
    assert await opened(db) == []
    await watched.execute("update sync.runs set updated_at = now() - interval '20 minutes'")
    assert await opened(db) == [("contacts_stale", "acme/contacts")]


@pytest.mark.parametrize(
    "switch",
    [
        "update sync.connections set status = 'paused', paused_reason = 'Paused by ada@example.com.'",
        "update sync.schedules set enabled = false",
        "delete from sync.connections",
    ],
)
async def test_what_is_paused_switched_off_or_gone_ends_its_alert_and_begins_none(
    db: Database, watched: Watched, switch: str
):
    acme = await watched.connection()
    await watched.schedule(acme, "contacts")
    assert await opened(db) == [("contacts_stale", "acme/contacts")]
    await watched.execute(switch)
    assert await closed(db) == [("contacts_stale", "unwatched")]
    assert await opened(db) == []


async def test_a_failed_run_is_told_until_the_next_goes_well(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.run(acme, "deals", "failed", ago=2 * MINUTES)
    first = await look_now(db)
    assert ("failed_run", "acme/deals") in [(each.rule, each.place) for each in first.opened]
    await watched.run(acme, "deals", "failed", ago=MINUTES)
    assert ("failed_run", "acme/deals") not in [
        (each.rule, each.place) for each in (await look_now(db)).opened
    ]
    await watched.run(acme, "contacts")  # another object makes up for nothing
    assert ("failed_run", "recovered") not in await closed(db)
    await watched.run(acme, "deals")
    assert ("failed_run", "recovered") in await closed(db)
    told = next(each for each in await list_alerts(db) if each.rule == "failed_run")
    assert (told.value, told.worst) == (1, 2)


async def test_a_low_success_rate_is_an_incident_until_it_is_high_again(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.run(acme, "deals", "failed")
    assert ("low_success_rate", "") in await opened(db)
    await watched.execute("delete from sync.runs")
    await watched.run(acme, "deals")
    assert ("low_success_rate", "recovered") in await closed(db)


async def test_a_connection_that_a_failure_paused_is_told(db: Database, watched: Watched):
    await watched.connection()
    await watched.execute("update sync.connections set status = 'paused', paused_reason = 'Token refused.'")
    assert await opened(db) == [("connection_paused", "acme")]
    await watched.execute("update sync.connections set status = 'active', paused_reason = null")
    assert await closed(db) == [("connection_paused", "recovered")]


async def test_more_than_a_tenth_of_records_failing_is_told(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.run(acme, "deals", "partial", read=100, failed=10)
    assert await opened(db) == []
    await watched.run(acme, "deals", "partial", read=10, failed=5)
    assert await opened(db) == [("records_failing", "acme/deals")]


async def test_an_old_queue_row_is_told_where_writing_is_on(db: Database, watched: Watched):
    acme = await watched.connection()
    await put_rules(db, rule("queue_age_minutes > 15"))
    await watched.execute(
        "insert into sync.queue (tenant_id, connection_id, record_type, record_id, fields, queued_at,"
        " not_before) values (%(tenant_id)s, %(id)s, 'deal', gen_random_uuid(), '{}',"
        " now() - interval '20 minutes', now())",
        id=acme,
    )
    assert await opened(db) == []
    await watched.execute("update sync.connections set writes_enabled = true")
    assert await opened(db) == [("tried", "acme")]
    await watched.execute("update app.tenants set writing_stopped_at = now(), writing_stopped_by = 'ada'")
    assert await closed(db) == [("tried", "recovered")]


async def test_drift_is_told_by_records(db: Database, watched: Watched):
    acme = await watched.connection()
    await put_rules(db, rule("open_drift > 1"))
    for field in ("name", "amount"):
        await watched.execute(
            "insert into sync.drift (tenant_id, connection_id, object, remote_id, field, state, cause,"
            " found_at, run_id, checked_at) values (%(tenant_id)s, %(id)s, 'deals', '7', %(field)s, 'open',"
            " 'unread', now(), gen_random_uuid(), now())",
            id=acme,
            field=field,
        )
    assert await opened(db) == []
    await watched.execute("update sync.drift set remote_id = '8' where field = 'name'")
    assert await opened(db) == [("tried", "acme/deals")]


async def test_a_rule_that_waits_tells_only_what_lasts(
    db: Database, watched: Watched, admin: psycopg.AsyncConnection[Any]
):
    acme = await watched.connection()
    await put_rules(db, rule("failed_runs > 0", "    for: 2m\n"))
    await watched.run(acme, "deals", "failed", ago=MINUTES)
    assert await opened(db) == []
    assert (await list_alerts(db), await news(admin)) == ([], [])
    await watched.execute("update sync.alerts set since_at = now() - interval '3 minutes'")
    assert await opened(db) == [("tried", "acme/deals")]
    await watched.run(acme, "deals")
    assert await closed(db) == []  # not before it has been well for as long
    await watched.execute("update sync.alerts set clear_since = now() - interval '3 minutes'")
    assert await closed(db) == [("tried", "recovered")]


async def test_a_rule_that_is_taken_away_ends_its_alerts(db: Database, watched: Watched):
    acme = await watched.connection()
    await put_rules(db, rule("failed_runs > 0"))
    await watched.run(acme, "deals", "failed")
    assert await opened(db) == [("tried", "acme/deals")]
    await put_rules(db, "alerts: []")
    assert await closed(db) == [("tried", "unwatched")]


async def test_two_workers_that_look_at_once_tell_once(
    db: Database, watched: Watched, admin: psycopg.AsyncConnection[Any]
):
    acme = await watched.connection()
    await put_rules(db, rule("failed_runs > 0"))
    await watched.run(acme, "deals", "failed")
    tenant = await tenant_of(db)
    looks = await asyncio.gather(*(look(db, tenant) for _ in range(8)))
    assert len([each for each in looks if each is not None]) == 1
    again = await asyncio.gather(*(look(db, tenant, every=AT_ONCE) for _ in range(8)))
    assert [each for each in again if each is not None and each.opened] == []
    assert await news(admin) == [("alert.opened", "email", "admin"), ("alert.opened", "slack", "ops")]


async def test_another_tenants_syncs_are_none_of_ours(db: Database, admin: psycopg.AsyncConnection[Any]):
    await admin.execute("select app.add_tenant(%s, 'other', 'Other', 'UTC', 'USD', 'US', now())", [OTHER])
    theirs = Watched(admin, OTHER)
    await theirs.run(await theirs.connection(), "deals", "failed")
    assert await opened(db) == []
    assert await list_alerts(db) == []
    assert (await look_now(db, OTHER)).opened
    assert await list_alerts(db) == []
    assert await list_alerts(db, OTHER)


async def test_rules_that_cannot_be_read_any_more_leave_the_shipped_ones(db: Database, watched: Watched):
    await put_rules(db, "alerts: [{name: a, condition: gone_metric > 1, notify: role:admin}]")
    await watched.schedule(await watched.connection(), "contacts")
    assert await opened(db) == [("contacts_stale", "acme/contacts")]


async def test_what_would_fire_is_seen_before_anything_is_written(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.run(acme, "deals", "failed")
    rules = parse_rules(rule("failed_runs > 0"))
    async with db.transaction(tenant_id=DEFAULT) as conn:
        found = await preview(conn, rules.rules, await tenant_of(db), now())
    assert [(each.connection, each.object, each.value) for each in found[0].firing] == [("acme", "deals", 1)]
    assert await list_alerts(db) == []


async def test_of_an_objects_several_schedules_the_one_that_is_missed_tells(db: Database, watched: Watched):
    acme = await watched.connection()
    await watched.schedule(acme, "contacts")
    for mode in ("backfill", "reconcile"):
        await watched.execute(
            "insert into sync.schedules (tenant_id, connection_id, object, mode, cron, next_at)"
            " values (%(tenant_id)s, %(id)s, 'contacts', %(mode)s, '0 0 1 1 *', now() + interval '1 day')",
            id=acme,
            mode=mode,
        )
    await watched.run(acme, "contacts", ago=11 * MINUTES)
    assert await opened(db) == [("contacts_stale", "acme/contacts")]


async def test_an_incident_of_the_tenant_is_not_over_because_nothing_is_measured(
    db: Database, watched: Watched
):
    acme = await watched.connection()
    await put_rules(db, rule("sync_success_rate < 0.95"))
    await watched.run(acme, "deals", "failed")
    assert await opened(db) == [("tried", "")]
    await watched.execute("delete from sync.runs")
    assert await closed(db) == []
    await watched.run(acme, "deals")
    assert await closed(db) == [("tried", "recovered")]
