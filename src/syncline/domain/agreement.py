"""What two sides agree on, and what a pull changes of ours by it.

The base of a link holds a pair per field, [ours, theirs as read]; each side is compared with its own half,
so that a CRM that normalises what we send, or a converter that changed, is no change of theirs. Where both
halves are the same text the pair is written once, as [both]: that is most of a base, and of its cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from syncline.domain.mapping import MappedRecord
from syncline.domain.records import RecordType
from syncline.domain.values import Value

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


@dataclass(frozen=True, slots=True)
class Difference:
    """What a remote record changes of an existing record of ours."""

    #: The whole row as it shall be, by field of the record type.
    values: dict[str, Value]
    #: The pairs agreed on anew.
    base: dict[str, list[Any]]
    #: Field → [old, new].
    changes: dict[str, Any]
    #: True when a value that follows from others is another by now, such as a number read in a new country.
    rederived: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.base and not self.rederived

    @property
    def action(self) -> str:
        if "archived_at" in self.changes:
            return "archived" if self.values.get("archived_at") is not None else "restored"
        return "updated"


def find_difference(
    kind: RecordType,
    row: Mapping[str, Any],
    base: Mapping[str, list[Any]],
    mapped: MappedRecord,
    *,
    theirs_is_newer: bool,
) -> Difference:
    """Compare a remote record with ours by what was agreed on.

    A field that they did not change stays as it is here. One they changed is taken. One never agreed on
    (absent from `base`) is adopted when equal, filled when one side is empty, and else the newer side's.
    """
    values: dict[str, Value] = {name: row.get(name) for name in kind.fields}
    agreed: dict[str, list[Any]] = {}
    changes: dict[str, Any] = {}
    for name in kind.content:
        if name not in mapped.values:
            continue
        value = mapped.values[name]
        half = mapped.theirs.get(name, value)
        if name in kind.long:
            half = brief(half)
        known = base.get(name)
        if known is not None and known[-1] == half:
            continue
        ours = row.get(name)
        keep = known is None and ours is not None and (value is None or not theirs_is_newer)
        final = ours if keep else value
        if final != ours:
            changes[name] = _logged(ours, final)
            values[name] = final
        agreed[name] = pair(brief(final) if name in kind.long else final, half)
    rederived = False
    for name, sources in kind.derived.items():
        # What follows from a value of ours that they do not have is not theirs to say.
        if name in mapped.values and all(values[each] == mapped.values.get(each) for each in sources):
            rederived |= values[name] != mapped.values[name]
            values[name] = mapped.values[name]
    return Difference(values, agreed, changes, rederived)


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
