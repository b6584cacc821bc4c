"""A CRM in Postgres telling of its changes: by triggers, by modified times, and by Supabase's webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import psycopg
import pytest
from psycopg import sql

from small_crm import Crm, Server, small_crm
from syncline.connectors.postgres.webhooks import WEBHOOKS
from syncline.connectors.webhooks import Delivery, WebhookEvent
from syncline.errors import Forged, Invalid

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=4, contacts=6, deals=2, activities=0) as made:
        yield made


async def heard(events: AsyncIterator[Sequence[WebhookEvent]], wanted: int) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    async with asyncio.timeout(30):
        while len(found) < wanted:
            found += [(each.object, each.remote_id, each.kind) for each in await anext(events)]
    return found


async def test_triggers_tell_of_every_change_and_of_none_twice(crm: Crm) -> None:
    connector = crm.connector()
    installed = await connector.ensure_webhooks("", "")
    assert [each.partition(":")[0] for each in installed] == [
        "companies",
        "contacts",
        "deals",
        "activities",
        "users",
    ]
    assert await connector.ensure_webhooks("", "") == []
    events = connector.listen()
    assert await anext(events) == []  # from now on
    contact, deal = str(crm.rows.contacts[0]), str(crm.rows.deals[0])
    await crm.run("update contacts set phone = '1' where id = %s", contact)
    assert await heard(events, 1) == [("contacts", contact, "changed")]
    [made] = await crm.run("insert into companies (name) values ('N') returning id::text")
    await crm.run("delete from deals where id = %s", deal)
    assert await heard(events, 2) == [("companies", made["id"], "changed"), ("deals", deal, "archived")]


async def test_a_transaction_that_commits_late_is_told_all_the_same(crm: Crm) -> None:
    connector = crm.connector()
    await connector.ensure_webhooks("", "")
    events = connector.listen()
    await anext(events)
    first, second = (str(each) for each in crm.rows.contacts[:2])
    async with await psycopg.AsyncConnection.connect(crm.urls.admin) as slow:
        await slow.execute("update contacts set phone = '1' where id = %s", [first])
        await crm.run("update contacts set phone = '2' where id = %s", second)
        assert await heard(events, 1) == [("contacts", second, "changed")]
        await slow.commit()
        assert await heard(events, 1) == [("contacts", first, "changed")]


async def test_what_is_missing_of_the_triggers_is_made_again(crm: Crm) -> None:
    connector = crm.connector()
    await connector.ensure_webhooks("", "")
    await crm.run("drop trigger syncline_delete on contacts")
    assert await connector.ensure_webhooks("", "") == ["contacts: rows that are made, changed and deleted"]
    await crm.run("drop table syncline_changes")
    assert len(await connector.ensure_webhooks("", "")) == 5


async def test_a_trigger_that_cannot_note_anything_is_not_in_the_way(crm: Crm) -> None:
    connector = crm.connector()
    await connector.ensure_webhooks("", "")
    await crm.run("drop table syncline_changes")
    await crm.run("update contacts set phone = '1'")
    [row] = await crm.run("select count(*) as n from contacts where phone = '1'")
    assert row["n"] == 6


async def test_triggers_are_taken_away_without_a_trace(crm: Crm) -> None:
    connector = crm.connector()
    await connector.ensure_webhooks("", "")
    assert await connector.remove_webhooks("") == 5
    assert await connector.remove_webhooks("") == 0
    [row] = await crm.run(
        "select (select count(*) from pg_proc where proname like 'syncline%%')"
        " + (select count(*) from pg_class where relname like 'syncline%%')"
        " + (select count(*) from pg_trigger where tgname like 'syncline%%') as left"
    )
    assert row["left"] == 0


async def test_without_triggers_modified_times_tell(crm: Crm) -> None:
    events = crm.connector().listen()
    assert await anext(events) == []
    contact = str(crm.rows.contacts[0])
    await crm.run("update contacts set phone = '1' where id = %s", contact)
    assert await heard(events, 1) == [("contacts", contact, "changed")]


async def test_a_table_of_another_name_is_told_under_its_objects(crm: Crm) -> None:
    await crm.run("alter table contacts rename to people")
    connector = crm.connector(table_contacts="people")
    await connector.ensure_webhooks("", "")
    events = connector.listen()
    await anext(events)
    await crm.run(sql.SQL("update people set phone = '1' where id = {}").format(str(crm.rows.contacts[0])))
    assert await heard(events, 1) == [("contacts", str(crm.rows.contacts[0]), "changed")]


def delivery(body: bytes = b"{}", **headers: str) -> Delivery:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Delivery("POST", "https://hub.example.com/x", named, body, 0)


def test_a_delivery_is_proven_by_the_secret_in_its_header() -> None:
    WEBHOOKS.verify(delivery(x_syncline_secret="s3"), "s3")
    WEBHOOKS.verify(delivery(authorization="Bearer s3"), "s3")
    for wrong in (delivery(), delivery(x_syncline_secret="s4"), delivery(authorization="Basic s3")):
        with pytest.raises(Forged) as refusal:
            WEBHOOKS.verify(wrong, "s3")
        assert "s3" not in str(refusal.value)


def row_event(kind: str, **parts: object) -> bytes:
    return json.dumps({"type": kind, "table": "contacts", "schema": "public", **parts}).encode()


def test_a_delivery_says_which_row_and_no_more() -> None:
    key = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
    row = {"id": key, "email": "a@example.com", "extra": {"deep": [1]}}
    for body, kind in (
        (row_event("INSERT", record=row, old_record=None), "changed"),
        (row_event("UPDATE", record=row, old_record=row), "changed"),
        (row_event("DELETE", record=None, old_record=row), "archived"),
        (row_event("UPDATE", record={"id": 7}), "changed"),
    ):
        [event] = WEBHOOKS.parse(body)
        assert (event.object, event.kind) == ("contacts", kind)
        assert event.remote_id in {key, "7"}
    assert WEBHOOKS.parse(row_event("INSERT", record={"number": 1})) == []
    assert WEBHOOKS.parse(row_event("INSERT", record=row).replace(b"public", b"auth")) == []
    assert WEBHOOKS.find_account(row_event("INSERT", record=row)) is None


def test_a_delivery_names_the_table_that_the_settings_name() -> None:
    parse = WEBHOOKS.parse_for({"schema": "sales", "table_contacts": "people"})
    body = json.dumps({"type": "INSERT", "table": "people", "schema": "sales", "record": {"id": 1}}).encode()
    assert [each.object for each in parse(body)] == ["contacts"]
    assert parse(row_event("INSERT", record={"id": 1})) == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type": "OTHER", "table": "x"}', b"\xff"])
def test_what_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        WEBHOOKS.parse(body)
