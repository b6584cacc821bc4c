"""How a rule decides between two values, and when two values are one.

Knows values and their times; must not know records, links or what follows from a decision.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from syncline.domain.policies import Policy, Rule, Side
from syncline.domain.records import FieldType
from syncline.domain.values import Unreadable, as_moment, as_number

#: What stands between two texts that were joined.
APPENDED = "\n---\n"
_APPENDED = re.compile(r"\r?\n---\r?\n")
_PHONE = re.compile(r"\+?[\d\s().\-/]{7,30}")
_MARKS = re.compile(r"\D")
#: How `agreement` marks the digest of a long text, of which nothing can be told apart.
_DIGEST = "blake2:"


@dataclass(frozen=True, slots=True)
class Contest:
    """A field that both sides changed, to different values. Times are milliseconds since 1970."""

    ours: Any
    theirs: Any
    #: Our half of what was agreed on; None when nothing was.
    base: Any
    ours_ms: int | None
    theirs_ms: int | None
    ours_source: str
    theirs_source: str
    #: None for a custom field.
    type: FieldType | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who won, with which value. `winner` None leaves it to a person."""

    rule: Rule
    winner: Literal["ours", "theirs", "both"] | None
    value: Any
    reason: str


def is_blank(value: Any) -> bool:
    return value is None or value == ""


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are one: nothing and empty text are, 5 and 5.0 are, 1 and true are not."""
    if type(one) is type(other):
        return bool(one == other)
    if is_blank(one) or is_blank(other):
        return is_blank(one) and is_blank(other)
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, (int, float, Decimal)) and isinstance(other, (int, float, Decimal)):
        return Decimal(str(one)) == Decimal(str(other))
    return bool(one == other)


def resembles(sent: Any, found: Any) -> bool:
    """Tell whether `found` is what a CRM may have made of `sent`: another case, spacing or way of writing.

    Too lenient for anything but values that are known to be on their way.
    """
    if is_blank(sent) or is_blank(found) or isinstance(sent, bool) or isinstance(found, bool):
        return same(sent, found)
    one, other = " ".join(str(sent).split()).casefold(), " ".join(str(found).split()).casefold()
    if one == other:
        return True
    for read in (as_number, as_moment):
        measures = _read(read, one.upper()), _read(read, other.upper())
        if None not in measures:
            return bool(measures[0] == measures[1])
    if _PHONE.fullmatch(one) and _PHONE.fullmatch(other):
        return _MARKS.sub("", one) == _MARKS.sub("", other)
    return False


def judge(rule: Rule, contest: Contest, policy: Policy) -> Verdict:
    """Decide a contest by a rule. Where the rule cannot tell, the newer value wins."""
    ours, theirs = contest.ours, contest.theirs
    if rule == "review":
        return Verdict(rule, None, None, "A person decides.")
    if rule == "ours":
        return Verdict(rule, "ours", ours, "Ours wins by rule.")
    if rule == "theirs":
        return Verdict(rule, "theirs", theirs, "Theirs wins by rule.")
    if rule == "prefer_nonempty":
        side: Side = "ours" if is_blank(theirs) else "theirs"
        reason = "They have no value." if side == "ours" else "They have a value."
        return Verdict(rule, side, ours if side == "ours" else theirs, reason)
    if rule == "fill_if_empty":
        side = "theirs" if is_blank(ours) else "ours"
        reason = "We had no value." if side == "theirs" else "We have a value."
        return Verdict(rule, side, ours if side == "ours" else theirs, reason)
    if rule == "source_priority":
        return _by_source(contest, policy)
    if rule in ("append", "union"):
        return _join(rule, contest, policy)
    if rule in ("max", "min"):
        return _by_size(rule, contest, policy)
    return _by_time(rule, contest, policy.clock_skew_ms)


def _by_time(rule: Rule, contest: Contest, skew_ms: int, because: str = "") -> Verdict:
    ours_ms, theirs_ms = contest.ours_ms, contest.theirs_ms
    if ours_ms is None or theirs_ms is None:
        # What was just read is not known to be older.
        side: Side = "theirs"
        reason = "The time of one change is not known, and theirs was just read."
    elif abs(ours_ms - theirs_ms) <= skew_ms:
        # By content, so that it comes out the same from whichever side, and in whichever hub, one looks.
        side = "ours" if _weight(contest.ours) > _weight(contest.theirs) else "theirs"
        reason = "Both changed at one time, as far as clocks can tell; the value that sorts last wins."
    else:
        side = "ours" if ours_ms > theirs_ms else "theirs"
        whose = "Ours" if side == "ours" else "Theirs"
        reason = f"{whose} changed {abs(ours_ms - theirs_ms)} ms later."
    return Verdict(rule, side, contest.ours if side == "ours" else contest.theirs, because + reason)


def _weight(value: Any) -> tuple[bool, str, str]:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return True, "number", format(Decimal(str(value)).normalize(), "f")
    return not is_blank(value), type(value).__name__, json.dumps(value, sort_keys=True, default=str)


def _by_source(contest: Contest, policy: Policy) -> Verdict:
    ours, theirs = policy.rank(contest.ours_source), policy.rank(contest.theirs_source)
    if ours == theirs:
        because = "Both sources are trusted alike. "
        return _by_time("source_priority", contest, policy.clock_skew_ms, because)
    side: Side = "ours" if ours < theirs else "theirs"
    value = contest.ours if side == "ours" else contest.theirs
    better, worse = contest.ours_source, contest.theirs_source
    if side == "theirs":
        better, worse = worse, better
    return Verdict("source_priority", side, value, f"{better} is trusted more than {worse}.")


def _by_size(rule: Rule, contest: Contest, policy: Policy) -> Verdict:
    readers = {"number": (as_number,), "time": (as_moment,), "date": (as_moment,)}
    found: dict[Side, Any] = {}
    for read in readers.get(contest.type or "", (as_number, as_moment)):
        measures: tuple[tuple[Side, Any], ...] = (
            ("ours", _read(read, contest.ours)),
            ("theirs", _read(read, contest.theirs)),
        )
        found = {side: measure for side, measure in measures if measure is not None}
        if found:
            break
    if not found or (len(found) == 2 and found["ours"] == found["theirs"]):
        because = "Neither value is the larger one. "
        return _by_time(rule, contest, policy.clock_skew_ms, because)
    if len(found) == 1:
        side: Side = next(iter(found))
        reason = "The other value cannot be read as a number or time."
    else:
        side = "ours" if (found["ours"] > found["theirs"]) == (rule == "max") else "theirs"
        reason = "The larger value wins by rule." if rule == "max" else "The smaller value wins by rule."
    return Verdict(rule, side, contest.ours if side == "ours" else contest.theirs, reason)


def _read(read: Any, value: Any) -> Decimal | datetime | None:
    try:
        return read(value)
    except Unreadable:
        return None


def _join(rule: Rule, contest: Contest, policy: Policy) -> Verdict:
    texts = (contest.ours, contest.theirs)
    if not all(is_blank(each) or isinstance(each, str) for each in texts):
        because = "Only texts can be joined. "
        return _by_time(rule, contest, policy.clock_skew_ms, because)
    ours, theirs = (str(each or "") for each in texts)
    if rule == "append":
        own, other = _entries(ours), _entries(theirs)
        # Ours first, then what only they have: a second time there is nothing that only they have.
        joined = {**own, **other}
        separator = APPENDED
    else:
        own, other = _members(ours), _members(theirs)
        joined = _unite(own, other, contest.base)
        separator = ";"
    for side, text, parts in (("theirs", contest.theirs, other), ("ours", contest.ours, own)):
        if set(joined) == set(parts):
            winner: Side = "theirs" if side == "theirs" else "ours"
            return Verdict(rule, winner, text, "It holds all that is to be kept of the other.")
    value = separator.join(joined.values()) or None
    return Verdict(rule, "both", value, "Both went into the value.")


def _entries(text: str) -> dict[str, str]:
    return {part.replace("\r\n", "\n").strip(): part for part in _APPENDED.split(text) if part.strip()}


def _members(text: str) -> dict[str, str]:
    return {part: part for each in text.split(";") if (part := each.strip())}


def _unite(own: dict[str, str], other: dict[str, str], base: Any) -> dict[str, str]:
    """Join two sets of members, but for those that one side has taken out since they agreed."""
    joined = {**own, **other}
    if not isinstance(base, str) or base.startswith(_DIGEST):
        return joined
    taken_out = {each for each in _members(base) if each not in own or each not in other}
    return {each: each for each in joined if each not in taken_out}
