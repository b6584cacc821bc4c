"""Handlers of definitions: properties and their groups. Know no records."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from syncline.simulators.answers import Answer, encode, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request, invalid
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.definitions import Definition
from syncline.simulators.hubspot.reading import batch_answer
from syncline.simulators.hubspot.store import Store
from syncline.simulators.hubspot.values import iso

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_UNIQUE_MOST = 10
_FIELD_TYPES = {
    "string": {"text", "textarea", "html", "phonenumber", "file", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "enumeration": {"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "phone_number": {"phonenumber"},
}
_CHANGEABLE = {"label": "label", "description": "description", "groupName": "group", "hidden": "hidden",
               "options": "options", "displayOrder": "display_order", "formField": "form_field",
               "fieldType": "field_type", "type": "type"}  # fmt: skip


def list_properties(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "read")
    archived = request.query.flag("archived")
    found = [
        definition.wire() for definition in store.definitions.values() if definition.archived == archived
    ]
    return json_answer(200, {"results": found})


def get_property(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "read")
    return json_answer(200, _find(store, request.params[1]).wire())


def _find(store: Store, name: str) -> Definition:
    found = store.definitions.get(name)
    if found is None or found.archived:
        raise ApiError(
            404, f'Property "{name}" does not exist', "OBJECT_NOT_FOUND",
            sub_category="Properties.PROPERTY_NOT_FOUND", context={"name": [name]},
        )  # fmt: skip
    return found


def create_property(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")
    return json_answer(201, _create(api, store, request.object()).wire())


def _create(api: Api, store: Store, body: dict[str, Any]) -> Definition:
    absent = [key for key in ("name", "label", "type", "fieldType", "groupName") if not body.get(key)]
    if absent:
        raise invalid(f"Invalid input JSON: Some required fields were not set: [{', '.join(absent)}]")
    name, kind, field_type = str(body["name"]).lower(), str(body["type"]), str(body["fieldType"])
    _check_new(store, name, kind, field_type, body)
    moment = iso(api.world.now_ms())
    definition = Definition(
        name, str(body["label"]), kind, field_type, str(body["groupName"]),
        description=str(body.get("description") or ""), options=_options(body.get("options")),
        unique=bool(body.get("hasUniqueValue")), hidden=bool(body.get("hidden")), hubspot_defined=False,
        display_order=int(body.get("displayOrder") or -1), form_field=bool(body.get("formField")),
        created_at=moment, updated_at=moment,
    )  # fmt: skip
    store.definitions[name] = definition
    store.definitions_changed()
    return definition


def _check_new(store: Store, name: str, kind: str, field_type: str, body: dict[str, Any]) -> None:
    held = store.definitions.get(name)
    if held is not None and not held.archived:
        raise ApiError(
            409, f"A property named '{name}' already exists.", "OBJECT_ALREADY_EXISTS",
            sub_category="Properties.PROPERTY_WITH_NAME_EXISTS", context={"name": [name]},
        )  # fmt: skip
    if not _NAME.fullmatch(name):
        raise invalid(
            f"The property name {name} is not valid", sub_category="Properties.INVALID_PROPERTY_NAME"
        )
    if field_type not in _FIELD_TYPES.get(kind, set()):
        raise invalid(f"A {kind} property cannot have the field type {field_type}")
    if str(body["groupName"]) not in groups_of(store):
        raise invalid(f"Property group {body['groupName']} does not exist")
    unique = sum(
        definition.unique and not definition.hubspot_defined for definition in store.definitions.values()
    )
    if body.get("hasUniqueValue") and unique >= _UNIQUE_MOST:
        raise invalid(f"At most {_UNIQUE_MOST} properties with unique values are allowed")


def _options(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        return []
    return [
        {
            "label": str(one.get("label")), "value": str(one.get("value")),
            "description": str(one.get("description") or ""),
            "displayOrder": one.get("displayOrder", position), "hidden": bool(one.get("hidden")),
        }
        for position, one in enumerate(cast("list[dict[str, Any]]", given))
    ]  # fmt: skip


def change_property(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")
    definition = _find(store, request.params[1])
    if definition.hubspot_defined:
        raise invalid(f"{definition.name} is defined by HubSpot and cannot be changed")
    for key, value in request.object().items():
        if key in _CHANGEABLE:
            setattr(definition, _CHANGEABLE[key], _options(value) if key == "options" else value)
    definition.updated_at = iso(api.world.now_ms())
    store.definitions_changed()
    return json_answer(200, definition.wire())


def archive_property(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")
    _archive(store, request.params[1])
    return Answer(204)


def _archive(store: Store, name: str) -> None:
    definition = _find(store, name)
    if definition.hubspot_defined:
        raise invalid(f"{name} is defined by HubSpot and cannot be archived")
    definition.archived = True
    store.definitions_changed()


def batch_read(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "read")

    def find(one: dict[str, Any]) -> Definition:
        return _find(store, str(one.get("name")))

    return _batch(api, request, 200, find)


def batch_create(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")

    def create(one: dict[str, Any]) -> Definition:
        return _create(api, store, one)

    return _batch(api, request, 201, create)


def _batch(api: Api, request: Request, status: int, act: Callable[[dict[str, Any]], Definition]) -> Answer:
    done: list[bytes] = []
    errors: list[dict[str, Any]] = []
    for one in request.inputs():
        try:
            done.append(encode(act(one).wire()))
        except ApiError as error:
            errors.append(error.envelope())
    return batch_answer(api, status, done, errors)


def batch_archive(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")
    for one in request.inputs():
        _archive(store, str(one.get("name")))
    return Answer(204)


def groups_of(store: Store) -> dict[str, dict[str, Any]]:
    """Return a type's groups by name: those its properties are in, and those made since."""
    found = {definition.group for definition in store.definitions.values()}
    return {
        name: {"name": name, "label": name, "displayOrder": position, "archived": False}
        for position, name in enumerate(sorted(found))
    } | store.groups


def list_groups(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "read")
    return json_answer(200, {"results": list(groups_of(store).values())})


def create_group(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "write")
    body = request.object()
    name = str(body.get("name"))
    if name in groups_of(store):
        raise ApiError(409, f"A property group named '{name}' already exists.", "OBJECT_ALREADY_EXISTS")
    group = {"name": name, "label": str(body.get("label") or name), "displayOrder": -1, "archived": False}
    store.groups[name] = group
    return json_answer(201, group)
