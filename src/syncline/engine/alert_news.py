"""What people are told of an alert, and by which ways. Names rules and connections, and never a record."""

from __future__ import annotations

import hashlib

from syncline.domain.alerts import Recipient, label_of, read_recipient, tell_value
from syncline.store.alerts import Alert
from syncline.store.notifications import Notification

OPENED, CLOSED = "alert.opened", "alert.closed"


def write_news(alert: Alert) -> list[Notification]:
    """Write what those are told who are to know that an alert began, or is over. Names no record."""
    event = CLOSED if alert.state == "closed" else OPENED
    subject, body = tell_alert(alert)
    recipients = [read_recipient(each) for each in alert.told]
    roles = [each.name for each in recipients if each.kind == "role"]
    # Whoever is called by name in a chat is one of those who are told anyway: the most of the roles.
    mention = min(roles, key=("rep", "manager", "admin").index, default=None)
    return [
        Notification(
            channel="email" if each.kind in ("role", "email") else each.kind,
            template=event,
            recipient=each.name,
            subject=subject,
            body=body,
            alert_id=alert.id,
            dedupe_key=f"alert:{alert.id}:{event}:{each.kind}:{_short(each)}",
            mention=mention if each.kind == "slack" and event == OPENED else None,
        )
        for each in recipients
    ]


def _short(recipient: Recipient) -> str:
    """Return what stands for a recipient in a key: of an address no more than is needed to tell it."""
    if recipient.kind != "email":
        return recipient.name
    return hashlib.sha256(recipient.name.lower().encode()).hexdigest()[:16]


def tell_alert(alert: Alert) -> tuple[str, str]:
    """Return subject and text of what is told about an alert as it stands."""
    about = f" ({alert.place})" if alert.place else ""
    label, value = label_of(alert.metric), tell_value(alert.metric, alert.latest)
    moment = "" if alert.opened_at is None else f"{alert.opened_at:%Y-%m-%d %H:%M} UTC"
    if alert.state != "closed":
        # Said in words: what is tried again arrives later than it began.
        began = f" It opened at {moment}." if moment else ""
        rule = f"The rule is {alert.condition}; severity: {alert.severity}."
        return f"Alert: {alert.rule}{about}", f"{label}{about}: {value}. {rule}{began}"
    worst = f"The worst was {tell_value(alert.metric, alert.worst)}."
    since = f" It was open since {moment}." if moment else ""
    if alert.ended_by == "unwatched":
        why = "It is not watched any more: its rule, connection or schedule is gone or switched off."
        return f"Ended: {alert.rule}{about}", f"{why}{since} {worst}"
    return f"Recovered: {alert.rule}{about}", f"{label}{about} is within its rule again.{since} {worst}"
