"""Which record is associated with which, under which types. Knows no HTTP and no properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

HUBSPOT = "HUBSPOT_DEFINED"
USER = "USER_DEFINED"
PRIMARY = "Primary"

#: (category, type id)
TypeKey = tuple[str, int]
Types = tuple["AssociationType", ...]


@dataclass(frozen=True, slots=True)
class AssociationType:
    category: str
    type_id: int
    label: str | None
    #: As inline associations name it, e.g. `contact_to_company_unlabeled`.
    name: str
    inverse: TypeKey

    @property
    def key(self) -> TypeKey:
        return (self.category, self.type_id)

    def wire(self) -> dict[str, object]:
        return {"category": self.category, "typeId": self.type_id, "label": self.label}


#: (from, to, unlabeled there, unlabeled back, primary there, primary back). HubSpot's association type ids.
_PAIRS: tuple[tuple[str, str, int, int, int, int], ...] = (
    ("0-1", "0-2", 279, 280, 1, 2),
    ("0-1", "0-3", 4, 3, 0, 0),
    ("0-3", "0-2", 341, 342, 5, 6),
    ("0-1", "0-5", 15, 16, 0, 0),
    ("0-5", "0-2", 339, 340, 26, 25),
    ("0-3", "0-5", 27, 28, 0, 0),
    ("0-3", "0-8", 19, 20, 0, 0),
    ("0-48", "0-1", 194, 193, 0, 0),
    ("0-48", "0-2", 182, 181, 0, 0),
    ("0-48", "0-3", 206, 205, 0, 0),
    ("0-49", "0-1", 198, 197, 0, 0),
    ("0-49", "0-2", 186, 185, 0, 0),
    ("0-49", "0-3", 210, 209, 0, 0),
    ("0-47", "0-1", 200, 199, 0, 0),
    ("0-47", "0-2", 188, 187, 0, 0),
    ("0-47", "0-3", 212, 211, 0, 0),
    ("0-46", "0-1", 202, 201, 0, 0),
    ("0-46", "0-2", 190, 189, 0, 0),
    ("0-46", "0-3", 214, 213, 0, 0),
    ("0-27", "0-1", 204, 203, 0, 0),
    ("0-27", "0-2", 192, 191, 0, 0),
    ("0-27", "0-3", 216, 215, 0, 0),
    ("0-1", "0-1", 449, 449, 0, 0),
    ("0-3", "0-3", 451, 451, 0, 0),
    ("0-2", "0-2", 450, 450, 0, 0),
)
_FIRST_FREE_TYPE_ID = 2001


class Graph:
    """All associations of an account, kept in both directions.

    Ids of archived records stay in it (a restore brings them back); readers leave them out.
    """

    def __init__(self, singular: dict[str, str]) -> None:
        #: Type id of an object → its word in association names.
        self._singular = singular
        self._types: dict[tuple[str, str], dict[TypeKey, AssociationType]] = {}
        self._edges: dict[tuple[str, str], dict[int, dict[int, Types]]] = {}
        self._next_type_id = _FIRST_FREE_TYPE_ID
        for pair in _PAIRS:
            self._define_pair(*pair)
        self.define("0-2", "0-2", (HUBSPOT, 13), "Child Company", (HUBSPOT, 14), "Parent Company")

    def _define_pair(
        self, source: str, target: str, there: int, back: int, first: int, first_back: int
    ) -> None:
        self.define(source, target, (HUBSPOT, there), None, (HUBSPOT, back), None, unlabeled=first > 0)
        if first:
            self.define(source, target, (HUBSPOT, first), PRIMARY, (HUBSPOT, first_back), PRIMARY)

    def define(
        self,
        source: str,
        target: str,
        there: TypeKey,
        label: str | None,
        back: TypeKey,
        back_label: str | None,
        *,
        unlabeled: bool = False,
    ) -> None:
        """Add an association type and its inverse."""
        for one, other, key, words, inverse in (
            (source, target, there, label, back), (target, source, back, back_label, there),
        ):  # fmt: skip
            name = f"{self._singular[one]}_to_{self._singular[other]}"
            if words is None and unlabeled:
                name += "_unlabeled"
            elif words not in (None, PRIMARY):
                name = words.lower().replace(" ", "_") if words else name
            self._types.setdefault((one, other), {})[key] = AssociationType(*key, words, name, inverse)

    def add_object(self, type_id: str, singular: str) -> None:
        """Make a custom object associable with contacts, companies and deals."""
        self._singular[type_id] = singular
        for other in ("0-1", "0-2", "0-3"):
            self.define(type_id, other, (USER, self.new_type_id()), None, (USER, self.new_type_id()), None)

    def new_type_id(self) -> int:
        self._next_type_id += 1
        return self._next_type_id

    def types(self, source: str, target: str) -> dict[TypeKey, AssociationType]:
        """Return the types from one kind of object to another; an uncommon pair gets its own at first use."""
        if (source, target) not in self._types:
            back = self.new_type_id()
            there = back if source == target else self.new_type_id()
            self.define(source, target, (HUBSPOT, there), None, (HUBSPOT, back), None)
        return self._types[source, target]

    def undefine(self, source: str, target: str, key: TypeKey) -> None:
        """Remove a type with its inverse, here and on every pair that has it."""
        inverse = self.types(source, target)[key].inverse
        for one, other, gone in ((source, target, key), (target, source, inverse)):
            self._types[one, other].pop(gone, None)
            for targets in self._edges.get((one, other), {}).values():
                for to_id, types in list(targets.items()):
                    targets[to_id] = tuple(kind for kind in types if kind.key != gone)

    def rename(self, source: str, target: str, key: TypeKey, label: str, inverse_label: str | None) -> None:
        """Give a type another label; its inverse keeps its own unless one is given."""
        inverse = self.types(source, target)[key].inverse
        changes = [(source, target, key, label)]
        if inverse_label is not None and inverse != key:
            changes.append((target, source, inverse, inverse_label))
        for one, other, changed, words in changes:
            renamed = replace(self._types[one, other][changed], label=words)
            self._types[one, other][changed] = renamed
            for targets in self._edges.get((one, other), {}).values():
                for to_id, types in list(targets.items()):
                    if any(kind.key == changed for kind in types):
                        targets[to_id] = tuple(renamed if kind.key == changed else kind for kind in types)

    def unlabeled(self, source: str, target: str) -> AssociationType:
        return next(kind for kind in self.types(source, target).values() if kind.label is None)

    def primary(self, source: str, target: str) -> AssociationType | None:
        return next((kind for kind in self.types(source, target).values() if kind.label == PRIMARY), None)

    def targets(self, source: str, from_id: int, target: str) -> dict[int, Types]:
        """Return associated id → types, archived ones included. Not to be changed by the caller."""
        return self._edges.get((source, target), {}).get(from_id, {})

    def link(self, source: str, from_id: int, target: str, to_id: int, keys: Iterable[TypeKey]) -> None:
        """Associate two records under exactly these types and the unlabeled one.

        A record has one primary company: naming another takes it from the first. The first company a
        record gets becomes its primary. Raises `KeyError` for a type the pair does not have.
        """
        known = self.types(source, target)
        chosen = {key: known[key] for key in keys}
        plain = self.unlabeled(source, target)
        chosen[plain.key] = plain
        primary = self.primary(source, target)
        if primary is not None and target == "0-2":
            others = self.targets(source, from_id, target)
            if primary.key in chosen:
                self._unmark(source, from_id, target, primary)
            elif not any(primary in types for other, types in others.items() if other != to_id):
                chosen[primary.key] = primary
        elif primary is not None and primary.key in chosen:
            self._unmark(target, to_id, source, self.types(target, source)[primary.inverse])
        elif primary is not None and primary in self.targets(source, from_id, target).get(to_id, ()):
            chosen[primary.key] = primary
        self._set(source, from_id, target, to_id, tuple(chosen.values()))

    def _unmark(self, source: str, from_id: int, target: str, primary: AssociationType) -> None:
        for to_id, types in list(self.targets(source, from_id, target).items()):
            if primary in types:
                self._set(source, from_id, target, to_id, tuple(kind for kind in types if kind != primary))

    def _set(self, source: str, from_id: int, target: str, to_id: int, types: Types) -> None:
        back = self.types(target, source)
        self._edges.setdefault((source, target), {}).setdefault(from_id, {})[to_id] = types
        inverse = tuple(back[kind.inverse] for kind in types)
        self._edges.setdefault((target, source), {}).setdefault(to_id, {})[from_id] = inverse

    def load(self, source: str, from_id: int, target: str, to_id: int, there: Types, back: Types) -> None:
        """Set one association without any rule; the caller gives the types of both directions."""
        self._edges.setdefault((source, target), {}).setdefault(from_id, {})[to_id] = there
        self._edges.setdefault((target, source), {}).setdefault(to_id, {})[from_id] = back

    def unlink(self, source: str, from_id: int, target: str, to_id: int) -> bool:
        """Remove every type between two records; True when there was one."""
        there = self._edges.get((source, target), {}).get(from_id, {})
        if to_id not in there:
            return False
        del there[to_id]
        if (source, from_id) != (target, to_id):
            self._edges[target, source].get(to_id, {}).pop(from_id, None)
        return True

    def unlabel(self, source: str, from_id: int, target: str, to_id: int, keys: set[TypeKey]) -> None:
        """Remove types; taking away the unlabeled one takes them all."""
        types = self.targets(source, from_id, target).get(to_id, ())
        if self.unlabeled(source, target).key in keys:
            self.unlink(source, from_id, target, to_id)
        elif types:
            self._set(source, from_id, target, to_id, tuple(kind for kind in types if kind.key not in keys))

    def move(self, type_id: str, old_id: int, new_id: int) -> None:
        """Give all associations of one record to another of its kind; a primary the heir has stays."""
        for (source, target), by_id in list(self._edges.items()):
            if source != type_id:
                continue
            for to_id, types in list(by_id.get(old_id, {}).items()):
                self.unlink(source, old_id, target, to_id)
                if target == type_id and to_id == new_id:
                    continue
                held = self.targets(source, new_id, target).get(to_id, ())
                primary = self.primary(source, target)
                taken = any(primary in other for other in self.targets(source, new_id, target).values())
                kept = [kind for kind in types if not (kind == primary and taken and target == "0-2")]
                self._set(source, new_id, target, to_id, tuple(dict.fromkeys((*held, *kept))))

    def forget(self, type_id: str, record_id: int) -> None:
        """Remove every association of a record."""
        for (source, target), by_id in list(self._edges.items()):
            if source == type_id:
                for to_id in list(by_id.get(record_id, {})):
                    self.unlink(source, record_id, target, to_id)

    def list_all(self, source: str, target: str) -> Iterator[tuple[int, int, Types]]:
        """Yield (from id, to id, types) of a pair of kinds, archived records included."""
        for from_id, targets in self._edges.get((source, target), {}).items():
            for to_id, types in targets.items():
                yield from_id, to_id, types
