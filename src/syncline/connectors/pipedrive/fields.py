"""What properties records have at Pipedrive: its own by a table, an account's own by its field definitions.

The definitions do not say which of Pipedrive's own fields can be set, so the table does (OpenAPI of 2026-08).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.decode import ADDRESS_PARTS
from syncline.connectors.pipedrive.objects import (
    ACTIVITIES,
    DEALS,
    EXTERNAL_ID_LABEL,
    LEADS,
    NOTES,
    ORGANIZATIONS,
    PAGE,
    PERSONS,
    TASKS,
    get_place,
)
from syncline.connectors.reads import Pipeline, PropertyDefinition, Stage
from syncline.domain.mapping_check import PropertyKind
from syncline.errors import Unavailable

_PIPELINES = "/api/v2/pipelines"
_STAGES = "/api/v2/stages"

#: Types of fields in neutral words; `int`, `boolean` and `datetime` are ours, for Pipedrive's own fields.
_NEUTRAL: Mapping[str, PropertyKind] = {
    "varchar": "text", "text": "text", "varchar_auto": "text", "phone": "text", "address": "text",
    "double": "number", "monetary": "number", "int": "number", "user": "number", "org": "number",
    "people": "number", "stage": "number", "enum": "choice", "status": "choice", "set": "text",
    "date": "date", "datetime": "time", "boolean": "boolean",
}  # fmt: skip
#: Types whose values are objects, and the parts that can be set besides `value`.
PARTS: Mapping[str, tuple[str, ...]] = {
    "monetary": ("currency",),
    "daterange": ("until",),
    "time": ("timezone_id",),
    "timerange": ("until", "timezone_id"),
    "address": ADDRESS_PARTS,
}
#: Parts that Pipedrive finds out itself, from the address as text.
_FOUND = frozenset(ADDRESS_PARTS)


@dataclass(frozen=True, slots=True)
class Field:
    """One field as writing needs to know it."""

    name: str
    label: str
    kind: str
    settable: bool = True
    is_custom: bool = False
    #: Option id → label.
    options: Mapping[int, str] = field(default_factory=dict[int, str])
    definition: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _own(text: str, *, settable: bool = True) -> tuple[Field, ...]:
    """Read a table of `name:kind`."""
    pairs = (each.split(":") for each in text.split())
    return tuple(Field(name, name.replace("_", " ").capitalize(), kind, settable) for name, kind in pairs)


_COMMON = _own("id:int add_time:datetime update_time:datetime is_deleted:boolean", settable=False)
_ACTIVITY = (
    *_own(
        "subject:varchar note:text public_description:text type:varchar kind:kind owner_id:user "
        "due_date:date due_time:varchar due_at:datetime happens_at:datetime duration:varchar "
        "duration_ms:double done:boolean busy:boolean location:address priority:int"
    ),
    *_own(
        "ends_at:datetime marked_as_done_time:datetime creator_user_id:user deal_id:int person_id:people "
        "org_id:org lead_id:varchar project_id:int conference_meeting_url:varchar",
        settable=False,
    ),
    *_COMMON,
)
#: Object → Pipedrive's own fields.
OWN: Mapping[str, tuple[Field, ...]] = {
    PERSONS: (
        *_own(
            "name:varchar first_name:varchar last_name:varchar email:varchar phone:phone owner_id:user "
            "visible_to:int label_ids:set"
        ),
        *_own("org_id:org picture_id:int", settable=False),
        *_COMMON,
    ),
    ORGANIZATIONS: (
        *_own(
            "name:varchar owner_id:user website:varchar linkedin:varchar industry:int annual_revenue:double "
            "employee_count:int address:address visible_to:int label_ids:set"
        ),
        *_COMMON,
    ),
    DEALS: (
        *_own(
            "title:varchar value:double currency:varchar owner_id:user pipeline_id:stage stage_id:stage "
            "status:status probability:double expected_close_date:date lost_reason:varchar "
            "close_time:datetime won_time:datetime lost_time:datetime visible_to:int label_ids:set"
        ),
        *_own(
            "person_id:people org_id:org creator_user_id:user is_archived:boolean archive_time:datetime "
            "stage_change_time:datetime local_won_date:date local_lost_date:date local_close_date:date "
            "origin:varchar origin_id:varchar channel:int channel_id:varchar source_lead_id:varchar "
            "acv:double arr:double mrr:double",
            settable=False,
        ),
        *_COMMON,
    ),
    ACTIVITIES: _ACTIVITY,
    TASKS: _ACTIVITY,
    NOTES: (
        *_own("content:text user_id:user add_time:datetime"),
        *_own(
            "id:int update_time:datetime active_flag:boolean deal_id:int person_id:people "
            "org_id:org lead_id:varchar project_id:int",
            settable=False,
        ),
    ),
    LEADS: _own(
        "id:varchar title:varchar owner_id:user creator_id:user person_id:people organization_id:org "
        "source_name:varchar origin:varchar origin_id:varchar channel:int channel_id:varchar "
        "is_archived:boolean was_seen:boolean value:double expected_close_date:date add_time:datetime "
        "update_time:datetime",
        settable=False,
    ),
}
#: Fields of persons that exist only where the company has contact sync; sent elsewhere, they are refused.
_WITH_CONTACT_SYNC = {each.name: each for each in _own("job_title:varchar birthday:date notes:text")}
_STATUS_CHOICES = ("open", "won", "lost")


class Fields:
    """All fields of an object, by name. `custom` are the account's own."""

    def __init__(self, found: list[Field]) -> None:
        self.by_name = {each.name: each for each in found}

    @property
    def custom(self) -> list[Field]:
        return [each for each in self.by_name.values() if each.is_custom]

    def find_external_id(self) -> Field | None:
        """Return the field that holds our ids, found by its label: its key differs by account."""
        wanted = EXTERNAL_ID_LABEL.casefold()
        fits = (each for each in self.custom if each.label.strip().casefold() == wanted)
        return next((each for each in fits if each.kind in {"varchar", "text", "varchar_auto"}), None)


async def list_fields(api: Api, object_name: str) -> Fields:
    """Read an object's fields with their options: 10 tokens for every 500."""
    own = {each.name: each for each in OWN.get(object_name, ())}
    path = get_place(object_name).fields
    if path is None:
        return Fields(list(own.values()))
    told = [
        _field(object_name, definition, own.get(str(definition.get("field_code"))))
        async for definition in _pages(api, path, 10)
        # What lists tell only to those who ask for it by name is never read.
        if definition.get("is_optional_response_field") is not True
    ]
    found = own | {each.name: each for each in told if each.name}
    return Fields(list(found.values()))


def list_own(object_name: str) -> Fields:
    """Return Pipedrive's own fields of an object without asking."""
    return Fields(list(OWN.get(object_name, ())))


def add_labels(fields: Fields, data: dict[str, Any]) -> None:
    """Write the options of a record with their labels, where an endpoint tells ids only."""
    custom: Any = data.get("custom_fields")
    if not isinstance(custom, dict):
        return
    values = cast("dict[str, Any]", custom)
    for name, value in values.items():
        known = fields.by_name.get(name)
        if known is None or not known.options:
            continue
        if isinstance(value, list):
            values[name] = [_labelled(known.options, each) for each in cast("list[Any]", value)]
        else:
            values[name] = _labelled(known.options, value)


def _labelled(options: Mapping[int, str], value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"id": value, "label": options.get(value)}
    return value


async def describe(api: Api, object_name: str) -> list[PropertyDefinition]:
    """Read the property definitions, with the parts of fields that have several. By name."""
    fields = await list_fields(api, object_name)
    found = [definition for each in fields.by_name.values() for definition in _definitions(each)]
    return sorted(found, key=lambda each: each.name)


async def list_pipelines(api: Api) -> list[Pipeline]:
    """Read the pipelines with their stages: 5 tokens each."""
    pipelines, rows = await asyncio.gather(_list(api, _PIPELINES, 5), _list(api, _STAGES, 5))
    stages: dict[str, list[Stage]] = {}
    for each in rows:
        if each.get("is_deleted") is not True:
            stages.setdefault(str(each.get("pipeline_id")), []).append(_stage(each))
    return [
        Pipeline(
            str(each.get("id")),
            str(each.get("name") or ""),
            _integer(each.get("order_nr")),
            each.get("is_deleted") is True,
            tuple(sorted(stages.get(str(each.get("id")), []), key=lambda stage: stage.position)),
        )
        for each in sorted(pipelines, key=lambda each: _integer(each.get("order_nr")))
    ]


def classify(kind: str, definition: Mapping[str, Any]) -> tuple[PropertyKind, tuple[str, ...]]:
    """Say in neutral words what a property holds, and which choices it has."""
    if kind == "status":
        return "choice", _STATUS_CHOICES
    if kind == "kind":
        return "choice", ("call", "email", "meeting")
    choices = tuple(_options(definition).values()) if kind == "enum" else ()
    return _NEUTRAL.get(kind, "other"), choices


async def _list(api: Api, path: str, cost: int) -> list[dict[str, Any]]:
    return [each async for each in _pages(api, path, cost)]


async def _pages(api: Api, path: str, cost: int) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        answer = await api.call("GET", path, cost=cost, query=query)
        rows: Any = answer.data
        if not isinstance(rows, list):
            raise Unavailable("Pipedrive sent definitions that are no list.")
        for each in cast("list[Any]", rows):
            if isinstance(each, dict):
                yield cast("dict[str, Any]", each)
        if answer.envelope.next_cursor == cursor:
            raise Unavailable("Pipedrive's list of definitions repeats its cursor.")
        cursor = answer.envelope.next_cursor


def _field(object_name: str, definition: dict[str, Any], own: Field | None) -> Field:
    name = str(definition.get("field_code") or "")
    label = str(definition.get("field_name") or name)
    is_custom = definition.get("is_custom_field") is True
    kind = str(definition.get("field_type") or "varchar")
    settable = is_custom and kind != "varchar_auto"
    if own is None and object_name == PERSONS:
        own = _WITH_CONTACT_SYNC.get(name)
    if own is not None and not is_custom:
        kind, settable = own.kind, own.settable
    if object_name == LEADS:
        settable = False
    return Field(name, label, kind, settable, is_custom, _options(definition), definition)


def _options(definition: Mapping[str, Any]) -> dict[int, str]:
    listed: Any = definition.get("options")
    found: dict[int, str] = {}
    for each in cast("list[Any]", listed) if isinstance(listed, list) else []:
        option = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        if isinstance(option.get("id"), int) and not isinstance(option.get("id"), bool):
            found[option["id"]] = str(option.get("label") or option["id"])
    return found


def _definitions(each: Field) -> Iterator[PropertyDefinition]:
    yield PropertyDefinition(each.name, each.label, each.kind, not each.settable, False, each.definition)
    for part in PARTS.get(each.kind, ()):
        label = f"{each.label}: {part.replace('_', ' ')}"
        kind = "date" if each.kind == "daterange" else "varchar"
        settable = each.settable and part not in _FOUND
        yield PropertyDefinition(f"{each.name}.{part}", label, kind, not settable, False, {})


def _stage(row: Mapping[str, Any]) -> Stage:
    probability: Any = row.get("deal_probability")
    known = isinstance(probability, int | float) and not isinstance(probability, bool)
    return Stage(
        str(row.get("id")),
        str(row.get("name") or ""),
        _integer(row.get("order_nr")),
        # Won and lost are a deal's own status at Pipedrive, never a stage.
        False,
        float(probability) if known else None,
    )


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0
