"""A tiny platform's webhooks: how its deliveries look and are signed is the tests' own invention."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from syncline.clock import now, to_ms
from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.connectors.registry import PLATFORMS
from syncline.connectors.webhooks import Delivery, WebhookEvent, Webhooks
from syncline.errors import Forged, Invalid

SECRET = "shared with the CRM"
URL = "https://hub.example.com/api/v1/webhooks/hubspot/main"
SIGNATURE, TIME = "x-tiny-signature", "x-tiny-time"
MAX_BYTES = 20_000


class _Body(msgspec.Struct):
    account: str
    events: list[dict[str, Any]]


def sign(secret: str, url: str, body: bytes, at: str) -> str:
    return hmac.new(secret.encode(), f"POST {url} {at}\n".encode() + body, hashlib.sha256).hexdigest()


def verify(delivery: Delivery, secret: str) -> None:
    at = delivery.headers.get(TIME, "")
    if not at.isdecimal() or abs(delivery.received_ms - int(at)) > 300_000:
        raise Forged("The delivery is stale.")
    expected = sign(secret, delivery.url, delivery.body, at)
    if not hmac.compare_digest(expected, delivery.headers.get(SIGNATURE, "")):
        raise Forged("The signature does not fit.")


def _decode(body: bytes) -> _Body:
    try:
        return msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError:
        raise Invalid("The body is not this platform's.") from None


def parse(body: bytes) -> list[WebhookEvent]:
    read = _decode(body)
    return [
        WebhookEvent(
            str(each.get("event", "")),
            read.account,
            each["object"],
            each["id"],
            each["kind"],
            0,
            tuple(each.get("merged", ())),
            (each["other"][0], each["other"][1]) if "other" in each else None,
        )
        for each in read.events
    ]


def find_account(body: bytes) -> str | None:
    try:
        return _decode(body).account
    except Invalid:
        return None


TINY = Webhooks(verify, parse, find_account, MAX_BYTES)


def register() -> None:
    """Let connections of the simulated platform send the tiny one's deliveries, until the process ends."""
    PLATFORMS["hubspot"] = replace(HUBSPOT, webhooks=TINY)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the length of a test."""
    monkeypatch.setitem(PLATFORMS, "hubspot", replace(HUBSPOT, webhooks=TINY))


def event(name: str, remote_id: object, kind: str = "changed", **more: Sequence[str]) -> dict[str, Any]:
    """Return an event as the tiny platform tells it; `merged` and `other` are lists of text."""
    return {"object": name, "id": str(remote_id), "kind": kind, **more}


def body_of(account: str, *events: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"account": account, "events": list(events)})


def delivery_of(body: bytes, *, secret: str = SECRET, url: str = URL, at_ms: int | None = None) -> Delivery:
    at = str(to_ms(now()) if at_ms is None else at_ms)
    headers = {SIGNATURE: sign(secret, url, body, at), TIME: at, "content-type": "application/json"}
    return Delivery("POST", url, headers, body, to_ms(now()))
