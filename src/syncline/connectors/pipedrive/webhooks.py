"""Pipedrive's deliveries to hints: which record to read again. Takes no value from them, and does no I/O.

Nothing is signed and nothing has a time that is proven: a delivery is taken for genuine by the password it
brings and by the key in the address it was sent to. One that was overheard can be played back; all it does is
have a record read once more.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import msgspec

from syncline.connectors.pipedrive.decode import parse_ms
from syncline.connectors.pipedrive.objects import (
    ACTIVITIES,
    DEALS,
    LEADS,
    NOTES,
    ORGANIZATIONS,
    PERSONS,
    TASK_TYPES,
    TASKS,
    USERS,
)
from syncline.connectors.pipedrive.subscriptions import KEY, USER, derive_key, derive_password
from syncline.connectors.webhooks import Delivery, Kind, WebhookEvent, Webhooks
from syncline.errors import Forged, Invalid

_OBJECTS = {
    "person": PERSONS,
    "organization": ORGANIZATIONS,
    "deal": DEALS,
    "note": NOTES,
    "lead": LEADS,
    "user": USERS,
}
_ACTIVITY = "activity"
_KINDS: dict[str, Kind] = {"create": "changed", "change": "changed", "delete": "archived"}
_LONGEST_ID = 64


class _Meta(msgspec.Struct):
    action: str = ""
    entity: str = ""
    entity_id: str | int = ""
    #: Of the event.
    id: str | int = ""
    company_id: str | int = ""
    #: ISO 8601; seconds since 1970 for users.
    timestamp: str | int | float = 0
    version: str | int = ""
    merged_to_id: str | int | None = None
    merged_from_id: str | int | list[str | int] | None = None


class _Body(msgspec.Struct):
    meta: _Meta
    data: Any = None
    previous: Any = None


_read = msgspec.json.Decoder(_Body).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def verify(delivery: Delivery, secret: str) -> None:
    """Check password and key. Raises `Forged` naming the failed check."""
    if not secret:
        raise Forged("There is no secret to check the delivery with.")
    kind, _, encoded = delivery.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic" or not encoded:
        raise Forged("The delivery brings no password.")
    try:
        given = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Forged("The delivery's password cannot be read.") from None
    if not hmac.compare_digest(given, f"{USER}:{derive_password(secret)}".encode()):
        raise Forged("The delivery's password is not the one that was given to Pipedrive.")
    keys = parse_qs(urlsplit(delivery.url).query).get(KEY, [""])
    if not hmac.compare_digest(keys[0].encode(), derive_key(secret).encode()):
        raise Forged("The address that was called lacks the key that was given to Pipedrive.")


def parse(body: bytes) -> list[WebhookEvent]:
    """Read a delivery's event. Raises `Invalid` for what is none.

    A merge is told twice, of the record that is gone and of the one that stays; both give the same event. An
    activity that changed its type may have left one of our objects for another.
    """
    try:
        read = _read(body)
    except _UNREADABLE:
        raise Invalid("The delivery is none of Pipedrive's: not JSON of the expected form.") from None
    meta = read.meta
    if str(meta.version).partition(".")[0] == "1" or not meta.action:
        raise Invalid("The delivery is not of version 2 of Pipedrive's webhooks.")
    remote_id = str(meta.entity_id)
    if not remote_id or len(remote_id) > _LONGEST_ID:
        raise Invalid("The delivery is none of Pipedrive's: it names no record.")
    kind = _KINDS.get(meta.action)
    if kind is None:
        return []
    if meta.entity == _ACTIVITY:
        return _of_activity(read, remote_id, kind)
    name = _OBJECTS.get(meta.entity)
    if name is None:
        return []
    merged = _merge(meta, remote_id)
    if merged is not None:
        return [_event(meta, name, merged[0], "merged", merged[1])]
    return [_event(meta, name, remote_id, _restored(read) or kind)]


def find_account(body: bytes) -> str | None:
    """Return the company's id. Proves nothing, and never raises."""
    try:
        return str(_read(body).meta.company_id) or None
    except _UNREADABLE:
        return None


def _merge(meta: _Meta, remote_id: str) -> tuple[str, tuple[str, ...]] | None:
    if meta.merged_to_id is not None:
        return str(meta.merged_to_id), (remote_id,)
    if meta.merged_from_id is not None:
        gone = meta.merged_from_id if isinstance(meta.merged_from_id, list) else [meta.merged_from_id]
        return remote_id, tuple(str(each) for each in gone)
    return None


def _restored(read: _Body) -> Kind | None:
    before = _values(read.previous)
    is_back = before.get("is_archived") is True or before.get("is_deleted") is True
    back = is_back or before.get("active_flag") is False
    now_gone = _values(read.data).get("is_archived") is True
    return "restored" if back and not now_gone and read.meta.action == "change" else None


def _of_activity(read: _Body, remote_id: str, kind: Kind) -> list[WebhookEvent]:
    before, after = _values(read.previous).get("type"), _values(read.data).get("type")
    types = [each for each in (after, before) if isinstance(each, str)]
    if not types:
        return [_event(read.meta, name, remote_id, kind) for name in (ACTIVITIES, TASKS)]
    objects = list(dict.fromkeys(TASKS if each in TASK_TYPES else ACTIVITIES for each in types))
    events = [_event(read.meta, objects[0], remote_id, kind)]
    # Of the second it is one no more.
    return events + [_event(read.meta, name, remote_id, "archived") for name in objects[1:]]


def _event(
    meta: _Meta, name: str, remote_id: str, kind: Kind, merged_ids: tuple[str, ...] = ()
) -> WebhookEvent:
    # The id of a user's event is the user's.
    unique = f"{meta.id}.{name}.{remote_id}.{meta.timestamp}" if meta.id else ""
    return WebhookEvent(
        unique[:200], str(meta.company_id), name, remote_id, kind, _occurred_ms(meta.timestamp), merged_ids
    )


def _occurred_ms(timestamp: str | float) -> int:
    if isinstance(timestamp, str):
        return max(parse_ms(timestamp) or 0, 0)
    return int(timestamp * 1000) if 0 <= timestamp < 253_402_300_799 else 0


def _values(held: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


WEBHOOKS = Webhooks(verify, parse, find_account)
