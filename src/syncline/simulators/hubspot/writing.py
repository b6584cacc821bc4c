"""Handlers that change records: create, update, archive, upsert, merge, erase; singly or in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from syncline.simulators.answers import Answer, encode, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request, invalid, object_missing
from syncline.simulators.hubspot.api import Api, record_id
from syncline.simulators.hubspot.associating import read_types
from syncline.simulators.hubspot.associations import TypeKey
from syncline.simulators.hubspot.objects import CONTACT
from syncline.simulators.hubspot.reading import (
    BATCH_MOST,
    batch_answer,
    check_batch,
    find_record,
    missing_error,
)
from syncline.simulators.hubspot.store import Properties, Record, Store
from syncline.simulators.hubspot.validation import prepare

_IDENTITIES_MOST = 250

#: (other type's name, other id, association types)
Target = tuple[str, int, list[TypeKey]]


def create_record(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    body = request.object()
    properties, targets = _checked_new(api, store, body)
    record = _create(api, request, store, properties, targets)
    return json_answer(201, _wire(store, record, {**record.own}))


def _wire(store: Store, record: Record, names: Iterable[str]) -> dict[str, Any]:
    return store.plan_once(names).wire(record)


def _checked_new(api: Api, store: Store, body: dict[str, Any]) -> tuple[Properties, list[Target]]:
    """Check a create wholly before anything is made. Raises `ApiError`."""
    properties = prepare(api.world, store, body.get("properties"), None)
    return properties, _targets(api, store, body.get("associations"))


def _targets(api: Api, store: Store, given: Any) -> list[Target]:
    found: list[Target] = []
    for one in cast("list[dict[str, Any]]", given or []):
        to_id, types = (
            record_id(cast("dict[str, Any]", one.get("to") or {}).get("id")),
            read_types(one.get("types")),
        )
        for kind in api.world.types.all:
            known = api.world.graph.types(store.kind.type_id, kind.type_id)
            there = api.world.stores[kind.type_id]
            if all(key in known for key in types) and there.find_living(there.resolve(to_id)):
                found.append((kind.name, there.resolve(to_id), types))
                break
        else:
            raise object_missing(str(to_id))
    return found


def _create(
    api: Api, request: Request, store: Store, properties: Properties, targets: list[Target]
) -> Record:
    record = api.world.create(store.kind.name, properties, source=request.source)
    for name, to_id, types in targets:
        api.world.associate(store.kind.name, record.id, name, to_id, types)
    return store.records[record.id]


def update_record(api: Api, request: Request) -> Answer:
    name, wanted = request.params
    store = api.open(request, name, "write")
    record = find_record(store, wanted, request.query.get("idProperty"))
    if record is None:
        raise object_missing(wanted)
    changes = prepare(api.world, store, request.object().get("properties"), record)
    changed = api.world.update(store.kind.name, record.id, changes, source=request.source)
    return json_answer(200, _wire(store, changed, changes))


def archive_record(api: Api, request: Request) -> Answer:
    name, wanted = request.params
    store = api.open(request, name, "write")
    record = store.records.get(store.resolve(record_id(wanted)))
    if record is None:
        raise object_missing(wanted)
    api.world.archive(store.kind.name, record.id, source=request.source)
    return Answer(204)


def batch_archive(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    inputs = request.inputs()
    check_batch(inputs, BATCH_MOST)
    for one in inputs:
        wanted = str(one.get("id"))
        record = store.records.get(store.resolve(int(wanted))) if wanted.isdigit() else None
        if record is not None:
            api.world.archive(store.kind.name, record.id, source=request.source)
    return Answer(204)


def batch_create(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    inputs = request.inputs()
    check_batch(inputs, BATCH_MOST, key="objectWriteTraceId")

    def create(one: dict[str, Any]) -> dict[str, Any]:
        record = _create(api, request, store, *_checked_new(api, store, one))
        return _wire(store, record, record.own)

    if not _traced(inputs):
        _check_all(inputs, lambda one: _checked_new(api, store, one))
        _check_batch_emails(store, inputs)
    return _each(api, 201, inputs, create)


def _traced(inputs: list[dict[str, Any]]) -> bool:
    """Tell whether every input has a trace id; only then may some fail and others not."""
    return all(one.get("objectWriteTraceId") for one in inputs)


def _check_all(inputs: list[dict[str, Any]], check: Callable[[dict[str, Any]], object]) -> None:
    """Refuse the whole batch for one bad input, before anything is written. Raises `ApiError`."""
    for one in inputs:
        try:
            check(one)
        except ApiError as error:
            if error.status == 409:
                raise ApiError(409, "Contact already exists", "CONFLICT") from None
            raise


def _check_batch_emails(store: Store, inputs: list[dict[str, Any]]) -> None:
    emails = [str(one["properties"].get("email") or "").strip().lower() for one in inputs]
    named = [email for email in emails if email]
    if store.kind is CONTACT and len(set(named)) < len(named):
        raise ApiError(409, "Contact already exists", "CONFLICT")


def _each(
    api: Api,
    status: int,
    inputs: list[dict[str, Any]],
    act: Callable[[dict[str, Any]], dict[str, Any] | None],
) -> Answer:
    """Do each input; results come in another order than the inputs, with the trace ids given."""
    done: list[bytes] = []
    errors: list[dict[str, Any]] = []
    for one in inputs:
        trace = one.get("objectWriteTraceId")
        try:
            result = act(one)
        except ApiError as error:
            errors.append(_batch_error(error, trace))
            continue
        if result is not None:
            done.append(encode(result | ({"objectWriteTraceId": trace} if trace else {})))
    return batch_answer(api, status, done[::-1], errors)


def _batch_error(error: ApiError, trace: Any) -> dict[str, Any]:
    context = dict(error.context or {})
    if trace:
        context["objectWriteTraceId"] = [str(trace)]
    if error.existing_id:
        context["existingId"] = [error.existing_id]
    return error.envelope() | ({"context": context} if context else {})


def batch_update(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    inputs = request.inputs()
    check_batch(inputs, BATCH_MOST)
    traced = _traced(inputs)
    found: list[tuple[dict[str, Any], Record]] = []
    missing: list[str] = []
    for one in inputs:
        wanted = str(one.get("id"))
        if not one.get("idProperty") and wanted.isdigit() and int(wanted) in store.aliases:
            continue  # a merged-away id is left out without a word
        record = _find_for_update(store, wanted, one.get("idProperty"))
        if record is None:
            missing.append(wanted)
        else:
            found.append((one, record))
    if not traced:
        for one, record in found:
            prepare(api.world, store, one.get("properties"), record)
    by_input = {id(one): record for one, record in found}

    def update(one: dict[str, Any]) -> dict[str, Any]:
        record = store.records[by_input[id(one)].id]
        changes = prepare(api.world, store, one.get("properties"), record)
        changed = api.world.update(store.kind.name, record.id, changes, source=request.source)
        return _wire(store, changed, changes)

    return _with_missing(store, missing, _collect([one for one, _ in found], update), api, 200)


def _collect(
    inputs: list[dict[str, Any]], act: Callable[[dict[str, Any]], dict[str, Any]]
) -> tuple[list[bytes], list[dict[str, Any]]]:
    done: list[bytes] = []
    errors: list[dict[str, Any]] = []
    for one in inputs:
        trace = one.get("objectWriteTraceId")
        try:
            done.append(encode(act(one) | ({"objectWriteTraceId": trace} if trace else {})))
        except ApiError as error:
            errors.append(_batch_error(error, trace))
    return done, errors


def _with_missing(
    store: Store,
    missing: list[str],
    collected: tuple[list[bytes], list[dict[str, Any]]],
    api: Api,
    status: int,
) -> Answer:
    done, errors = collected
    if missing:
        errors.append(missing_error(store, missing))
    return batch_answer(api, status, done[::-1], errors)


def _find_for_update(store: Store, wanted: str, id_property: Any) -> Record | None:
    if id_property and (str(id_property) == "email" or not store.is_unique(str(id_property))):
        raise invalid(f"Unable to perform update/upsert by non-unique {store.kind.type_id} property")
    if not id_property and not wanted.isdigit():
        return None
    return find_record(store, wanted, str(id_property) if id_property else None)


def batch_upsert(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    inputs = request.inputs()
    check_batch(inputs, BATCH_MOST)
    for one in inputs:
        if not store.is_unique(str(one.get("idProperty"))):
            raise invalid(f"Unable to perform update/upsert by non-unique {store.kind.type_id} property")
    if not _traced(inputs):
        _check_all(inputs, lambda one: _upsert_changes(api, store, one))

    def upsert(one: dict[str, Any]) -> dict[str, Any]:
        record, properties = _upsert_changes(api, store, one)
        if record is None:
            made = _create(api, request, store, properties, [])
            return _wire(store, made, made.own) | {"new": True}
        changed = api.world.update(store.kind.name, record.id, properties, source=request.source)
        return _wire(store, changed, properties) | {"new": False}

    return _with_missing(store, [], _collect(inputs, upsert), api, 200)


def _upsert_changes(api: Api, store: Store, one: dict[str, Any]) -> tuple[Record | None, Properties]:
    name, wanted = str(one["idProperty"]), str(one.get("id"))
    found = store.find_by_unique(name, wanted)
    record = None if found is None else store.records[found]
    given = dict(cast("dict[str, Any]", one.get("properties") or {}))
    if record is None:
        given.setdefault(name, wanted)
    return record, prepare(api.world, store, given, record)


def merge(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "write")
    body = request.object()
    ids = [store.resolve(record_id(body.get(key))) for key in ("primaryObjectId", "objectIdToMerge")]
    records = [store.find_living(one) for one in ids]
    for one, record in zip(ids, records, strict=True):
        if record is None:
            raise object_missing(str(one))
    if ids[0] == ids[1]:
        raise invalid("An object cannot be merged with itself")
    if sum(len(record.merged) + 1 for record in records if record) >= _IDENTITIES_MOST:
        raise ApiError(
            414, f"Cannot have more than {_IDENTITIES_MOST} identities on a profile", "VALIDATION_ERROR"
        )
    survivor = api.world.merge(store.kind.name, ids[0], ids[1], source=request.source)
    return json_answer(200, _wire(store, survivor, (*store.kind.defaults, "hs_merged_object_ids")))


def gdpr_delete(api: Api, request: Request) -> Answer:
    store = api.open(request, CONTACT.name, "write")
    body = request.object()
    wanted, id_property = str(body.get("objectId")), body.get("idProperty")
    record = find_record(store, wanted, str(id_property) if id_property else None)
    if record is not None:
        api.world.erase(record.id, source=request.source)
    elif id_property == "email":
        api.world.blocked_emails.add(wanted.strip().lower())
    else:
        raise object_missing(wanted)
    return Answer(204)
