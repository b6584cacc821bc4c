"""What people see, search, sort and write of each kind of record: one description for every door.

Built from `records.RECORD_TYPES`, which says what the engine syncs; adds what belongs to what, what the hub
alone keeps, and what is computed. Knows no database and no door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from syncline.domain.records import CUSTOM, INDEXED_TEXT, MAX_INDEXED_BYTES, RECORD_TYPES, RecordType

FieldKind = Literal["text", "number", "boolean", "time", "date", "reference"]

#: How long a text may be, in bytes of UTF-8: where it is no long one, and where it is.
MAX_TEXT_BYTES = 10_000
MAX_LONG_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind of record, as people know it."""

    name: str
    label: str
    type: FieldKind
    #: False for what is computed, or follows from something else.
    writable: bool = True
    filterable: bool = True
    sortable: bool = False
    #: The only values it may have; empty: any of its type.
    choices: tuple[str, ...] = ()
    #: The kind of record that a reference points to.
    refers_to: str | None = None
    #: May hold a long text, which lists leave out.
    long: bool = False
    #: Must be given, and cannot be emptied.
    required: bool = False
    max_bytes: int = MAX_TEXT_BYTES
    minimum: int | None = None
    maximum: int | None = None
    #: A made-up value, for descriptions and forms.
    example: str | int | bool | None = None


@dataclass(frozen=True, slots=True)
class RecordFields:
    """A kind of record with its fields, in the order in which people read them."""

    kind: RecordType
    #: In the singular and the plural; the plural is also its name in addresses.
    label: str
    plural: str
    fields: Mapping[str, Field]
    #: The order of a list if nothing else is asked for: a field, with '-' before it for the last first.
    default_sort: str
    #: False for owners, who are the CRMs' to make.
    writable: bool = True
    #: Whether a record may belong to an owner; else everybody sees it.
    owned: bool = True

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def sortable(self) -> tuple[str, ...]:
        return tuple(name for name, each in self.fields.items() if each.sortable)

    def find(self, name: str) -> Field | None:
        """Return a field by name; a custom one is a text that may be written and filtered by."""
        if name.startswith(CUSTOM) and is_custom_key(name.removeprefix(CUSTOM)):
            return Field(name, name.removeprefix(CUSTOM).replace("_", " ").capitalize(), "text")
        return self.fields.get(name)


def is_custom_key(key: str) -> bool:
    """Whether a text can name a custom field: letters, digits, '_', '-', '.' and spaces, 1 to 100 of them."""
    plain = key.replace("_", "").replace("-", "").replace(".", "").replace(" ", "")
    return 0 < len(key) <= 100 and key == key.strip() and plain.isalnum()


_LABELS: Mapping[str, str] = {
    "email": "E-mail",
    "phone_e164": "Phone (international)",
    "full_name": "Full name",
    "zip": "ZIP",
    "owner_id": "Owner",
    "company_id": "Company",
    "contact_id": "Contact",
    "deal_id": "Deal",
    "pipeline_id": "Pipeline",
    "stage_id": "Stage",
    "pipeline": "Pipeline key",
    "stage": "Stage key",
    "uei": "UEI",
    "cage_code": "CAGE code",
    "primary_naics": "Primary NAICS",
    "sam_registered": "Registered in SAM",
    "vsl_watched": "VSL watched",
    "duration_ms": "Duration (ms)",
    "created_at": "Created",
    "updated_at": "Changed",
    "archived_at": "Archived",
    "occurred_at": "When",
    "ends_at": "Ends",
    "due_at": "Due",
    "closed_at": "Closed",
    "contact_link": "Contact found by",
}
_EXAMPLES: Mapping[str, str | int | bool] = {
    "name": "Northwind Bakery",
    "domain": "northwind.example",
    "website": "https://northwind.example",
    "email": "ada@northwind.example",
    "first_name": "Ada",
    "last_name": "Lark",
    "phone": "+1 415 555 0142",
    "phone_e164": "+14155550142",
    "city": "Oakland",
    "country": "US",
    "employee_count": 40,
    "annual_revenue": 1250000,
    "amount": 12000,
    "currency": "USD",
    "pipeline": "default",
    "stage": "qualified",
    "status": "open",
    "probability": 40,
    "expected_close_date": "2026-12-31",
    "type": "call",
    "subject": "Call about the renewal",
    "body": "They asked for a second quote.",
    "direction": "outbound",
    "occurred_at": "2026-11-02T15:30:00+00:00",
    "due_at": "2026-12-01T09:00:00+00:00",
    "lead_score": 72,
    "owner_id": "019300a0-0000-7000-8000-0000000000a1",
    "company_id": "019300a0-0000-7000-8000-0000000000c1",
    "contact_id": "019300a0-0000-7000-8000-0000000000c2",
    "deal_id": "019300a0-0000-7000-8000-0000000000d1",
    "created_at": "2026-10-01T08:00:00+00:00",
    "updated_at": "2026-11-02T15:31:04.25+00:00",
}
_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("deal", "status"): ("open", "won", "lost"),
    ("activity", "type"): ("call", "email", "meeting", "note"),
    ("activity", "direction"): ("inbound", "outbound"),
}
_RANGES: Mapping[tuple[str, str], tuple[int | None, int | None]] = {
    ("deal", "probability"): (0, 100),
    ("activity", "duration_ms"): (0, None),
    ("company", "employee_count"): (0, None),
}
_REFERS: Mapping[str, str] = {
    "owner_id": "owner",
    "company_id": "company",
    "contact_id": "contact",
    "deal_id": "deal",
}
#: Kind → references that associations fill, by column.
_BELONGS: Mapping[str, tuple[str, ...]] = {
    "contact": ("company_id",),
    "deal": ("company_id", "contact_id"),
    "activity": ("contact_id", "company_id", "deal_id"),
    "task": ("contact_id", "company_id", "deal_id"),
}
#: Kind → columns that the hub alone keeps.
_OWN: Mapping[str, Mapping[str, FieldKind]] = {
    "company": {
        "source": "text",
        "uei": "text",
        "cage_code": "text",
        "primary_naics": "text",
        "sam_registered": "boolean",
        "readiness_score": "number",
        "qualification_status": "text",
    },
    "deal": {"match_score": "number", "win_probability": "number"},
}
#: Kind → columns that are computed.
_COMPUTED: Mapping[str, Mapping[str, FieldKind]] = {
    "contact": {"full_name": "text"},
    "owner": {"name": "text"},
    "activity": {"contact_link": "text"},
}
#: Set when a record is made, and afterwards by the machinery only.
_STAMPS = frozenset({"created_at", "updated_at", "archived_at"})
#: A deal's place is written by its stage: the ids and the status follow from that.
_FOLLOWS: Mapping[str, frozenset[str]] = {"deal": frozenset({"pipeline_id", "stage_id", "status"})}
_SORTABLE: Mapping[str, tuple[str, ...]] = {
    "owner": ("name",),
    "company": ("name", "created_at", "updated_at"),
    "contact": ("full_name", "email", "created_at", "updated_at"),
    "deal": ("name", "amount", "expected_close_date", "closed_at", "created_at", "updated_at"),
    "activity": ("occurred_at", "updated_at"),
    "task": ("due_at", "created_at", "updated_at"),
}
_REQUIRED: Mapping[str, frozenset[str]] = {
    "company": frozenset({"name"}),
    "deal": frozenset({"name"}),
    "activity": frozenset({"type"}),
    "task": frozenset({"subject"}),
}
_INDEXED = INDEXED_TEXT | {"qualification_status"}


def _field(kind: RecordType, name: str, type_: FieldKind, *, writable: bool) -> Field:
    key = (kind.name, name)
    minimum, maximum = _RANGES.get(key, (None, None))
    long = name in kind.long
    return Field(
        name,
        _LABELS.get(name) or name.replace("_", " ").capitalize(),
        type_,
        writable=writable,
        filterable=not long,
        sortable=name in _SORTABLE[kind.name],
        choices=_CHOICES.get(key, ()),
        refers_to=_REFERS.get(name),
        long=long,
        required=name in _REQUIRED.get(kind.name, ()),
        max_bytes=MAX_LONG_BYTES if long else MAX_INDEXED_BYTES if name in _INDEXED else MAX_TEXT_BYTES,
        minimum=minimum,
        maximum=maximum,
        example=_EXAMPLES.get(name),
    )


def _fields_of(kind: RecordType, *, writable: bool) -> dict[str, Field]:
    fixed = _STAMPS | kind.derived.keys() | _FOLLOWS.get(kind.name, frozenset())
    found = {
        name: _field(kind, name, type_, writable=False)
        for name, type_ in _COMPUTED.get(kind.name, {}).items()
    }
    for name, type_ in kind.fields.items():
        if name not in _STAMPS:
            found[name] = _field(kind, name, type_, writable=writable and name not in fixed)
    for name in _BELONGS.get(kind.name, ()):
        found[name] = _field(kind, name, "reference", writable=writable)
    for name, type_ in _OWN.get(kind.name, {}).items():
        found[name] = _field(kind, name, type_, writable=writable)
    for name in ("created_at", "updated_at", "archived_at"):
        found[name] = _field(kind, name, "time", writable=False)
    return found


def _describe(
    name: str, label: str, plural: str, default_sort: str, *, writable: bool = True, owned: bool = True
) -> RecordFields:
    kind = RECORD_TYPES[name]
    return RecordFields(
        kind,
        label,
        plural,
        _fields_of(kind, writable=writable),
        default_sort,
        writable=writable,
        owned=owned,
    )


RECORD_FIELDS: Mapping[str, RecordFields] = {
    each.name: each
    for each in (
        _describe("company", "Company", "companies", "-created_at"),
        _describe("contact", "Contact", "contacts", "-created_at"),
        _describe("deal", "Deal", "deals", "-created_at"),
        _describe("activity", "Activity", "activities", "-occurred_at"),
        _describe("task", "Task", "tasks", "due_at"),
        _describe("owner", "Owner", "owners", "name", writable=False, owned=False),
    )
}
#: By the word that stands in addresses.
BY_PLURAL: Mapping[str, RecordFields] = {each.plural: each for each in RECORD_FIELDS.values()}
