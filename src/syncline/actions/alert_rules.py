"""A tenant's alert rules: shown, tried on what is measured now, and let hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.alert_defaults import DEFAULT_RULES
from syncline.domain.alert_states import Reading
from syncline.domain.alerts import AlertRule, RuleSet, parse_rules
from syncline.domain.callers import Caller
from syncline.engine.alerts import WouldFire, preview
from syncline.errors import Invalid
from syncline.store import alerts, channels

__all__ = ["AlertRule", "Reading", "RuleSet", "WouldFire"]


@dataclass(frozen=True, slots=True)
class ShownRules:
    """The rules that hold for a tenant."""

    #: As they were written, with comments.
    document: str
    is_default: bool
    changed_at: datetime | None
    changed_by: str | None
    #: Why the shipped rules hold although the tenant has its own; None usually.
    fault: str | None


async def show_rules(hub: Hub, caller: Caller) -> ShownRules:
    """Raises `Forbidden`."""
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        own = await alerts.find_rules(conn, tenant_id=hub.tenant_id)
    if own is None:
        return ShownRules(DEFAULT_RULES, True, None, None, None)
    fault: str | None = None
    try:
        parse_rules(own.document)
    except Invalid as error:
        fault = str(error)
    return ShownRules(own.document, False, own.changed_at, own.changed_by, fault)


async def check_rules(hub: Hub, caller: Caller, document: str | None = None) -> Sequence[WouldFire]:
    """Say what rules would make of what is measured now; without a document, those that hold.

    Writes nothing. Raises `Forbidden`, and `Invalid` naming rules and fields.
    """
    caller.require("connections:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if document is None:
            own = await alerts.find_rules(conn, tenant_id=hub.tenant_id)
            document = DEFAULT_RULES if own is None else own.document
        known = await channels.list_all(conn, tenant_id=hub.tenant_id)
        rules = parse_rules(document, channels={(each.kind, each.name) for each in known})
        return await preview(conn, rules.rules, hub.tenant, now())


async def set_rules(hub: Hub, caller: Caller, document: str) -> ShownRules:
    """Let rules hold from the next look on. Alerts of rules that are gone end then.

    Raises `Forbidden`, and `Invalid` naming rules and fields.
    """
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await channels.hold_all(conn, tenant_id=hub.tenant_id)
        rules = parse_rules(document, channels=known)
        await alerts.put_rules(conn, document, tenant_id=hub.tenant_id, by=caller.name, now=now())
        await note(conn, caller, "alert_rules.changed", None, {"rules": [each.name for each in rules.rules]})
    return await show_rules(hub, caller)


async def reset_rules(hub: Hub, caller: Caller) -> ShownRules:
    """Let the shipped rules hold again. Raises `Forbidden`."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if await alerts.delete_rules(conn, tenant_id=hub.tenant_id):
            await note(conn, caller, "alert_rules.reset")
    return await show_rules(hub, caller)
