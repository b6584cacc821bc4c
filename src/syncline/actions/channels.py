"""Channels that alerts go by: chats and programs, whose addresses are stored sealed and never shown again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import get_args
from urllib.parse import urlsplit

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.clock import new_id, now
from syncline.domain.alerts import CHANNEL_NAME, parse_rules
from syncline.domain.callers import Caller
from syncline.engine.deliver_channels import post_to_channel
from syncline.engine.notify_http import Poster, check_url
from syncline.errors import Invalid
from syncline.store import alerts, channels
from syncline.store.channels import Channel, Kind
from syncline.store.db import Conn
from syncline.store.notifications import Due

__all__ = ["KINDS", "Channel", "Kind"]

KINDS: tuple[Kind, ...] = get_args(Kind)
_MOST = 50
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel that was just added."""

    channel: Channel
    #: What its messages are signed with: of a webhook, shown once, and stored sealed.
    secret: str | None = field(repr=False)


async def list_channels(hub: Hub, caller: Caller) -> list[Channel]:
    """Raises `Forbidden`."""
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await channels.list_all(conn, tenant_id=hub.tenant_id)


async def add_channel(hub: Hub, caller: Caller, kind: str, name: str, url: str) -> NewChannel:
    """Add a chat (a Slack incoming webhook, or what understands the same) or a program of one's own.

    Raises `Forbidden`, `AlreadyExists`, and `Invalid` with the field.
    """
    caller.require("settings:write")
    if kind not in KINDS:
        fault = f"is one of {', '.join(KINDS)}"
        raise Invalid(f"The kind {fault}.", fields={"kind": fault})
    if not CHANNEL_NAME.fullmatch(name):
        fault = "is letters, digits, points, dashes and underscores"
        raise Invalid(f"A channel's name {fault}.", fields={"name": fault})
    check_url(url, private=hub.settings.webhooks_to_private_addresses)
    secret = _PREFIX + secrets.token_urlsafe(32) if kind == "webhook" else None
    vault, at = hub.vault(), now()
    channel = Channel(
        id=new_id(),
        kind=kind,
        name=name,
        url=vault.seal(url.encode()),
        host=(urlsplit(url).hostname or "")[:200],
        secret=None if secret is None else vault.seal(secret.encode()),
        created_by=caller.name,
        created_at=at,
        updated_at=at,
    )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if len(await channels.list_all(conn, tenant_id=hub.tenant_id)) >= _MOST:
            raise Invalid(f"A tenant has at most {_MOST} channels. Remove one that is not needed.")
        await channels.insert(conn, channel, tenant_id=hub.tenant_id)
        await note(conn, caller, "channel.added", f"{kind}:{name}", {"host": channel.host})
    return NewChannel(channel, secret)


async def remove_channel(hub: Hub, caller: Caller, kind: str, name: str) -> None:
    """Forget a channel. Raises `Forbidden`, `NotFound`, and `Invalid` while rules name it."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        # Before the rules are read: whoever sets some at this moment holds all channels until they are set.
        found = await channels.lock(conn, kind, name, tenant_id=hub.tenant_id)
        if (kind, name) in await _list_used(conn, hub):
            raise Invalid(f"Alert rules name {kind}:{name}. Take it out of them first.")
        await channels.delete(conn, found.id, tenant_id=hub.tenant_id)
        await note(conn, caller, "channel.removed", f"{kind}:{name}")


async def _list_used(conn: Conn, hub: Hub) -> set[tuple[str, str]]:
    own = await alerts.find_rules(conn, tenant_id=hub.tenant_id)
    if own is None:
        return set()
    try:
        return parse_rules(own.document).channels()
    except Invalid:  # rules that cannot be read send nothing
        return set()


@dataclass(frozen=True, slots=True)
class Tested:
    """How a test went."""

    arrived: bool
    #: Why it did not, in a sentence without the address.
    reason: str | None


async def send_test(hub: Hub, caller: Caller, kind: str, name: str) -> Tested:
    """Post a message that says nothing to a channel, now, and once. Raises `Forbidden` and `NotFound`."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        channel = await channels.get(conn, kind, name, tenant_id=hub.tenant_id)
        await note(conn, caller, "channel.tested", f"{kind}:{name}")
    at = now()
    due = Due(
        id=new_id(),
        channel=channel.kind,
        template="test",
        recipient=name,
        subject="A test from Syncline",
        body=f"If you read this, alerts for {kind}:{name} arrive.",
        alert_id=None,
        mention=None,
        retry_count=0,
        error_message=None,
        created_at=at,
        not_before=at,
    )
    async with Poster(private=hub.settings.webhooks_to_private_addresses) as poster:
        sent = await post_to_channel(poster, hub.vault(), channel, due, None, link=hub.settings.public_url)
    return Tested(sent.error is None, sent.error)
