"""Fields that Syncline makes at Pipedrive, above all the one for our own ids. Changes none.

Pipedrive chooses a field's key and lets two have one name, so a wanted property is known by its label. Only
deals, persons and organizations (with products and projects) take fields of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.failures import CallRefused, describe
from syncline.connectors.pipedrive.fields import Field, Fields, list_fields
from syncline.connectors.pipedrive.objects import (
    EXTERNAL_ID,
    EXTERNAL_ID_LABEL,
    get_place,
)
from syncline.connectors.writes import PropertyPlan, WantedProperty

#: Of a wanted property's type: Pipedrive's. It has none for yes and no, nor for moments.
_TYPES: Mapping[str, str] = {
    "text": "varchar",
    "number": "double",
    "boolean": "enum",
    "time": "varchar",
    "date": "date",
    "choice": "enum",
}
_CREATE_COST = 5

EXTERNAL_ID_PROPERTY = WantedProperty(
    EXTERNAL_ID,
    EXTERNAL_ID_LABEL,
    "text",
    ("syncline", "Syncline"),
    description="Syncline's own id of the record. It keeps records from being made twice; do not edit it.",
)


def external_id_property(object_name: str) -> WantedProperty | None:
    """Return the field for our ids; None for what is never written, or takes no fields of one's own."""
    return EXTERNAL_ID_PROPERTY if get_place(object_name).takes_custom_fields else None


async def plan_properties(api: Api, object_name: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
    """Compare with what the account has. See `base.Connector.plan_properties`."""
    place = get_place(object_name)
    if not place.takes_custom_fields:
        reason = f"Pipedrive takes no fields of one's own for {object_name}"
        return [PropertyPlan(each, "differs", reason) for each in wanted]
    fields = await list_fields(api, object_name)
    return [_compare(each, _find(fields, each)) for each in wanted]


async def apply_properties(
    api: Api, object_name: str, wanted: Sequence[WantedProperty]
) -> list[PropertyPlan]:
    """Create what is missing, one by one. See `base.Connector.apply_properties`."""
    plans = await plan_properties(api, object_name, wanted)
    return [
        await _create(api, object_name, plan.wanted) if plan.state == "create" else plan for plan in plans
    ]


async def _create(api: Api, object_name: str, wanted: WantedProperty) -> PropertyPlan:
    path = get_place(object_name).fields
    body: dict[str, Any] = {"field_name": wanted.label, "field_type": _TYPES[wanted.type]}
    options = _options(wanted)
    if options:
        body["options"] = [{"label": each} for each in options]
    try:
        await api.call("POST", path or "", cost=_CREATE_COST, json=body, idempotent=False)
    except CallRefused as error:
        return PropertyPlan(wanted, "refused", describe(error.failure) or "no reason given")
    return PropertyPlan(wanted, "created")


def _find(fields: Fields, wanted: WantedProperty) -> Field | None:
    """Return the field of that label; of several, one that is as wanted."""
    label = wanted.label.strip().casefold()
    named = [each for each in fields.custom if each.label.strip().casefold() == label]
    return next((each for each in named if _compare(wanted, each).state == "exists"), next(iter(named), None))


def _compare(wanted: WantedProperty, found: Field | None) -> PropertyPlan:
    if found is None:
        return PropertyPlan(wanted, "create")
    kind = _TYPES[wanted.type]
    # Texts of both lengths will do.
    fits = {"varchar", "text"} if kind == "varchar" else {kind}
    if found.kind not in fits:
        return PropertyPlan(wanted, "differs", f"it is of the type {found.kind}, not {kind}")
    lacking = [each for each in _options(wanted) if each not in found.options.values()]
    if lacking:
        return PropertyPlan(wanted, "differs", f"it lacks the choices {', '.join(lacking)}")
    return PropertyPlan(wanted, "exists")


def _options(wanted: WantedProperty) -> tuple[str, ...]:
    """Return the labels of options: they are what is read and written, so that they are our values."""
    if wanted.type == "boolean":
        return ("true", "false")
    return tuple(value for value, _ in wanted.choices)
