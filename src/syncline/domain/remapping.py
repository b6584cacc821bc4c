"""What a changed mapping means for records that are here already, told from what was read of them before.

Knows two mappings, what was agreed on and what stands here; must not know where any of it is kept. What is
rebased is left to the merge, which then takes, fills, pushes or asks as it does after any reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from syncline.domain.agreement import brief, pair
from syncline.domain.mapping import FOLLOWING, FieldMap, MappedRecord, ObjectMap
from syncline.domain.merge import GROUPS
from syncline.domain.records import RecordType, with_custom
from syncline.domain.verdicts import same

#: Their half of a pair whose property has not been seen by the mapping that holds now: whatever is read
#: next differs from it, and is taken unless ours was edited.
UNSEEN: Mapping[str, Any] = {"unseen": True}


@dataclass(frozen=True, slots=True)
class Remapping:
    """What changes of one object between two mappings. Names are fields of ours, spread to what follows."""

    kind: RecordType
    #: Mapped now and not before: as a first reading.
    added: frozenset[str]
    #: Read from another property, or by another converter.
    changed: frozenset[str]
    #: Mapped no more.
    removed: frozenset[str]
    #: Pulled or pushed now, and not before.
    opened: frozenset[str]
    #: Only ever written to the CRM.
    pushed_only: frozenset[str]
    #: Those of the changed whose property stayed the same, and with it their half of what was agreed on.
    reread: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        return not (self.added or self.changed or self.removed or self.opened)


def compare_mappings(before: ObjectMap, after: ObjectMap) -> Remapping:
    kind = with_custom(after.record_type, (each.field for each in (*before.fields, *after.fields)))
    old = {each.field: each for each in before.fields}
    new = {each.field: each for each in after.fields}
    changed = {name for name in old.keys() & new.keys() if _reading(old[name]) != _reading(new[name])}
    if dict(before.stages) != dict(after.stages):
        changed |= {"pipeline", "stage"} & old.keys() & new.keys()
    opened = {
        name
        for name in old.keys() & new.keys()
        if name not in changed and _ways(new[name]) - _ways(old[name])
    }
    return Remapping(
        kind,
        added=_spread(kind, new.keys() - old.keys()),
        changed=_spread(kind, changed),
        removed=_spread(kind, old.keys() - new.keys()),
        opened=_spread(kind, opened),
        pushed_only=_spread(kind, {name for name, each in new.items() if each.direction == "push"}),
        reread=frozenset(name for name in changed if new[name].property == old[name].property),
    )


def _reading(each: FieldMap) -> tuple[Any, ...]:
    return each.property, each.convert, dict(each.choices)


def _ways(each: FieldMap) -> frozenset[str]:
    return frozenset({"pull", "push"} if each.direction == "both" else {each.direction})


def _spread(kind: RecordType, names: Iterable[str]) -> frozenset[str]:
    """Replace a mapping's own names by fields, and add the fields that follow from a place."""
    found = set(names)
    following = FOLLOWING.get(kind.name, {})
    group = GROUPS.get(kind.name)
    if group is not None and found & set(group.leads):
        # Where a record stands decides how the others are read.
        found.update(group.bound, group.loose)
    found.update(name for name, lead in following.items() if lead in found)
    return frozenset(name for name in found if name in kind.content)


def rebase(
    change: Remapping,
    row: Mapping[str, Any],
    base: Mapping[str, Sequence[Any]],
    mapped: MappedRecord,
) -> dict[str, list[Any] | None]:
    """Return what of a base is another now: field → pair, None where it leaves.

    A field that nobody has edited here since takes what the mapping now reads; one that was edited is kept,
    and its edit stays to be pushed. A deal's place is edited as a whole. May be repeated.
    """
    patch: dict[str, list[Any] | None] = {name: None for name in change.removed if name in base}
    moved = [name for name in sorted(change.changed) if name in base]
    edited = _edited(change.kind, moved, row, base)
    for name in moved:
        if name in change.pushed_only:
            patch[name] = None  # never agreed on: ours goes to the new property
        elif name not in edited:
            patch[name] = [base[name][0], UNSEEN]
        elif name in mapped.values and name not in change.reread:
            half = mapped.theirs.get(name, mapped.values[name])
            patch[name] = pair(base[name][0], brief(half) if name in change.kind.long else half)
    return {name: each for name, each in patch.items() if each is None or each != list(base[name])}


def _edited(
    kind: RecordType, names: Iterable[str], row: Mapping[str, Any], base: Mapping[str, Sequence[Any]]
) -> AbstractSet[str]:
    """Return those fields that stand otherwise here than both agreed on."""
    found: set[str] = set()
    for name in names:
        own = brief(row.get(name)) if name in kind.long else row.get(name)
        if not same(base[name][0], own):
            found.add(name)
    group = GROUPS.get(kind.name)
    if group is not None and found & {*group.leads, *group.bound}:
        found.update(group.leads, group.bound, group.loose)
    return found


def patched(base: Mapping[str, list[Any]], patch: Mapping[str, list[Any] | None]) -> dict[str, list[Any]]:
    """Return a base with a patch laid over it."""
    left = {name: each for name, each in base.items() if name not in patch}
    return left | {name: each for name, each in patch.items() if each is not None}
