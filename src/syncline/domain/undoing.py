"""What taking a run back means for one record: which values are put back, what is spared, what is lost.

Knows what the run did and how the record stands now; must not know where either is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from syncline.domain.records import CUSTOM
from syncline.domain.verdicts import same

ARCHIVED = "archived_at"
#: In the change log: that a record was parted from its remote record, [what it was called, nothing].
LINK = "link"
#: What belongs to what is the CRM's to say, where it came from there.
BELONGING = frozenset({"company_id", "contact_id", "deal_id", "contact_link"})
#: Bookkeeping, and what is computed: nothing of it is put back.
_COMPUTED = frozenset(
    {
        "id",
        "tenant_id",
        "version",
        "updated_at",
        "field_times",
        "email_norm",
        "domain_norm",
        "full_name",
        "phone_e164",
        "contact_candidates",
        "sort_name",
        "sort_amount",
        "merged_into",
    }
)

#: When a record was made, as its CRM tells once it has it.
_CREATED = frozenset({"created_at"})
#: Why something is not as it was: `edited` since by somebody, who is spared; `lost` for good; `forbidden`,
#: since writing it to the CRM is not allowed; `unknown`, whether the CRM has it.
Why = Literal["edited", "lost", "forbidden", "unknown"]


@dataclass(frozen=True, slots=True)
class Spared:
    """Something of a run that is not taken back."""

    #: Empty for the record as a whole.
    field: str
    why: Why
    reason: str
    #: What stands here now.
    value: Any = None


@dataclass(slots=True)
class Restoration:
    """What is to be done to one record."""

    #: Field → value to put back.
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    spared: list[Spared] = field(default_factory=list[Spared])
    #: Fields that stand as before the run already.
    already: list[str] = field(default_factory=list[str])


#: Field → [what it was before the run, what the run left].
Fields = Mapping[str, Any]


def restore(row: Mapping[str, Any], fields: Fields, *, gone: Collection[str] = ()) -> Restoration:
    """Say which of the fields that a run wrote are put back: those that stand as it left them.

    `gone` holds ids of records that are no more: nothing is made to point at them again.
    """
    found = Restoration()
    for name in sorted(fields):
        pair = halves(fields[name])
        if pair is None:
            found.spared.append(Spared(name, "lost", "What stood here was too long to be kept."))
            continue
        old, new = pair
        if name in _COMPUTED or not _has(row, name):
            continue
        current = _value_of(row, name)
        if stands(current, old):
            found.already.append(name)
        elif not stands(current, new):
            found.spared.append(Spared(name, "edited", "It was changed since.", current))
        elif isinstance(old, str) and old in gone:
            found.spared.append(Spared(name, "lost", "The record it pointed to was merged away."))
        else:
            found.values[name] = old
    return found


def list_edited(row: Mapping[str, Any], fields: Fields) -> list[str]:
    """Return the fields that do not stand as a run left them."""
    edited: list[str] = []
    for name in sorted(fields):
        pair = halves(fields[name])
        if pair is None or name in _COMPUTED or not _has(row, name):
            continue
        if not stands(_value_of(row, name), pair[1]):
            edited.append(name)
    return edited


@dataclass(frozen=True, slots=True)
class Later:
    """A change of a record by others than the run."""

    changed_at: datetime
    changes: Mapping[str, Any]
    #: True where it came from a CRM.
    is_theirs: bool


def list_edited_since(row: Mapping[str, Any], later: Iterable[Later]) -> list[str]:
    """Return the fields that others have changed, oldest first, and that do not stand as they did before.

    That may be a field of which the run said nothing. When a record was made is no edit of it, nor is what it
    belongs to where a CRM has told that.
    """
    before: dict[str, tuple[Any, Any] | None] = {}
    for each in later:
        for name, values in each.changes.items():
            if name not in _CREATED and not (each.is_theirs and name in BELONGING):
                before.setdefault(name, halves(values))
    return sorted(
        name
        for name, pair in before.items()
        if name not in _COMPUTED
        and _has(row, name)
        and (pair is None or not stands(_value_of(row, name), pair[0]))
    )


def _has(row: Mapping[str, Any], name: str) -> bool:
    return name in row or name.startswith(CUSTOM)


def _value_of(row: Mapping[str, Any], name: str) -> Any:
    if name in row or not name.startswith(CUSTOM):
        return row.get(name)
    custom: Mapping[str, Any] = row.get("custom_fields") or {}
    return custom.get(name.removeprefix(CUSTOM))


def halves(values: Any) -> tuple[Any, Any] | None:
    """Return [old, new] of the change log; None where it only names what was too long."""
    if isinstance(values, list):
        listed = cast("Sequence[Any]", values)
        if len(listed) == 2:
            return listed[0], listed[1]
    return None


def stands(current: Any, value: Any) -> bool:
    """Tell whether a value is still there; a moment may be written in more than one way."""
    if same(current, value) or (current in ({}, None) and value in ({}, None)):
        return True
    one, other = _moment(current), _moment(value)
    return one is not None and one == other


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) < 19:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
