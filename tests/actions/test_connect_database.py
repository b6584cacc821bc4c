"""Connecting a CRM that is kept in a database: settings, absent tables, a password that is the token."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from small_crm import Crm, Server, small_crm
from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.hub import Hub
from syncline.errors import AlreadyExists, Invalid, NotFound, SettingInvalid, TokenRejected

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=3, contacts=5, deals=2, activities=1) as made:
        yield made


async def connect(hub: Hub, crm: Crm, *objects: str, **settings: str) -> Connected:
    wish = Wish("postgres", "own", crm.base_url, tuple(objects), settings)
    return await connect_token(hub, wish, crm.token.access_token)


async def test_a_database_is_connected_by_its_address_and_its_password(hub: Hub, crm: Crm) -> None:
    connected = await connect(hub, crm)
    found = {each.object: each.count for each in connected.found.objects}
    assert found == {"companies": 3, "contacts": 5, "deals": 2, "activities": 1, "users": 3}
    assert crm.token.access_token not in connected.connection.base_url
    assert connected.connection.account_id == connected.found.account.account_id


async def test_tables_are_named_by_settings_that_are_kept(hub: Hub, crm: Crm) -> None:
    await crm.run("create schema sales")
    await crm.run("alter table contacts set schema sales; alter table sales.contacts rename to people")
    await crm.run("alter table companies set schema sales; alter table deals set schema sales")
    connected = await connect(hub, crm, schema="sales", table_contacts="people")
    assert [each.object for each in connected.found.objects] == ["companies", "contacts", "deals"]
    assert connected.connection.settings["table_contacts"] == "people"
    with pytest.raises(NotFound, match="activities"):
        await connect(hub, crm, "contacts", "activities", schema="sales", table_contacts="people")


async def test_what_cannot_be_is_refused_before_anything_is_stored(hub: Hub, crm: Crm) -> None:
    with pytest.raises(Invalid, match="no setting table_people"):
        await connect(hub, crm, table_people="people")
    wish = Wish("postgres", "own", crm.base_url.replace("@", ":s3cr3t@"))
    with pytest.raises(SettingInvalid, match="must not contain a password"):
        await connect_token(hub, wish, "x")
    with pytest.raises(TokenRejected):
        await connect_token(hub, Wish("postgres", "own", crm.base_url), "wrong")
    assert await hub.list_connections() == []


async def test_another_schema_is_another_account(hub: Hub, crm: Crm) -> None:
    await connect(hub, crm)
    await crm.run("create schema sales; create table sales.contacts (id int primary key)")
    with pytest.raises(AlreadyExists):
        await connect(hub, crm, "contacts", schema="sales")
