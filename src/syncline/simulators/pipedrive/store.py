"""The records of one kind: in the orders they are listed in, and ready-made as JSON. Knows no meaning."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from syncline.simulators.answers import encode
from syncline.simulators.pipedrive.fields import Field, FieldSet
from syncline.simulators.pipedrive.kinds import Kind
from syncline.simulators.times import iso

Values = dict[str, Any]
_NEVER = -1
_PLANS_MOST = 24


class Record:
    """One state of one record; a change makes a new one, so that whoever holds one holds a snapshot."""

    __slots__ = ("add_ms", "custom", "deleted_ms", "haystack", "id", "update_ms", "values")

    def __init__(
        self, record_id: int, values: Values, custom: Values, add_ms: int, update_ms: int | None,
        deleted_ms: int | None = None,
    ) -> None:  # fmt: skip
        self.id = record_id
        self.values = values
        #: Field code → value as API v2 writes it; none is empty.
        self.custom = custom
        self.add_ms = add_ms
        #: None where Pipedrive shows no time of change.
        self.update_ms = update_ms
        self.deleted_ms = deleted_ms
        #: All its text in lower case, once search has asked for it.
        self.haystack: str | None = None

    def get(self, name: str) -> Any:
        return self.values.get(name)

    @property
    def section(self) -> str:
        """Return in which list it stands: "living", "archived" or "deleted"."""
        if self.deleted_ms is not None:
            return "deleted"
        return "archived" if self.values.get("is_archived") else "living"


class Section:
    """The ids of one list: ascending, and by time of change and of creation."""

    __slots__ = ("by_added", "by_updated", "ids")

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.by_updated: list[tuple[int, int]] = []
        self.by_added: list[tuple[int, int]] = []

    def put(self, record: Record) -> None:
        insort(self.ids, record.id)
        insort(self.by_updated, (updated_key(record), record.id))
        insort(self.by_added, (record.add_ms, record.id))

    def drop(self, record: Record) -> None:
        del self.ids[bisect_left(self.ids, record.id)]
        del self.by_updated[bisect_left(self.by_updated, (updated_key(record), record.id))]
        del self.by_added[bisect_left(self.by_added, (record.add_ms, record.id))]

    def load(self, records: Sequence[Record]) -> None:
        self.ids = sorted([*self.ids, *(each.id for each in records)])
        self.by_updated = sorted([*self.by_updated, *((updated_key(each), each.id) for each in records)])
        self.by_added = sorted([*self.by_added, *((each.add_ms, each.id) for each in records)])

    def list_between(self, since_ms: int | None, until_ms: int | None) -> list[int]:
        """Return ids changed from `since_ms` on and before `until_ms`, ascending; never changed is never."""
        low = bisect_left(self.by_updated, (0 if since_ms is None else since_ms, _NEVER))
        high = len(self.by_updated) if until_ms is None else bisect_left(self.by_updated, (until_ms, _NEVER))
        return sorted(record_id for _, record_id in self.by_updated[low:high])


def updated_key(record: Record) -> int:
    return _NEVER if record.update_ms is None else record.update_ms


class Plan:
    """How records are written for one way of asking, and what has been written already."""

    __slots__ = ("cache", "codes", "labels", "option_labels")

    def __init__(self, codes: Sequence[str] | None, *, option_labels: bool, labels: bool) -> None:
        #: The custom fields asked for; None are all.
        self.codes = codes
        self.option_labels = option_labels
        self.labels = labels
        self.cache: dict[int, tuple[Record, bytes]] = {}


class Store:
    """All records of one kind. Ids are ints, also of leads, whose UUID is one of their values."""

    def __init__(self, kind: Kind, fields: FieldSet | None) -> None:
        self.kind = kind
        self.fields = fields
        self.records: dict[int, Record] = {}
        self.sections = {name: Section() for name in ("living", "archived", "deleted")}
        #: Ids merged away → the survivor's id (which may have been merged away in turn).
        self.merged: dict[int, int] = {}
        self.by_uuid: dict[str, int] = {}
        self.last_id = 0
        #: Grows with every change.
        self.version = 0
        #: Leaves empty custom fields out.
        self.omits_empty = False
        #: Fields shown besides those of the template.
        self.more: tuple[str, ...] = ()
        self._plans: dict[Any, Plan] = {}
        self._fields_version = -1

    @property
    def living(self) -> list[int]:
        """Return ids of what is not deleted, archived or not, ascending."""
        archived = self.sections["archived"].ids
        living = self.sections["living"].ids
        return sorted([*living, *archived]) if archived else living

    def find_living(self, record_id: int) -> Record | None:
        """Return a record that is not deleted; archived ones are found."""
        record = self.records.get(record_id)
        return record if record is not None and record.deleted_ms is None else None

    def resolve(self, record_id: int) -> int:
        """Follow merges to the id that now stands for this one."""
        while record_id in self.merged:
            record_id = self.merged[record_id]
        return record_id

    def load(self, records: Iterable[Record]) -> None:
        """Take many new records at once."""
        by_section: dict[str, list[Record]] = {}
        for record in records:
            self.records[record.id] = record
            by_section.setdefault(record.section, []).append(record)
            self.last_id = max(self.last_id, record.id)
            self._keep_uuid(record)
        for name, found in by_section.items():
            self.sections[name].load(found)
        self.version += 1

    def put(self, record: Record) -> None:
        """Store a new or changed record."""
        old = self.records.get(record.id)
        if old is not None:
            self.sections[old.section].drop(old)
        self.records[record.id] = record
        self.sections[record.section].put(record)
        self.last_id = max(self.last_id, record.id)
        self._keep_uuid(record)
        self.version += 1

    def drop(self, record_id: int) -> None:
        """Remove a record for good (merged away or purged)."""
        old = self.records.pop(record_id)
        self.sections[old.section].drop(old)
        self.version += 1

    def _keep_uuid(self, record: Record) -> None:
        uuid = record.values.get("uuid")
        if uuid:
            self.by_uuid[uuid] = record.id

    def plan(
        self, codes: Sequence[str] | None = None, *, option_labels: bool = False, labels: bool = False
    ) -> Plan:
        """Return how records are written; what has been written for it is kept between requests."""
        version = self.fields.version if self.fields else 0
        if version != self._fields_version or len(self._plans) >= _PLANS_MOST:
            self._plans.clear()
            self._fields_version = version
        key = (None if codes is None else tuple(codes), option_labels, labels, self.omits_empty, self.more)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = Plan(codes, option_labels=option_labels, labels=labels)
        return found

    def write(self, plan: Plan, record: Record) -> bytes:
        """Return the record as JSON, from what was written before where it has not changed."""
        written = plan.cache.get(record.id)
        if written is not None and written[0] is record:
            return written[1]
        fresh = encode(self.wire(record, plan))
        plan.cache[record.id] = (record, fresh)
        return fresh

    def wire(self, record: Record, plan: Plan | None = None) -> dict[str, Any]:
        """Return the record as the JSON of API v2."""
        values = record.values
        out: dict[str, Any] = {"id": record.id}
        for name, default in self.kind.template.items():
            out[name] = values.get(name, default)
        out.pop("attendees", None)
        for name in self.more:
            out[name] = values.get(name)
        out["add_time"] = iso(record.add_ms)
        out["update_time"] = None if record.update_ms is None else iso(record.update_ms)
        out["is_deleted"] = record.deleted_ms is not None
        if self.fields is None:
            return out
        if plan is not None and plan.labels:
            out["labels"] = option_objects(self.fields.fields["label_ids"], values.get("label_ids") or [])
        out["custom_fields"] = self._custom(record, plan)
        return out

    def _custom(self, record: Record, plan: Plan | None) -> dict[str, Any]:
        fields = self.fields.custom if self.fields else {}
        codes = fields if plan is None or plan.codes is None else [c for c in plan.codes if c in fields]
        found: dict[str, Any] = {}
        for code in codes:
            value = record.custom.get(code)
            if value is None and self.omits_empty:
                continue
            found[code] = value
            if plan is not None and plan.option_labels and value is not None:
                found[code] = _with_labels(fields[code], value)
        return found


def option_objects(field: Field, ids: Sequence[int]) -> list[Mapping[str, Any]]:
    return [{"id": each, "label": field.label_of(each)} for each in ids]


def _with_labels(field: Field, value: Any) -> Any:
    if field.type == "enum":
        return {"id": value, "label": field.label_of(value)}
    return option_objects(field, value) if field.type == "set" else value
