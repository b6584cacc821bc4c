"""Handlers of associations: v4 and the dated paths, and the old v3 list. Know no properties."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, cast

from syncline.simulators.answers import Answer, encode, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request, invalid, object_missing
from syncline.simulators.hubspot.api import Api, record_id
from syncline.simulators.hubspot.associations import TypeKey, Types
from syncline.simulators.hubspot.objects import ObjectType
from syncline.simulators.hubspot.store import Store
from syncline.simulators.hubspot.values import iso

READ_MOST, CREATE_MOST, ARCHIVE_MOST = 1000, 2000, 100


def batch_read(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request)
    inputs = request.inputs()
    _check_size(inputs, READ_MOST)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for one in inputs:
        wanted = str(one.get("id"))
        if not wanted.isdigit():
            errors.append(_identifier_error(wanted))
            continue
        linked = _living(api, source, int(wanted), target)
        if not linked:
            errors.append(_none_error(source.kind, wanted, target.kind))
            continue
        results.append({"from": {"id": wanted}, **_page(api, request, linked, one.get("after"), "to")})
    return _answer(api, 200, results, errors)


def _page(
    api: Api,
    request: Request,
    linked: list[tuple[int, Types]],
    after: Any,
    key: str,
    limit: int | None = None,
) -> dict[str, Any]:
    limit = limit or api.world.settings.association_page
    beyond = _read_cursor(after)
    rest = [pair for pair in linked if pair[0] > beyond]
    out: dict[str, Any] = {
        key: [
            {"toObjectId": i, "associationTypes": [kind.wire() for kind in types]}
            for i, types in rest[:limit]
        ]
    }
    if len(rest) > limit:
        cursor = base64.b64encode(b"0-%d" % rest[limit - 1][0]).decode()
        out["paging"] = {
            "next": {"after": cursor, "link": f"{request.base_url}{request.path}?after={cursor}"}
        }
    return out


def _read_cursor(after: Any) -> int:
    if not after:
        return 0
    try:
        return int(base64.b64decode(str(after).replace("%3D", "=")).decode().rpartition("-")[2])
    except (binascii.Error, ValueError):
        raise invalid("Invalid paging cursor") from None


def _living(api: Api, source: Store, from_id: int, target: Store) -> list[tuple[int, Types]]:
    """Return living associated records with their types, ids ascending; none for a record that is gone."""
    from_id = source.resolve(from_id)
    if source.find_living(from_id) is None:
        return []
    linked = api.world.graph.targets(source.kind.type_id, from_id, target.kind.type_id)
    return [(to_id, linked[to_id]) for to_id in sorted(linked) if target.find_living(to_id)]


def _none_error(source: ObjectType, wanted: str, target: ObjectType) -> dict[str, Any]:
    return ApiError(
        404, f"No {target.singular} is associated with {source.singular} {wanted}.", "OBJECT_NOT_FOUND",
        sub_category="crm.associations.NO_ASSOCIATIONS_FOUND",
        context={
            "fromObjectId": [wanted], "fromObjectType": [source.singular], "toObjectType": [target.singular],
        },
    ).envelope()  # fmt: skip


def _identifier_error(wanted: str) -> dict[str, Any]:
    return ApiError(
        400, f"The id {wanted} is not valid", "VALIDATION_ERROR",
        sub_category="crm.associations.INVALID_IDENTIFIER", context={"id": [wanted]},
    ).envelope()  # fmt: skip


def _answer(api: Api, status: int, results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> Answer:
    moment = iso(api.world.now_ms())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Answer(207 if errors else status, encode(body | {"startedAt": moment, "completedAt": moment}))


def _pair(
    api: Api, request: Request, way: str = "read", positions: tuple[int, int] = (0, 1)
) -> tuple[Store, Store]:
    source, target = (request.params[position] for position in positions)
    return api.open(request, source, way), api.open(request, target, way)


def _check_size(inputs: list[dict[str, Any]], most: int) -> None:
    if len(inputs) > most:
        raise invalid(f"The maximum number of inputs is {most}, there were {len(inputs)}")


def list_of_record(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, positions=(0, 2))
    from_id = record_id(request.params[1])
    if source.find_living(source.resolve(from_id)) is None:
        raise object_missing(request.params[1])
    linked = _living(api, source, from_id, target)
    if request.version == "v3":
        return json_answer(
            200, {"results": [{"id": str(i), "type": k.name} for i, types in linked for k in types]}
        )
    limit = request.query.number("limit", api.world.settings.association_page)
    return json_answer(200, _page(api, request, linked, request.query.get("after"), "results", limit))


def put_one(api: Api, request: Request) -> Answer:
    """Associate two records under the types of the body."""
    source, target = _pair(api, request, "write", positions=(0, 2))
    types = request.json()
    ids = (record_id(request.params[1]), record_id(request.params[3]))
    return json_answer(201, _linked(api, source, ids[0], target, ids[1], read_types(types)))


def put_default(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write", positions=(0, 2))
    ids = (record_id(request.params[1]), record_id(request.params[3]))
    _linked(api, source, ids[0], target, ids[1], ())
    return _answer(api, 200, _default_results(api, source, ids[0], target, ids[1]), [])


def _default_results(
    api: Api, source: Store, from_id: int, target: Store, to_id: int
) -> list[dict[str, Any]]:
    graph = api.world.graph
    found: list[dict[str, Any]] = []
    for one, one_id, other, other_id in ((source, from_id, target, to_id), (target, to_id, source, from_id)):
        kind = graph.unlabeled(one.kind.type_id, other.kind.type_id)
        spec = {"associationCategory": kind.category, "associationTypeId": kind.type_id}
        found.append({"from": {"id": str(one_id)}, "to": {"id": str(other_id)}, "associationSpec": spec})
    return found


def read_types(types: Any) -> list[TypeKey]:
    """Read the association types of a body. Raises `ApiError`."""
    if not isinstance(types, list):
        raise invalid("Invalid input JSON: association types must be a list")
    found: list[TypeKey] = []
    for one in cast("list[dict[str, Any]]", types):
        try:
            found.append((str(one["associationCategory"]), int(one["associationTypeId"])))
        except (KeyError, TypeError, ValueError):
            raise invalid(
                "Some required fields were not set: [associationCategory, associationTypeId]"
            ) from None
    return found


def _linked(
    api: Api, source: Store, from_id: int, target: Store, to_id: int, types: Iterable[TypeKey]
) -> dict[str, Any]:
    """Associate two living records and return the answer of it. Raises `ApiError`."""
    from_id, to_id = source.resolve(from_id), target.resolve(to_id)
    for store, one in ((source, from_id), (target, to_id)):
        if store.find_living(one) is None:
            raise object_missing(str(one))
    types = list(types)
    graph = api.world.graph
    known = graph.types(source.kind.type_id, target.kind.type_id)
    unknown = [str(key[1]) for key in types if key not in known]
    if unknown:
        raise invalid(
            f"{', '.join(unknown)} is not a valid association type between "
            f"{source.kind.singular} and {target.kind.singular}",
            sub_category="crm.associations.INVALID_ASSOCIATION_TYPE",
        )
    api.world.associate(source.kind.name, from_id, target.kind.name, to_id, types)
    set_now = graph.targets(source.kind.type_id, from_id, target.kind.type_id)[to_id]
    return {
        "fromObjectTypeId": source.kind.type_id,
        "fromObjectId": from_id,
        "toObjectTypeId": target.kind.type_id,
        "toObjectId": to_id,
        "labels": [kind.label for kind in set_now if kind.label],
    }


def delete_one(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write", positions=(0, 2))
    ids = (source.resolve(record_id(request.params[1])), target.resolve(record_id(request.params[3])))
    api.world.dissociate(source.kind.name, ids[0], target.kind.name, ids[1])
    return Answer(204)


def batch_create(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    inputs = request.inputs()
    _check_size(inputs, CREATE_MOST)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for one in inputs:
        try:
            ids = record_id(one["from"]["id"]), record_id(one["to"]["id"])
            results.append(_linked(api, source, ids[0], target, ids[1], read_types(one.get("types"))))
        except (KeyError, TypeError):
            raise invalid("Some required fields were not set: [from, to]") from None
        except ApiError as error:
            errors.append(error.envelope())
    return _answer(api, 201, results, errors)


def batch_default(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    inputs = request.inputs()
    _check_size(inputs, CREATE_MOST)
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for one in inputs:
        ids = record_id(one["from"]["id"]), record_id(one["to"]["id"])
        try:
            _linked(api, source, ids[0], target, ids[1], ())
        except ApiError as error:
            errors.append(error.envelope())
        else:
            results += _default_results(api, source, ids[0], target, ids[1])
    return _answer(api, 200, results, errors)


def batch_archive(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    inputs = request.inputs()
    _check_size(inputs, ARCHIVE_MOST)
    for one in inputs:
        for to in one["to"]:
            ids = source.resolve(record_id(one["from"]["id"])), target.resolve(record_id(to["id"]))
            api.world.dissociate(source.kind.name, ids[0], target.kind.name, ids[1])
    return Answer(204)


def batch_labels_archive(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    for one in request.inputs():
        ids = record_id(one["from"]["id"]), record_id(one["to"]["id"])
        keys = set(read_types(one.get("types")))
        api.world.graph.unlabel(source.kind.type_id, ids[0], target.kind.type_id, ids[1], keys)
    return Answer(204)


def list_labels(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request)
    types = api.world.graph.types(source.kind.type_id, target.kind.type_id).values()
    return json_answer(200, {"results": [kind.wire() for kind in types]})


def create_label(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    body = request.object()
    graph = api.world.graph
    there = ("USER_DEFINED", graph.new_type_id())
    same = source is target and "inverseLabel" not in body
    back = there if same else ("USER_DEFINED", graph.new_type_id())
    label = str(body.get("label"))
    graph.define(
        source.kind.type_id, target.kind.type_id, there, label, back, str(body.get("inverseLabel") or label)
    )
    types = graph.types(source.kind.type_id, target.kind.type_id)
    created = [types[there].wire()] + ([types[back].wire()] if back in types and back != there else [])
    return json_answer(200, {"results": created})


def change_label(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    body = request.object()
    key = ("USER_DEFINED", int(body["associationTypeId"]))
    if key not in api.world.graph.types(source.kind.type_id, target.kind.type_id):
        raise object_missing(str(key[1]))
    inverse = body.get("inverseLabel")
    api.world.graph.rename(
        source.kind.type_id,
        target.kind.type_id,
        key,
        str(body["label"]),
        None if inverse is None else str(inverse),
    )
    return Answer(204)


def delete_label(api: Api, request: Request) -> Answer:
    source, target = _pair(api, request, "write")
    key = ("USER_DEFINED", record_id(request.params[2]))
    if key not in api.world.graph.types(source.kind.type_id, target.kind.type_id):
        raise object_missing(request.params[2])
    api.world.graph.undefine(source.kind.type_id, target.kind.type_id, key)
    return Answer(204)
