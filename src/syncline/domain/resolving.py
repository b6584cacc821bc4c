"""What follows from a person's choice between two values: what is written here, agreed on and pushed.

Knows values and which fields belong together; must not know where conflicts are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from syncline.domain.agreement import pair
from syncline.domain.merge import GROUPS
from syncline.domain.phones import to_e164
from syncline.domain.records import CUSTOM, RecordType
from syncline.domain.values import CONVERTERS, Unreadable
from syncline.domain.verdicts import same
from syncline.errors import Invalid

Resolution = Literal["ours", "theirs", "custom"]


@dataclass(frozen=True, slots=True)
class Disputed:
    """A field that both sides changed, as it was when the conflict was found."""

    field: str
    ours: Any
    theirs: Any
    #: The pair that becomes the base once it is decided.
    seen: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person wants: one side's value, or (`custom`) values of their own by field."""

    resolution: Resolution
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Settlement:
    """What follows for one record and one connection."""

    #: Field → value that came from the CRM; it is not to be sent back there.
    taken: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Field → value a person gave.
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Field → pair to be laid over the base.
    base: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    #: Fields whose value here is to go to the CRM.
    push: list[str] = field(default_factory=list[str])


def list_together(kind: str, name: str, our_record: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """Return the fields that are decided together with one, itself included.

    A deal's close dates and probability go with its stage where the sides differ in its status.
    """
    group = GROUPS.get(kind)
    if group is None:
        return {name}
    strict = {*group.leads, *group.bound}
    if group.switch in theirs and not same(our_record.get(group.switch), theirs[group.switch]):
        strict |= set(group.loose)
    return strict if name in strict else {name}


def settle(
    kind: str,
    disputed: Iterable[Disputed],
    choices: Mapping[str, Choice],
    their_record: Mapping[str, Any],
) -> Settlement:
    """Say what follows from the choice for each field of `choices`; others stay open.

    Fields that follow from those of a group follow them here as well, whether in dispute or not.
    """
    settled = Settlement()
    for each in disputed:
        choice = choices.get(each.field)
        if choice is not None:
            _settle_one(settled, each.field, choice, each.theirs, list(each.seen))
    group = GROUPS.get(kind)
    lead = next((choices[name] for name in group.leads if name in choices), None) if group else None
    for name in (*group.leads, *group.bound) if group and lead else ():
        if name not in settled.base and name in their_record and lead is not None:
            value = their_record[name]
            _settle_one(settled, name, lead, value, pair(value, value))
    return settled


def _settle_one(settled: Settlement, name: str, choice: Choice, theirs: Any, seen: list[Any]) -> None:
    settled.base[name] = seen
    if choice.resolution == "theirs":
        settled.taken[name] = theirs
        return
    settled.push.append(name)
    if choice.resolution == "custom" and name in choice.values:
        settled.given[name] = choice.values[name]


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """Return a field of a row as JSON has it; custom fields are named with their prefix."""
    if name.startswith(CUSTOM):
        custom: dict[str, Any] = row.get("custom_fields") or {}
        return custom.get(name.removeprefix(CUSTOM))
    return row.get(name)


def to_columns(
    kind: RecordType, row: Mapping[str, Any], values: Mapping[str, Any], region: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns that fields are written to, and those that follow from them.

    `region` (ISO 3166) is where numbers without a country code are read.
    """
    columns = {name: value for name, value in values.items() if not name.startswith(CUSTOM)}
    custom = {name.removeprefix(CUSTOM): value for name, value in values.items() if name.startswith(CUSTOM)}
    if custom:
        columns["custom_fields"] = {**(row.get("custom_fields") or {}), **custom}
    derived: dict[str, Any] = {}
    for name, sources in kind.derived.items():
        if any(source in columns for source in sources):
            derived[name] = _derive_number(kind, {**row, **columns}, region)
    return columns, derived


def _derive_number(kind: RecordType, row: Mapping[str, Any], region: str) -> str | None:
    """Read the telephone number as a pull would: of an activity it is the other party's."""
    if kind.name == "activity":
        number = row.get("from_number" if row.get("direction") == "inbound" else "to_number")
    else:
        number = row.get("phone")
    return to_e164(number, region) if isinstance(number, str) else None


def read_value(kind: RecordType, name: str, text: str | None) -> Any:
    """Turn what a person typed into a value of a field; empty is none. Raises `Invalid`."""
    if text is None or not text.strip():
        return None
    if name.startswith(CUSTOM):
        return text
    sort = kind.fields.get(name, "text")
    if sort == "reference":
        try:
            return str(UUID(text.strip()))
        except ValueError:
            raise Invalid(f"{name} takes the id of a record of ours.") from None
    try:
        return CONVERTERS[sort](text if sort == "text" else text.strip())
    except Unreadable as problem:
        raise Invalid(f"That is no value for {name}: {problem}.") from None


def is_as_found(row: Mapping[str, Any], disputed: Disputed) -> bool:
    """Tell whether our value is still the one the conflict was found with."""
    now_here = value_of(row, disputed.field)
    if same(now_here, disputed.ours):
        return True
    # A moment may be written in more than one way.
    return _moment(now_here) is not None and _moment(now_here) == _moment(disputed.ours)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) < 19:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
