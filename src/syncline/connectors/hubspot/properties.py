"""Properties that Syncline makes at HubSpot: our own id of a record, and sets on demand. Changes none.

Facts (properties guide and recorded answers, read 2026-08): names are lower-case and never change, whether
values are unique is settled when a property is made, an object has at most ten of those, and a property
needs its group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.hubspot.definitions import list_properties
from syncline.connectors.hubspot.failures import CallRefused, Failure, Taken
from syncline.connectors.hubspot.objects import EXTERNAL_ID
from syncline.connectors.hubspot.refusals import explain
from syncline.connectors.reads import PropertyDefinition
from syncline.connectors.writes import PropertyPlan, PropertySet, WantedProperty
from syncline.errors import SettingInvalid

_GROUP = ("syncline", "Syncline")
#: Of a wanted property's type: HubSpot's type and the form's kind of field.
_TYPES = {
    "text": ("string", "text"),
    "number": ("number", "number"),
    "boolean": ("bool", "booleancheckbox"),
    "time": ("datetime", "date"),
    "date": ("date", "date"),
    "choice": ("enumeration", "select"),
}

EXTERNAL_ID_PROPERTY = WantedProperty(
    EXTERNAL_ID,
    "Syncline record id",
    "text",
    _GROUP,
    unique=True,
    description="Syncline's own id of the record. It keeps records from being made twice; do not edit it.",
)


def _choices(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.capitalize()) for value in values)


_FORGE = ("forge_integration", "Forge integration")
PROPERTY_SETS: Mapping[str, PropertySet] = {
    "forge": PropertySet(
        "forge",
        "Forge: accounts, plans and products of the platform's users",
        {
            "contacts": (
                WantedProperty("forge_user_id", "Forge User ID", "text", _FORGE),
                WantedProperty(
                    "forge_signup_source",
                    "Signup Source",
                    "choice",
                    _FORGE,
                    _choices("hephaitos", "bidflow", "folio", "dryon"),
                ),
                WantedProperty(
                    "forge_plan", "Plan Type", "choice", _FORGE, _choices("free", "pro", "enterprise")
                ),
                WantedProperty("forge_mrr", "Monthly Recurring Revenue", "number", _FORGE),
                WantedProperty("forge_last_login", "Last Login", "time", _FORGE),
            ),
            "deals": (
                WantedProperty(
                    "forge_product",
                    "Product",
                    "choice",
                    _FORGE,
                    _choices("hephaitos", "bidflow", "folio", "dryon", "bundle"),
                ),
                WantedProperty(
                    "forge_contract_type",
                    "Contract Type",
                    "choice",
                    _FORGE,
                    _choices("monthly", "annual", "enterprise"),
                ),
            ),
        },
    )
}


@dataclass(frozen=True, slots=True)
class Traits:
    """What writing must know of an object's properties."""

    #: Whether creates can go by our own id.
    has_external_id: bool
    #: Properties of several choices, where a leading semicolon adds to what is set.
    appending: frozenset[str]


class _Group(msgspec.Struct):
    name: str


class _Groups(msgspec.Struct):
    results: list[_Group]


async def read_traits(api: Api, object_path: str) -> Traits:
    found = await list_properties(api, object_path)
    return Traits(
        any(each.name == EXTERNAL_ID and _is_unique(each) for each in found),
        frozenset(each.name for each in found if each.definition.get("fieldType") == "checkbox"),
    )


def missing_external_id(object_path: str) -> SettingInvalid:
    """Return the error of an account that has no property for our own ids."""
    return SettingInvalid(
        f"HubSpot has no unique property {EXTERNAL_ID} for {object_path}. Create it before writing."
    )


async def plan_properties(api: Api, object_path: str, wanted: Sequence[WantedProperty]) -> list[PropertyPlan]:
    """Compare with what the account has. See `base.Connector.plan_properties`."""
    found = {each.name: each for each in await list_properties(api, object_path)}
    return [_compare(each, found.get(each.name)) for each in wanted]


async def apply_properties(
    api: Api, object_path: str, wanted: Sequence[WantedProperty]
) -> list[PropertyPlan]:
    """Create what is missing, one by one. See `base.Connector.apply_properties`.

    A 409 is somebody else's creation, or our own whose answer was lost: compared again, not a failure.
    """
    plans = await plan_properties(api, object_path, wanted)
    missing = [each.wanted for each in plans if each.state == "create"]
    await _ensure_groups(api, object_path, list(dict.fromkeys(each.group for each in missing)))
    made = {each.name: await _create(api, object_path, each) for each in missing}
    return [made.get(each.wanted.name, each) for each in plans]


async def _ensure_groups(api: Api, object_path: str, groups: list[tuple[str, str]]) -> None:
    if not groups:
        return
    response = await api.call("GET", "property_groups", object_name=object_path)
    known = {each.name for each in read_as(_Groups, response.body).results}
    for name, label in groups:
        if name in known:
            continue
        body = {"name": name, "label": label, "displayOrder": -1}
        try:
            await api.call("POST", "property_groups", object_name=object_path, json=body)
        except Taken:
            continue  # made since


async def _create(api: Api, object_path: str, wanted: WantedProperty) -> PropertyPlan:
    try:
        await api.call("POST", "properties", object_name=object_path, json=_body(wanted))
    except Taken:
        [plan] = await plan_properties(api, object_path, [wanted])
        return plan
    except CallRefused as error:
        return PropertyPlan(wanted, "refused", _said(error.failure))
    return PropertyPlan(wanted, "created")


def _said(failure: Failure) -> str:
    return str(explain(failure, "", None, ()).failure)


def _body(wanted: WantedProperty) -> dict[str, Any]:
    kind, field_type = _TYPES[wanted.type]
    options = wanted.choices
    if wanted.type == "boolean":
        options = (("true", "Yes"), ("false", "No"))
    return {
        "groupName": wanted.group[0],
        "name": wanted.name,
        "label": wanted.label,
        "type": kind,
        "fieldType": field_type,
        "description": wanted.description,
        "hasUniqueValue": wanted.unique,
        "hidden": False,
        "formField": False,
        "displayOrder": -1,
        "options": [
            {"label": label, "value": value, "displayOrder": position, "hidden": False}
            for position, (value, label) in enumerate(options)
        ],
    }


def _compare(wanted: WantedProperty, found: PropertyDefinition | None) -> PropertyPlan:
    if found is None:
        return PropertyPlan(wanted, "create")
    differences: list[str] = []
    kind, _ = _TYPES[wanted.type]
    if found.type != kind:
        differences.append(f"it is of the type {found.type}, not {kind}")
    if wanted.unique and not _is_unique(found):
        differences.append("its values need not be unique, which cannot be changed any more")
    if found.read_only or found.calculated:
        differences.append("its values cannot be set")
    lacking = [value for value, _ in wanted.choices if value not in _options(found)]
    if lacking and found.type == kind:
        differences.append(f"it lacks the choices {', '.join(lacking)}")
    return PropertyPlan(wanted, "differs" if differences else "exists", "; ".join(differences))


def _is_unique(found: PropertyDefinition) -> bool:
    return found.definition.get("hasUniqueValue") is True


def _options(found: PropertyDefinition) -> set[str]:
    listed: Any = found.definition.get("options")
    return {str(each["value"]) for each in listed if "value" in each} if isinstance(listed, list) else set()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
