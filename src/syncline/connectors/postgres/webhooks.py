"""Supabase's database webhooks to hints: which row to read again. Takes no value of a row, and does no I/O.

A person sets such a webhook up in Supabase, with a header of his own that holds the secret. The body names
the table as it is in the database, which object that is say the connection's settings.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from syncline.connectors.postgres.places import Places, read_places
from syncline.connectors.webhooks import Delivery, Kind, Parse, WebhookEvent, Webhooks
from syncline.errors import Forged, Invalid

#: Where the secret may stand; a header of its own comes first.
_HEADER = "x-syncline-secret"
_KEY = "id"
_LONGEST_KEY = 500
#: A row may be large, and comes twice in an update.
_MOST_BYTES = 4_000_000


class _Keyed(msgspec.Struct, gc=False):
    id: int | str | None = None


class _Body(msgspec.Struct, gc=False):
    type: Literal["INSERT", "UPDATE", "DELETE", "TRUNCATE"]
    table: str
    schema: str = "public"
    record: _Keyed | None = None
    old_record: _Keyed | None = None


_read = msgspec.json.Decoder(_Body).decode


def verify(delivery: Delivery, secret: str) -> None:
    """Prove a delivery by the secret in its header. Raises `Forged`."""
    given = delivery.headers.get(_HEADER)
    if given is None:
        scheme, _, word = delivery.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not word:
            raise Forged(f"The delivery has no header {_HEADER}, and no authorization with a Bearer secret.")
        given = word
    if not hmac.compare_digest(given.strip().encode(), secret.encode()):
        raise Forged("The secret in the delivery's header is not this connection's.")


def configure(settings: Mapping[str, str]) -> Parse:
    """Return what reads a connection's deliveries, by the names of its tables. Raises `SettingInvalid`."""
    places = read_places(settings)
    return lambda body: _parse(body, places)


def parse(body: bytes) -> list[WebhookEvent]:
    """Read the row a delivery is about, where all tables have their usual names. Raises `Invalid`."""
    return _parse(body, read_places({}))


def _parse(body: bytes, places: Places) -> list[WebhookEvent]:
    try:
        read = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Invalid(
            "The delivery is none of a database webhook's: not JSON of the expected form."
        ) from None
    row = read.record if read.type in ("INSERT", "UPDATE") else read.old_record
    key: Any = None if row is None else row.id
    if read.schema != places.schema or key is None or not str(key) or len(str(key)) > _LONGEST_KEY:
        return []
    kind: Kind = "archived" if read.type == "DELETE" else "changed"
    event_id = hashlib.blake2b(body, digest_size=16).hexdigest()
    # It tells no time of its own.
    return [WebhookEvent(event_id, "", places.object_of(read.table), str(key), kind, 0)]


def find_account(body: bytes) -> str | None:
    """Return None: a delivery names no account. Use the address with the connection's name."""
    del body
    return None


WEBHOOKS = Webhooks(verify, parse, find_account, max_bytes=_MOST_BYTES, configure=configure)
