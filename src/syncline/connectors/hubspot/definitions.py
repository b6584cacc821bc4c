"""What an account has defined: properties, pipelines with stages, custom objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.reads import Pipeline, PropertyDefinition, Stage
from syncline.domain.mapping_check import PropertyKind

#: Property types (properties guide, read 2026-08) in neutral words.
_KINDS: Mapping[str, PropertyKind] = {
    "string": "text",
    "phone_number": "text",
    "number": "number",
    "currency_number": "number",
    "bool": "boolean",
    "datetime": "time",
    "date": "date",
    "enumeration": "choice",
}


class _Listing(msgspec.Struct):
    results: list[dict[str, Any]]


class _Stage(msgspec.Struct, rename="camel"):
    id: str
    label: str = ""
    display_order: int = 0
    #: Values are text: {"isClosed": "true", "probability": "1.0"}.
    metadata: dict[str, Any] = {}
    archived: bool = False


class _Pipeline(msgspec.Struct, rename="camel"):
    id: str
    label: str = ""
    display_order: int = 0
    archived: bool = False
    stages: list[_Stage] = []


class _Pipelines(msgspec.Struct):
    results: list[_Pipeline]


class Schema(msgspec.Struct, rename="camel"):
    """A custom object."""

    object_type_id: str
    name: str
    fully_qualified_name: str | None = None


class _Schemas(msgspec.Struct):
    results: list[Schema]


async def list_properties(api: Api, object_path: str) -> list[PropertyDefinition]:
    """Read all living definitions; HubSpot sends them in one page."""
    response = await api.call("GET", "properties", object_name=object_path)
    found = [_property(each) for each in read_as(_Listing, response.body).results]
    return sorted(found, key=lambda each: each.name)


async def list_pipelines(api: Api, object_path: str) -> list[Pipeline]:
    """Read the pipelines with their stages in HubSpot's order."""
    response = await api.call("GET", "pipelines", object_name=object_path)
    found = read_as(_Pipelines, response.body).results
    return [
        Pipeline(
            each.id,
            each.label,
            each.display_order,
            each.archived,
            tuple(_stage(stage) for stage in sorted(each.stages, key=lambda stage: stage.display_order)),
        )
        for each in sorted(found, key=lambda each: each.display_order)
    ]


async def list_schemas(api: Api) -> list[Schema]:
    """Read which custom objects the account has."""
    return read_as(_Schemas, (await api.call("GET", "schemas")).body).results


def classify(kind: str, definition: Mapping[str, Any]) -> tuple[PropertyKind, tuple[str, ...]]:
    """Say in neutral words what a property holds, and which choices it has."""
    options: Any = definition.get("options")
    listed = cast("list[dict[str, Any]]", options) if isinstance(options, list) else []
    choices = tuple(str(each["value"]) for each in listed if "value" in each)
    if kind == "enumeration" and definition.get("fieldType") == "booleancheckbox":
        return "boolean", choices
    return _KINDS.get(kind, "other"), choices


def _property(definition: dict[str, Any]) -> PropertyDefinition:
    limits: Any = definition.get("modificationMetadata")
    read_only = isinstance(limits, dict) and limits.get("readOnlyValue") is True  # pyright: ignore[reportUnknownMemberType]
    return PropertyDefinition(
        name=str(definition.get("name", "")),
        label=str(definition.get("label") or ""),
        type=str(definition.get("type") or "string"),
        read_only=read_only,
        calculated=definition.get("calculated") is True,
        definition=definition,
    )


def _stage(stage: _Stage) -> Stage:
    closed = str(stage.metadata.get("isClosed", "")).lower() == "true"
    # Tickets say it in another word.
    closed = closed or stage.metadata.get("ticketState") == "CLOSED"
    return Stage(
        stage.id, stage.label, stage.display_order, closed, _percent(stage.metadata.get("probability"))
    )


def _percent(share: Any) -> float | None:
    """Turn 0 to 1, as text, into 0 to 100."""
    try:
        return round(float(share) * 100, 6)
    except (TypeError, ValueError):
        return None
