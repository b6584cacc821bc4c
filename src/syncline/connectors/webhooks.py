"""What a CRM tells of its own accord: how a delivery is proven genuine, and what it hints at.

Shapes only, part of the contract in `base`. An event says which record to read again; its values are never
taken for the record's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

#: What became of a record. `changed`: created or some property of it; `associated`: only what it is tied to;
#: `archived` and `merged` need no reading to be believed but are read again all the same; `erased`: for
#: privacy, for good; `restored`: it lives again.
Kind = Literal["changed", "associated", "archived", "restored", "merged", "erased"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """An HTTP request as it arrived. Header names are lower-case."""

    method: str
    #: The address the CRM called, exactly, with its query: as proxies in front of us say it was.
    url: str
    headers: Mapping[str, str]
    body: bytes
    #: When it arrived, milliseconds since 1970, our clock.
    received_ms: int


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One hint: a record of the CRM that is worth reading again."""

    #: The CRM's own id of the event, equal when it is delivered again; "" where it gives none.
    event_id: str
    account_id: str
    #: The CRM's name of the object, as in `RemoteObject.name`; "" when it is one we do not know.
    object: str
    remote_id: str
    kind: Kind
    #: When it happened there, milliseconds since 1970, the CRM's clock.
    occurred_ms: int
    #: `merged`: the ids that now mean `remote_id`.
    merged_ids: tuple[str, ...] = ()
    #: `associated`: object and id on the other side.
    other: tuple[str, str] | None = None


Parse = Callable[[bytes], Sequence[WebhookEvent]]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """How one platform's deliveries are read. Nothing here does I/O."""

    #: (delivery, secret) → None. Raises `Forged`, saying which check failed and never a value.
    verify: Callable[[Delivery, str], None]
    #: Body → its events. Raises `Invalid` for a body that is none of this platform's.
    parse: Parse
    #: Body → the account it is about, before anything is verified; None when it names none or several.
    find_account: Callable[[bytes], str | None]
    #: Deliveries that are larger are refused unread.
    max_bytes: int = 1_000_000
    #: Settings of a connection → its own `parse`, where what bodies say depends on them.
    configure: Callable[[Mapping[str, str]], Parse] | None = None

    def parse_for(self, settings: Mapping[str, str]) -> Parse:
        return self.parse if self.configure is None else self.configure(settings)


class _Heard(msgspec.Struct):
    heard: list[WebhookEvent]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Heard).decode


def dump_heard(events: Sequence[WebhookEvent]) -> str:
    """Write what was heard by listening, so that it can wait in the inbox among what was delivered."""
    return _encode(_Heard(list(events))).decode()


def load_heard(body: bytes) -> list[WebhookEvent] | None:
    """Read what `dump_heard` wrote; None for a delivery of the CRM's own."""
    return _decode(body).heard if body.startswith(b'{"heard":') else None
