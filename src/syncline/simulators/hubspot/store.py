"""The records of one object type: by id, in id order, by unique value, and ready-made as JSON.

Knows nothing of HTTP, of other types, or of what an edit means.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any, cast

from syncline.simulators.answers import encode
from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.hubspot.objects import CONTACT, ObjectType
from syncline.simulators.hubspot.values import iso

Properties = dict[str, Any]
#: One former or present value: (value, ms since 1970, source type, source id).
Entry = tuple[Any, int, str, str]

_NOTHING: Properties = {}


class Record:
    """One state of one record; a change makes a new one, so that whoever holds one holds a snapshot."""

    __slots__ = ("archived_ms", "created_ms", "history", "id", "merged", "own", "shared", "updated_ms")

    def __init__(
        self,
        record_id: int,
        own: Properties,
        created_ms: int,
        updated_ms: int,
        *,
        shared: Properties = _NOTHING,
        archived_ms: int | None = None,
        history: dict[str, tuple[Entry, ...]] | None = None,
        merged: tuple[int, ...] = (),
    ) -> None:
        self.id = record_id
        self.own = own
        self.shared = shared
        self.created_ms = created_ms
        self.updated_ms = updated_ms
        self.archived_ms = archived_ms
        self.history = history
        self.merged = merged

    def get(self, name: str) -> Any:
        """Return a property's value, None when empty."""
        if name in self.own:
            return self.own[name]
        return self.shared.get(name)

    def replaced(
        self, own: Properties, updated_ms: int, history: dict[str, tuple[Entry, ...]] | None
    ) -> Record:
        return Record(
            self.id, own, self.created_ms, updated_ms, shared=self.shared,
            archived_ms=self.archived_ms, history=history, merged=self.merged,
        )  # fmt: skip

    def archived(self, archived_ms: int | None) -> Record:
        return Record(
            self.id, self.own, self.created_ms, self.updated_ms, shared=self.shared,
            archived_ms=archived_ms, history=self.history, merged=self.merged,
        )  # fmt: skip


class Plan:
    """How records are written for one set of properties, and what has been written already."""

    __slots__ = ("cache", "kind", "names", "size", "url")

    def __init__(self, kind: ObjectType, names: Iterable[str], portal_id: int) -> None:
        self.kind = kind
        self.names = tuple(sorted(names))
        self.url = f"https://app.hubspot.com/contacts/{portal_id}/record/{kind.type_id}/"
        self.cache: dict[int, bytes] = {}
        self.size = 0

    def properties(self, record: Record) -> Properties:
        """Return the properties asked for, None where empty, with those the system fills in."""
        every = {**record.shared, **record.own}
        found = {name: every.get(name) for name in self.names}
        kind = self.kind
        if kind.created_property in found and kind.created_property not in record.own:
            found[kind.created_property] = iso(record.created_ms)
        if kind.modified_property in found and kind.modified_property not in record.own:
            found[kind.modified_property] = iso(record.updated_ms)
        if "hs_object_id" in found:
            found["hs_object_id"] = str(record.id)
        return found

    def wire(self, record: Record) -> dict[str, Any]:
        """Return the record as HubSpot's JSON has it."""
        out: dict[str, Any] = {
            "id": str(record.id),
            "properties": self.properties(record),
            "createdAt": iso(record.created_ms),
            "updatedAt": iso(record.updated_ms),
            "archived": record.archived_ms is not None,
        }
        if record.archived_ms is not None:
            out["archivedAt"] = iso(record.archived_ms)
        out["url"] = self.url + str(record.id)
        return out

    def write(self, record: Record) -> bytes:
        return encode(self.wire(record))


class Store:
    """All records of one type. Ids are ints inside and strings on the wire."""

    def __init__(self, kind: ObjectType, definitions: dict[str, Definition], portal_id: int) -> None:
        self.kind = kind
        self.definitions = definitions
        self.portal_id = portal_id
        self.records: dict[int, Record] = {}
        self.living: list[int] = []
        self.archived: list[int] = []
        #: Ids merged away → the survivor's id (which may have been merged away in turn).
        self.aliases: dict[int, int] = {}
        self.erased: set[int] = set()
        self.last_id = 50
        #: Property groups made by the API.
        self.groups: dict[str, dict[str, Any]] = {}
        #: Grows with every change; what is remembered about a search is dropped then.
        self.version = 0
        self.cache_limit_bytes = 192 * 1024 * 1024
        self._plans: dict[tuple[str, ...] | str, Plan] = {}
        self._unique: dict[str, dict[str, int]] = {}
        self._index_unique()

    def resolve(self, record_id: int) -> int:
        """Follow merges to the id that now stands for this one."""
        while record_id in self.aliases:
            record_id = self.aliases[record_id]
        return record_id

    def find_living(self, record_id: int) -> Record | None:
        record = self.records.get(record_id)
        return record if record is not None and record.archived_ms is None else None

    def list_living(self) -> list[Record]:
        return [self.records[record_id] for record_id in self.living]

    def load(self, records: Sequence[Record]) -> None:
        """Take many new living records at once, in ascending id order, above all there are."""
        self.records.update((record.id, record) for record in records)
        self.living.extend(record.id for record in records)
        self.last_id = max(self.last_id, self.living[-1]) if self.living else self.last_id
        for record in records:
            self._keep_unique(record)
        self.version += 1

    def put(self, record: Record) -> None:
        """Store a new or changed record."""
        old = self.records.get(record.id)
        if old is not None:
            self._forget(old)
        self.records[record.id] = record
        insort(self.living if record.archived_ms is None else self.archived, record.id)
        if record.archived_ms is None:
            self._keep_unique(record)
        self.last_id = max(self.last_id, record.id)
        self.version += 1

    def drop(self, record_id: int) -> None:
        """Remove a record for good (merged away or erased)."""
        self._forget(self.records[record_id])
        del self.records[record_id]
        self.version += 1

    def find_by_unique(self, name: str, value: str) -> int | None:
        """Return the living record with this value of a unique property (or e-mail address)."""
        return self._unique.get(name, {}).get(value.lower())

    def is_unique(self, name: str) -> bool:
        return name in self._unique

    def definitions_changed(self) -> None:
        """Forget what depended on which properties exist."""
        self._plans.clear()
        self._index_unique()
        self.version += 1

    def plan(self, asked: str | Sequence[str]) -> Plan:
        """Return the plan for property names, a list or comma separated; unknown ones are left out."""
        key = asked if isinstance(asked, str) else tuple(asked)
        plan = self._plans.get(key)
        if plan is None:
            names = key.split(",") if isinstance(key, str) else key
            wanted = [name.strip() for name in names if name.strip()] or self.kind.defaults
            known = {n for n in (*wanted, *self.kind.always) if n in self.definitions}
            known = {n for n in known if not self.definitions[n].archived}
            plan = self._plan_for(known)
            self._plans[key] = plan
        return plan

    def plan_once(self, names: Iterable[str]) -> Plan:
        """Return a plan that is not kept, for answers to writes: these ask for ever different sets."""
        known = {name for name in (*names, *self.kind.always) if name in self.definitions}
        return Plan(self.kind, known, self.portal_id)

    def _plan_for(self, known: set[str]) -> Plan:
        if len(self._plans) >= 64:
            self._plans.clear()
        plan = Plan(self.kind, known, self.portal_id)
        return next((other for other in self._plans.values() if other.names == plan.names), plan)

    def write(self, plan: Plan, record: Record) -> bytes:
        """Return the record as JSON, from what was written before where it has not changed."""
        written = plan.cache.get(record.id)
        if written is not None and self.records.get(record.id) is record:
            return written
        written = plan.write(record)
        if self.records.get(record.id) is record and self._has_room(plan, len(written)):
            plan.cache[record.id] = written
            plan.size += len(written)
        return written

    def write_living(self, plan: Plan, ids: Sequence[int]) -> list[bytes]:
        """Return current records as JSON, in the order given: the hot path of lists."""
        cache = plan.cache
        found = [cache.get(record_id) for record_id in ids]
        if None not in found:
            return cast("list[bytes]", found)
        return [self.write(plan, self.records[record_id]) for record_id in ids]

    def _has_room(self, plan: Plan, size: int) -> bool:
        held = sum(other.size for other in {id(p): p for p in self._plans.values()}.values())
        if held + size <= self.cache_limit_bytes:
            return True
        # Property sets that are no longer asked for make room for the one that is.
        for other in self._plans.values():
            if other is not plan and other.cache:
                other.cache.clear()
                other.size = 0
                return True
        return False

    def _forget(self, old: Record) -> None:
        ids = self.living if old.archived_ms is None else self.archived
        place = bisect_left(ids, old.id)
        if place < len(ids) and ids[place] == old.id:
            del ids[place]
        for plan in self._plans.values():
            gone = plan.cache.pop(old.id, None)
            if gone is not None:
                plan.size -= len(gone)
        for name, values in self._unique.items():
            for value in unique_values(old, name):
                if values.get(value) == old.id:
                    del values[value]

    def _keep_unique(self, record: Record) -> None:
        for name, values in self._unique.items():
            for value in unique_values(record, name):
                values[value] = record.id

    def _index_unique(self) -> None:
        names = {name for name, definition in self.definitions.items() if definition.unique}
        if self.kind is CONTACT:
            names.add("email")
        self._unique = {name: {} for name in names}
        for record_id in self.living:
            self._keep_unique(self.records[record_id])


def unique_values(record: Record, name: str) -> list[str]:
    """Return the values by which a record is taken, in lower case; additional addresses count."""
    value = record.get(name)
    found = [value.lower()] if isinstance(value, str) else []
    if name == "email":
        more = record.get("hs_additional_emails")
        found += [part.lower() for part in cast("str", more).split(";")] if more else []
    return found
