"""Alerts as people see them: what is open, what was, who was told, and that somebody looks after one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.clock import now
from syncline.domain.callers import ROLES, Caller
from syncline.errors import Invalid
from syncline.store import alerts, notifications
from syncline.store.alerts import Alert
from syncline.store.notifications import Told

__all__ = ["Alert", "AlertState", "Told"]

AlertState = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, the latest first; `after` is where the next page begins, None at the end."""

    alerts: list[Alert]
    after: str | None


async def list_alerts(
    hub: Hub, caller: Caller, *, state: AlertState | None = None, limit: int = 50, after: str | None = None
) -> AlertPage:
    """Return a page of alerts. Raises `Forbidden`, and `Invalid` for what is no place."""
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await alerts.list_page(
            conn, tenant_id=hub.tenant_id, state=state, limit=limit + 1, before=read_place(after)
        )
    return AlertPage(*cut(found, limit, lambda each: (each.since_at, each.id)))


async def list_open(hub: Hub, caller: Caller) -> list[Alert]:
    """Return the alerts that are open now, the worst first. Raises `Forbidden`."""
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await alerts.list_live(conn, tenant_id=hub.tenant_id)
    order = ("critical", "warning", "info")
    return sorted(
        (each for each in found if each.state == "open"), key=lambda each: order.index(each.severity)
    )


@dataclass(frozen=True, slots=True)
class AlertDetails:
    alert: Alert
    #: Who was told of it, and whether that arrived, the earliest first.
    told: list[Told]


async def get_alert(hub: Hub, caller: Caller, alert_id: UUID) -> AlertDetails:
    """Return an alert. Whose address was told is shown to who may change settings.

    Raises `NotFound` and `Forbidden`.
    """
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await alerts.get(conn, alert_id, tenant_id=hub.tenant_id)
        told = await notifications.list_of_alert(conn, alert_id, tenant_id=hub.tenant_id)
    if not caller.may("settings:write"):
        told = [_veil(each) for each in told]
    return AlertDetails(found, told)


def _veil(told: Told) -> Told:
    """Leave of a notification the way, its state, and the role or channel that the rule names."""
    is_address = told.channel in ("email", "sms") and told.recipient not in ROLES
    return replace(told, recipient=None if is_address else told.recipient, subject=None, error_message=None)


async def acknowledge(hub: Hub, caller: Caller, alert_id: UUID) -> Alert:
    """Write down that the caller looks after an open alert; who did so first stays.

    Raises `NotFound`, `Forbidden`, and `Invalid` for one that is over.
    """
    caller.require("syncs:run")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await alerts.get(conn, alert_id, tenant_id=hub.tenant_id)
        if found.state != "open":
            raise Invalid("This alert is over already.")
        if await alerts.acknowledge(conn, alert_id, tenant_id=hub.tenant_id, by=caller.name, now=now()):
            await note(conn, caller, "alert.acknowledged", str(alert_id), {"rule": found.rule})
        return await alerts.get(conn, alert_id, tenant_id=hub.tenant_id)
