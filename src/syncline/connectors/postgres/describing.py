"""What a table's columns are as properties, and the stages of deals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from syncline.connectors.postgres.catalogue import Column, Table
from syncline.connectors.postgres.places import EXTERNAL_ID
from syncline.connectors.postgres.virtual import TYPE, describe_virtual
from syncline.connectors.reads import Pipeline, PropertyDefinition, Stage
from syncline.connectors.writes import PropertyPlan, WantedProperty
from syncline.domain.mapping_check import PropertyKind

STAGE = "stage"
OWNER = "owner_id"
EXTERNAL_ID_PROPERTY = WantedProperty(
    EXTERNAL_ID,
    "Syncline record id",
    "text",
    ("syncline", "Syncline"),
    unique=True,
    description="Syncline's own id of the record. It keeps records from being made twice; do not edit it.",
)
_KINDS: Mapping[str, PropertyKind] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "citext", "name", "uuid"), "text"),
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8", "money"), "number"),
    "bool": "boolean",
    **dict.fromkeys(("timestamp", "timestamptz"), "time"),
    "date": "date",
}
#: Of a wanted property's type: the base types that will do.
_SERVING = {
    "text": ("text", "varchar", "citext"),
    "number": ("numeric", "float8", "float4", "int8", "int4", "int2"),
    "boolean": ("bool",),
    "time": ("timestamptz", "timestamp"),
    "date": ("date",),
    "choice": ("text", "varchar", "citext"),
}
_WON = frozenset({"won", "closedwon", "dealwon"})
_LOST = frozenset({"lost", "closedlost", "deallost"})


def describe(object_name: str, table: Table, *, has_users: bool = True) -> list[PropertyDefinition]:
    """Return the columns as properties, by name.

    Without users nobody knows whom an owner's id means, so that none can be set.
    """
    found = [_property(table, each) for each in table.columns if each.is_read]
    kind = table.find(TYPE)
    found += describe_virtual(object_name, choices_of(table), settable=kind is not None and kind.is_settable)
    if not has_users:
        found = [replace(each, read_only=True) if each.name == OWNER else each for each in found]
    return sorted(found, key=lambda each: each.name)


def choices_of(table: Table) -> dict[str, tuple[str, ...]]:
    """Return column → the words it takes, where it takes certain ones only."""
    return {each.name: each.labels for each in table.columns if each.is_read}


def _property(table: Table, column: Column) -> PropertyDefinition:
    definition: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "base": column.base,
        "not_null": column.not_null,
        "has_default": column.has_default,
        "unique": column.unique,
    }
    if column.labels:
        definition["options"] = list(column.labels)
    if column.references is not None:
        definition["references"] = dict(zip(("schema", "table", "column"), column.references, strict=True))
    if column.comment:
        definition["comment"] = column.comment
    kept = {table.key.name, EXTERNAL_ID}
    if table.archived is not None:
        kept.add(table.archived.name)
    if table.modified is not None:
        kept.add(table.modified.name)
    label = column.name.replace("_", " ").strip().capitalize() or column.name
    read_only = column.generated or column.name in kept or not column.updatable
    return PropertyDefinition(column.name, label, column.type, read_only, column.computed, definition)


def classify(kind: str, definition: Mapping[str, Any]) -> tuple[PropertyKind, tuple[str, ...]]:
    """Say in neutral words what a property holds, and which choices it has."""
    options: Any = definition.get("options")
    if isinstance(options, list):
        return "choice", tuple(str(each) for each in cast("list[Any]", options))
    if definition.get("virtual"):
        return "text", ()
    return _KINDS.get(str(definition.get("base", kind)), "other"), ()


def list_pipelines(values: Iterable[Sequence[str | None]], stages: Sequence[str]) -> list[Pipeline]:
    """Return the pipelines that deals are in, from (pipeline, stage) of all of them, with their stages.

    `stages` are the stages of each in their order, where somebody said so; others come after them.
    """
    found: dict[str, dict[str, None]] = {}
    for pipeline, stage in values:
        if pipeline is None:
            continue
        known = found.setdefault(pipeline, dict.fromkeys(stages))
        if stage is not None and stage != "":
            known.setdefault(stage)
    return [
        Pipeline(name, name.replace("_", " ").capitalize(), number, False, tuple(_stages(known)))
        for number, (name, known) in enumerate(found.items())
    ]


def _stages(names: Iterable[str]) -> Iterable[Stage]:
    for number, name in enumerate(names):
        word = re.sub(r"[\W_]+", "", name).lower()
        probability = 100.0 if word in _WON else 0.0 if word in _LOST else None
        label = name.replace("_", " ").strip()
        yield Stage(name, label[:1].upper() + label[1:], number, probability is not None, probability)


def plan(wanted: WantedProperty, table: Table) -> PropertyPlan:
    """Compare a wanted property with the table's columns."""
    column = table.find(wanted.name)
    if column is None:
        return PropertyPlan(wanted, "create")
    differences: list[str] = []
    serving = ("uuid", *_SERVING["text"]) if wanted.name == EXTERNAL_ID else _SERVING[wanted.type]
    if column.base not in serving:
        differences.append(f"it is of the type {column.type}")
    elif not column.is_settable:
        differences.append("its values cannot be set")
    if wanted.unique and not column.unique:
        # Settled by `apply`: an index can be added to a column that is there.
        if differences:
            differences.append("its values need not be unique")
        else:
            return PropertyPlan(wanted, "create", "its values need not be unique yet")
    return PropertyPlan(wanted, "differs" if differences else "exists", "; ".join(differences))


def type_of(wanted: WantedProperty) -> Literal["text", "number", "boolean", "time", "date", "uuid"]:
    """Return the type of the column that is made for a wanted property."""
    if wanted.name == EXTERNAL_ID:
        return "uuid"
    return "text" if wanted.type == "choice" else wanted.type
