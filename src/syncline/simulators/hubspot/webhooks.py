"""Webhooks on their way out of the account: who wants them, how events read on the wire, what goes amiss.

Knows no HTTP and waits for nothing; `sending` does both.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from syncline.simulators import outbox
from syncline.simulators.hubspot.account import APP_ID, Account, Event
from syncline.simulators.hubspot.store import Record
from syncline.simulators.hubspot.values import time_ms

VERSIONS = ("v1", "v2", "v3")
FORMS = ("numbered", "generic")
#: Most that HubSpot puts into one delivery.
EVENTS_MOST = 100
#: The objects whose events have names of their own; all others are told as `object.…`.
_NAMED = frozenset({"contact", "company", "deal", "ticket", "product", "line_item"})
_FLAGS = {"creation": "CREATED", "deletion": "DELETED", "merge": "MERGED", "restore": "RESTORED"}
#: Now and then two records' events have one `eventId`, as has been seen.
_SAME_ID_SHARE = 0.01

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """An app's webhooks: where they go, how they are signed, and what goes wrong with them."""

    url: str = ""
    secret: str = field(default="", repr=False)
    #: "v3" sends v3 with v1 beside it, as HubSpot does; "v1" only that; "v2" is a workflow's: a record each.
    version: str = "v3"
    form: str = "numbered"
    #: `contact.creation`, `contact.propertyChange`, or with one property `…:email`; none are all there are.
    subscriptions: tuple[str, ...] = ()
    #: The address that is signed, where the receiver stands behind a proxy; "" is `url`.
    signed_url: str = ""
    dropped: float = 0.0
    duplicated: float = 0.0
    delayed: float = 0.0
    reordered: float = 0.0
    #: Longest that a delayed event is held back.
    delay_seconds: float = 2.0
    events_most: int = EVENTS_MOST
    concurrency: int = 10
    #: How long events are gathered before a delivery that is not full goes out.
    gather_ms: float = 20.0
    #: Longest that an answer may take.
    timeout_seconds: float = 5.0
    retries: int = 10
    #: How long the 24 hours take over which retries are spread.
    day_seconds: float = 10.0

    def wants(self, event: Event) -> bool:
        if not self.subscriptions:
            return True
        one = f"{event.kind}:{event.details.get('propertyName')}"
        return event.kind in self.subscriptions or one in self.subscriptions


_DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Target)}


def read_target(given: dict[str, Any], former: Target | None) -> Target | None:
    """Apply changes by name to a target; an empty `url` is none. Raises `ValueError`, without the secret."""
    unknown = sorted(set(given) - set(_DEFAULTS))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(_DEFAULTS)}")
    changes = {name: _read_value(name, value) for name, value in given.items()}
    found = replace(former or Target(), **changes)
    if not found.url:
        return None
    if not found.url.startswith(("http://", "https://")) or not found.secret:
        raise ValueError("webhooks need a url of http or https, and a secret")
    if found.version not in VERSIONS or found.form not in FORMS:
        raise ValueError(f"version is one of {', '.join(VERSIONS)}, form one of {', '.join(FORMS)}")
    outbox.check_shares(found)
    if not 1 <= found.events_most <= EVENTS_MOST or found.concurrency < 1 or not 0 <= found.retries <= 20:
        raise ValueError("events_most is 1 to 100, concurrency at least 1, retries 0 to 20")
    return found


def _read_value(name: str, value: Any) -> Any:
    default = _DEFAULTS[name]
    if value is None:
        return default
    if isinstance(default, tuple):
        return tuple(str(each) for each in value)
    return type(default)(value)


def describe(target: Target | None) -> dict[str, Any] | None:
    """Return a target as JSON, without its secret."""
    if target is None:
        return None
    return {name: getattr(target, name) for name in _DEFAULTS if name != "secret"}


def retry_waits(target: Target, rng: random.Random) -> Iterator[float]:
    """Yield the seconds before each retry: ever longer, a day in all, with some randomness.

    HubSpot says up to ten over 24 hours with varying delays; that they double is our guess.
    """
    unit = target.day_seconds / (2**target.retries - 1 or 1)
    for attempt in range(target.retries):
        yield unit * 2**attempt * rng.uniform(0.8, 1.2)


class Outbox(outbox.Outbox[Wire]):
    """Events that wait to be sent, the next one first. `take` may be called from any thread."""

    def __init__(self, account: Account) -> None:
        super().__init__(f"webhooks {account.seed}", dict)
        self.account = account
        self.target: Target | None = None
        self._last_id = (0, 0)

    def take(self, event: Event) -> None:
        """Put in what the subscriptions make of an event: nothing, it, or it twice."""
        target = self.target
        if target is None or not target.wants(event):
            return
        told = self._tell_record(event) if target.version == "v2" else self._tell_event(event, target.form)
        if told is not None:
            self.put(told, target)

    # -- how it reads

    def _tell_event(self, event: Event, form: str) -> Wire:
        word, _, what = event.kind.partition(".")
        generic = what != "privacyDeletion" and (form == "generic" or word not in _NAMED)
        kind = f"object.{what}" if generic else event.kind
        told: Wire = {
            "eventId": self._event_id(event.object_id),
            "subscriptionId": zlib.crc32(f"{kind}:{event.details.get('propertyName')}".encode()) % 10**7,
            "portalId": self.account.portal_id,
            "appId": int(APP_ID),
            "occurredAt": event.occurred_ms,
            "subscriptionType": kind,
            "attemptNumber": 0,
            "changeSource": event.source[0],
            "sourceId": event.source[1],
        }
        if what in _FLAGS:
            told["changeFlag"] = _FLAGS[what]
        if what == "associationChange":
            return told | self._association(event, word, generic=generic)
        told["objectId"] = event.object_id
        if generic:
            told["objectTypeId"] = event.type_id
        if what == "propertyChange":
            return told | self._property(event, generic=generic)
        return told | event.details

    def _event_id(self, object_id: int) -> int:
        event_id, of = self._last_id
        if of in (0, object_id) or self.rng.random() >= _SAME_ID_SHARE:
            event_id = self.rng.randrange(1, 2**31)
        self._last_id = (event_id, object_id)
        return event_id

    def _property(self, event: Event, *, generic: bool) -> Wire:
        name, value = event.details["propertyName"], event.details["propertyValue"]
        definition = self.account.stores[event.type_id].definitions.get(name)
        if value and definition is not None and definition.type in ("date", "datetime"):
            # Unlike everywhere else, webhooks tell dates in milliseconds.
            ms = time_ms(value)
            value = value if ms is None else str(ms)
        told: Wire = {"propertyName": name, "propertyValue": value if value is not None else ""}
        return told | ({"isSensitive": False} if generic else {})

    def _association(self, event: Event, word: str, *, generic: bool) -> Wire:
        told: Wire = dict(event.details)
        far = str(told["associationType"]).lower().removeprefix(f"{word}_to_")
        other = self.account.types.get(far)
        graph = self.account.graph
        primary = graph.primary(event.type_id, other.type_id)
        types = graph.targets(event.type_id, event.object_id, other.type_id).get(told["toObjectId"], ())
        told["isPrimaryAssociation"] = primary is not None and primary in types
        if generic:
            unlabeled = graph.unlabeled(event.type_id, other.type_id)
            del told["associationType"]
            told |= {
                "fromObjectTypeId": event.type_id,
                "toObjectTypeId": other.type_id,
                "associationCategory": unlabeled.category,
                "associationTypeId": unlabeled.type_id,
            }
        return told

    def _tell_record(self, event: Event) -> Wire | None:
        """Return the record, as a workflow that starts when records are made or changed sends it."""
        store = self.account.stores[event.type_id]
        record: Record | None = store.find_living(event.object_id)
        if record is None or event.kind.partition(".")[2] not in ("creation", "propertyChange"):
            return None
        return store.plan_once(store.definitions).wire(record)
