"""The secret of a connection's webhooks, and what a person is shown of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.webhooks import read_webhooks, set_secret
from syncline.engine.lease import hold_lease
from syncline.engine.remotes import open_credentials
from syncline.errors import Busy, Invalid, NotFound
from syncline.store import leases

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


async def secret_of(hub: Hub, name: str = "acme") -> str | None:
    connection = await hub.get_connection(name)
    return open_credentials(hub.vault(), connection.credentials).webhook_secret


async def test_a_secret_is_sealed_beside_the_token_and_survives_a_new_one(hub: Hub, connect: Connect):
    connected = await connect()
    webhook = await set_secret(hub, "acme", "s3cret")
    assert (webhook.connection, webhook.secret) == ("acme", "own")
    assert "s3cret" not in repr(webhook)
    assert await secret_of(hub) == "s3cret"
    sealed = (await hub.get_connection("acme")).credentials
    assert sealed is not None
    assert b"s3cret" not in sealed
    # When the token is renewed
    again = await connect()
    assert again.renewed
    assert again.connection.id == connected.connection.id
    assert await secret_of(hub) == "s3cret"


async def test_what_can_be_no_secret_is_refused(hub: Hub, connect: Connect):
    await connect()
    for secret in ("", "a\nb", "x" * 2000):
        with pytest.raises(Invalid):
            await set_secret(hub, "acme", secret)
    with pytest.raises(NotFound):
        await set_secret(hub, "nobody", "s")
    assert await secret_of(hub) is None


async def test_no_secret_is_stored_while_the_token_is_being_renewed(hub: Hub, connect: Connect):
    connection = (await connect()).connection
    keys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    async with hold_lease(hub.db, **keys, purpose=leases.TOKEN, seconds=30):
        with pytest.raises(Busy):
            await set_secret(hub, "acme", "s3cret")
    await set_secret(hub, "acme", "s3cret")


async def test_the_address_is_the_public_one_and_needs_no_escaping(hub: Hub, connect: Connect):
    await connect()
    odd = (await connect("Größe & Söhne")).connection
    shown: dict[str, Any] = {each.connection: each for each in (await read_webhooks(hub)).webhooks}
    assert shown["acme"].url == "/api/v1/webhooks/hubspot/acme"
    assert shown["Größe & Söhne"].url == f"/api/v1/webhooks/hubspot/{odd.id}"
    assert {each.secret for each in shown.values()} == {"none"}
    settings = hub.settings.model_copy(update={"public_url": "https://hub.example.com/sync"})
    public = Hub(settings, hub.location, hub.db, hub.tenant)
    found = await read_webhooks(public)
    assert found.has_public_url
    address = "https://hub.example.com/sync/api/v1/webhooks/hubspot/acme"
    assert [each.url for each in found.webhooks if each.connection == "acme"] == [address]
