"""Where what was done is not what was planned, record by record and field by field. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

from syncline.domain.verdicts import same
from syncline.engine.rehearse import Write, fold
from syncline.engine.tie import NEW
from syncline.store.effects import Change


@dataclass(frozen=True, slots=True)
class Difference:
    #: Where: in our records, at the CRM, or among what is set aside.
    side: Literal["here", "there", "parked"]
    record_type: str
    record_id: UUID
    #: Empty for the record as a whole.
    field: str
    #: None where nothing was planned, or done.
    planned: Any
    done: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was planned, or what was done."""

    writes: Sequence[Write]
    here: Sequence[Change]
    #: (type, id) → why it was set aside.
    parked: Mapping[tuple[str, UUID], str | None]


def compare(planned: Outcome, done: Outcome) -> list[Difference]:
    """Return the differences, by record. None: exactly what was planned was done.

    What a CRM itself fills in of a record that it is given, such as when it was made, is none.
    """
    made = {(each.record_type, each.record_id) for each in planned.writes if each.action == "created"}
    here = {key: fields for key, fields in fold(done.here).items() if key not in made}
    found = [
        *_compare_fields("there", _by_record(planned.writes), _by_record(done.writes)),
        *_compare_fields("here", fold(planned.here), here),
    ]
    for key in sorted({*planned.parked, *done.parked}, key=str):
        ours, theirs = planned.parked.get(key), done.parked.get(key)
        if (key in planned.parked) != (key in done.parked) or ours != theirs:
            found.append(Difference("parked", *key, "", ours, theirs))
    return found


_Fields = Mapping[tuple[str, UUID], Mapping[str, Any]]


def _by_record(writes: Iterable[Write]) -> dict[tuple[str, UUID], dict[str, Any]]:
    found: dict[tuple[str, UUID], dict[str, Any]] = {}
    for each in writes:
        fields = found.setdefault((each.record_type, each.record_id), {})
        if each.action == "archived":  # the moment of it is not foretold
            fields["archived"] = [False, True]
        elif each.action in ("associated", "dissociated"):
            fields |= {f"{name} {each.action}": values for name, values in each.changes.items()}
        else:
            fields |= each.changes
    return found


def _compare_fields(side: Literal["here", "there"], planned: _Fields, done: _Fields) -> list[Difference]:
    found: list[Difference] = []
    for key in sorted({*planned, *done}, key=str):
        one, other = planned.get(key, {}), done.get(key, {})
        for name in sorted({*one, *other}):
            before, after = one.get(name), other.get(name)
            if not _equal(before, after):
                found.append(Difference(side, *key, name, before, after))
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        ones, others = cast("list[Any]", one), cast("list[Any]", other)
        return len(ones) == len(others) and all(map(_equal, ones, others))
    if one == NEW:
        return other is not None
    return same(one, other)
