"""What two sides agree on, as a link keeps it, and what of it the change log tells.

The base of a link holds a pair per field, [ours, theirs as read]; each side is compared with its own half,
so that a CRM that normalises what we send, or a converter that changed, is no change of theirs. Where both
halves are the same text the pair is written once, as [both]: that is most of a base, and of its cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from syncline.domain.mapping import MappedRecord
from syncline.domain.records import RecordType

#: Longer values are named in the change log, not copied into it.
MAX_LOGGED_BYTES = 65_536
_LEFT_OUT = {"left_out": "over 64 kB"}
_DIGEST_ABOVE = 200

_encode = msgspec.json.Encoder(decimal_format="number").encode


def encode(document: Mapping[str, Any]) -> str:
    """Write a document as JSON, numbers exactly."""
    return _encode(document).decode()


def pair(ours: Any, theirs: Any) -> list[Any]:
    """Write what both sides have as a base does: once where it is the same."""
    # By type as well: 1 and true are equal to Python, and not to a CRM.
    return [theirs] if type(ours) is type(theirs) and ours == theirs else [ours, theirs]


def brief(value: Any) -> Any:
    """Return what a base keeps of a long text: a digest, and short ones as they are."""
    if isinstance(value, str) and len(value) > _DIGEST_ABOVE:
        return "blake2:" + hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    return value


def agree_on_new(kind: RecordType, mapped: MappedRecord) -> tuple[str, str]:
    """Return base and changes (both JSON) of a record that is made from a remote one."""
    values, theirs, long = mapped.values, mapped.theirs, kind.long
    base: dict[str, list[Any]] = {}
    changes: dict[str, Any] = {}
    for name in kind.content:
        if name not in values:
            continue
        value = values[name]
        half = theirs.get(name, value)
        if name in long:
            base[name] = pair(brief(value), brief(half))
            if isinstance(value, str) and len(value) * 4 > MAX_LOGGED_BYTES:
                changes[name] = _logged(None, value)
                continue
        elif half is value:  # most of them; `pair` for each would be a tenth of the mapping
            base[name] = [value]
        else:
            base[name] = pair(value, half)
        if value is not None:
            changes[name] = [None, value]
    return encode(base), encode(changes)


def describe_changes(row: Mapping[str, Any], write: Mapping[str, Any]) -> dict[str, Any]:
    """Return field → [old, new] as the change log keeps it, for values written over a row."""
    return {name: _logged(row.get(name), value) for name, value in write.items()}


def _logged(old: Any, new: Any) -> Any:
    for value in (old, new):
        # The row triggers measure the JSON text; escapes only make it longer.
        if (
            isinstance(value, str)
            and len(value) * 4 > MAX_LOGGED_BYTES
            and len(_encode(value)) > MAX_LOGGED_BYTES
        ):
            return _LEFT_OUT
    return [old, new]
