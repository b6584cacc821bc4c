"""JSON as CRMs send it, made fit to be stored. Knows no CRM and no object."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import msgspec

#: What Postgres cannot store in text or jsonb. A surrogate that json.loads leaves is a lone one.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_decode = msgspec.json.Decoder().decode


def decode_storable(body: bytes) -> tuple[Any, bool]:
    """Decode JSON with what cannot be stored replaced, and say whether something may have been.

    Raises `ValueError` or `RecursionError` for what is no JSON.
    """
    # Finding one byte costs next to nothing, and most answers have none.
    if b"\\" not in body or not (b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body):
        try:
            return _decode(body), False
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    return make_storable(decode_as_is(body)), True


def decode_as_is(body: bytes) -> Any:
    """Decode leniently: bytes that are no UTF-8 become lone surrogates, NaN and Infinity become text."""
    return json.loads(body.decode("utf-8", "surrogateescape"), parse_constant=str)


def make_storable(value: Any) -> Any:
    """Return a copy with every character that cannot be stored replaced, in keys and values."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [make_storable(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {_UNSTORABLE.sub("\ufffd", key): make_storable(each) for key, each in items}
    return value
