"""Webhooks that go out: who is told of what, with a secret that is shown once, and how deliveries went."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.engine.notify_http import check_url
from syncline.errors import Invalid, NotFound
from syncline.store import deliveries, outgoing, subscriptions
from syncline.store.db import Conn
from syncline.store.deliveries import Delivery, State
from syncline.store.subscriptions import Subscription

__all__ = ["EVENTS", "Delivery", "Subscription"]

EventName = Literal[
    "record.created",
    "record.updated",
    "record.archived",
    "record.restored",
    "record.merged",
    "record.deleted",
    "record.erased",
    "run.ended",
    "conflict.opened",
    "test",
]
#: What can be subscribed to; a test is sent on demand only.
EVENTS: tuple[str, ...] = tuple(name for name in get_args(EventName) if name != "test")
RECORD_TYPES = ("company", "contact", "deal", "activity", "task", "owner")
_MOST = 50
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription that was just made, or given another secret."""

    subscription: Subscription
    #: What its deliveries are signed with. Shown once, and stored sealed.
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed of a subscription; None leaves it."""

    name: str | None = None
    url: str | None = None
    events: Sequence[str] | None = None
    record_types: Sequence[str] | None = None
    status: Literal["active", "paused"] | None = None


async def list_subscriptions(hub: Hub) -> list[Subscription]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await subscriptions.list_all(conn, tenant_id=hub.tenant_id)


async def get_subscription(hub: Hub, subscription_id: UUID) -> Subscription:
    """Raises `NotFound`."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)


async def add_subscription(
    hub: Hub, caller: Caller, name: str, url: str, *, events: Sequence[str], record_types: Sequence[str]
) -> NewSubscription:
    """Tell an address of what happens from now on. No events, or no kinds of records, means all.

    Raises `Invalid` with the field, and `AlreadyExists` for a name that is taken.
    """
    _check(hub, name, url, events, record_types)
    secret, at, made_id = _new_secret(), now(), new_id()
    sealed = hub.vault().seal(secret.encode())
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await subscriptions.list_all(conn, tenant_id=hub.tenant_id)
        if len(known) >= _MOST:
            raise Invalid(f"A tenant has at most {_MOST} subscriptions. Remove one that is not needed.")
        await _begin_anew(conn, hub, known)
        await subscriptions.insert(
            conn,
            made_id,
            tenant_id=hub.tenant_id,
            name=name,
            url=url,
            secret=sealed,
            events=list(dict.fromkeys(events)),
            record_types=list(dict.fromkeys(record_types)),
            created_by=caller.name,
            now=at,
        )
        await note(conn, caller, "subscription.added", name, {"events": list(events)})
        return NewSubscription(await subscriptions.get(conn, made_id, tenant_id=hub.tenant_id), secret)


async def change_subscription(
    hub: Hub, caller: Caller, subscription_id: UUID, change: Change
) -> Subscription:
    """Change what is named. What waits for a subscription that is paused is forgotten, and not sent later.

    Raises `NotFound`, `Invalid` with the field, `AlreadyExists`.
    """
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        before = await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        after = replace(
            before,
            name=before.name if change.name is None else change.name,
            url=before.url if change.url is None else change.url,
            events=before.events if change.events is None else list(dict.fromkeys(change.events)),
            record_types=before.record_types
            if change.record_types is None
            else list(dict.fromkeys(change.record_types)),
            status=change.status or before.status,
        )
        _check(hub, after.name, after.url, after.events, after.record_types)
        if after.status == "active" and before.status != "active":
            await _begin_anew(conn, hub, await subscriptions.list_all(conn, tenant_id=hub.tenant_id))
            after = replace(after, told_since=now())
        await subscriptions.change(conn, after, tenant_id=hub.tenant_id, now=now())
        if after.status != "active":
            await deliveries.drop_pending(conn, subscription_id, tenant_id=hub.tenant_id)
        await note(conn, caller, "subscription.changed", after.name)
        return await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)


async def renew_secret(hub: Hub, caller: Caller, subscription_id: UUID) -> NewSubscription:
    """Sign with another secret from now on. Raises `NotFound`."""
    secret = _new_secret()
    sealed = hub.vault().seal(secret.encode())
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        before = await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        await subscriptions.change(conn, replace(before, secret=sealed), tenant_id=hub.tenant_id, now=now())
        await note(conn, caller, "subscription.secret_renewed", before.name)
    return NewSubscription(before, secret)


async def remove_subscription(hub: Hub, caller: Caller, subscription_id: UUID) -> None:
    """Tell an address nothing more, and forget its deliveries. Raises `NotFound`."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        await subscriptions.delete(conn, subscription_id, tenant_id=hub.tenant_id)
        await note(conn, caller, "subscription.removed", found.name)


async def send_test(hub: Hub, subscription_id: UUID) -> UUID:
    """Send an event that says nothing, to see whether it arrives; returns its delivery. Raises `NotFound`."""
    at, made_id = now(), new_id()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        if found.status != "active":
            raise Invalid("This subscription is paused. Resume it first.")
        await deliveries.insert_test(conn, made_id, subscription_id, tenant_id=hub.tenant_id, now=at)
    return made_id


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, the latest first; `after` is where the next page begins, None at the end."""

    deliveries: list[Delivery]
    after: str | None


async def list_deliveries(
    hub: Hub,
    subscription_id: UUID,
    *,
    state: State | None = None,
    limit: int = 50,
    after: str | None = None,
) -> DeliveryPage:
    """Return a page of a subscription's deliveries. Raises `NotFound`, and `Invalid` for what is no place."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        found = await deliveries.list_deliveries(
            conn,
            subscription_id,
            tenant_id=hub.tenant_id,
            state=state,
            limit=limit + 1,
            before=read_place(after),
        )
    return DeliveryPage(*cut(found, limit, lambda each: (each.created_at, each.id)))


async def replay(
    hub: Hub,
    caller: Caller,
    subscription_id: UUID,
    *,
    delivery_id: UUID | None = None,
    state: State | None = None,
    since: datetime | None = None,
) -> int:
    """Send deliveries that ended again: one, or all that are meant; returns how many.

    Raises `NotFound` for a subscription or a delivery that there is not.
    """
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await subscriptions.get(conn, subscription_id, tenant_id=hub.tenant_id)
        count = await deliveries.replay(
            conn,
            subscription_id,
            tenant_id=hub.tenant_id,
            now=now(),
            delivery_id=delivery_id,
            state=state,
            since=since,
        )
        if count == 0 and delivery_id is not None:
            raise NotFound("There is no such delivery that has ended.")
        await note(conn, caller, "deliveries.replayed", found.name, {"count": count})
    return count


async def _begin_anew(conn: Conn, hub: Hub, known: Sequence[Subscription]) -> None:
    """Where nobody was told anything, forget how far it was looked: what happened then is told to nobody."""
    if not any(each.status == "active" for each in known):
        await outgoing.end(conn, tenant_id=hub.tenant_id)


def _new_secret() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def _check(hub: Hub, name: str, url: str, events: Sequence[str], record_types: Sequence[str]) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise Invalid(
            "A name is one to a hundred printable characters.",
            fields={"name": "is no name that can be shown"},
        )
    check_url(url, private=hub.settings.webhooks_to_private_addresses)
    if unknown := set(events) - set(EVENTS):
        raise Invalid(
            f"There is no event {min(unknown)!r}. There are: {', '.join(EVENTS)}.",
            fields={"events": f"there is no {min(unknown)!r}"},
        )
    if unknown := set(record_types) - set(RECORD_TYPES):
        raise Invalid(
            f"There is no kind of record {min(unknown)!r}. There are: {', '.join(RECORD_TYPES)}.",
            fields={"record_types": f"there is no {min(unknown)!r}"},
        )
