"""The definitions of fields: Pipedrive's own and custom ones, with their options. Knows no values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from syncline.simulators.pipedrive.kinds import ADDRESS_PARTS

#: The types a custom field may be of.
CUSTOM_TYPES = (
    "varchar", "text", "double", "phone", "date", "daterange", "time", "timerange", "set", "enum",
    "varchar_auto", "address", "monetary", "org", "people", "user",
)  # fmt: skip
_SUBFIELDS = {
    "monetary": ("value", "currency"),
    "daterange": ("value", "until"),
    "time": ("value", "timezone_id", "timezone_name"),
    "timerange": ("value", "until", "timezone_id", "timezone_name"),
    "address": (*ADDRESS_PARTS, "formatted_address"),
}
#: Of each entity: code, name, type.
_SYSTEM: dict[str, tuple[tuple[str, str, str], ...]] = {
    "person": (
        ("id", "ID", "int"), ("name", "Name", "varchar"), ("first_name", "First name", "varchar"),
        ("last_name", "Last name", "varchar"), ("phone", "Phone", "phone"), ("email", "Email", "varchar"),
        ("org_id", "Organization", "org"), ("owner_id", "Owner", "user"), ("label_ids", "Labels", "set"),
        ("add_time", "Person created", "date"), ("update_time", "Update time", "date"),
        ("visible_to", "Visible to", "visible_to"), ("picture_id", "Profile picture", "picture"),
    ),
    "organization": (
        ("id", "ID", "int"), ("name", "Name", "varchar"), ("address", "Address", "address"),
        ("owner_id", "Owner", "user"), ("label_ids", "Labels", "set"), ("website", "Website", "varchar"),
        ("linkedin", "LinkedIn profile", "varchar"), ("industry", "Industry", "enum"),
        ("annual_revenue", "Annual revenue", "double"), ("employee_count", "Number of employees", "int"),
        ("people_count", "People", "int"), ("add_time", "Organization created", "date"),
        ("update_time", "Update time", "date"), ("visible_to", "Visible to", "visible_to"),
    ),
    "deal": (
        ("id", "ID", "int"), ("title", "Title", "varchar"), ("value", "Value", "monetary"),
        ("creator_user_id", "Creator", "user"), ("owner_id", "Owner", "user"),
        ("person_id", "Contact person", "people"), ("org_id", "Organization", "org"),
        ("pipeline_id", "Pipeline", "double"), ("stage_id", "Stage", "stage"),
        ("status", "Status", "status"), ("probability", "Probability", "int"),
        ("label_ids", "Labels", "set"), ("expected_close_date", "Expected close date", "date"),
        ("lost_reason", "Lost reason", "varchar_options"), ("add_time", "Deal created", "date"),
        ("update_time", "Update time", "date"), ("stage_change_time", "Last stage change", "date"),
        ("won_time", "Won time", "date"), ("lost_time", "Lost time", "date"),
        ("close_time", "Deal closed on", "date"), ("visible_to", "Visible to", "visible_to"),
    ),
    "activity": (
        ("id", "ID", "int"), ("subject", "Subject", "varchar"), ("type", "Type", "enum"),
        ("owner_id", "Assigned to user", "user"), ("deal_id", "Deal", "deal"),
        ("person_id", "Contact person", "people"), ("org_id", "Organization", "org"),
        ("due_date", "Due date", "date"), ("due_time", "Due time", "time"), ("duration", "Duration", "time"),
        ("done", "Done", "boolean"), ("busy", "Free/busy", "boolean"), ("note", "Note", "text"),
        ("public_description", "Public description", "text"), ("priority", "Priority", "enum"),
        ("location", "Location", "address"), ("add_time", "Add time", "date"),
        ("update_time", "Last updated time", "date"),
    ),
}  # fmt: skip
_OPTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("person", "label_ids"): ("Customer", "Hot lead", "Warm lead", "Cold lead"),
    ("organization", "label_ids"): ("Customer", "Hot lead", "Warm lead", "Cold lead"),
    ("deal", "label_ids"): ("Hot", "Warm", "Cold"),
    ("organization", "industry"): (
        "Technology", "Finance", "Healthcare", "Construction", "Logistics", "Manufacturing",
    ),
    ("activity", "priority"): ("Low", "Medium", "High"),
}  # fmt: skip


@dataclass(slots=True)
class Option:
    option_id: int
    label: str

    def wire(self) -> dict[str, Any]:
        return {"id": self.option_id, "label": self.label}


@dataclass(slots=True)
class Field:
    name: str
    code: str
    type: str
    options: list[Option] | None = None
    custom: bool = False
    description: str | None = None

    def label_of(self, option_id: int) -> str | None:
        return next((each.label for each in self.options or () if each.option_id == option_id), None)

    def option_of(self, label: str) -> int:
        """Return the id of an option. Raises `KeyError`."""
        for each in self.options or ():
            if each.label == label:
                return each.option_id
        raise KeyError(label)

    def wire(self, entity: str, more: Sequence[str] = ()) -> dict[str, Any]:
        """Return the definition as v2 has it, with the namespaces asked for besides."""
        parts = _SUBFIELDS.get(self.type)
        out: dict[str, Any] = {
            "field_name": self.name,
            "field_code": self.code,
            "field_type": self.type,
            "options": None if self.options is None else [each.wire() for each in self.options],
            "subfields": None
            if parts is None
            else [
                {"field_code": part, "field_name": f"{part} of {self.name}", "field_type": "varchar"}
                for part in parts
            ],
            "is_custom_field": self.custom,
            "is_optional_response_field": self.code == "people_count",
        }
        if entity in ("deal", "person"):
            out["description"] = self.description or ""
        return out | {name: value for name, value in _NAMESPACES[entity].items() if name in more}


_PLACES = {"add_visible_flag": False, "details_visible_flag": True}
_IMPORTANT = {"enabled": False, "stage_ids": list[int]()}
_NAMESPACES: dict[str, dict[str, Any]] = {
    "deal": {
        "ui_visibility": _PLACES
        | {"projects_detail_visible_flag": False,
           "show_in_pipelines": {"show_in_all": True, "pipeline_ids": list[int]()}},
        "important_fields": _IMPORTANT,
        "required_fields": {"enabled": False, "stage_ids": list[int](), "statuses": {}},
    },
    "person": {
        "ui_visibility": _PLACES | {"show_in_add_deal_dialog": {"show": False, "order": None}},
        "important_fields": _IMPORTANT,
        "required_fields": {"enabled": False},
    },
    "organization": {
        "ui_visibility": _PLACES
        | {
            "org_detail_visible_flag": True, "person_detail_visible_flag": False,
            "deal_detail_visible_flag": False,
            "show_in_add_deal_dialog": {"show": False, "order": None},
            "show_in_add_person_dialog": {"show": False, "order": None},
        },
        "important_fields": _IMPORTANT,
        "required_fields": {"enabled": False},
    },
    "activity": {"ui_visibility": _PLACES},
}  # fmt: skip


@dataclass(slots=True)
class FieldSet:
    """The fields of one entity: "person", "organization", "deal" (leads have these, too), "activity"."""

    entity: str
    seed: int
    fields: dict[str, Field] = field(default_factory=dict[str, Field])
    #: Grows with every change, so that what was written with the old ones is forgotten.
    version: int = 0
    last_option_id: int = 0

    def __post_init__(self) -> None:
        for code, name, kind in _SYSTEM[self.entity]:
            self.fields[code] = Field(name, code, kind)
        for (entity, code), labels in _OPTIONS.items():
            if entity == self.entity:
                self.fields[code].options = self.make_options(labels)

    @property
    def custom(self) -> dict[str, Field]:
        return {code: each for code, each in self.fields.items() if each.custom}

    def make_options(self, labels: Iterable[str]) -> list[Option]:
        found: list[Option] = []
        for label in labels:
            self.last_option_id += 1
            found.append(Option(self.last_option_id, label))
        return found

    def add(
        self, name: str, kind: str, labels: Sequence[str] | None = None, description: str | None = None
    ) -> Field:
        """Make a custom field; several may have one name."""
        taken = len(self.fields)
        code = hashlib.sha1(f"{self.seed} {self.entity} {taken} {name}".encode()).hexdigest()  # noqa: S324 -- 40 digits, no secret
        options = self.make_options(labels or ()) if kind in ("enum", "set") else None
        made = Field(name, code, kind, options, custom=True, description=description)
        self.fields[code] = made
        self.changed()
        return made

    def by_name(self, name: str) -> Field:
        """Return the first custom field of a name. Raises `KeyError`."""
        for each in self.fields.values():
            if each.custom and each.name == name:
                return each
        raise KeyError(name)

    def changed(self) -> None:
        self.version += 1
