"""Rows as the database writes them, to remote records: the hot path of every read. Does no I/O.

The payload is the row itself, its columns at the top, with what Syncline needs to know of it besides in
`_syncline`: a payload that was stored can be read again without the table.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from syncline.connectors.postgres.virtual import add_virtual
from syncline.connectors.postgres.wire import Row, Rows
from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Response
from syncline.errors import RecordUnreadable, Unavailable

T = TypeVar("T")

_KNOWN = "_syncline"
#: What the store adds to a payload at the top.
_ADDED = "associations"
#: A table's key may be longer, but then it is none that a person gave a record.
_LONGEST_ID = 500

_decode_columns = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_DEFECT = "holds text that cannot be stored"


class _Known(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    updated_ms: int | None = None
    archived_ms: int | None = None
    record_id: str | None = None


def read_answer(response: Response, kind: type[T]) -> T:
    """Read an operation's answer."""
    try:
        return msgspec.json.decode(response.body, type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable("The CRM's database gave an answer that cannot be read.") from error


def page_of(
    object_name: str, rows: Rows, began_ms: int, after: str | None, complete_to_ms: int | None
) -> Page:
    """Return rows as a page. Such as have no key that we can keep are unreadable."""
    records: list[RemoteRecord] = []
    unreadable: list[tuple[str, str, str]] = []
    for row in rows.rows:
        if not row.id or len(row.id) > _LONGEST_ID:
            unreadable.append(("", "has a key that is empty or too long", bytes(row.doc).decode()))
        else:
            records.append(record_of(object_name, row))
    return Page(records, began_ms, after, complete_to_ms, unreadable)


def record_of(object_name: str, row: Row) -> RemoteRecord:
    document = bytes(row.doc)
    defect = None if row.original is None else (_DEFECT, row.original)
    known = _encode(_Known(row.id, row.modified_ms, row.archived_ms, row.external))
    # `_` stands before all small letters, and the columns are in order: equal rows give equal bytes.
    payload = b'{"_syncline":' + known + (b"," if len(document) > 2 else b"") + document[1:]
    properties = _texts(object_name, _decode_columns(document))
    return RemoteRecord(
        row.id, payload, properties, row.modified_ms, row.archived_ms, (), row.external, defect
    )


def recall(object_name: str, payload: bytes) -> RemoteRecord:
    """Read a payload as it was stored. See `base.Platform.recall`."""
    try:
        columns = _decode_columns(payload)
        known = msgspec.json.decode(columns.pop(_KNOWN), type=_Known)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        raise RecordUnreadable("What is stored of this record is none of our payloads.") from None
    columns.pop(_ADDED, None)
    return RemoteRecord(
        known.id,
        payload,
        _texts(object_name, columns),
        known.updated_ms,
        known.archived_ms,
        (),
        known.record_id,
    )


def _texts(object_name: str, columns: dict[str, Raw]) -> dict[str, Any]:
    """Return column → value as text: digits stay the digits that the database wrote."""
    found: dict[str, Any] = {name: _text(bytes(value)) for name, value in columns.items()}
    add_virtual(object_name, found)
    return found


def _text(value: bytes) -> str | None:
    first = value[:1]
    if first == b'"':
        return msgspec.json.decode(value, type=str)
    if value == b"null":
        return None
    # Stored and read back it has no spaces, or others.
    return (msgspec.json.format(value, indent=-1) if first in b"{[" else value).decode()
