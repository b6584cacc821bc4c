"""Connecting: the account is tried first, and nothing is stored when it does not serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from syncline.actions.connect import Connected, Wish, begin_consent, connect_code, connect_token
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine.remotes import open_credentials
from syncline.errors import AlreadyExists, Invalid, NotFound, ScopeMissing, TokenRejected, Unavailable
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import ALL_SCOPES, CLIENT_ID, CLIENT_SECRET, DEFAULT_TOKEN
from syncline.store import connections, schedules

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
#: What `World.touch` and its like would show: a CRM that was written to.
WRITES = ("POST", "PUT", "PATCH", "DELETE")


async def test_a_connection_knows_its_account_and_has_every_schedule(
    hub: Hub, world: World, connect: Connect
):
    connected = await connect(objects=())
    connection = connected.connection
    assert connection.account_id == str(world.portal_id)
    assert connection.settings["currency"]
    assert connection.settings["time_zone"]
    assert {each.object: each.count for each in connected.found.objects}["contacts"] == 40
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        planned = await schedules.list_schedules(conn, tenant_id=hub.tenant_id)
    crons = {each.object: each.cron for each in planned if each.mode == "incremental"}
    assert crons["contacts"] == "*/5 * * * *"
    assert crons["deals"] == "*/15 * * * *"
    assert crons["owners"] == "0 6 * * *"
    assert crons.keys() >= {"calls", "associations", "history"}
    daily = {each.object: each for each in planned if each.mode == "reconcile"}
    assert daily.keys() == crons.keys() - {"associations", "history"}
    assert {each.cron for each in daily.values()} == {"0 0 * * *"}
    assert all(each.next_at > now() for each in daily.values())


async def test_connecting_writes_nothing_to_the_crm(world: World, connect: Connect):
    before = {kind.name: list(world.stores[kind.type_id].records.values()) for kind in world.types.all}
    await connect()
    after = {kind.name: list(world.stores[kind.type_id].records.values()) for kind in world.types.all}
    assert after == before
    assert not world.events


async def test_the_token_is_stored_sealed(hub: Hub, connect: Connect):
    connection = (await connect()).connection
    assert connection.credentials is not None
    assert DEFAULT_TOKEN.encode() not in connection.credentials
    assert open_credentials(hub.vault(), connection.credentials).access_token == DEFAULT_TOKEN
    assert DEFAULT_TOKEN not in repr(connection)


async def test_a_token_that_is_refused_leaves_nothing_behind(hub: Hub, connect: Connect):
    with pytest.raises(TokenRejected) as caught:
        await connect(token="pat-na1-wrong")
    assert "pat-na1-wrong" not in str(caught.value)
    assert await hub.list_connections() == []


async def test_a_token_without_a_permission_names_it_and_leaves_nothing_behind(
    hub: Hub, world: World, connect: Connect
):
    world.auth.add_token("pat-na1-narrow", ALL_SCOPES - {"crm.objects.deals.read"})
    with pytest.raises(ScopeMissing, match=r"may not read deals.*crm\.objects\.deals\.read") as caught:
        await connect(token="pat-na1-narrow")
    assert "--object contacts" in str(caught.value)
    assert await hub.list_connections() == []


async def test_a_narrow_token_connects_what_it_may_read(hub: Hub, world: World, connect: Connect):
    world.auth.add_token("pat-na1-narrow", ALL_SCOPES - {"crm.objects.deals.read"})
    connected = await connect(token="pat-na1-narrow", objects=("owners", "contacts"))
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        planned = await schedules.list_schedules(
            conn, tenant_id=hub.tenant_id, connection_id=connected.connection.id
        )
    assert {each.object for each in planned} == {"owners", "contacts", "associations", "history"}


async def test_an_unreachable_host_is_told_soon_and_leaves_nothing_behind(hub: Hub):
    with pytest.raises(Unavailable, match="cannot be reached"):
        await connect_token(hub, Wish("hubspot", "acme", "http://127.0.0.1:1"), DEFAULT_TOKEN)
    assert await hub.list_connections() == []


async def test_an_unknown_object_is_named_and_leaves_nothing_behind(hub: Hub, connect: Connect):
    with pytest.raises(NotFound, match="unicorns"):
        await connect(objects=("contacts", "unicorns"))
    assert await hub.list_connections() == []


async def test_an_unknown_platform_is_named_beside_those_there_are(hub: Hub):
    with pytest.raises(NotFound, match=r"Known: .*hubspot"):
        await connect_token(hub, Wish("filemaker", "acme"), DEFAULT_TOKEN)


@pytest.mark.parametrize("name", ["", "  ", "--yes", "a\nb", "x" * 101])
async def test_a_name_that_cannot_be_typed_is_refused(connect: Connect, name: str):
    with pytest.raises(Invalid):
        await connect(name)


async def test_connecting_again_renews_the_token_and_resumes(hub: Hub, world: World, connect: Connect):
    first = (await connect()).connection
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.pause(
            conn, first.id, "The token was refused.", tenant_id=hub.tenant_id, now=first.created_at
        )
    world.auth.add_token("pat-na1-second")
    again = await connect(token="pat-na1-second")
    assert again.renewed
    assert (again.connection.id, again.connection.status) == (first.id, "active")
    assert open_credentials(hub.vault(), again.connection.credentials).access_token == "pat-na1-second"


async def test_connecting_again_keeps_the_objects_that_were_chosen(hub: Hub, connect: Connect):
    await connect(objects=("contacts",))
    again = await connect(objects=())
    assert [each.object for each in again.found.objects] == ["contacts"]


async def test_a_name_is_not_given_to_another_account(hub: Hub, world: World, connect: Connect):
    await connect()
    world.portal_id += 1
    with pytest.raises(AlreadyExists, match="belongs to account"):
        await connect()


async def test_consent_brings_a_connection_that_can_renew_its_token(hub: Hub, world: World, crm_url: str):
    wish = Wish("hubspot", "acme", crm_url)
    redirect = "http://localhost:8751/oauth/callback"
    consent = begin_consent(wish, CLIENT_ID, redirect)
    query = parse_qs(urlsplit(consent.url).query)
    assert query["state"] == [consent.state]
    assert "crm.objects.contacts.read" in query["scope"][0]
    code = world.auth.issue_code(redirect_uri=redirect)
    connected = await connect_code(
        hub, wish, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_uri=redirect, code=code
    )
    credentials = open_credentials(hub.vault(), connected.connection.credentials)
    assert credentials.refresh_token in world.auth.refresh_tokens
    assert credentials.client_secret == CLIENT_SECRET


async def test_a_code_that_was_used_leaves_nothing_behind(hub: Hub, crm_url: str):
    with pytest.raises((TokenRejected, Invalid)):
        await connect_code(
            hub,
            Wish("hubspot", "acme", crm_url),
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            redirect_uri="http://localhost:1/",
            code="used",
        )
    assert await hub.list_connections() == []
