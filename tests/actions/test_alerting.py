"""A stale or failing sync is told within a minute by a real worker, over SMTP and HTTP; so is its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from letterbox import Letterbox, open_letterbox
from receiver import Receiver, receiving
from syncline.actions.alert_rules import set_rules
from syncline.actions.channels import add_channel
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.people import add_person
from syncline.actions.retention import run_retention
from syncline.actions.sync import sync
from syncline.actions.work import run_worker
from syncline.clock import now, to_ms
from syncline.config import Settings
from syncline.domain.alert_defaults import DEFAULT_RULES
from syncline.domain.callers import Caller

pytestmark = pytest.mark.anyio
Admin = psycopg.AsyncConnection[Any]


@pytest.fixture
async def box() -> AsyncGenerator[Letterbox]:
    async with open_letterbox() as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving(lambda: to_ms(now())) as opened:
        yield opened


@pytest.fixture
def keyed(keyed: Settings, box: Letterbox) -> Settings:
    return keyed.model_copy(
        update={
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{box.port}"),
            "mail_from": "syncline@example.com",
            "public_url": "https://hub.example.com",
            "webhooks_to_private_addresses": True,
        }
    )


@pytest.fixture
async def working(
    hub: Hub, connect: Callable[..., Awaitable[Connected]], receiver: Receiver, admin: Admin
) -> AsyncGenerator[None]:
    """A worker beside a CRM that was read once, and of which nothing is due."""
    ada = Caller(hub.tenant_id, "admin", "ada@example.com", "cli", is_operator=True)
    await add_person(hub, ada, "ada@example.com", "Ada", "admin", password="correct horse battery staple")
    await add_channel(hub, ada, "webhook", "sink", receiver.url)
    await set_rules(
        hub, ada, DEFAULT_RULES.replace("devops: [role:admin]", "devops: [role:admin, webhook:sink]")
    )
    await connect(objects=("contacts", "companies"))
    await sync(hub)
    await admin.execute("update sync.schedules set next_at = now() + interval '1 day'")
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(hub, stop=stop))
    yield
    stop.set()
    await worker


async def told(receiver: Receiver, rule: str, event: str) -> dict[str, Any]:
    """Wait until the sink was told of a change of one rule's alert, a minute at most."""
    async with asyncio.timeout(60):
        while True:
            for each in receiver.events:
                if (each["alert"]["rule"], each["event"]) == (rule, event):
                    return each
            await receiver.wait_for(len(receiver.deliveries) + 1)


async def mailed(box: Letterbox, subject: str) -> str:
    async with asyncio.timeout(60):
        while True:
            for each in box.letters:
                if each["subject"] == subject:
                    return str(each.get_content())
            await asyncio.sleep(0.1)


async def test_a_stale_sync_is_told_within_a_minute_and_so_is_its_end(
    working: None, box: Letterbox, receiver: Receiver, admin: Admin
) -> None:
    await admin.execute("update sync.connections set created_at = created_at - interval '1 day'")
    await admin.execute("update sync.runs set completed_at = completed_at - interval '11 minutes'")
    found = await told(receiver, "contacts_stale", "alert.opened")
    assert (found["alert"]["connection"], found["alert"]["object"]) == ("acme", "contacts")
    letter = await mailed(box, "Alert: contacts_stale (acme/contacts)")
    assert f"https://hub.example.com/alerts/{found['alert']['id']}" in letter
    # The next run comes, and all is well.
    await admin.execute("update sync.schedules set next_at = now() where object = 'contacts'")
    ended = await told(receiver, "contacts_stale", "alert.closed")
    assert (ended["alert"]["id"], ended["alert"]["ended_by"]) == (found["alert"]["id"], "recovered")
    await mailed(box, "Recovered: contacts_stale (acme/contacts)")


async def test_a_failing_sync_is_told_within_a_minute_and_so_is_its_end(
    working: None, box: Letterbox, receiver: Receiver, admin: Admin
) -> None:
    # The run reads its pages, and cannot say how far it has come.
    await admin.execute(
        "alter table sync.cursors add constraint broken check (object <> 'companies') not valid"
    )
    await admin.execute("update sync.schedules set next_at = now() where object = 'companies'")
    found = await told(receiver, "failed_run", "alert.opened")
    assert found["alert"]["object"] == "companies"
    await mailed(box, "Alert: failed_run (acme/companies)")
    await admin.execute("alter table sync.cursors drop constraint broken")
    await admin.execute("update sync.schedules set next_at = now() where object = 'companies'")
    ended = await told(receiver, "failed_run", "alert.closed")
    assert ended["alert"]["ended_by"] == "recovered"
    await mailed(box, "Recovered: failed_run (acme/companies)")


async def test_alerts_that_ended_long_ago_go(hub: Hub, admin: Admin) -> None:
    for ago in ("400 days", "100 days"):
        await admin.execute(
            "insert into sync.alerts (tenant_id, id, rule, severity, condition, metric, state, since_at,"
            " opened_at, closed_at, ended_by, value, worst, latest) select %s, gen_random_uuid(), 'old',"
            " 'info', 'open_drift > 0', 'open_drift', 'closed', t.at, t.at, t.at, 'recovered', 1, 1, 1"
            " from (select now() - %s::interval as at) t",
            [hub.tenant_id, ago],
        )
    caller = Caller(hub.tenant_id, "admin", "ada@example.com", "cli", is_operator=True)
    assert (await run_retention(hub, caller, dry_run=False)).removed["alerts"] == 1
