"""Alerts over HTTP: what is open and was, and the rules that say when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import Field

from syncline.actions import alert_rules, alerts
from syncline.actions.alert_rules import WouldFire
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Given, Limit, Shape, example, show

router = APIRouter(prefix="/api/v1", tags=["alerts"])

_ID = "0198c1f2-6a00-7c3e-8f00-0000000000c1"
AlertId = Annotated[UUID, Path(description="The alert's id.", examples=[_ID])]
Severity = Literal["info", "warning", "critical"]


class AlertShape(Shape):
    """One time that a rule held for a connection's object, or for the tenant as a whole."""

    id: UUID
    rule: str
    severity: Severity
    condition: str = Field(description="As it was when the alert began.")
    metric: str
    connection: str | None = Field(description="None for the tenant as a whole.")
    object: str = Field(description="Empty for a connection as a whole.")
    state: Literal["open", "closed"]
    opened_at: datetime
    closed_at: datetime | None
    ended_by: Literal["recovered", "unwatched"] | None
    value: float = Field(description="When it opened, in the metric's unit; a share is 0 to 1.")
    worst: float
    latest: float
    told: list[str] = Field(description="Recipients, as rules name them.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class AlertsShape(Shape):
    alerts: list[AlertShape]
    after: str | None = Field(description="Where the next page begins; none at the end.")


class ToldShape(Shape):
    """One message to one recipient, and whether it arrived."""

    id: UUID
    channel: Literal["email", "slack", "sms", "webhook"]
    template: str | None
    recipient: str | None = Field(description="Addresses only for who may change settings.")
    subject: str | None = Field(description="Only for who may change settings.")
    status: Literal["pending", "sent", "failed"]
    alert_id: UUID | None
    sent_at: datetime | None
    not_before: datetime = Field(description="When a pending one is tried next.")
    error_message: str | None = Field(description="Only for who may change settings.")
    retry_count: int
    created_at: datetime = Field(description="When it was first to be told; sending again leaves it.")


class AlertDetailsShape(Shape):
    alert: AlertShape
    told: list[ToldShape] = Field(description="Who was told, the earliest first.")


_ALERT: dict[str, Any] = {
    "id": _ID,
    "rule": "contacts_stale",
    "severity": "critical",
    "condition": "minutes_since_sync > 10",
    "metric": "minutes_since_sync",
    "connection": "acme",
    "object": "contacts",
    "state": "open",
    "opened_at": "2026-03-01T09:00:00Z",
    "closed_at": None,
    "ended_by": None,
    "value": 10.2,
    "worst": 14.9,
    "latest": 14.9,
    "told": ["role:admin", "slack:ops"],
    "acknowledged_at": None,
    "acknowledged_by": None,
}
TOLD: dict[str, Any] = {
    "id": "0198c1f2-6a00-7c3e-8f00-0000000000c2",
    "channel": "email",
    "template": "alert.opened",
    "recipient": "ada@example.com",
    "subject": "Alert: contacts_stale (acme/contacts)",
    "status": "sent",
    "alert_id": _ID,
    "sent_at": "2026-03-01T09:00:02Z",
    "not_before": "2026-03-01T09:00:00Z",
    "error_message": None,
    "retry_count": 0,
    "created_at": "2026-03-01T09:00:00Z",
}


@router.get("/alerts", summary="List alerts", responses=example({"alerts": [_ALERT], "after": None}))
async def list_all(
    call: Annotated[Call, needs("connections:read")],
    state: Literal["open", "closed"] | None = None,
    limit: Limit = 50,
    after: After = None,
) -> AlertsShape:
    """Return alerts that somebody was told of, the latest first."""
    page = await alerts.list_alerts(call.hub, call.caller, state=state, limit=limit, after=after)
    return show(AlertsShape, page)


@router.get(
    "/alerts/{alert_id}", summary="Show an alert", responses=example({"alert": _ALERT, "told": [TOLD]})
)
async def get(alert_id: AlertId, call: Annotated[Call, needs("connections:read")]) -> AlertDetailsShape:
    return show(AlertDetailsShape, await alerts.get_alert(call.hub, call.caller, alert_id))


@router.post(
    "/alerts/{alert_id}/acknowledge",
    summary="Acknowledge an alert",
    responses=example(
        {**_ALERT, "acknowledged_at": "2026-03-01T09:05:00Z", "acknowledged_by": "ada@example.com"}
    ),
)
async def acknowledge(alert_id: AlertId, call: Annotated[Call, needs("syncs:run")]) -> AlertShape:
    """Say that you look after it. Who did so first stays; the alert ends when its rule holds no more."""
    return show(AlertShape, await alerts.acknowledge(call.hub, call.caller, alert_id))


class RulesShape(Shape):
    """The rules that hold, in YAML."""

    document: str
    is_default: bool = Field(description="True where the shipped rules hold.")
    changed_at: datetime | None
    changed_by: str | None
    fault: str | None = Field(description="Why the tenant's own rules cannot be read any more.")


_TEXT = """\
groups:
  devops: [role:admin]
alerts:
  - name: low_success_rate
    condition: sync_success_rate < 0.95
    severity: critical
    notify: [devops]
"""
_RULES: dict[str, Any] = {
    "document": _TEXT,
    "is_default": False,
    "changed_at": "2026-03-01T09:00:00Z",
    "changed_by": "ada@example.com",
    "fault": None,
}


@router.get("/alert-rules", summary="Show the alert rules", responses=example(_RULES))
async def show_rules(call: Annotated[Call, needs("connections:read")]) -> RulesShape:
    return show(RulesShape, await alert_rules.show_rules(call.hub, call.caller))


class RulesGiven(Given):
    document: Annotated[str, Field(min_length=1, max_length=65_536, description="Rules in YAML.")]


_BODY: dict[str, Any] = {"requestBody": {"content": {"application/json": {"example": {"document": _TEXT}}}}}


@router.put("/alert-rules", summary="Change the alert rules", responses=example(_RULES), openapi_extra=_BODY)
async def set_rules(given: RulesGiven, call: Annotated[Call, needs("settings:write")]) -> RulesShape:
    """Let rules hold from the next look on. What cannot be read is told by rule and field."""
    return show(RulesShape, await alert_rules.set_rules(call.hub, call.caller, given.document))


@router.delete(
    "/alert-rules",
    summary="Return to the shipped rules",
    responses=example({**_RULES, "is_default": True, "changed_at": None, "changed_by": None}),
)
async def reset_rules(call: Annotated[Call, needs("settings:write")]) -> RulesShape:
    return show(RulesShape, await alert_rules.reset_rules(call.hub, call.caller))


class ReadingShape(Shape):
    value: float
    connection: str | None
    object: str


class WouldFireShape(Shape):
    """What one rule makes of what is measured now."""

    rule: str
    condition: str
    enabled: bool
    recipients: list[str]
    readings: list[ReadingShape] = Field(description="What it judges, the worst first.")
    firing: list[ReadingShape]


class CheckedShape(Shape):
    rules: list[WouldFireShape]


@router.post(
    "/alert-rules/check",
    summary="Try alert rules",
    responses=example(
        {
            "rules": [
                {
                    "rule": "low_success_rate",
                    "condition": "sync_success_rate < 0.95",
                    "enabled": True,
                    "recipients": ["role:admin"],
                    "readings": [{"value": 0.9, "connection": None, "object": ""}],
                    "firing": [{"value": 0.9, "connection": None, "object": ""}],
                }
            ]
        }
    ),
    openapi_extra=_BODY,
)
async def check_rules(given: RulesGiven, call: Annotated[Call, needs("connections:read")]) -> CheckedShape:
    """Say what rules would make of what is measured now, without letting them hold."""
    found = await alert_rules.check_rules(call.hub, call.caller, given.document)
    return CheckedShape(rules=[_show_one(each) for each in found])


def _show_one(found: WouldFire) -> WouldFireShape:
    return WouldFireShape(
        rule=found.rule.name,
        condition=str(found.rule.condition),
        enabled=found.rule.enabled,
        recipients=[str(each) for each in found.rule.recipients],
        readings=[show(ReadingShape, each) for each in found.readings],
        firing=[show(ReadingShape, each) for each in found.firing],
    )
