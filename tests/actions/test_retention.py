"""What is older than it is kept goes, tenant by tenant, and nothing else does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from syncline.actions.hub import Hub
from syncline.actions.retention import run_retention, set_retention, show_retention
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.engine import retain
from syncline.engine.outgoing import serve_outgoing
from syncline.engine.retain import Retention, night_of, open_retention, tidy_tonight
from syncline.errors import Forbidden, Invalid

pytestmark = pytest.mark.anyio

Admin = psycopg.AsyncConnection[Any]
OTHER = UUID("00000000-0000-7000-8000-000000000002")


def admin_of(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "anna@example.com", "cli")


async def log_change(admin: Admin, tenant_id: UUID, days: int) -> None:
    """Write an entry of so many days ago into the change log, with a partition for it."""
    at = now() - timedelta(days=days)
    await admin.execute("select crm.ensure_change_log_partitions(%s::date, 1)", [at.date()])
    await admin.execute(
        "insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes,"
        " source) values (%s, %s, %s, 'contact', gen_random_uuid(), 'created', '{}', 'sql')",
        [tenant_id, new_id(), at],
    )


async def count(admin: Admin, statement: str, *values: Any) -> int:
    row = await (await admin.execute(statement.encode(), values)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
async def other(admin: Admin) -> UUID:
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
    )
    return OTHER


@pytest.fixture
async def connection_id(hub: Hub, admin: Admin) -> UUID:
    made = new_id()
    await admin.execute(
        "insert into sync.connections (tenant_id, id, platform, name, base_url, created_at, updated_at)"
        " values (%s, %s, 'hubspot', 'main', 'https://crm.example', now(), now())",
        [hub.tenant_id, made],
    )
    return made


async def ended_run(admin: Admin, hub: Hub, connection_id: UUID, days: int, status: str = "success") -> UUID:
    made = new_id()
    await admin.execute(
        "insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by,"
        " requested_at, started_at, completed_at, updated_at) values (%(t)s, %(id)s, %(c)s, 'contacts',"
        " 'incremental', %(s)s, 'schedule', %(at)s, %(at)s, %(at)s, %(at)s)",
        {"t": hub.tenant_id, "id": made, "c": connection_id, "s": status, "at": now() - timedelta(days=days)},
    )
    return made


async def test_runs_go_but_for_the_last_and_the_last_that_succeeded(
    hub: Hub, admin: Admin, connection_id: UUID
) -> None:
    for days in (200, 150, 120):
        await ended_run(admin, hub, connection_id, days)
    succeeded = await ended_run(admin, hub, connection_id, 110)
    await ended_run(admin, hub, connection_id, 105, "failed")
    failed = await ended_run(admin, hub, connection_id, 100, "failed")
    assert (await run_retention(hub, admin_of(hub), dry_run=True)).removed["runs"] == 4
    assert (await run_retention(hub, admin_of(hub), dry_run=False)).removed["runs"] == 4
    rows = await (await admin.execute("select id from sync.runs order by requested_at")).fetchall()
    assert [row[0] for row in rows] == [succeeded, failed]


async def test_what_a_tenant_sets_holds_and_the_default_comes_back(hub: Hub, admin: Admin) -> None:
    await log_change(admin, hub.tenant_id, 40)
    assert (await run_retention(hub, admin_of(hub), dry_run=True)).removed["change_log"] == 0
    await set_retention(hub, admin_of(hub), "change_log", 30)
    assert (await run_retention(hub, admin_of(hub), dry_run=True)).removed["change_log"] == 1
    await set_retention(hub, admin_of(hub), "change_log", None)
    assert "change_log" not in (await run_retention(hub, admin_of(hub), dry_run=True)).removed
    overview = await set_retention(hub, admin_of(hub), "change_log", None, default=True)
    kept = {each.subject: (each.keep_days, each.is_default) for each in overview.kept}
    assert kept["change_log"] == (730, True)
    assert kept["runs"] == (90, True)
    assert kept["inbox"] == (14, True)


async def test_only_an_admin_sets_and_only_what_there_is(hub: Hub) -> None:
    manager = Caller(hub.tenant_id, "manager", "max@example.com", "cli")
    with pytest.raises(Forbidden):
        await set_retention(hub, manager, "runs", 30)
    with pytest.raises(Forbidden):
        await run_retention(hub, manager, dry_run=True)
    with pytest.raises(Invalid, match="change_log"):
        await set_retention(hub, admin_of(hub), "everything", 30)


async def test_a_month_of_the_change_log_goes_whole_when_no_tenant_needs_it(
    hub: Hub, admin: Admin, other: UUID
) -> None:
    await log_change(admin, hub.tenant_id, 800)
    await log_change(admin, other, 800)
    tidied = await run_retention(hub, admin_of(hub), dry_run=False)
    assert len(tidied.dropped_months) == 1
    assert await count(admin, "select count(*) from crm.change_log") == 0


async def test_a_month_that_another_tenant_keeps_loses_this_tenants_rows_only(
    hub: Hub, admin: Admin, other: UUID
) -> None:
    await log_change(admin, hub.tenant_id, 800)
    await log_change(admin, other, 800)
    await admin.execute(
        "insert into app.retention (tenant_id, subject, keep_days, set_at, set_by)"
        " values (%s, 'change_log', null, now(), 'test')",
        [other],
    )
    tidied = await run_retention(hub, admin_of(hub), dry_run=False)
    assert tidied.dropped_months == []
    assert tidied.removed["change_log"] == 1
    rows = await (await admin.execute("select tenant_id from crm.change_log")).fetchall()
    assert rows == [(other,)]


async def test_payloads_of_archived_records_go_and_their_links_stay(
    hub: Hub, admin: Admin, connection_id: UUID
) -> None:
    for remote_id, days in (("1", 400), ("2", 300), ("3", None)):
        archived = None if days is None else now() - timedelta(days=days)
        await admin.execute(
            "insert into raw.hubspot_contacts (tenant_id, connection_id, remote_id, raw, payload_hash,"
            " requested_at, archived_at, archived_reason, synced_at)"
            " values (%s, %s, %s, '{}', '', now(), %s, %s, now())",
            [hub.tenant_id, connection_id, remote_id, archived, None if days is None else "archived"],
        )
        await admin.execute(
            "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id,"
            " base, linked_at) values (%s, %s, 'contacts', %s, 'contact', gen_random_uuid(), '{}', now())",
            [hub.tenant_id, connection_id, remote_id],
        )
    assert (await run_retention(hub, admin_of(hub), dry_run=False)).removed["raw"] == 1
    rows = await (await admin.execute("select remote_id from raw.hubspot_contacts order by 1")).fetchall()
    assert [row[0] for row in rows] == ["2", "3"]
    assert await count(admin, "select count(*) from sync.links") == 3


async def test_ended_alerts_are_kept_as_long_as_alerts_and_not_as_notifications(
    hub: Hub, admin: Admin
) -> None:
    for days in (100, 400):
        await admin.execute(
            "insert into sync.alerts (tenant_id, id, rule, severity, condition, metric, state, since_at,"
            " opened_at, closed_at, ended_by, value, worst, latest) values (%s, %s, 'failed_run', 'warning',"
            " 'failed_runs > 0', 'failed_runs', 'closed', now() - %s, now() - %s, now() - %s, 'recovered', 1,"
            " 1, 1)",
            [hub.tenant_id, new_id(), *[timedelta(days=days)] * 3],
        )
    removed = (await run_retention(hub, admin_of(hub), dry_run=False)).removed
    assert (removed["alerts"], removed["notifications"]) == (1, 0)
    assert await count(admin, "select count(*) from sync.alerts") == 1


async def test_many_rows_go_in_batches(hub: Hub, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retain, "BATCH", 10)
    await admin.execute(
        "insert into crm.notifications (tenant_id, id, notification_type, recipient, status, sent_at,"
        " created_at)"
        " select %s, gen_random_uuid(), 'email', 'manager', 'sent', now(), now() - interval '100 days'"
        " from generate_series(1, 35)",
        [hub.tenant_id],
    )
    assert (await run_retention(hub, admin_of(hub), dry_run=False)).removed["notifications"] == 35


async def test_other_tenants_keep_what_they_have(hub: Hub, admin: Admin, other: UUID) -> None:
    for tenant_id in (hub.tenant_id, other):
        await admin.execute(
            "insert into crm.notifications (tenant_id, id, notification_type, recipient, status, sent_at,"
            " created_at) values (%s, %s, 'email', 'manager', 'sent', now(), now() - interval '100 days')",
            [tenant_id, new_id()],
        )
    await run_retention(hub, admin_of(hub), dry_run=False)
    rows = await (await admin.execute("select tenant_id from crm.notifications")).fetchall()
    assert rows == [(other,)]


async def test_each_night_is_done_once_by_whoever_comes_first(hub: Hub, admin: Admin, other: UUID) -> None:
    at = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    assert await tidy_tonight(hub.db, hub.location.admin_url, at) == 2
    assert await tidy_tonight(hub.db, hub.location.admin_url, at) == 0
    assert await tidy_tonight(hub.db, hub.location.admin_url, at + timedelta(days=1)) == 2
    overview = await show_retention(hub)
    assert overview.latest is not None
    assert (overview.latest.night, overview.latest.problem) == (at.date() + timedelta(days=1), None)
    assert await count(admin, "select count(*) from app.retention_runs where tenant_id = %s", other) == 2


async def test_a_night_whose_worker_died_is_taken_up_by_another(hub: Hub, admin: Admin) -> None:
    at = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    await tidy_tonight(hub.db, hub.location.admin_url, at)
    await admin.execute("update app.retention_runs set ended_at = null")
    assert await tidy_tonight(hub.db, hub.location.admin_url, at + timedelta(minutes=30)) == 0
    assert await tidy_tonight(hub.db, hub.location.admin_url, at + timedelta(minutes=61)) == 1


def test_a_night_begins_by_the_clock_of_the_tenant() -> None:
    at = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    assert night_of(at, "UTC") is None
    assert night_of(at, "Europe/Berlin") == at.date()
    assert night_of(at, "America/New_York") == (at - timedelta(days=1)).date()


async def test_without_the_administrative_role_it_does_what_it_may_and_says_so(
    hub: Hub, admin: Admin
) -> None:
    await log_change(admin, hub.tenant_id, 800)
    await admin.execute(
        "insert into crm.notifications (tenant_id, id, notification_type, recipient, status, sent_at,"
        " created_at)"
        " values (%s, %s, 'email', 'manager', 'sent', now(), now() - interval '100 days')",
        [hub.tenant_id, new_id()],
    )
    removed = await Retention(hub.db, None).tidy(hub.tenant_id, now())
    assert (removed["notifications"], removed["change_log"]) == (1, 0)
    assert await count(admin, "select count(*) from crm.change_log") == 1
    async with open_retention(hub.db, hub.location.admin_url) as (_, problem):
        assert problem is None


async def test_deliveries_and_batches_are_kept_for_as_long_as_the_tenant_says(hub: Hub, admin: Admin) -> None:
    subscription = new_id()
    await admin.execute(
        "insert into sync.subscriptions (tenant_id, id, name, url, secret, created_by, created_at,"
        " updated_at, told_since)"
        " values (%s, %s, 's', 'http://127.0.0.1:9', '', 'anna', now(), now(), now())",
        [hub.tenant_id, subscription],
    )
    for days in (10, 40, 400):
        values = {"t": hub.tenant_id, "s": subscription, "at": now() - timedelta(days=days), "id": new_id()}
        await admin.execute(
            "insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at,"
            " state, not_before, created_at, ended_at)"
            " values (%(t)s, %(id)s, %(s)s, 'run.ended', %(id)s, %(at)s, 'delivered', %(at)s, %(at)s,"
            " %(at)s)",
            values,
        )
        await admin.execute(
            "insert into app.batches (tenant_id, id, kind, record_type, state, terms, source, planned_by,"
            " planned_at, ended_at) values (%(t)s, %(id)s, 'edit', 'contact', 'success', '{}', 'cli', 'anna',"
            " %(at)s, %(at)s)",
            values,
        )
        await admin.execute(
            "insert into app.batch_rows (tenant_id, batch_id, position, action, state)"
            " values (%(t)s, %(id)s, 1, 'change', 'done')",
            values,
        )
    await admin.execute(
        "insert into sync.deliveries (tenant_id, id, subscription_id, event, event_id, happened_at, body,"
        " not_before, created_at)"
        " values (%(t)s, %(id)s, %(s)s, 'run.ended', %(id)s, now(), '{}', now(), now())",
        {"t": hub.tenant_id, "s": subscription, "id": new_id()},
    )
    stop = asyncio.Event()
    telling = asyncio.create_task(serve_outgoing(hub.db, hub.vault(), private=True, stop=stop))
    async with asyncio.timeout(20):
        while await count(admin, "select count(*) from sync.deliveries where state = 'pending'"):
            await asyncio.sleep(0.05)
    stop.set()
    await telling
    assert await count(admin, "select count(*) from sync.deliveries") == 4, "the sender throws none away"
    removed = (await run_retention(hub, admin_of(hub), dry_run=False)).removed
    assert (removed["deliveries"], removed["batches"]) == (2, 2)
    assert await count(admin, "select count(*) from app.batch_rows") == 2
    await set_retention(hub, admin_of(hub), "deliveries", 5)
    await run_retention(hub, admin_of(hub), dry_run=False)
    assert await count(admin, "select count(*) from sync.deliveries") == 1
