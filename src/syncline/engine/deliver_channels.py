"""Posting to a tenant's channels: how a message looks in a chat, and to a program. Tries once."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from syncline.clock import now
from syncline.domain.sealing import Vault
from syncline.engine.notify_http import Poster
from syncline.errors import SettingInvalid
from syncline.store.alerts import Alert
from syncline.store.channels import Channel
from syncline.store.notifications import Due

#: Answers of a chat that will not change: the channel or its hook is gone.
_GONE = frozenset((400, 403, 404, 410))
_MOST_CALLED = 20
_LONGEST_TEXT = 3000


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt went; `error` is None when it was taken."""

    error: str | None
    #: True when trying again would change nothing.
    is_final: bool = False


async def post_to_channel(
    poster: Poster,
    vault: Vault,
    channel: Channel,
    due: Due,
    alert: Alert | None,
    *,
    link: str | None,
    called: Sequence[str] = (),
) -> Sent:
    """Post a notification to a channel, once. `called` are those whom a chat calls by their names."""
    try:
        url = vault.open(channel.url).decode()
        secret = None if channel.secret is None else vault.open(channel.secret)
    except SettingInvalid:
        return Sent("The channel's address cannot be opened with this installation's key.", is_final=True)
    if secret is None:
        body = msgspec.json.encode({"text": write_chat(due, link=link, called=called)})
        headers = {"content-type": "application/json"}
    else:
        body = msgspec.json.encode(describe(due, alert, link=link))
        headers = sign(secret, body, due, now())
    posted = await poster.post(url, body, headers)
    final = posted.status == 410 or (channel.kind == "slack" and posted.status in _GONE)
    return Sent(posted.error, is_final=final)


def write_chat(due: Due, *, link: str | None, called: Sequence[str]) -> str:
    """Write a message as Slack reads it: its three special letters escaped, people called by their ids.

    https://docs.slack.dev/messaging/formatting-message-text (2026-11).
    """
    names = " ".join(f"<@{each}>" for each in called[:_MOST_CALLED] if each.isalnum())
    lines = [names, f"*{_escape(due.subject)}*", _escape(due.body)[:_LONGEST_TEXT]]
    if link is not None:
        lines.append(f"<{link}|Open in Syncline>")
    return "\n".join(line for line in lines if line)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def describe(due: Due, alert: Alert | None, *, link: str | None) -> dict[str, Any]:
    """Return what a program is told."""
    told: dict[str, Any] = {
        "id": str(due.id),
        "event": due.template,
        "at": due.created_at.isoformat(),
        "subject": due.subject,
        "text": due.body,
        "link": link,
    }
    if alert is None:
        return told
    return told | {
        "alert": {
            "id": str(alert.id),
            "rule": alert.rule,
            "severity": alert.severity,
            "condition": alert.condition,
            "metric": alert.metric,
            "connection": alert.connection,
            "object": alert.object or None,
            "state": alert.state,
            "value": alert.value,
            "worst": alert.worst,
            "opened_at": _moment(alert.opened_at),
            "closed_at": _moment(alert.closed_at),
            "ended_by": alert.ended_by,
        }
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def sign(secret: bytes, body: bytes, due: Due, at: datetime) -> dict[str, str]:
    """Return headers as outgoing webhooks have them: HMAC-SHA256 over seconds, a full stop, and the body."""
    seconds = str(int(at.timestamp()))
    proof = hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "syncline-signature": f"t={seconds},v1={proof}",
        "syncline-event": due.template or "notification",
        "syncline-event-id": str(due.id),
        "syncline-attempt": str(due.retry_count + 1),
    }
