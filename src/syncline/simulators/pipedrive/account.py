"""The state of one simulated company and every change that can happen to it. Knows no HTTP.

Deterministic by seed and anchor: two accounts that were given the same calls hold the same records.
Nothing here is checked as the API checks it (`writing` does); tests may plant what no API would take.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from syncline.simulators.index import SearchIndex
from syncline.simulators.pipedrive import completing
from syncline.simulators.pipedrive.auth import Auth
from syncline.simulators.pipedrive.company import COMPANY_ID, User, default_pipelines
from syncline.simulators.pipedrive.fields import FieldSet
from syncline.simulators.pipedrive.kinds import ACTIVITY, DEAL, KINDS, LEAD, NOTE, PERSON, Kind
from syncline.simulators.pipedrive.settings import Settings
from syncline.simulators.pipedrive.store import Record, Store, Values
from syncline.simulators.times import DAY_MS, iso, wall_clock_ms

#: Deleted records can be seen so long.
KEPT_DAYS = 30
_EVENTS_KEPT = 100_000
_CALLS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, and by what door: "app" or "api"."""

    user_id: int
    source: str = "app"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a record, as a webhook would tell it."""

    action: str
    kind: Kind
    record_id: int
    before: Record | None
    after: Record | None
    at_ms: int
    actor: Actor
    merged_to_id: int | None = None
    merged_from_id: int | None = None
    is_bulk: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One former value of a field."""

    at_ms: int
    key: str
    old: Any
    new: Any
    actor: Actor


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API as it was answered."""

    at_ms: int
    method: str
    path: str
    status: int
    #: What it took from the day's tokens.
    cost: int


class Account:
    """One Pipedrive company. Used from one thread; the methods below are also the tests' hands and eyes."""

    def __init__(
        self,
        seed: int = 1,
        settings: Settings | None = None,
        *,
        company_id: int = COMPANY_ID,
        now_ms: Callable[[], int] | None = None,
        anchor_ms: int | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings or Settings()
        self.company_id = company_id
        self._clock = now_ms or wall_clock_ms
        self._ahead_ms = 0
        #: Populated records are older than this: midnight UTC of the day it was made, unless given.
        self.anchor_ms = anchor_ms if anchor_ms is not None else self.now_ms() // DAY_MS * DAY_MS
        self.rng = random.Random(seed)
        self.fields = {entity: FieldSet(entity, seed) for entity in ("person", "organization", "deal")}
        self.fields["activity"] = FieldSet("activity", seed)
        self.stores = {name: Store(kind, self.fields.get(kind.fields)) for name, kind in KINDS.items()}
        self.indexes = {name: SearchIndex(store, self.now_ms) for name, store in self.stores.items()}
        founded = iso(self.anchor_ms - 1700 * DAY_MS)
        self.pipelines, self.stages = default_pipelines(founded)
        self.founded = founded
        admin = "admin@syncline.example"
        times = (founded[:19].replace("T", " "),) * 2
        self.users: list[User] = [User(12_415_231, "Ada Admin", admin, *times, is_admin=True)]
        self.auth = Auth(random.Random(seed + 1), self.now_ms, self.users[0].user_id)
        self.lead_labels = [
            str(uuid.UUID(int=random.Random(f"label {n}").getrandbits(128))) for n in range(3)
        ]
        self.history: dict[tuple[str, int], list[Change]] = {}
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.listeners: list[Callable[[Event], None]] = []
        #: (route, status) → answers since the last reset; a broken connection counts as status 0.
        self.stats: Counter[tuple[str, int]] = Counter()
        self.calls: deque[Call] = deque(maxlen=_CALLS_KEPT)

    @property
    def colleague(self) -> Actor:
        """Return whom changes are by when nobody is named."""
        return Actor(self.users[0].user_id)

    # -- time

    def now_ms(self) -> int:
        return self._clock() + self._ahead_ms

    def advance(self, seconds: float) -> None:
        """Let time pass at once, for everything that the account counts by."""
        self._ahead_ms += int(seconds * 1000)

    # -- looking

    def store(self, name: str) -> Store:
        """Return the records of a kind, by its plural or its entity's word. Raises `KeyError`."""
        found = self.stores.get(name)
        return found or next(each for each in self.stores.values() if each.kind.entity == name)

    def get(self, name: str, record_id: int) -> Record:
        """Return a record, also a deleted one, through merges. Raises `KeyError`."""
        store = self.store(name)
        return store.records[store.resolve(record_id)]

    def truth(self, name: str, *sections: str) -> dict[int, dict[str, Any]]:
        """Return records as API v2 writes them, by id: "living", "archived", "deleted"; the first if none."""
        store = self.store(name)
        return {
            record_id: store.wire(store.records[record_id])
            for section in sections or ("living",)
            for record_id in store.sections[section].ids
        }

    def code(self, entity: str, name: str) -> str:
        """Return the code of a custom field by its name. Raises `KeyError`."""
        return self.fields[entity].by_name(name).code

    # -- changing

    def new_id(self, store: Store) -> int:
        """Return the next id of a kind: ascending, with gaps."""
        return store.last_id + self.rng.choice((1, 1, 1, 2, 3))

    def create(
        self, name: str, values: Mapping[str, Any], *, by: Actor | None = None, now_ms: int | None = None,
        is_updated: bool = True, add_ms: int | None = None,
    ) -> Record:  # fmt: skip
        """Make a record with what Pipedrive itself adds. `custom_fields` hold values by code.

        Without `is_updated` it has no time of change, as is seen with some.
        """
        store = self.store(name)
        by, now = by or self.colleague, self._moment(store.kind, now_ms)
        given = dict(values)
        custom = {code: v for code, v in given.pop("custom_fields", {}).items() if v is not None}
        self._begin(store.kind, given, by)
        self._complete(store.kind, {}, given, now)
        own = store.kind.blank() | given
        added = now if add_ms is None else add_ms
        record = Record(self.new_id(store), own, custom, added, now if is_updated else None)
        self._put(store, record)
        self._tell(Event("create", store.kind, record.id, None, record, now, by))
        return record

    def update(
        self, name: str, record_id: int, values: Mapping[str, Any], *, by: Actor | None = None,
        now_ms: int | None = None, silent: bool = False, bulk: bool = False,
    ) -> Record:  # fmt: skip
        """Change fields and the time of change; nothing happens when nothing differs.

        `custom_fields` are changed one by one. `silent` moves no time and tells nobody.
        """
        store = self.store(name)
        before = store.records[store.resolve(record_id)]
        by, now = by or self.colleague, self._moment(store.kind, now_ms)
        given = dict(values)
        custom = {**before.custom, **given.pop("custom_fields", {})}
        custom = {code: value for code, value in custom.items() if value is not None}
        self._complete(store.kind, before.values, given, now)
        own = {**before.values, **given}
        if own == before.values and custom == before.custom:
            return before
        updated = before.update_ms if silent else now
        after = Record(before.id, own, custom, before.add_ms, updated, before.deleted_ms)
        self._put(store, after)
        if not silent:
            self._remember(store.kind, before, after, now, by)
            self._tell(Event("change", store.kind, before.id, before, after, now, by, is_bulk=bulk))
        return after

    def delete(self, name: str, record_id: int, *, by: Actor | None = None) -> None:
        """Put a record aside; its time of change becomes that of the deletion."""
        store = self.store(name)
        before = store.records[store.resolve(record_id)]
        if before.deleted_ms is None:
            now = self._moment(store.kind, None)
            after = Record(before.id, before.values, before.custom, before.add_ms, now, now)
            self._put(store, after)
            self._tell(Event("delete", store.kind, before.id, before, None, now, by or self.colleague))

    def restore(self, name: str, record_id: int, *, by: Actor | None = None) -> None:
        """Take a deleted record back."""
        store = self.store(name)
        before = store.records[record_id]
        now = self._moment(store.kind, None)
        after = Record(before.id, before.values, before.custom, before.add_ms, now)
        self._put(store, after)
        self._tell(Event("create", store.kind, before.id, None, after, now, by or self.colleague))

    def archive(self, name: str, record_id: int, *, back: bool = False, by: Actor | None = None) -> Record:
        """Archive a deal or a lead, or take it back."""
        return self.update(name, record_id, {"is_archived": not back}, by=by)

    def touch(self, name: str, record_ids: Iterable[int], now_ms: int | None = None) -> int:
        """Give many records one and the same time of change, as an import does; return that time."""
        store = self.store(name)
        now = self._moment(store.kind, now_ms)
        for record_id in list(record_ids):
            old = store.records[record_id]
            self._put(store, Record(old.id, old.values, old.custom, old.add_ms, now, old.deleted_ms))
        return now

    def redate(self, name: str, record_id: int, add_ms: int) -> Record:
        """Give a record another time of making."""
        store = self.store(name)
        old = store.records[record_id]
        again = Record(old.id, old.values, old.custom, add_ms, old.update_ms, old.deleted_ms)
        self._put(store, again)
        return again

    def forget_update_time(self, name: str, record_id: int) -> None:
        """Let a record show no time of change."""
        store = self.store(name)
        old = store.records[record_id]
        self._put(store, Record(old.id, old.values, old.custom, old.add_ms, None, old.deleted_ms))

    def merge(self, name: str, loser_id: int, survivor_id: int, *, by: Actor | None = None) -> Record:
        """Merge one record into another, whose values win; what pointed to the first points to it then."""
        store = self.store(name)
        loser, before = store.records[loser_id], store.records[survivor_id]
        by, now = by or self.colleague, self._moment(store.kind, None)
        values = _merged_values(store.kind, loser, before)
        custom = {**loser.custom, **before.custom}
        after = Record(before.id, values, custom, min(loser.add_ms, before.add_ms), now)
        self._index_change(store, loser_id)
        store.drop(loser_id)
        store.merged[loser_id] = survivor_id
        self._put(store, after)
        self._remember(store.kind, before, after, now, by)
        self._tell(Event("delete", store.kind, loser_id, loser, None, now, by, merged_to_id=survivor_id))
        self._repoint(store.kind, loser_id, survivor_id, by)
        self._tell(Event("change", store.kind, survivor_id, before, after, now, by, merged_from_id=loser_id))
        return after

    def _repoint(self, kind: Kind, old_id: int, new_id: int, by: Actor) -> None:
        silent = not self.settings.merge_touches_children
        for name, store in self.stores.items():
            links = [key for key, target in store.kind.links.items() if target == kind.name]
            for record in [r for r in store.records.values() if any(r.get(k) == old_id for k in links)]:
                changes = {key: new_id for key in links if record.get(key) == old_id}
                self.update(name, record.id, changes, by=by, silent=silent, bulk=True)

    # -- inside

    def _begin(self, kind: Kind, given: Values, by: Actor) -> None:
        """Fill in what a new record has whoever makes it."""
        if "owner_id" in kind.template and given.get("owner_id") is None:
            given["owner_id"] = by.user_id
        if kind is DEAL:
            first = min(p.pipeline_id for p in self.pipelines if not p.deleted)
            if given.get("pipeline_id") is None and given.get("stage_id") is None:
                given["pipeline_id"] = first
            given.setdefault("creator_user_id", by.user_id)
            given.setdefault("origin", "API" if by.source == "api" else "ManuallyCreated")
            given["currency"] = given.get("currency") or "USD"
        elif kind is ACTIVITY:
            given.setdefault("creator_user_id", by.user_id)
        elif kind is NOTE:
            given["user_id"] = given.get("user_id") or by.user_id
            given["last_update_user_id"] = by.user_id
        elif kind is LEAD:
            given["uuid"] = _uuid(self.rng)
            given.setdefault("creator_id", by.user_id)
            given.setdefault("origin", "API" if by.source == "api" else "ManuallyCreated")
            given.setdefault("source_name", "API" if by.source == "api" else "Manually created")

    def _complete(self, kind: Kind, before: Mapping[str, Any], given: Values, now_ms: int) -> None:
        if kind is PERSON:
            completing.complete_person(before, given, self.settings)
        elif kind is DEAL:
            completing.complete_deal(before, given, self.stages, now_ms)
        elif kind is ACTIVITY:
            completing.complete_activity(before, given, now_ms, self.settings)
        elif kind is NOTE:
            completing.complete_note(given, self.settings)

    def _moment(self, kind: Kind, now_ms: int | None) -> int:
        now = self.now_ms() if now_ms is None else now_ms
        return now if kind.fine_times else now // 1000 * 1000

    def _put(self, store: Store, record: Record) -> None:
        self._index_change(store, record.id)
        store.put(record)

    def _index_change(self, store: Store, record_id: int) -> None:
        self.indexes[store.kind.name].before_change(record_id, self.settings.index_lag)

    def _remember(self, kind: Kind, before: Record, after: Record, now: int, by: Actor) -> None:
        kept = self.history.setdefault((kind.name, after.id), [])
        pairs = [(before.values, after.values), (before.custom, after.custom)]
        for old, new in pairs:
            kept += [
                Change(now, key, old.get(key), new.get(key), by)
                for key in {**old, **new}
                if old.get(key) != new.get(key)
            ]

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        for listener in list(self.listeners):
            listener(event)


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=1))


_EMPTY: tuple[Any, ...] = (None, "", [])


def _merged_values(kind: Kind, loser: Record, survivor: Record) -> Values:
    values = dict(survivor.values)
    for key, value in loser.values.items():
        if values.get(key) in _EMPTY and value not in _EMPTY:
            values[key] = value
    if kind is PERSON:
        for key in ("emails", "phones"):
            values[key] = _joined(values[key], loser.values[key])
    return values


def _joined(own: list[Values], more: list[Values]) -> list[Values]:
    """Return addresses with those that are new among the others."""
    there = {str(each["value"]).lower() for each in own}
    return [*own, *({**each, "primary": False} for each in more if str(each["value"]).lower() not in there)]
