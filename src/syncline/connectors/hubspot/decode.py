"""HubSpot's JSON to remote records: the hot path of every read. Does no I/O.

A page is decoded as a whole; when something in it cannot be read or kept as it came, record by
record, so that one bad record costs nothing but itself. Both ways give the same bytes for a good record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from syncline.connectors.hubspot.objects import EXTERNAL_ID
from syncline.connectors.records import RemoteRecord
from syncline.connectors.text import decode_as_is, make_storable
from syncline.errors import RecordUnreadable, Unavailable

#: (remote id or "", reason, original text), as in `reads.Page.unreadable`.
Unreadable = tuple[str, str, str]

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
#: The end of the year 9999, where Python's and HubSpot's calendars end.
_LATEST_MS = 253_402_300_799_999
#: Ids are numbers of up to 19 digits; what is longer is none, and no key of a table.
_LONGEST_ID = 64
_NO_JSON = "HubSpot sent an answer that cannot be read as JSON of the expected form."


class _Record(msgspec.Struct, gc=False):
    """A record as every endpoint tells it, fields in the order of the alphabet: it is encoded as it stands.

    What depends on the endpoint (`url`, inline `associations`) is no field and so falls away.
    """

    archived: bool = False
    archivedAt: str | UnsetType = UNSET  # noqa: N815 -- HubSpot's name, as are the next
    createdAt: str | None = None  # noqa: N815
    id: str = ""
    properties: dict[str, str | None] = {}
    updatedAt: str | None = None  # noqa: N815


class _LooseRecord(msgspec.Struct, gc=False):
    """The same with property values of any type, and an id that may be a number."""

    id: str | int
    properties: dict[str, Any]
    archived: bool = False
    archivedAt: str | UnsetType = UNSET  # noqa: N815
    createdAt: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815


class _Next(msgspec.Struct, gc=False):
    after: str | int


class _Paging(msgspec.Struct, gc=False):
    next: _Next | None = None


class _Envelope(msgspec.Struct):
    results: list[_Record]
    paging: _Paging | None = None
    total: int | None = None


class _LooseEnvelope(msgspec.Struct):
    results: list[Any]
    paging: _Paging | None = None
    total: int | None = None


class Records(msgspec.Struct):
    """The records of one answer, in its order."""

    records: list[RemoteRecord]
    unreadable: list[Unreadable]
    #: HubSpot's own cursor of the next page.
    after: str | None = None
    #: Search only: how many records match.
    total: int | None = None

    def list_ids(self) -> list[str]:
        """Return the ids of the answer, those of unreadable records last."""
        return [each.remote_id for each in self.records] + [each[0] for each in self.unreadable]

    def highest_id(self) -> int:
        """Return the highest id of the answer; 0 when it has none."""
        ids = self.list_ids()
        return max((int(each) for each in ids if each.isascii() and each.isdigit()), default=0)


_decode_page = msgspec.json.Decoder(_Envelope).decode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_loose_record = msgspec.json.Decoder(_LooseRecord).decode
_encode_plain = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


def read_records(body: bytes) -> Records:
    """Decode an answer of the object list, search or batch read. Raises `Unavailable` if it is none."""
    # Finding one byte costs next to nothing beside finding six, and is enough for most pages.
    if b"\\" not in body or b"\\u0000" not in body:
        try:
            page = _decode_page(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass  # The careful way finds out which record it was.
        else:
            records = _convert_all(page.results)
            if records is not None:
                return Records(records, [], _cursor(page.paging), page.total)
    return _read_each(body, _convert_carefully)


def read_owners(body: bytes) -> Records:
    """Decode a page of owners. They have no properties; the owner's own fields stand for them."""
    return _read_each(body, _convert_owner)


def recall_record(payload: bytes) -> RemoteRecord:
    """Read a payload that was stored. Raises `RecordUnreadable`."""
    try:
        record = _decode_record(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _recalled(_convert_carefully(_load_object(payload)))
    return _finish(record.id, payload, record, record.properties)


def recall_owner(payload: bytes) -> RemoteRecord:
    """Read an owner's payload that was stored. Raises `RecordUnreadable`."""
    return _recalled(_convert_owner(_load_object(payload)))


def _load_object(payload: bytes) -> dict[str, Any]:
    found = _load(payload)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _recalled(found: RemoteRecord | Unreadable) -> RemoteRecord:
    if isinstance(found, RemoteRecord):
        return found
    remote_id, reason, _ = found
    raise RecordUnreadable(f"What is stored of this record {reason}.", remote_id=remote_id)


def read_as(kind: type[T], body: bytes) -> T:
    """Decode an answer as `kind`, with text that cannot be stored replaced by U+FFFD.

    Raises `Unavailable` when the answer is not of that form.
    """
    try:
        if b"\\u0000" not in body:
            try:
                return msgspec.json.decode(body, type=kind)
            except msgspec.ValidationError:
                raise
            except (msgspec.MsgspecError, UnicodeDecodeError):
                pass  # A lone surrogate, perhaps.
        return msgspec.convert(make_storable(_load(body)), kind)
    except msgspec.MsgspecError as error:
        raise Unavailable(_NO_JSON) from error


def parse_ms(text: Any) -> int | None:
    """Read HubSpot's times, ISO 8601 or milliseconds as text, as milliseconds since 1970; None if neither."""
    if not isinstance(text, str):
        return None
    try:
        # Times of records are ISO; only some calculated properties are milliseconds.
        ms = (datetime.fromisoformat(text) - _EPOCH) // _MS if "T" in text else int(text)
    except (ValueError, TypeError):
        return None
    return ms if abs(ms) <= _LATEST_MS else None


def _convert_all(found: list[_Record]) -> list[RemoteRecord] | None:
    """Convert the records of a page; None when one has no id, which the careful way then reports."""
    records: list[RemoteRecord] = []
    names: list[str] = []
    encode = _encode_plain
    for each in found:
        properties = each.properties
        if not each.id or len(each.id) > _LONGEST_ID:
            return None
        # Sorting costs more than encoding, and the records of a page have the same names in the same order.
        if (own := list(properties)) != names:
            names = own
            encode = _encode_plain if own == sorted(own) else _encode_sorted
        records.append(_finish(each.id, encode(each), each, properties))
    return records


def _finish(
    remote_id: str,
    payload: bytes,
    record: _Record | _LooseRecord,
    properties: dict[str, Any],
    defect: tuple[str, str] | None = None,
) -> RemoteRecord:
    updated_ms = parse_ms(record.updatedAt)
    archived_ms = None
    if record.archived or record.archivedAt is not UNSET:
        archived_ms = parse_ms(record.archivedAt)
        if archived_ms is None:
            archived_ms = updated_ms or 0
    merged = properties.get("hs_merged_object_ids") or properties.get("hs_calculated_merged_vids")
    merged_ids = _merged_ids(remote_id, merged) if merged else ()
    own_id = properties.get(EXTERNAL_ID) or None
    return RemoteRecord(remote_id, payload, properties, updated_ms, archived_ms, merged_ids, own_id, defect)


def _merged_ids(remote_id: str, text: Any) -> tuple[str, ...]:
    """Read "1;2", or for contacts "1:1716000000000;2:…" (id and time)."""
    ids = (part.partition(":")[0].strip() for part in str(text).split(";"))
    return tuple(each for each in ids if each and each != remote_id)


def _cursor(paging: _Paging | None) -> str | None:
    return None if paging is None or paging.next is None else str(paging.next.after)


def _read_each(body: bytes, convert: Callable[[dict[str, Any]], RemoteRecord | Unreadable]) -> Records:
    try:
        envelope = msgspec.convert(_load(body), _LooseEnvelope)
    except msgspec.MsgspecError as error:
        raise Unavailable(_NO_JSON) from error
    records: list[RemoteRecord] = []
    unreadable: list[Unreadable] = []
    for original in envelope.results:
        converted = convert(cast("dict[str, Any]", original)) if isinstance(original, dict) else None
        if isinstance(converted, RemoteRecord):
            records.append(converted)
        else:
            unreadable.append(converted or ("", "is no object", json.dumps(original)))
    return Records(records, unreadable, _cursor(envelope.paging), envelope.total)


def _load(body: bytes) -> Any:
    """Parse leniently: see `text.decode_as_is`."""
    try:
        return decode_as_is(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(_NO_JSON) from error


def _convert_carefully(original: dict[str, Any]) -> RemoteRecord | Unreadable:
    received = {name: original[name] for name in _Record.__struct_fields__ if name in original}
    kept = cast("dict[str, Any]", make_storable(received))
    defect = None if kept == received else ("holds text that cannot be stored", json.dumps(original))
    remote_id = _id_of(kept)
    try:
        text = json.dumps(kept)
        try:
            record = _decode_record(text)
            payload = _encode_sorted(record)
        except msgspec.ValidationError:
            loose = _decode_loose_record(text)
            payload = _encode_sorted({**kept, "id": remote_id, "archived": loose.archived})
            record = loose
    except (msgspec.MsgspecError, OverflowError, ValueError):
        return remote_id, "is not of the form of a record", json.dumps(original)
    if not remote_id:
        return "", "has no id", json.dumps(original)
    return _finish(remote_id, payload, record, record.properties, defect)


def _convert_owner(original: dict[str, Any]) -> RemoteRecord | Unreadable:
    received = {name: value for name, value in original.items() if name != "url"}
    kept = cast("dict[str, Any]", make_storable(received))
    defect = None if kept == received else ("holds text that cannot be stored", json.dumps(original))
    remote_id = _id_of(kept)
    if not remote_id:
        return "", "has no id", json.dumps(original)
    kept["id"] = remote_id
    updated_ms = parse_ms(kept.get("updatedAt"))
    # Owners have no time of their own for it.
    archived_ms = (updated_ms or 0) if kept.get("archived") is True else None
    try:
        payload = _encode_sorted(kept)
    except (OverflowError, msgspec.MsgspecError):
        return remote_id, "is not of the form of an owner", json.dumps(original)
    return RemoteRecord(remote_id, payload, kept, updated_ms, archived_ms, defect=defect)


def _id_of(record: dict[str, Any]) -> str:
    value = record.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_LONGEST_ID else ""
    return value if len(value) <= _LONGEST_ID else ""
