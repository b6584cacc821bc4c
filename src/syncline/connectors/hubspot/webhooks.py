"""HubSpot's webhooks to hints: which record to read again. Takes no value from a delivery, and does no I/O.

Subscriptions come as arrays of up to 100 events, in two forms: `contact.propertyChange` and the like, and
`object.propertyChange` with an `objectTypeId`. A workflow's webhook is one record, as a GET would answer it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from syncline.connectors.hubspot.decode import parse_ms
from syncline.connectors.hubspot.signatures import verify
from syncline.connectors.webhooks import Kind, WebhookEvent, Webhooks
from syncline.errors import Invalid

#: 100 events whose values, which we pass over, are as long as HubSpot lets them be (65,536), and then some.
_MOST_BYTES = 10_000_000
_LATEST_MS = 253_402_300_799_999
_ID = r"\A[1-9][0-9]{0,18}\Z"

#: Numbers in webhooks, text elsewhere; both are read.
_Id = Annotated[int, Meta(gt=0, le=2**63 - 1)] | Annotated[str, Meta(pattern=_ID)]
_EventId = int | Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_.:-]{1,100}\Z")]

#: The words before the dot, and how we name the object.
_OBJECTS = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "line_item": "line_items",
}
_OBJECTS_BY_ID = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "0-7": "products",
    "0-8": "line_items",
    "0-27": "tasks",
    "0-46": "notes",
    "0-47": "meetings",
    "0-48": "calls",
    "0-49": "emails",
    "0-136": "leads",
}
#: Other words that association types use.
_OBJECTS_BY_WORD = {
    **_OBJECTS,
    "task": "tasks",
    "note": "notes",
    "meeting": "meetings",
    "meeting_event": "meetings",
    "call": "calls",
    "email": "emails",
    "lead": "leads",
}
_CUSTOM = re.compile(r"2-[0-9]{1,19}")

_KINDS: dict[str, Kind] = {
    "creation": "changed",
    "propertyChange": "changed",
    "deletion": "archived",
    "restore": "restored",
    "merge": "merged",
    "associationChange": "associated",
    "privacyDeletion": "erased",
}
#: Subscription type → (word of the object, kind). All others are passed over.
_TYPES: dict[str, tuple[str, Kind]] = {
    f"{word}.{name}": (word, kind) for word in (*_OBJECTS, "object") for name, kind in _KINDS.items()
}


class _Event(msgspec.Struct, rename="camel", gc=False):
    """What is read of an event. `propertyValue` is left out on purpose."""

    portal_id: _Id
    occurred_at: Annotated[int, Meta(ge=0, le=_LATEST_MS)]
    subscription_type: str = ""
    #: What the documentation calls it; deliveries have the other.
    event_type: str = ""
    event_id: _EventId | None = None
    subscription_id: int | None = None
    object_id: _Id | None = None
    object_type_id: str = ""
    property_name: str = ""
    primary_object_id: _Id | None = None
    merged_object_ids: list[_Id] = []
    new_object_id: _Id | None = None
    from_object_id: _Id | None = None
    to_object_id: _Id | None = None
    from_object_type_id: str = ""
    to_object_type_id: str = ""
    association_type: str = ""
    association_type_id: _EventId = ""


class _Name(msgspec.Struct, rename="camel", gc=False):
    """Of an event that may be of any kind, only which."""

    subscription_type: str = ""
    event_type: str = ""


class _Portal(msgspec.Struct, rename="camel", gc=False):
    portal_id: _Id | None = None


class _FlowProperties(msgspec.Struct, gc=False):
    #: Text, or {"value": text, …} in the oldest form; whatever it is, only one that makes sense is used.
    hs_object_id: Any = None
    lastmodifieddate: Any = None
    hs_lastmodifieddate: Any = None


class _Flow(msgspec.Struct, rename="camel", gc=False):
    """What is read of the record in a workflow's webhook."""

    id: _Id | None = None
    object_id: _Id | None = None
    #: A contact's id in the oldest form, which names the account with a hyphen.
    vid: _Id | None = None
    portal_id: _Id | None = None
    old_portal_id: _Id | None = msgspec.field(default=None, name="portal-id")
    object_type_id: str = ""
    object_type: str = ""
    url: str | None = None
    updated_at: str | None = None
    archived: bool = False
    properties: _FlowProperties | None = None


#: As in `https://app.hubspot.com/contacts/ACCOUNT/record/TYPE/ID`, on any of HubSpot's hosts.
_RECORD_URL = re.compile(r"/contacts/([1-9][0-9]{0,18})/record/([0-9]+-[0-9]+)/")

_read_events = msgspec.json.Decoder(list[_Event]).decode
_read_each = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_name = msgspec.json.Decoder(_Name).decode
_read_event = msgspec.json.Decoder(_Event).decode
_read_portals = msgspec.json.Decoder(list[_Portal]).decode
_read_flow = msgspec.json.Decoder(_Flow).decode
#: msgspec's errors quote no values, but where in the delivery; nesting without end is caught by Python.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(body: bytes) -> list[WebhookEvent]:
    """Read a delivery's events, in its order. Raises `Invalid`.

    Kinds of event that we do not know are passed over, whatever is in them. One known event that cannot be
    read makes the delivery invalid: HubSpot would not send the rest again if we said we had it.
    """
    try:
        if _is_record(body):
            return [_of_flow(_read_flow(body))]
        return [event for read in _read_known(body) if (event := _of_event(read)) is not None]
    except _UNREADABLE:
        raise Invalid("The delivery is none of HubSpot's: not JSON of the expected form.") from None


def find_account(body: bytes) -> str | None:
    """Return the portal id that all events agree on; None where there is none, or more than one.

    Proves nothing: it says whose secret to check the signature with. Never raises.
    """
    try:
        if _is_record(body):
            return _account_of_flow(_read_flow(body)) or None
        found = {str(each.portal_id or "") for each in _read_portals(body)}
    except _UNREADABLE:
        return None
    return (found.pop() or None) if len(found) == 1 else None


def _is_record(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{"


def _read_known(body: bytes) -> list[_Event]:
    try:
        return _read_events(body)
    except msgspec.ValidationError:
        # Some event is not of the form of those we know: perhaps since it is none of them.
        return [_read_event(each) for each in _read_each(body) if _type_of(_read_name(each)) in _TYPES]


def _type_of(read: _Event | _Name) -> str:
    found = read.subscription_type or read.event_type
    if not found:
        raise Invalid("The delivery is none of HubSpot's: an event does not say of which kind it is.")
    return found


def _of_event(read: _Event) -> WebhookEvent | None:
    known = _TYPES.get(_type_of(read))
    if known is None:
        return None
    word, kind = known
    merged: tuple[str, ...] = ()
    other: tuple[str, str] | None = None
    name = _OBJECTS[word] if word != "object" else _object_of(read.object_type_id or read.from_object_type_id)
    remote = read.object_id
    if kind == "merged":
        remote, merged = _merge(read)
    elif kind == "associated":
        remote = read.from_object_id
        other = _other(read, word)
    if remote is None:
        raise Invalid("The delivery is none of HubSpot's: an event names no record.")
    return WebhookEvent(
        _event_id(read, remote, other), str(read.portal_id), name, str(remote), kind, read.occurred_at,
        merged, other,
    )  # fmt: skip


def _merge(read: _Event) -> tuple[int | str | None, tuple[str, ...]]:
    """Return the survivor and the ids that now mean it.

    Since January 2025 the survivor has a new id; before, and perhaps again, it was the primary record.
    """
    survivor = read.new_object_id or read.primary_object_id or read.object_id
    gone = (*read.merged_object_ids, read.primary_object_id)
    ids = dict.fromkeys(str(each) for each in gone if each is not None)
    return survivor, tuple(each for each in ids if each != str(survivor))


def _other(read: _Event, word: str) -> tuple[str, str]:
    if read.to_object_id is None:
        raise Invalid("The delivery is none of HubSpot's: an association has no other side.")
    if read.to_object_type_id:
        return _object_of(read.to_object_type_id), str(read.to_object_id)
    # DEAL_TO_LINE_ITEM. HubSpot's own words have no "to" in them; a custom object's may.
    far = read.association_type.lower().removeprefix(f"{word}_to_")
    return _OBJECTS_BY_WORD.get(far, ""), str(read.to_object_id)


def _object_of(type_id: str) -> str:
    """Name the object. A custom one is named by its type id, by which the API takes it as well."""
    return _OBJECTS_BY_ID.get(type_id) or (type_id if _CUSTOM.fullmatch(type_id) else "")


def _event_id(read: _Event, remote: int | str, other: tuple[str, str] | None) -> str:
    """Return what is equal when the event is delivered again, and for no other event.

    HubSpot's own `eventId` is not enough: it has been seen with two records' events.
    """
    if read.event_id is None:
        return ""
    what = read.property_name
    if other is not None:
        what = f"{other[1]}/{read.association_type_id or _plain(read.association_type)}"
    elif not what:
        what = _type_of(read).partition(".")[2]
    else:
        what = _plain(what)
    return f"{read.subscription_id or 0}.{read.event_id}.{remote}.{what}.{read.occurred_at}"


def _plain(name: str) -> str:
    """Return a name as it is, or what stands for it when a column could not hold it."""
    if len(name) <= 128 and name.isascii() and name.isprintable():
        return name
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()[:32]


def _of_flow(read: _Flow) -> WebhookEvent:
    properties = read.properties or _FlowProperties()
    remote = read.id or read.object_id or read.vid or _id_of(properties.hs_object_id)
    if remote is None:
        raise Invalid("The delivery is none of HubSpot's: its record has no id.")
    moments = (read.updated_at, properties.lastmodifieddate, properties.hs_lastmodifieddate)
    found = (parse_ms(_bare(each)) for each in moments)
    occurred_ms = next((ms for ms in found if ms is not None and ms >= 0), 0)
    kind: Kind = "archived" if read.archived else "changed"
    # A workflow's webhook has no id, and comes again for every run of the workflow.
    return WebhookEvent("", _account_of_flow(read), _object_of_flow(read), str(remote), kind, occurred_ms)


def _account_of_flow(read: _Flow) -> str:
    portal = read.portal_id or read.old_portal_id
    if portal is not None:
        return str(portal)
    found = _RECORD_URL.search(read.url or "")
    return found[1] if found else ""


def _object_of_flow(read: _Flow) -> str:
    if read.object_type_id:
        return _object_of(read.object_type_id)
    if found := _RECORD_URL.search(read.url or ""):
        return _object_of(found[2])
    if word := read.object_type.lower():
        known = _OBJECTS_BY_WORD.get(word) or (word if word in _OBJECTS_BY_ID.values() else "")
        return known or _object_of(word)
    return "contacts" if read.vid is not None else ""


def _bare(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _id_of(value: Any) -> str | None:
    text = str(_bare(value))
    return text if re.search(_ID, text) else None


WEBHOOKS = Webhooks(verify, parse, find_account, _MOST_BYTES)
