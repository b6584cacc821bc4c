"""Handlers of field definitions: lists, one, custom fields made and changed, and options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.answers import ApiError, Request, invalid, missing, one
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.fields import CUSTOM_TYPES, Field, FieldSet, Option
from syncline.simulators.pipedrive.legacy import flat_page
from syncline.simulators.pipedrive.reading import place_page
from syncline.simulators.pipedrive.store import Record

NAME_MOST = 255
_NAMESPACES = ("ui_visibility", "important_fields", "required_fields")
_CHANGEABLE = ("field_name", "description", *_NAMESPACES)

Handler = Callable[[Api, Request], Answer]


class Definitions:
    """The handlers of one entity's fields."""

    def __init__(self, entity: str) -> None:
        self.entity = entity

    def _set(self, api: Api) -> FieldSet:
        return api.world.fields[self.entity]

    def _field(self, api: Api, request: Request) -> Field:
        found = self._set(api).fields.get(request.params[0])
        if found is None:
            raise missing("Field")
        return found

    def _custom(self, api: Api, request: Request) -> Field:
        found = self._field(api, request)
        if not found.custom:
            raise ApiError(403, "Only custom fields can be changed")
        return found

    def _more(self, request: Request) -> list[str]:
        more = request.query.list("include_fields")
        if any(name not in _NAMESPACES for name in more):
            raise invalid(f"include_fields: expected some of {', '.join(_NAMESPACES)}")
        return more

    def list(self, api: Api, request: Request) -> Answer:
        more = self._more(request)
        found = [each.wire(self.entity, more) for each in self._set(api).fields.values()]
        return place_page(api, found, request.query)

    def get(self, api: Api, request: Request) -> Answer:
        return one(self._field(api, request).wire(self.entity, self._more(request)))

    def create(self, api: Api, request: Request) -> Answer:
        api.require_admin(request)
        body = request.object()
        _refuse_unknown(body, ("field_type", "options", *_CHANGEABLE))
        name, kind = _name(body.get("field_name"), "field_name"), body.get("field_type")
        if kind not in CUSTOM_TYPES:
            raise invalid(f"field_type: expected one of {', '.join(CUSTOM_TYPES)}")
        labels = _labels(body.get("options") or [])
        if (kind in ("enum", "set")) != bool(labels):
            raise invalid("options: are for enum and set, which need them")
        made = self._set(api).add(name, kind, labels, body.get("description"))
        return one(made.wire(self.entity, _NAMESPACES))

    def change(self, api: Api, request: Request) -> Answer:
        api.require_admin(request)
        field, body = self._custom(api, request), request.object()
        if "field_type" in body or "field_code" in body:
            raise invalid("field_type, field_code: cannot be changed")
        _refuse_unknown(body, _CHANGEABLE)
        if "field_name" in body:
            field.name = _name(body["field_name"], "field_name")
        if "description" in body:
            field.description = body["description"]
        self._set(api).changed()
        return one(field.wire(self.entity, _NAMESPACES))

    def delete(self, api: Api, request: Request) -> Answer:
        api.require_admin(request)
        field = self._custom(api, request)
        del self._set(api).fields[field.code]
        self._set(api).changed()
        return one(field.wire(self.entity))

    def _optional(self, api: Api, request: Request) -> tuple[Field, list[Option]]:
        field = self._field(api, request)
        if field.options is None:
            raise invalid("the field has no options")
        return field, field.options

    def add_options(self, api: Api, request: Request) -> Answer:
        _, options = self._optional(api, request)
        made = self._set(api).make_options(_labels(request.objects()))
        options += made
        self._set(api).changed()
        return _options(made)

    def change_options(self, api: Api, request: Request) -> Answer:
        _, options = self._optional(api, request)
        changed: list[Option] = []
        for each in request.objects():
            option = _find_option(options, each.get("id"))
            option.label = _name(each.get("label"), "label")
            changed.append(option)
        self._set(api).changed()
        return _options(changed)

    def delete_options(self, api: Api, request: Request) -> Answer:
        field, options = self._optional(api, request)
        gone = [_find_option(options, each.get("id")) for each in request.objects()]
        for option in gone:
            options.remove(option)
        self._clear(api, field, {option.option_id for option in gone})
        self._set(api).changed()
        return _options(gone)

    def _clear(self, api: Api, field: Field, ids: set[int]) -> None:
        """Take options that are gone out of the records, whose time of change stays."""
        for name, store in api.world.stores.items():
            if store.kind.fields != self.entity:
                continue
            for record in list(store.records.values()):
                value = _without(record, field.code, ids)
                if field.code in record.custom and value != record.custom[field.code]:
                    changes = {"custom_fields": {field.code: value}}
                    api.world.update(name, record.id, changes, silent=True)


def _without(record: Record, code: str, ids: set[int]) -> Any:
    value = record.custom.get(code)
    if isinstance(value, list):
        return [each for each in cast("list[int]", value) if each not in ids] or None
    return None if value in ids else value


def _options(found: Sequence[Option]) -> Answer:
    return Answer(
        200, encode({"success": True, "data": [each.wire() for each in found], "additional_data": None})
    )


def _find_option(options: Sequence[Option], wanted: Any) -> Option:
    for option in options:
        if option.option_id == wanted:
            return option
    raise invalid(f"id: there is no option {wanted}")


def _labels(given: Any) -> list[str]:
    if not isinstance(given, list):
        raise invalid("options: expected array")
    found: list[str] = []
    for each in cast("list[Any]", given):
        label = cast("dict[str, Any]", each).get("label") if isinstance(each, dict) else None
        found.append(_name(label, "label"))
    return found


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_MOST:
        raise invalid(f"{what}: expected string of 1 to {NAME_MOST} characters")
    return value


def _refuse_unknown(body: dict[str, Any], known: Sequence[str]) -> None:
    unknown = [name for name in body if name not in known]
    if unknown:
        raise invalid(f"{', '.join(unknown)}: is not known")


def list_lead_fields(api: Api, request: Request) -> Answer:
    """Return the fields of leads as v1 has them: those of deals, in pages of `start` and `limit`."""
    times = {"add_time": api.world.users[0].created, "update_time": api.world.users[0].created}
    found = [
        {
            "id": number, "key": each.code, "name": each.name, "order_nr": number, "field_type": each.type,
            "active_flag": True, "edit_flag": each.custom, "index_visible_flag": True,
            "details_visible_flag": True, "add_visible_flag": False, "important_flag": False,
            "bulk_edit_allowed": True, "searchable_flag": False, "filtering_allowed": True,
            "sortable_flag": True, "mandatory_flag": False,
            "options": None if each.options is None else [option.wire() for option in each.options],
            **times,
        }
        for number, each in enumerate(api.world.fields["deal"].fields.values(), 1)
    ]  # fmt: skip
    return flat_page(found, request.query)
