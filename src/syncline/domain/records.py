"""The kinds of record the hub keeps, and their fields. The tables in `crm` follow; a test compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: Fields of the custom kind are named with this before their key.
CUSTOM = "custom_fields."

FieldType = Literal["text", "number", "boolean", "time", "date", "reference"]


@dataclass(frozen=True, slots=True)
class RecordType:
    """One kind of record. `fields` are the columns a pull may write, in column order."""

    name: str
    table: str
    fields: Mapping[str, FieldType]
    #: Field → the fields it is computed from. Derived fields are written but are no content: the
    #: change log and the merge pass over them.
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    #: Fields that may hold long texts; what was agreed on is kept as a digest of them.
    long: frozenset[str] = frozenset()
    #: The field by which a record that is new to a connection is recognised among existing ones, as
    #: (column compared, field it is computed from).
    identity: tuple[str, str] | None = None
    #: Custom fields that are written like columns, with `CUSTOM` before each key. They have no type here.
    custom: tuple[str, ...] = ()
    #: Fields that the change log and the merge know: all but the derived ones.
    content: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        content = tuple(name for name in self.fields if name not in self.derived)
        object.__setattr__(self, "content", (*content, *self.custom))


OWNER = RecordType(
    name="owner",
    table="owners",
    fields={
        "email": "text",
        "first_name": "text",
        "last_name": "text",
        "created_at": "time",
        "archived_at": "time",
    },
    identity=("email_norm", "email"),
)

COMPANY = RecordType(
    name="company",
    table="companies",
    fields={
        "name": "text",
        "domain": "text",
        "website": "text",
        "phone": "text",
        "phone_e164": "text",
        "address": "text",
        "city": "text",
        "state": "text",
        "zip": "text",
        "country": "text",
        "industry": "text",
        "employee_count": "number",
        "annual_revenue": "number",
        "description": "text",
        "lifecycle_stage": "text",
        "owner_id": "reference",
        "created_at": "time",
        "archived_at": "time",
    },
    derived={"phone_e164": ("phone",)},
    long=frozenset({"description"}),
    identity=("domain_norm", "domain"),
)

CONTACT = RecordType(
    name="contact",
    table="contacts",
    fields={
        "email": "text",
        "first_name": "text",
        "last_name": "text",
        "phone": "text",
        "phone_e164": "text",
        "job_title": "text",
        "owner_id": "reference",
        "lifecycle_stage": "text",
        "status": "text",
        "lead_source": "text",
        "lead_score": "number",
        "vsl_watched": "boolean",
        "sales_script_version": "text",
        "created_at": "time",
        "archived_at": "time",
    },
    derived={"phone_e164": ("phone",)},
    identity=("email_norm", "email"),
)

DEAL = RecordType(
    name="deal",
    table="deals",
    fields={
        "name": "text",
        "amount": "number",
        "currency": "text",
        "pipeline": "text",
        "stage": "text",
        "pipeline_id": "reference",
        "stage_id": "reference",
        "status": "text",
        "probability": "number",
        "expected_close_date": "date",
        "closed_at": "time",
        "owner_id": "reference",
        "priority": "text",
        "deal_type": "text",
        "phone": "text",
        "phone_e164": "text",
        "qualified_status": "text",
        "trial_status": "text",
        "payment_status": "text",
        "installments": "number",
        "created_at": "time",
        "archived_at": "time",
    },
    derived={"phone_e164": ("phone",)},
)

ACTIVITY = RecordType(
    name="activity",
    table="activities",
    fields={
        "type": "text",
        "subject": "text",
        "body": "text",
        "occurred_at": "time",
        "ends_at": "time",
        "duration_ms": "number",
        "direction": "text",
        "status": "text",
        "outcome": "text",
        "from_number": "text",
        "to_number": "text",
        "phone_e164": "text",
        "location": "text",
        "owner_id": "reference",
        "created_at": "time",
        "archived_at": "time",
    },
    derived={"phone_e164": ("from_number", "to_number", "direction")},
    long=frozenset({"body"}),
)

TASK = RecordType(
    name="task",
    table="tasks",
    fields={
        "subject": "text",
        "body": "text",
        "due_at": "time",
        "status": "text",
        "priority": "text",
        "type": "text",
        "owner_id": "reference",
        "created_at": "time",
        "archived_at": "time",
    },
    long=frozenset({"body"}),
)

RECORD_TYPES: Mapping[str, RecordType] = {
    kind.name: kind for kind in (OWNER, COMPANY, CONTACT, DEAL, ACTIVITY, TASK)
}

#: Text columns that an index covers. A btree entry has room for about 2,700 bytes.
INDEXED_TEXT = frozenset({"email", "domain", "phone", "stage", "pipeline"})
MAX_INDEXED_BYTES = 1000


def with_custom(record_type: str, names: Iterable[str]) -> RecordType:
    """Return a kind of record with those of `names` that are custom fields. Others are passed over."""
    kind, custom = RECORD_TYPES[record_type], tuple(sorted({n for n in names if n.startswith(CUSTOM)}))
    return replace(kind, custom=custom) if custom else kind


def flatten(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row, as JSON has it, each custom field by its name; the row is changed."""
    custom = row.get("custom_fields")
    if custom:
        row.update({CUSTOM + key: value for key, value in custom.items()})
    return row
