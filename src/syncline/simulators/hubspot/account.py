"""The state of one simulated account and every change that can happen to it. Knows no HTTP.

Deterministic by seed and anchor: two accounts that were given the same calls hold the same records.
Nothing here is checked as the API checks it (`writes` does); tests may plant what no API would take.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from syncline.simulators.hubspot import catalogue
from syncline.simulators.hubspot.associations import Graph, TypeKey
from syncline.simulators.hubspot.auth import Auth
from syncline.simulators.hubspot.objects import COMPANY, CONTACT, DEAL, ObjectType, ObjectTypes, custom_type
from syncline.simulators.hubspot.pipelines import Owner, Pipeline, default_pipelines, stage_facts
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.hubspot.store import Entry, Properties, Record, Store
from syncline.simulators.index import SearchIndex
from syncline.simulators.times import DAY_MS, iso, wall_clock_ms

APP_ID = "39522895"
INTEGRATION = ("INTEGRATION", APP_ID)
COLLEAGUE = ("CRM_UI", "userId:47812075")
_EVENTS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Event:
    """One change, as a webhook would tell it."""

    kind: str
    type_id: str
    object_id: int
    occurred_ms: int
    source: tuple[str, str]
    details: dict[str, Any] = field(default_factory=dict[str, Any])


class Account:
    """One HubSpot account. Used from one thread; the methods below are also the tests' hands and eyes."""

    def __init__(
        self,
        seed: int = 1,
        settings: Settings | None = None,
        *,
        portal_id: int = 48_975_575,
        now_ms: Callable[[], int] | None = None,
        anchor_ms: int | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings or Settings()
        self.portal_id = portal_id
        self.now_ms = now_ms or wall_clock_ms
        #: Populated records are older than this: midnight UTC of the day it was made, unless given.
        self.anchor_ms = anchor_ms if anchor_ms is not None else self.now_ms() // DAY_MS * DAY_MS
        self.rng = random.Random(seed)
        self.types = ObjectTypes()
        self.stores: dict[str, Store] = {}
        self.indexes: dict[str, SearchIndex[Record]] = {}
        self.owners: list[Owner] = []
        self.graph = Graph({kind.type_id: kind.singular for kind in self.types.all})
        self.pipelines: dict[str, list[Pipeline]] = default_pipelines()
        self.auth = Auth(random.Random(seed + 1), self.now_ms)
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.listeners: list[Callable[[Event], None]] = []
        #: (route, status) → answers since the last reset; a broken connection counts as status 0.
        self.stats: Counter[tuple[str, int]] = Counter()
        self.blocked_emails: set[str] = set()
        for kind in self.types.all:
            self._add_store(kind, catalogue.definitions_of(kind.type_id))
        self.cars = custom_type(45_678_901, "cars", portal_id, ("make", "model", "vin"), label_property="vin")
        self.types.add(self.cars)
        self._add_store(self.cars, catalogue.car_definitions())
        self.graph.add_object(self.cars.type_id, "cars")

    def _add_store(self, kind: ObjectType, definitions: dict[str, Any]) -> None:
        self.stores[kind.type_id] = Store(kind, definitions, self.portal_id)
        self.indexes[kind.type_id] = SearchIndex(self.stores[kind.type_id], self.now_ms)

    # -- looking

    def store(self, name: str) -> Store:
        """Return the records of a type, by any of its names. Raises `KeyError`."""
        return self.stores[self.types.get(name).type_id]

    def get(self, name: str, record_id: int) -> Record:
        """Return a record, living or archived, through merges. Raises `KeyError`."""
        store = self.store(name)
        return store.records[store.resolve(record_id)]

    def associated(self, source: str, from_id: int, target: str) -> dict[int, tuple[TypeKey, ...]]:
        """Return living associated id → its types, ids ascending."""
        there = self.stores[target]
        found = self.graph.targets(source, from_id, target)
        return {i: tuple(t.key for t in found[i]) for i in sorted(found) if there.find_living(i)}

    # -- changing

    def new_id(self, store: Store) -> int:
        """Return the next id of a type: ascending, with gaps."""
        return store.last_id + self.rng.choice((1, 1, 2, 3, 7, 40, 1013))

    def create(
        self,
        name: str,
        properties: Properties,
        *,
        source: tuple[str, str] = COLLEAGUE,
        now_ms: int | None = None,
    ) -> Record:
        """Make a record with what HubSpot itself adds. Values are stored as they are."""
        kind = self.types.get(name)
        store = self.stores[kind.type_id]
        now = self.now_ms() if now_ms is None else now_ms
        own = {key: value for key, value in properties.items() if value is not None}
        self._complete_new(kind, own, source, now)
        history = {key: ((value, now, *source),) for key, value in own.items()}
        record = Record(self.new_id(store), own, now, now, history=history)
        self._put(store, record)
        self._tell("creation", kind, record.id, now, source)
        for key, value in properties.items():
            self._tell("propertyChange", kind, record.id, now, source, propertyName=key, propertyValue=value)
        return record

    def _complete_new(self, kind: ObjectType, own: Properties, source: tuple[str, str], now: int) -> None:
        own.setdefault("hs_object_source", source[0])
        own.setdefault("hs_object_source_id", source[1])
        own.setdefault("hs_object_source_label", source[0])
        if kind is CONTACT:
            own.setdefault("lifecyclestage", "lead")
            own.setdefault("hs_lifecyclestage_lead_date", str(now))
        if kind is COMPANY and own.get("domain"):
            own.setdefault("website", own["domain"])
        if kind is DEAL:
            own.setdefault("pipeline", "default")
        self._recalculate(kind, own)

    def _recalculate(self, kind: ObjectType, own: Properties) -> None:
        if kind is CONTACT and isinstance(own.get("email"), str):
            own["hs_email_domain"] = own["email"].rpartition("@")[2]
        if kind is DEAL:
            facts = stage_facts(self.pipelines[DEAL.type_id], own.get("pipeline"), own.get("dealstage"))
            if facts:
                own.update(facts)

    def update(
        self,
        name: str,
        record_id: int,
        changes: Properties,
        *,
        source: tuple[str, str] = COLLEAGUE,
        now_ms: int | None = None,
    ) -> Record:
        """Change properties (None clears) and the modified time; nothing happens when nothing differs."""
        kind = self.types.get(name)
        store = self.stores[kind.type_id]
        record = store.records[store.resolve(record_id)]
        changes = {key: value for key, value in changes.items() if record.get(key) != value}
        if not changes:
            return record
        now = self.now_ms() if now_ms is None else now_ms
        own = {**record.own, **changes}
        self._recalculate(kind, own)
        history = dict(record.history or {})
        for key, value in changes.items():
            past = history.get(key) or first_entries(record, key)
            history[key] = ((value if value is not None else "", now, *source), *past)[:20]
        changed = record.replaced(own, now, history)
        self._put(store, changed)
        for key, value in changes.items():
            self._tell("propertyChange", kind, record.id, now, source, propertyName=key, propertyValue=value)
        return changed

    def recalculate(self, name: str, record_id: int, changes: Properties) -> Record:
        """Change properties without moving the modified time, as calculated ones do."""
        store = self.store(name)
        record = store.records[store.resolve(record_id)]
        changed = record.replaced({**record.own, **changes}, record.updated_ms, record.history)
        self._put(store, changed)
        return changed

    def touch(
        self,
        name: str,
        record_ids: Iterable[int],
        changes: Properties | None = None,
        now_ms: int | None = None,
    ) -> int:
        """Give many records one and the same modified time, as an import does; return that time."""
        store = self.store(name)
        now = self.now_ms() if now_ms is None else now_ms
        for record_id in list(record_ids):
            record = store.records[record_id]
            self._put(store, record.replaced({**record.own, **(changes or {})}, now, record.history))
        return now

    def archive(self, name: str, record_id: int, *, source: tuple[str, str] = COLLEAGUE) -> None:
        """Put a record into the recycle bin; its modified time stays."""
        kind = self.types.get(name)
        store = self.stores[kind.type_id]
        record = store.records[store.resolve(record_id)]
        if record.archived_ms is None:
            now = self.now_ms()
            self._put(store, record.archived(now))
            self._refresh_around(kind, record.id)
            self._tell("deletion", kind, record.id, now, source)

    def restore(self, name: str, record_id: int, *, source: tuple[str, str] = COLLEAGUE) -> None:
        """Take a record out of the recycle bin."""
        kind = self.types.get(name)
        store = self.stores[kind.type_id]
        self._put(store, store.records[record_id].archived(None))
        self._refresh_around(kind, record_id)
        self._tell("restore", kind, record_id, self.now_ms(), source)

    def merge(
        self, name: str, primary_id: int, secondary_id: int, *, source: tuple[str, str] = COLLEAGUE
    ) -> Record:
        """Merge two living records into a new one, to which both ids lead from then on."""
        kind = self.types.get(name)
        store = self.stores[kind.type_id]
        first = store.records[store.resolve(primary_id)]
        second = store.records[store.resolve(secondary_id)]
        now = self.now_ms()
        merged = (*first.merged, first.id, *second.merged, second.id)
        own = _merged_properties(kind, first, second, merged, now)
        survivor = Record(
            self.new_id(store), own, min(first.created_ms, second.created_ms), now,
            shared=first.shared, history={**(second.history or {}), **(first.history or {})}, merged=merged,
        )  # fmt: skip
        for old in (first, second):
            self._index_change(store, old.id)
            store.drop(old.id)
            store.aliases[old.id] = survivor.id
        self._put(store, survivor)
        for old in (first, second):
            self.graph.move(kind.type_id, old.id, survivor.id)
        self._refresh_around(kind, survivor.id)
        self._tell(
            "merge", kind, first.id, now, source,
            primaryObjectId=first.id, mergedObjectIds=[second.id], newObjectId=survivor.id,
            numberOfPropertiesMoved=len([key for key in second.own if key not in first.own]),
        )  # fmt: skip
        return survivor

    def erase(self, record_id: int, *, source: tuple[str, str] = COLLEAGUE) -> None:
        """Delete a contact for good (GDPR); its addresses are blocked from then on."""
        store = self.stores[CONTACT.type_id]
        record = store.records[store.resolve(record_id)]
        addresses = [record.get("email"), *str(record.get("hs_additional_emails") or "").split(";")]
        self.blocked_emails.update(address for address in addresses if address)
        self._index_change(store, record.id)
        store.drop(record.id)
        store.erased.add(record.id)
        self.graph.forget(CONTACT.type_id, record.id)
        now = self.now_ms()
        self._tell("privacyDeletion", CONTACT, record.id, now, source)
        self._tell("deletion", CONTACT, record.id, now, source)

    def associate(
        self, source_name: str, from_id: int, target_name: str, to_id: int, keys: Iterable[TypeKey] = ()
    ) -> None:
        """Associate two records; neither's modified time moves. Raises `KeyError` for an unknown type."""
        source, target = self.types.get(source_name), self.types.get(target_name)
        self.graph.link(source.type_id, from_id, target.type_id, to_id, keys)
        self._association_told(source, from_id, target, to_id, removed=False)

    def dissociate(self, source_name: str, from_id: int, target_name: str, to_id: int) -> None:
        source, target = self.types.get(source_name), self.types.get(target_name)
        if self.graph.unlink(source.type_id, from_id, target.type_id, to_id):
            self._association_told(source, from_id, target, to_id, removed=True)

    def refresh_primary_company(self, contact_id: int) -> None:
        """Set `associatedcompanyid` from the associations, without moving the modified time."""
        primary = self.graph.primary(CONTACT.type_id, COMPANY.type_id)
        targets = self.graph.targets(CONTACT.type_id, contact_id, COMPANY.type_id)
        companies = self.stores[COMPANY.type_id]
        living = (i for i, types in targets.items() if primary in types and companies.find_living(i))
        company = next(map(str, living), None)
        record = self.stores[CONTACT.type_id].records.get(contact_id)
        if record is not None and record.get("associatedcompanyid") != company:
            self.recalculate("contacts", contact_id, {"associatedcompanyid": company})

    def _refresh_around(self, kind: ObjectType, record_id: int) -> None:
        """Let `associatedcompanyid` follow what happened to a contact or a company."""
        if kind is CONTACT:
            self.refresh_primary_company(record_id)
        elif kind is COMPANY:
            for contact_id in list(self.graph.targets(COMPANY.type_id, record_id, CONTACT.type_id)):
                self.refresh_primary_company(contact_id)

    def _association_told(
        self, source: ObjectType, from_id: int, target: ObjectType, to_id: int, *, removed: bool
    ) -> None:
        now = self.now_ms()
        for one, one_id, other, other_id in (
            (source, from_id, target, to_id),
            (target, to_id, source, from_id),
        ):
            if one is CONTACT and other is COMPANY:
                self.refresh_primary_company(one_id)
            self._tell(
                "associationChange", one, one_id, now, INTEGRATION,
                associationType=f"{one.singular}_TO_{other.singular}".upper(), fromObjectId=one_id,
                toObjectId=other_id, associationRemoved=removed,
            )  # fmt: skip

    def _put(self, store: Store, record: Record) -> None:
        self._index_change(store, record.id)
        store.put(record)

    def _index_change(self, store: Store, record_id: int) -> None:
        self.indexes[store.kind.type_id].before_change(record_id, self.settings.index_lag)

    def _tell(
        self, kind: str, type_: ObjectType, object_id: int, now: int, source: tuple[str, str], **details: Any
    ) -> None:
        event = Event(f"{type_.singular}.{kind}", type_.type_id, object_id, now, source, details)
        self.events.append(event)
        for listener in self.listeners:
            listener(event)


def first_entries(record: Record, name: str) -> tuple[Entry, ...]:
    """Return the history of a property nobody has changed since the record was made."""
    value = record.get(name)
    return () if value is None else ((value, record.created_ms, "IMPORT", "populated"),)


def _merged_properties(
    kind: ObjectType, first: Record, second: Record, merged: tuple[int, ...], now: int
) -> Properties:
    gaps = {key: value for key, value in {**second.shared, **second.own}.items() if value is not None}
    filled = {key: value for key, value in first.own.items() if value is not None}
    inherited = {key: value for key, value in gaps.items() if key not in first.shared}
    own = {**inherited, **filled, "hs_merged_object_ids": ";".join(map(str, merged))}
    own.pop(kind.modified_property, None)
    if kind is CONTACT:
        own["hs_calculated_merged_vids"] = f"{first.id}:{now};{second.id}:{now}"
        addresses = [first.get("email"), second.get("email")]
        for record in (first, second):
            addresses += str(record.get("hs_additional_emails") or "").split(";")
        others = dict.fromkeys(address for address in addresses if address and address != own.get("email"))
        if others:
            own["hs_additional_emails"] = ";".join(others)
    if first.created_ms != second.created_ms:
        own[kind.created_property] = iso(min(first.created_ms, second.created_ms))
    return own
