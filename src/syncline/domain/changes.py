"""What each side changed of a field since both agreed on it.

Knows values and pairs; must not know which change shall win. Pairs are as `agreement` writes them:
[ours, theirs as read], once where alike, long texts as digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from syncline.clock import to_ms
from syncline.domain.agreement import brief, pair
from syncline.domain.policies import HERE
from syncline.domain.records import RecordType
from syncline.domain.verdicts import is_blank, resembles, same

#: In `field_times`: the time of all fields that are not named.
ALL = "*"


@dataclass(frozen=True, slots=True)
class Copy:
    """A record as one side has it. Times are milliseconds since 1970."""

    #: Field → value in our form. Of theirs only what was read: a missing key is not an empty value.
    values: Mapping[str, Any]
    #: Theirs only: field → the property as read; where missing, the value itself.
    read: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: When the record changed; stands for every field without a time of its own. None: unknown.
    updated_ms: int | None = None
    field_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    #: The connection's name, or `HERE`.
    source: str = HERE
    #: Ours only: field → the connection its value came from, where that is known.
    field_sources: Mapping[str, str] = field(default_factory=dict[str, str])

    def changed_ms(self, name: str) -> int | None:
        return self.field_ms.get(name, self.updated_ms)

    def source_of(self, name: str) -> str:
        return self.field_sources.get(name, self.source)


def copy_row(row: Mapping[str, Any]) -> Copy:
    """Return a record of ours as its row stands, with when each field changed at its origin.

    `field_times` holds those that are known; `ALL` stands for all that are not named, else `updated_at` does.
    """
    times: dict[str, int] = row.get("field_times") or {}
    changed = times.get(ALL)
    if changed is None:
        changed = to_ms(datetime.fromisoformat(row["updated_at"]))
    return Copy(row, updated_ms=changed, field_ms=times)


#: What became of a field since it was agreed on. `fill`: never agreed on, and only ours has a value.
State = Literal["agreed", "ours", "theirs", "fill", "both"]


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    state: State
    ours: Any
    theirs: Any
    read: Any
    #: The base that says what they were seen to have.
    seen: list[Any]
    #: What was agreed on, an echo of ours taken into account; None when nothing was.
    known: Sequence[Any] | None
    is_echo: bool


def find_change(
    name: str,
    kind: RecordType,
    base: Mapping[str, Sequence[Any]],
    ours: Copy,
    theirs: Copy,
    sent: Mapping[str, Sequence[Sequence[Any]]],
) -> Change | None:
    """Say what changed of a field; None when neither side did."""
    own, value = ours.values.get(name), theirs.values[name]
    read = theirs.read.get(name, value)
    is_long = name in kind.long
    own_half, half = (brief(own), brief(read)) if is_long else (own, read)
    known = base.get(name)
    they_changed = known is None or not same(known[-1], half)
    we_changed = known is None or not same(known[0], own_half)
    if not they_changed and not we_changed:  # nearly every field of nearly every record
        return None
    echo = _find_echo(sent.get(name, ()), value, half, is_long=is_long) if they_changed else None
    if echo is not None:
        known, they_changed = pair(echo[0], half), False
        we_changed = not same(echo[0], own_half)
    if same(own, value):
        state: State = "agreed"
    elif known is None:
        state = "fill" if is_blank(value) else "theirs" if is_blank(own) else "both"
    elif they_changed:
        state = "both" if we_changed else "theirs"
    else:
        state = "ours" if we_changed else "agreed"
    if state == "both" and name == "archived_at" and not (is_blank(own) or is_blank(value)):
        # Both archived it: the moment is nothing to quarrel about, and theirs is what is read from now on.
        state = "theirs"
    agreed = pair(own_half, half) if state == "agreed" else None
    seen = agreed or pair(brief(value) if is_long else value, half)
    return Change(name, state, own, value, read, seen, known, echo is not None)


def _find_echo(
    pairs: Sequence[Sequence[Any]], value: Any, half: Any, *, is_long: bool
) -> Sequence[Any] | None:
    """Find the pair on its way that theirs is the arrival of, the last sent first."""
    own = brief(value) if is_long else value
    for each in reversed(pairs):
        if same(each[-1], half) or same(each[0], own) or resembles(each[0], own):
            return each
    return None
