"""Notifications as admins look after them: what was told lately, what did not arrive, telling it again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.store import notifications
from syncline.store.notifications import Status, Told

__all__ = ["Status", "Told"]


@dataclass(frozen=True, slots=True)
class ToldPage:
    """Notifications, the latest first; `after` is where the next page begins, None at the end."""

    notifications: list[Told]
    after: str | None


async def list_notifications(
    hub: Hub, caller: Caller, *, status: Status | None = None, limit: int = 50, after: str | None = None
) -> ToldPage:
    """Raises `Forbidden`, and `Invalid` for what is no place."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await notifications.list_page(
            conn, tenant_id=hub.tenant_id, status=status, limit=limit + 1, before=read_place(after)
        )
    return ToldPage(*cut(found, limit, lambda each: (each.created_at, each.id)))


async def retry_notification(hub: Hub, caller: Caller, notification_id: UUID) -> None:
    """Have one that was given up delivered after all. Raises `Forbidden` and `NotFound`."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await notifications.retry(conn, notification_id, tenant_id=hub.tenant_id, now=now())
        await note(conn, caller, "notification.retried", str(notification_id))
