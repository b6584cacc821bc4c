"""Notifications are delivered: to whom they are meant for, by mail, chat and webhook, again until taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import structlog
from psycopg import sql
from pydantic import SecretStr
from watched import DEFAULT, Watched, put_rules, tenant_of

from letterbox import Letterbox, open_letterbox
from receiver import Receiver, receiving
from syncline.clock import new_id, now, to_ms
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine import deliver
from syncline.engine.alerts import look
from syncline.engine.deliver import Deliverer
from syncline.engine.notify_http import Poster
from syncline.store import channels, notifications
from syncline.store.channels import Channel, Kind
from syncline.store.db import Database
from syncline.store.notifications import Notification, Told
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio
SECRET = b"whsec_of-a-test"
OTHER = UUID("00000000-0000-7000-8000-0000000000ff")


@pytest.fixture
async def admin(database_urls: DatabaseUrls) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
        yield conn


@pytest.fixture
async def box() -> AsyncGenerator[Letterbox]:
    async with open_letterbox() as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving(lambda: to_ms(now())) as opened:
        yield opened


@pytest.fixture
def vault() -> Vault:
    return Vault([new_key()])


@pytest.fixture
def mailing(settings: Settings, box: Letterbox) -> Settings:
    return settings.model_copy(
        update={
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{box.port}"),
            "mail_from": "syncline@example.com",
            "public_url": "https://hub.example.com",
        }
    )


@pytest.fixture
async def poster() -> AsyncGenerator[Poster]:
    # The receiver listens on this machine.
    async with Poster(private=True) as opened:
        yield opened


@pytest.fixture
def deliverer(db: Database, vault: Vault, mailing: Settings, poster: Poster) -> Deliverer:
    return Deliverer(db, vault, mailing, poster)


async def tell(db: Database, tenant_id: UUID = DEFAULT, **given: Any) -> None:
    values: dict[str, Any] = {
        "channel": "email",
        "template": "conflicts",
        "recipient": "ops@example.com",
        "subject": "3 conflicts with acme",
        "body": "Neither side is overwritten.",
    }
    told = Notification(**(values | given))
    async with db.transaction(tenant_id=tenant_id) as conn:
        await notifications.insert_many(conn, [told], tenant_id=tenant_id, now=now())


async def add_channel(
    db: Database, vault: Vault, kind: Kind, url: str, name: str = "ops", tenant_id: UUID = DEFAULT
) -> None:
    secret = vault.seal(SECRET) if kind == "webhook" else None
    channel = Channel(
        new_id(), kind, name, vault.seal(url.encode()), "example.com", secret, "a", now(), now()
    )
    async with db.transaction(tenant_id=tenant_id) as conn:
        await channels.insert(conn, channel, tenant_id=tenant_id)


async def list_told(db: Database, tenant_id: UUID = DEFAULT) -> list[Told]:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await notifications.list_page(conn, tenant_id=tenant_id, status=None, limit=100)


async def add_person(
    admin: psycopg.AsyncConnection[Any], name: str, role: str, tenant_id: UUID = DEFAULT, **more: Any
) -> None:
    given: Mapping[str, Any] = {"is_active": True, "notify_email": True, "notify_slack": True} | more
    person = uuid4()
    await admin.execute(
        "insert into app.users (id, email, full_name, slack_user_id, created_at, updated_at)"
        " values (%s, %s, %s, %s, now(), now())",
        [person, f"{name}@example.com", name, f"U{name.upper()}"],
    )
    await admin.execute(
        "insert into app.memberships (tenant_id, user_id, role, is_active, notify_email, notify_slack,"
        " created_at, updated_at) values (%s, %s, %s, %s, %s, %s, now(), now())",
        [tenant_id, person, role, given["is_active"], given["notify_email"], given["notify_slack"]],
    )


async def deliver_all(deliverer: Deliverer) -> None:
    """Go on until nothing is due: a role is taken apart first, then its members are told."""
    while await deliverer.deliver_due():
        pass


async def test_a_role_is_told_by_mail_whoever_has_it_and_wants_it(
    deliverer: Deliverer, db: Database, admin: psycopg.AsyncConnection[Any], box: Letterbox
):
    await add_person(admin, "ada", "admin")
    await add_person(admin, "mia", "manager")
    await add_person(admin, "rob", "rep")
    await add_person(admin, "gone", "manager", is_active=False)
    await add_person(admin, "quiet", "manager", notify_email=False)
    await tell(db, recipient="manager")
    await deliver_all(deliverer)
    assert sorted(str(each["to"]) for each in box.letters) == ["ada@example.com", "mia@example.com"]
    assert box.letters[0]["subject"] == "3 conflicts with acme"
    assert "https://hub.example.com/conflicts" in box.links()
    assert {each.status for each in await list_told(db)} == {"sent"}


async def test_nobody_of_another_tenant_is_told(
    deliverer: Deliverer, db: Database, admin: psycopg.AsyncConnection[Any], box: Letterbox
):
    await admin.execute("select app.add_tenant(%s, 'other', 'Other', 'UTC', 'USD', 'US', now())", [OTHER])
    await add_person(admin, "ada", "admin")
    await add_person(admin, "eve", "admin", tenant_id=OTHER)
    await tell(db, recipient="admin", subject="ours")
    await tell(db, OTHER, recipient="admin", subject="theirs")
    await deliver_all(deliverer)
    assert sorted((str(each["to"]), str(each["subject"])) for each in box.letters) == [
        ("ada@example.com", "ours"),
        ("eve@example.com", "theirs"),
    ]


async def test_a_channel_of_another_tenant_is_not_ours(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    admin: psycopg.AsyncConnection[Any],
    receiver: Receiver,
):
    await admin.execute("select app.add_tenant(%s, 'other', 'Other', 'UTC', 'USD', 'US', now())", [OTHER])
    await add_channel(db, vault, "slack", receiver.url, tenant_id=OTHER)
    await tell(db, channel="slack", recipient="ops")
    await deliver_all(deliverer)
    assert receiver.deliveries == []
    assert [each.status for each in await list_told(db)] == ["failed"]


async def test_a_role_without_anybody_who_wants_mail_says_so(deliverer: Deliverer, db: Database):
    await tell(db, recipient="manager")
    await deliver_all(deliverer)
    (told,) = await list_told(db)
    assert (told.status, told.error_message) == ("failed", "Nobody with the role manager wants mail.")


async def test_somebody_meant_by_two_roles_and_by_name_is_told_once(
    deliverer: Deliverer, db: Database, admin: psycopg.AsyncConnection[Any], box: Letterbox
):
    await add_person(admin, "ada", "admin")
    watched = Watched(admin)
    await watched.run(await watched.connection(), "deals", "failed")
    await put_rules(
        db,
        "alerts:\n  - name: tried\n    condition: failed_runs > 0\n"
        "    notify: [role:admin, role:manager, Ada@example.com]\n",
    )
    await look(db, await tenant_of(db), every=timedelta())
    await deliver_all(deliverer)
    assert len(box.letters) == 1
    (alert_link, _) = box.links()
    assert alert_link.startswith("https://hub.example.com/alerts/")


async def test_without_a_mail_server_mail_waits_and_says_so_until_it_is_too_old(
    db: Database, vault: Vault, settings: Settings, poster: Poster, admin: psycopg.AsyncConnection[Any]
):
    unable = Deliverer(db, vault, settings, poster)
    await tell(db)
    await deliver_all(unable)
    (told,) = await list_told(db)
    assert (told.status, told.retry_count) == ("pending", 0)
    assert "SYNCLINE_SMTP_URL is not set" in str(told.error_message)
    assert told.not_before > now()
    await admin.execute(
        "update crm.notifications set created_at = now() - interval '25 hours', not_before = now()"
    )
    await deliver_all(unable)
    (told,) = await list_told(db)
    assert told.status == "failed"
    assert "Given up after a day" in str(told.error_message)


async def test_a_server_that_refuses_is_asked_again_and_later_given_up(
    deliverer: Deliverer, db: Database, box: Letterbox, admin: psycopg.AsyncConnection[Any]
):
    box.refusal = "451 ops@example.com later"
    await tell(db)
    await deliver_all(deliverer)
    (told,) = await list_told(db)
    assert (told.status, told.retry_count) == ("pending", 1)
    assert told.not_before > now()
    assert "ops@example.com" not in str(told.error_message)
    await admin.execute(
        "update crm.notifications set not_before = now(), retry_count = %s", [deliver.MOST_TRIES - 1]
    )
    await deliver_all(deliverer)
    (told,) = await list_told(db)
    assert (told.status, told.retry_count) == ("failed", deliver.MOST_TRIES)
    box.refusal = None
    async with db.transaction(tenant_id=DEFAULT) as conn:
        await notifications.retry(conn, told.id, tenant_id=DEFAULT, now=now())
    await deliver_all(deliverer)
    assert len(box.letters) == 1


async def test_what_is_sent_again_is_no_newer_and_stays_before_its_end(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    receiver: Receiver,
    admin: psycopg.AsyncConnection[Any],
):
    watched = Watched(admin)
    acme = await watched.connection()
    await add_channel(db, vault, "webhook", receiver.url)
    await put_rules(db, "alerts:\n  - {name: tried, condition: failed_runs > 0, notify: 'webhook:ops'}\n")
    receiver.next = [410]
    await watched.run(acme, "deals", "failed", ago=timedelta(minutes=1))
    await look(db, await tenant_of(db), every=timedelta())
    await deliver_all(deliverer)
    for table, column in (("crm.notifications", "created_at"), ("sync.alerts", "opened_at")):
        await admin.execute(
            sql.SQL("update {} set {column} = '2026-03-01 09:00Z'").format(
                sql.Identifier(*table.split(".")), column=sql.Identifier(column)
            )
        )
    (began,) = await list_told(db)
    await watched.run(acme, "deals")
    await look(db, await tenant_of(db), every=timedelta())
    async with db.transaction(tenant_id=DEFAULT) as conn:
        await notifications.retry(conn, began.id, tenant_id=DEFAULT, now=now())
    receiver.next = [503]
    await deliver_all(deliverer)
    told = {each.template: each for each in await list_told(db)}
    # It is older than a day, and is given its attempts all the same.
    assert (told["alert.opened"].status, told["alert.opened"].retry_count) == ("pending", 1)
    assert told["alert.opened"].created_at == began.created_at
    await admin.execute("update crm.notifications set not_before = now()")
    await deliver_all(deliverer)
    assert [each["event"] for each in receiver.events] == ["alert.opened", "alert.closed"]
    assert receiver.events[0]["at"] == receiver.events[0]["alert"]["opened_at"] == "2026-03-01T09:00:00+00:00"


async def test_what_nobody_came_to_for_a_day_is_told_to_nobody(
    deliverer: Deliverer, db: Database, box: Letterbox, admin: psycopg.AsyncConnection[Any]
):
    await tell(db)
    await admin.execute(
        "update crm.notifications set created_at = t.at, not_before = t.at"
        " from (select now() - interval '25 hours' as at) t"
    )
    await deliver_all(deliverer)
    (told,) = await list_told(db)
    assert (told.status, told.error_message) == ("failed", "Given up after a day.")
    assert box.letters == []


async def test_a_message_says_when_the_alert_opened(
    deliverer: Deliverer, db: Database, box: Letterbox, admin: psycopg.AsyncConnection[Any]
):
    watched = Watched(admin)
    await watched.run(await watched.connection(), "deals", "failed", ago=timedelta(minutes=1))
    await put_rules(db, "alerts: [{name: tried, condition: failed_runs > 0, notify: ops@example.com}]")
    looked = await look(db, await tenant_of(db), every=timedelta())
    assert looked is not None
    await deliver_all(deliverer)
    assert f"It opened at {looked.opened[0].opened_at:%Y-%m-%d %H:%M} UTC." in box.letters[0].get_content()


async def test_a_chat_is_written_as_it_reads_and_calls_those_who_want_it(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    receiver: Receiver,
    admin: psycopg.AsyncConnection[Any],
):
    await add_person(admin, "ada", "admin")
    await add_person(admin, "quiet", "admin", notify_slack=False)
    await add_channel(db, vault, "slack", receiver.url)
    await tell(db, channel="slack", recipient="ops", subject="<b> & co", mention="admin")
    await deliver_all(deliverer)
    (sent,) = receiver.events
    assert sent["text"].splitlines()[:2] == ["<@UADA>", "*&lt;b&gt; &amp; co*"]
    assert "<https://hub.example.com/conflicts|Open in Syncline>" in sent["text"]


async def test_a_webhook_is_signed_tells_of_the_alert_and_that_it_is_over_comes_last(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    receiver: Receiver,
    admin: psycopg.AsyncConnection[Any],
):
    watched = Watched(admin)
    acme = await watched.connection()
    await add_channel(db, vault, "webhook", receiver.url)
    await put_rules(
        db,
        "alerts:\n  - {name: tried, condition: failed_runs > 0, notify: 'webhook:ops', severity: critical}\n",
    )
    receiver.next = [503]
    await watched.run(acme, "deals", "failed", ago=timedelta(minutes=1))
    await look(db, await tenant_of(db), every=timedelta())
    await deliver_all(deliverer)
    await watched.run(acme, "deals")
    await look(db, await tenant_of(db), every=timedelta())
    await deliver_all(deliverer)
    assert receiver.events == []  # what is over waits for what began
    await admin.execute("update crm.notifications set not_before = now()")
    await deliver_all(deliverer)
    assert [(each["event"], each["alert"]["rule"]) for each in receiver.events] == [
        ("alert.opened", "tried"),
        ("alert.closed", "tried"),
    ]
    told = receiver.events[1]["alert"]
    assert (told["connection"], told["object"], told["severity"]) == ("acme", "deals", "critical")
    assert (told["ended_by"], told["state"]) == ("recovered", "closed")
    sent = receiver.deliveries[-1]
    parts = dict(each.split("=") for each in sent.headers["syncline-signature"].split(","))
    proof = hmac.new(SECRET, f"{parts['t']}.".encode() + sent.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(proof, parts["v1"])


async def test_a_chat_that_is_gone_is_not_asked_again(
    deliverer: Deliverer, db: Database, vault: Vault, receiver: Receiver
):
    receiver.always = 404
    await add_channel(db, vault, "slack", receiver.url)
    await tell(db, channel="slack", recipient="ops")
    await deliver_all(deliverer)
    assert [each.status for each in await list_told(db)] == ["failed"]
    assert len(receiver.deliveries) == 1


async def test_addresses_of_private_networks_and_of_this_machine_are_not_called(
    db: Database, vault: Vault, mailing: Settings, receiver: Receiver
):
    await add_channel(db, vault, "webhook", "https://10.0.0.7/hook")
    await add_channel(db, vault, "slack", receiver.url)
    await tell(db, channel="webhook", recipient="ops")
    await tell(db, channel="slack", recipient="ops")
    async with Poster(private=False) as careful:
        await deliver_all(Deliverer(db, vault, mailing, careful))
    for told in await list_told(db):
        assert "private network" in str(told.error_message)
        assert "10.0.0.7" not in str(told.error_message)
    assert receiver.deliveries == []


async def test_a_key_that_does_not_fit_is_told(
    db: Database, vault: Vault, mailing: Settings, poster: Poster, receiver: Receiver
):
    await add_channel(db, vault, "slack", receiver.url)
    await tell(db, channel="slack", recipient="ops")
    await deliver_all(Deliverer(db, Vault([new_key()]), mailing, poster))
    assert "cannot be opened" in str((await list_told(db))[0].error_message)


async def test_two_workers_send_each_message_once(
    db: Database, vault: Vault, mailing: Settings, poster: Poster, box: Letterbox
):
    for number in range(30):
        await tell(db, recipient=f"person{number}@example.com")
    pair = [Deliverer(db, vault, mailing, poster) for _ in range(2)]
    await asyncio.gather(*(deliver_all(each) for each in pair))
    assert len({str(each["to"]) for each in box.letters}) == len(box.letters) == 30


async def test_what_a_killed_worker_was_sending_is_sent_by_another(
    db: Database,
    deliverer: Deliverer,
    vault: Vault,
    receiver: Receiver,
    settings: Settings,
    admin: psycopg.AsyncConnection[Any],
):
    key = new_key()
    vault = Vault([key])
    receiver.hold_until = 3  # more than there will be: neither is answered
    await add_channel(db, vault, "webhook", receiver.url)
    await tell(db, channel="webhook", recipient="ops")
    await tell(db, channel="webhook", recipient="ops", subject="another")
    program = Path(__file__).parent / "deliver_process.py"
    assert settings.database_url is not None
    with subprocess.Popen(
        [sys.executable, str(program), settings.database_url.get_secret_value(), key, str(settings.home)],
        stdin=subprocess.DEVNULL,
    ) as killed:
        try:
            await _until_claimed(admin)
        finally:
            killed.send_signal(signal.SIGKILL)
    receiver.release()
    waiting = [each for each in await list_told(db) if each.status == "pending"]
    assert waiting
    await admin.execute("update crm.notifications set claimed_until = now() where status = 'pending'")
    await deliver_all(Deliverer(db, vault, settings, deliverer._poster))  # pyright: ignore[reportPrivateUsage]
    assert {each.status for each in await list_told(db)} == {"sent"}
    ids = [json.loads(each.body)["id"] for each in receiver.deliveries]
    assert len(set(ids)) == 2
    assert max(ids.count(each) for each in ids) <= 2


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


async def _until_claimed(admin: psycopg.AsyncConnection[Any]) -> None:
    async with asyncio.timeout(30):
        while True:
            cursor = await admin.execute(
                "select count(*) from crm.notifications where claimed_until is not null"
            )
            row = await cursor.fetchone()
            if row is not None and row[0]:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update app.memberships set is_active = false", "They do not work here any more."),
        ("update app.users set is_active = false", "They do not work here any more."),
        ("delete from app.memberships", "They do not work here any more."),
        ("update app.memberships set notify_email = false", "They do not want mail any more."),
    ],
)
async def test_whoever_left_or_wants_no_mail_any_more_is_not_told_what_waited_for_them(
    deliverer: Deliverer,
    db: Database,
    box: Letterbox,
    admin: psycopg.AsyncConnection[Any],
    change: str,
    reason: str,
):
    await add_person(admin, "ada", "admin")
    await tell(db, recipient="admin")
    await deliverer.deliver_due()  # the role is taken apart
    await admin.execute(change.encode())
    await deliver_all(deliverer)
    (told,) = await list_told(db)
    assert (told.status, told.error_message, told.retry_count) == ("failed", reason, 0)
    assert box.letters == []


async def test_no_more_is_claimed_than_is_sent_at_once(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    receiver: Receiver,
    admin: psycopg.AsyncConnection[Any],
):
    receiver.hold_until = 3
    await add_channel(db, vault, "webhook", receiver.url)
    for number in range(5):
        await tell(db, channel="webhook", recipient="ops", subject=str(number))
    sending = asyncio.create_task(deliverer.deliver_due())
    await _until(lambda: receiver.at_once == 2)
    cursor = await admin.execute("select count(*) from crm.notifications where claimed_until is not null")
    assert await cursor.fetchone() == (2,)
    receiver.release()
    assert await sending == 2


async def test_an_attempt_ends_before_its_claim_does(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
):
    assert deliver._LONGEST_TRY < deliver.CLAIM  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(deliver, "_LONGEST_TRY", timedelta(milliseconds=200))
    receiver.hold_until = 2
    await add_channel(db, vault, "webhook", receiver.url)
    await tell(db, channel="webhook", recipient="ops")
    await deliverer.deliver_due()
    (told,) = await list_told(db)
    assert (told.status, told.retry_count) == ("pending", 1)
    assert told.error_message == "There was no answer in time."
    receiver.release()


async def test_a_tenant_whose_hook_does_not_answer_keeps_nobody_else_waiting(
    deliverer: Deliverer,
    db: Database,
    vault: Vault,
    box: Letterbox,
    receiver: Receiver,
    admin: psycopg.AsyncConnection[Any],
):
    await admin.execute("select app.add_tenant(%s, 'other', 'Other', 'UTC', 'USD', 'US', now())", [OTHER])
    receiver.hold_until = 9
    await add_channel(db, vault, "webhook", receiver.url)
    for number in range(4):
        await tell(db, channel="webhook", recipient="ops", subject=str(number))
    stop = asyncio.Event()
    serving = asyncio.create_task(deliverer.serve(stop))
    await _until(lambda: receiver.at_once == 2)
    for number in range(5):
        await tell(db, OTHER, recipient=f"person{number}@example.com")
    await _until(lambda: len(box.letters) == 5)
    assert {each.status for each in await list_told(db)} == {"pending"}
    stop.set()
    receiver.release()
    await serving


async def test_what_cannot_be_written_down_is_logged_and_keeps_nothing_else(
    deliverer: Deliverer, db: Database, box: Letterbox, admin: psycopg.AsyncConnection[Any]
):
    await admin.execute(
        "create function public.refuse() returns trigger language plpgsql as"
        " $$ begin if new.status = 'sent' and new.subject = 'bad' then raise exception 'no'; end if;"
        " return new; end $$"
    )
    await admin.execute(
        "create trigger refuse before update on crm.notifications for each row"
        " execute function public.refuse()"
    )
    await tell(db, recipient="one@example.com", subject="bad")
    await tell(db, recipient="two@example.com", subject="good")
    with structlog.testing.capture_logs() as logged:
        await deliver_all(deliverer)
    assert {each.subject: each.status for each in await list_told(db)} == {"bad": "pending", "good": "sent"}
    assert [each["event"] for each in logged if "notification" in each] == ["notifications_failed"]
