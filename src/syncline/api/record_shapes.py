"""How records look over the API: one model per kind, made from the description of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from syncline.actions.record_pages import MAX_COUNT, Page
from syncline.actions.seeing import Record
from syncline.domain.record_fields import RECORD_FIELDS, FieldKind, RecordFields
from syncline.domain.record_fields import Field as RecordField

_TYPES: Mapping[FieldKind, Any] = {
    "text": str,
    "number": float,
    "boolean": bool,
    "time": datetime,
    "date": date,
    "reference": UUID,
}
_ID = "019300a0-0000-7000-8000-00000000000f"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class ReferenceOut(BaseModel):
    """A record that another one refers to. Without a label it is one that you may not see."""

    record_type: str
    id: UUID
    label: str | None


class CountOut(BaseModel):
    """How many records there are, counted up to a bound."""

    value: int
    is_more: bool = Field(description="True where there are more than were counted.")
    text: str = Field(examples=["10,000+"])


def _example(fields: RecordFields) -> dict[str, Any]:
    shown = {name: each.example for name, each in fields.fields.items() if each.example is not None}
    return {
        "id": _ID,
        "record_type": fields.name,
        "label": _label(fields),
        "version": 3,
        **shown,
        "custom_fields": {},
    }


def _label(fields: RecordFields) -> str:
    return "Ada Lark" if fields.name in ("contact", "owner") else "Northwind Bakery"


def _make_model(fields: RecordFields) -> type[BaseModel]:
    columns: dict[str, Any] = {
        name: (_TYPES[each.type] | None, Field(default=None, title=each.label))
        for name, each in fields.fields.items()
        if name not in ("created_at", "updated_at")
    }
    return create_model(
        fields.label,
        __doc__=f"A {fields.name}, with what it refers to.",
        __config__=ConfigDict(json_schema_extra={"examples": [_example(fields)]}),
        id=(UUID, ...),
        record_type=(str, ...),
        label=(str, Field(description="What people call it.")),
        version=(int, Field(description="Moves with every change; also the ETag.")),
        merged_into=(UUID | None, Field(default=None, description="The record this one was merged into.")),
        created_at=(datetime, ...),
        updated_at=(datetime, ...),
        custom_fields=(dict[str, Any], ...),
        references=(dict[str, ReferenceOut], Field(description="Field → the record it refers to.")),
        **columns,
    )


def _make_page(fields: RecordFields, model: type[BaseModel]) -> type[BaseModel]:
    return create_model(
        f"{fields.label}Page",
        __doc__=f"A page of {fields.plural}.",
        items=(list[model], ...),  # pyright: ignore[reportInvalidTypeForm] - a model made at run time
        after=(str | None, Field(description="Where the next page begins; null after the last one.")),
        is_cut=(bool, Field(description="True where a search matched more than are listed.")),
        count=(CountOut | None, Field(default=None, description="Only where it was asked for.")),
    )


RECORD_MODELS: Mapping[str, type[BaseModel]] = {
    name: _make_model(each) for name, each in RECORD_FIELDS.items()
}
PAGE_MODELS: Mapping[str, type[BaseModel]] = {
    name: _make_page(each, RECORD_MODELS[name]) for name, each in RECORD_FIELDS.items()
}


def describe_body(fields: RecordFields, *, making: bool) -> dict[str, Any]:
    """Return the OpenAPI of a body that gives values for fields."""
    schema = describe_values(fields, making=making)
    schema["examples"] = [_given_example(fields, making=making)]
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def describe_values(fields: RecordFields, *, making: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of values for the fields that may be written."""
    writable = {name: each for name, each in fields.fields.items() if each.writable}
    return {
        "type": "object",
        "title": f"{'New' if making else 'Changed'}{fields.label}",
        "additionalProperties": False,
        "required": [name for name, each in writable.items() if each.required] if making else [],
        "properties": {
            **{name: _describe_field(each) for name, each in writable.items()},
            "custom_fields": {
                "type": "object",
                "description": "Only the keys that are given change; null empties one.",
                "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.\\- ]{0,98}[A-Za-z0-9_]$"},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        },
    }


def _describe_field(each: RecordField) -> dict[str, Any]:
    kind = {"number": "number", "boolean": "boolean"}.get(each.type, "string")
    schema: dict[str, Any] = {"title": each.label, "type": kind if each.required else [kind, "null"]}
    formats = {"time": "date-time", "date": "date", "reference": "uuid"}
    if each.type in formats:
        schema["format"] = formats[each.type]
    if each.name == "email":
        schema["format"] = "email"
    if each.choices:
        schema["enum"] = [*each.choices] if each.required else [*each.choices, None]
    if each.minimum is not None:
        schema["minimum"] = each.minimum
    if each.maximum is not None:
        schema["maximum"] = each.maximum
    if each.example is not None:
        schema["examples"] = [each.example]
    return schema


def _given_example(fields: RecordFields, *, making: bool) -> dict[str, Any]:
    wanted = [
        name
        for name, each in fields.fields.items()
        if each.writable and each.example is not None and each.refers_to is None
    ]
    return {name: fields.fields[name].example for name in (wanted if making else wanted[:2])}


def show_record(record: Record) -> dict[str, Any]:
    """Return a record as the API tells it."""
    return {
        "id": record.id,
        "record_type": record.fields.name,
        "label": record.label,
        "version": record.version,
        "merged_into": record.merged_into,
        **record.values,
        "references": {
            name: {"record_type": each.record_type, "id": each.id, "label": each.label}
            for name, each in record.references.items()
        },
    }


def show_page(page: Page, count: int | None = None) -> dict[str, Any]:
    """Return a page as the API tells it."""
    told: dict[str, Any] = {
        "items": [show_record(each) for each in page.records],
        "after": page.after,
        "is_cut": page.is_cut,
        "count": None,
    }
    if count is not None:
        told["count"] = tell_count(count)
    return told


def tell_count(count: int) -> dict[str, Any]:
    """Return a bounded count with the words that people read."""
    is_more = count > MAX_COUNT
    value = min(count, MAX_COUNT)
    return {"value": value, "is_more": is_more, "text": f"{value:,}{'+' if is_more else ''}"}


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as JSON, numbers exactly as they are stored."""
    return Response(_encode(document), status, dict(headers or {}), "application/json")


def answer_record(record: Record, status: int = 200, *, location: bool = False) -> Response:
    """Return one record, with its version as the ETag."""
    headers = {"etag": f'"{record.version}"'}
    if location:
        headers["location"] = f"/api/v1/{record.fields.plural}/{record.id}"
    return answer(show_record(record), status, headers)
