"""What may be written of an object, in fields and permissions: what a wish means, and what stands in its way.

Plain computation over the mapping and the CRM's properties; asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from syncline.domain.mapping import FieldMap, ObjectMap
from syncline.domain.merge import GROUPS
from syncline.domain.records import CUSTOM, RECORD_TYPES
from syncline.engine.terms import find_access
from syncline.store.allowances import Allowance
from syncline.store.properties import KnownProperty
from syncline.store.writing import Permission

#: What a mapping calls the one close date of a deal, and the two fields that it becomes.
_CLOSE = "close_date"
_CLOSES = ("expected_close_date", "closed_at")
#: What a CRM calls a property when nobody was asked for a name.
_CODE = re.compile(r"[0-9a-f]{32,}")
_BELONGING = ("contact_id", "company_id", "deal_id")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be allowed or forbidden. With nothing but the object: all its fields, or (forbidden) all."""

    object: str
    fields: tuple[str, ...] = ()
    create: bool = False
    archive: bool = False
    associate: bool = False
    merge: bool = False
    #: False leaves sending switched off, though it would begin with the first permission.
    starts: bool = True

    @property
    def scopes(self) -> list[str]:
        asked = {
            "create": self.create,
            "archive": self.archive,
            "associate": self.associate,
            "merge": self.merge,
        }
        return [name for name, is_asked in asked.items() if is_asked]

    @property
    def is_bare(self) -> bool:
        return not self.fields and not self.scopes


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field, and whether it can be written."""

    field: str
    #: The property it is at the CRM; None where it follows from others, or is not mapped.
    property: str | None
    state: Literal["new", "allowed", "refused"]
    reason: str = ""
    #: True when it was asked for by name, so that its refusal refuses the whole.
    was_named: bool = False


def describe_fields(
    mapping: ObjectMap, properties: Sequence[KnownProperty], wish: Wish, before: Allowance
) -> list[FieldPlan]:
    """Say of each field that a wish is about whether it can be written, in the order of the record's fields.

    A deal's pipeline and stage go together, and what follows from them with them.
    """
    kind = RECORD_TYPES[mapping.record_type]
    sources = _sources(mapping)
    names = set(expand_fields(kind.name, wish.fields))
    if wish.is_bare:
        names = set(expand_fields(kind.name, (name for name in sources if name in mapping.kind.content)))
    known = {each.name: each for each in properties}
    group = GROUPS.get(kind.name)
    leads = group.leads if group is not None else ()
    reasons = {name: _find_reason(name, mapping, sources, known) for name in names}
    barred = next((f"{name} {reasons[name]}" for name in leads if reasons.get(name)), None)
    plans: list[FieldPlan] = []
    for name in sorted(names, key=lambda each: _place_of(each, kind.content)):
        reason = reasons[name]
        if group is not None and name in (*group.leads, *group.bound) and barred is not None:
            reason = reason or f"{barred}, and they go together"
        state = "refused" if reason else "allowed" if before.allows(name) else "new"
        source = sources.get(name)
        prop = None if source is None else _show(source.property, known)
        plans.append(FieldPlan(name, prop, state, reason, name in wish.fields))
    return plans


def _show(prop: str, known: Mapping[str, KnownProperty]) -> str:
    """Name a property as people do: by its label where its own name is a number of forty digits."""
    found = known.get(prop)
    return found.label if found is not None and _CODE.fullmatch(prop) else prop


def expand_fields(kind: str, names: Iterable[str]) -> list[str]:
    """Add to a deal's pipeline or stage all that is switched with it."""
    found = list(dict.fromkeys(names))
    group = GROUPS.get(kind)
    if group is not None and any(name in group.leads for name in found):
        found = list(dict.fromkeys((*found, *group.leads, *group.bound)))
    return found


def _place_of(name: str, content: Sequence[str]) -> tuple[int, str]:
    return (content.index(name) if name in content else len(content), name)


def _sources(mapping: ObjectMap) -> dict[str, FieldMap]:
    """Return field → what it is mapped to; the one close date of a deal stands for both of ours."""
    found = {each.field: each for each in mapping.fields}
    if _CLOSE in found and _CLOSE not in RECORD_TYPES[mapping.record_type].fields:
        close = found.pop(_CLOSE)
        found.update({name: close for name in _CLOSES if name not in found})
    return found


def _find_reason(
    name: str,
    mapping: ObjectMap,
    sources: Mapping[str, FieldMap],
    known: Mapping[str, KnownProperty],
) -> str:
    """Say why a field cannot be written, after its name; nothing when it can."""
    kind = RECORD_TYPES[mapping.record_type]
    group = GROUPS.get(kind.name)
    if group is not None and name in group.bound:
        return "" if all(lead in sources for lead in group.leads) else "follows from what is not mapped"
    if name == "archived_at":
        return "is allowed by --archive"
    if name in _BELONGING:
        return "is allowed by --associate"
    if name in kind.derived:
        return f"follows from {' and '.join(kind.derived[name])}; allow that"
    if name in mapping.constants:
        return "is the same for every record of this object"
    source = sources.get(name)
    if source is None:
        exists = name in kind.content or name.startswith(CUSTOM)
        return "is not mapped" if exists else f"is no field of a {kind.name}"
    if source.direction == "pull":
        return "is only read, by the mapping"
    found = known.get(source.property)
    if found is None:
        return f"has no property {source.property} at the CRM"
    if found.calculated:
        return f"is calculated by the CRM ({source.property})"
    if found.read_only:
        return f"is read-only at the CRM ({source.property})"
    return ""


def as_permissions(wish: Wish, fields: Iterable[str]) -> list[tuple[str, str]]:
    """Return the (scope, field) pairs a wish is stored as; without names it is all fields, also later."""
    listed = [("field", "")] if wish.is_bare else [("field", name) for name in fields]
    return [*listed, *((scope, "") for scope in wish.scopes)]


def as_allowance(before: Allowance, wish: Wish, fields: Iterable[str]) -> Allowance:
    """Return what may be written once a wish is granted."""
    return replace(
        before,
        all_fields=before.all_fields or wish.is_bare,
        fields=before.fields | frozenset(fields),
        create=before.create or wish.create,
        archive=before.archive or wish.archive,
        associate=before.associate or wish.associate,
        merge=before.merge or wish.merge,
    )


def list_sorts(objects: Mapping[str, ObjectMap], name: str) -> tuple[list[str] | None, list[str]] | None:
    """Return which sorts of its kind are records of one object (None: any), and which are another's.

    None where a new record never becomes one of this object: of two that would fit, the first in the mapping
    is meant.
    """
    mapping, others = objects[name], list[str]()
    for each in objects.values():
        if each is mapping:
            break
        if each.record_type == mapping.record_type:
            if not each.constants:
                return None
            others += each.constants.values()
    return list(mapping.constants.values()) or None, others


def list_gone(
    known: Sequence[Permission], wish: Wish, mapping: ObjectMap, settable: Container[str]
) -> tuple[list[tuple[str, str]], list[Permission]]:
    """Return the (scope, field) pairs a wish takes back, and what then stands in place of "all fields"."""
    if wish.is_bare:
        return [(each.scope, each.field) for each in known], []
    names = expand_fields(mapping.record_type, wish.fields)
    group = GROUPS.get(mapping.record_type)
    if group is not None and any(name in group.bound for name in names):
        names = expand_fields(mapping.record_type, (*names, *group.leads))
    gone = [*(("field", name) for name in names), *((scope, "") for scope in wish.scopes)]
    whole = next((each for each in known if each.scope == "field" and each.field == ""), None)
    if whole is None or not names:
        return gone, []
    reached = find_access(mapping, Allowance(all_fields=True), settable).push
    content = mapping.kind.content
    kept = [replace(whole, field=name) for name in content if name in reached and name not in names]
    return [*gone, ("field", "")], kept
