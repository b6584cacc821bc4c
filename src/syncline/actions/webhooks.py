"""Webhooks as a person sets them up and looks after them: the secret, the address, how the inbox stands."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from syncline.actions.hub import DEFAULT_TENANT, Hub
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.engine.lease import hold_lease
from syncline.engine.listen import ADDRESS_SETTING
from syncline.engine.remotes import open_credentials, seal_credentials
from syncline.engine.webhooks import find_secret
from syncline.errors import Invalid, SettingInvalid
from syncline.store import connections, inbox, leases
from syncline.store.connections import Connection
from syncline.store.inbox import InboxCount

#: Where the API takes them in.
PATH = "/api/v1/webhooks"
#: What stands in an address as it is, so that the address that is called is the one that was signed.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_REFUSED_WITHIN = timedelta(days=1)
_LONGEST_SECRET = 1000
_LEASE_SECONDS = 30.0

#: `none`: nobody has given one; `own`: one was given for it; `app`: that of the app the token belongs to.
SecretKind = Literal["none", "own", "app"]


@dataclass(frozen=True, slots=True)
class Refused:
    """Deliveries that were refused alike within the last day."""

    platform: str
    #: The connection they named; None where they led to none, or to several.
    connection: str | None
    reason: str
    network: str
    last_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """One connection's webhooks. `url` lacks the host while no public address is set."""

    connection: str
    platform: str
    url: str
    secret: SecretKind
    paused: bool
    #: None before the first delivery.
    inbox: InboxCount | None


@dataclass(frozen=True, slots=True)
class WebhooksStatus:
    at: datetime
    #: False while SYNCLINE_PUBLIC_URL is not set.
    has_public_url: bool
    webhooks: list[Webhook]
    refused: list[Refused]


async def set_secret(hub: Hub, name: str, secret: str) -> Webhook:
    """Keep, sealed, what a connection's webhooks are signed with. Replaces an earlier one at once.

    Raises `NotFound`, `Busy` while the token is being renewed, and `Invalid` for a platform that sends none
    or a secret that can be none.
    """
    if not secret or len(secret) > _LONGEST_SECRET or not secret.isprintable():
        raise Invalid("The secret is empty, too long or no text. Copy it once more from the CRM.")
    vault = hub.vault()
    connection = await hub.get_connection(name)
    if get_platform(connection.platform).webhooks is None:
        raise Invalid(f"{get_platform(connection.platform).capabilities.label} sends no webhooks.")
    # A token that is being renewed is sealed together with the secret: whoever came second would undo it.
    async with (
        hold_lease(
            hub.db,
            tenant_id=hub.tenant_id,
            connection_id=connection.id,
            purpose=leases.TOKEN,
            seconds=_LEASE_SECONDS,
        ) as lease,
        hub.db.transaction(tenant_id=hub.tenant_id) as conn,
    ):
        await lease.require(conn)
        connection = await connections.get(conn, connection.id, tenant_id=hub.tenant_id)
        credentials = open_credentials(vault, connection.credentials)
        sealed = seal_credentials(vault, msgspec.structs.replace(credentials, webhook_secret=secret))
        await connections.set_credentials(conn, connection.id, sealed, tenant_id=hub.tenant_id, now=now())
    found = await read_webhooks(hub)
    return next(each for each in found.webhooks if each.connection == name)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What a CRM was told to send. `made` names what was not subscribed to before; empty when all was."""

    connection: str
    platform: str
    made: list[str]


async def subscribe(hub: Hub, name: str) -> Subscribed:
    """Make a connection's CRM tell of changes, and see to it every hour that it goes on doing so.

    A secret is made where there is none. May be repeated. Raises `NotFound`, `SettingInvalid` while no public
    address is set, and `Invalid` for a CRM in which a person has to do it.
    """
    connection = await _get_subscribable(hub, name)
    address = ""
    if not get_platform(connection.platform).capabilities.listens:
        if hub.settings.public_url is None:
            raise SettingInvalid(
                "The CRM needs an address to call. Set SYNCLINE_PUBLIC_URL to where this installation can be "
                "reached over https, then subscribe."
            )
        address = _url(hub, connection)
        if open_credentials(hub.vault(), connection.credentials).webhook_secret is None:
            await set_secret(hub, name, secrets.token_urlsafe(32))
            connection = await hub.get_connection(name)
    secret = open_credentials(hub.vault(), connection.credentials).webhook_secret or ""
    async with hub.remotes() as remotes:
        made = await remotes.open(connection, lane="person").connector.ensure_webhooks(address, secret)
    await _remember(hub, connection, address)
    return Subscribed(connection.name, connection.platform, made)


async def unsubscribe(hub: Hub, name: str) -> int:
    """Take back what `subscribe` did; returns how many subscriptions the CRM had. Raises as that does."""
    connection = await _get_subscribable(hub, name)
    address = str(connection.settings.get(ADDRESS_SETTING) or _url(hub, connection))
    async with hub.remotes() as remotes:
        removed = await remotes.open(connection, lane="person").connector.remove_webhooks(address)
    await _remember(hub, connection, "")
    return removed


async def _get_subscribable(hub: Hub, name: str) -> Connection:
    connection = await hub.get_connection(name)
    capabilities = get_platform(connection.platform).capabilities
    if not capabilities.makes_webhooks:
        raise Invalid(
            f"{capabilities.label} is told in its own settings what to send. Enter there the address that "
            "`syncline webhooks show` names."
        )
    return connection


async def _remember(hub: Hub, connection: Connection, address: str) -> None:
    settings = {ADDRESS_SETTING: address}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.put_settings(conn, connection.id, settings, tenant_id=hub.tenant_id, now=now())


async def read_webhooks(hub: Hub) -> WebhooksStatus:
    """Return where each CRM is to send its webhooks, how the inboxes stand, and what was refused."""
    at = now()
    found = await hub.list_connections()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        counts = {each.connection_id: each for each in await inbox.list_counts(conn, tenant_id=hub.tenant_id)}
        refused = await inbox.list_refusals(conn, tenant_id=hub.tenant_id, since=at - _REFUSED_WITHIN)
    names = {each.id: each.name for each in found}
    return WebhooksStatus(
        at,
        hub.settings.public_url is not None,
        [
            _describe(hub, each, counts.get(each.id))
            for each in found
            if get_platform(each.platform).webhooks is not None
        ],
        [
            Refused(
                each.platform,
                None if each.connection_id is None else names.get(each.connection_id),
                each.reason,
                each.network,
                each.last_at,
                each.count,
            )
            for each in refused
        ],
    )


def _describe(hub: Hub, connection: Connection, count: InboxCount | None) -> Webhook:
    return Webhook(
        connection.name,
        connection.platform,
        _url(hub, connection),
        _kind_of_secret(hub, connection),
        connection.status == "paused",
        count,
    )


def _kind_of_secret(hub: Hub, connection: Connection) -> SecretKind:
    vault = hub.vault()
    if find_secret(vault, connection.credentials) is None:
        return "none"
    return "own" if open_credentials(vault, connection.credentials).webhook_secret is not None else "app"


def _url(hub: Hub, connection: Connection) -> str:
    """Return the address to enter at the CRM; a name that would have to be escaped gives way to the id."""
    called = connection.name if _PLAIN.fullmatch(connection.name) else str(connection.id)
    parts = [PATH, connection.platform, called]
    if hub.tenant.slug != DEFAULT_TENANT:
        parts.insert(2, hub.tenant.slug)
    return (hub.settings.public_url or "") + "/".join(parts)
