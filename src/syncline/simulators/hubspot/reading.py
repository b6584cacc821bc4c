"""Handlers that read records: list, get, batch read, search. Change nothing."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from syncline.simulators.answers import Answer, encode, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request, invalid, object_missing, resource_missing
from syncline.simulators.hubspot.api import Api, record_id
from syncline.simulators.hubspot.search import QUERY_MOST, RESULTS_MOST
from syncline.simulators.hubspot.store import Record, Store
from syncline.simulators.hubspot.values import iso

PAGE_MOST, PAGE_MOST_WITH_HISTORY, SEARCH_PAGE_MOST, BATCH_MOST = 100, 50, 200, 100
_OPAQUE = b"cursor:"


def list_records(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "read")
    query = request.query
    history = query.list("propertiesWithHistory")
    limit = _limit(query.number("limit", 10), PAGE_MOST_WITH_HISTORY if history else PAGE_MOST)
    ids = store.archived if query.flag("archived") else store.living
    start = bisect_left(ids, _read_cursor(api, query.get("after")))
    chosen = ids[start : start + limit]
    associations = query.list("associations")
    if history or associations:
        plan = store.plan(query.joined("properties"))
        written = [
            encode(plan.wire(record) | _extras(api, store, record, history, associations))
            for record in map(store.records.__getitem__, chosen)
        ]
    else:
        plan = store.plan(query.joined("properties"))
        written = store.write_living(plan, chosen)
    more = start + limit < len(ids)
    after = _write_cursor(api, chosen[-1] + 1) if more else None
    link = f"{request.base_url}{request.path}?limit={limit}&after={after}"
    return Answer(200, page(written, after, link))


def page(written: list[bytes], after: str | None, link: str | None = None, head: bytes = b"") -> bytes:
    """Join records that are JSON already into one page."""
    tail = b"]}"
    if after is not None:
        following = {"after": after} | ({"link": link} if link else {})
        tail = b'],"paging":' + encode({"next": following}) + b"}"
    start = b'{%s"results":[' % head
    if not written:
        return start + tail
    # Joined in one go: a page is a quarter of a megabyte, and copying it twice would show.
    ends = [start + written[0], *written[1:]]
    ends[-1] += tail
    return b",".join(ends)


def _read_cursor(api: Api, after: str | None) -> int:
    if not after:
        return 0
    if api.world.settings.opaque_after:
        try:
            after = base64.urlsafe_b64decode(after).removeprefix(_OPAQUE).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise invalid("Invalid paging cursor") from None
    if not after.isascii() or not after.isdigit():
        raise ApiError(
            400, f'Cannot deserialize value of type `long` from String "{after}": not a valid value'
        )
    return int(after)


def _write_cursor(api: Api, following: int) -> str:
    if api.world.settings.opaque_after:
        return base64.urlsafe_b64encode(_OPAQUE + str(following).encode()).decode()
    return str(following)


def _limit(asked: int, most: int) -> int:
    if not 1 <= asked <= most:
        raise invalid(f"limit must be between 1 and {most}, it was {asked}")
    return asked


def _extras(
    api: Api, store: Store, record: Record, history: Sequence[str], associations: Sequence[str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if history:
        found["propertiesWithHistory"] = history_of(store, record, history)
    if associations:
        linked = inline_associations(api, store, record, associations)
        if linked:
            found["associations"] = linked
    return found


def history_of(store: Store, record: Record, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return former values, newest first, of the properties that exist."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        if name not in store.definitions:
            continue
        entries = (record.history or {}).get(name)
        value = record.get(name)
        if entries is None:
            entries = () if value is None else ((value, record.created_ms, "IMPORT", "populated"),)
        found[name] = [
            {"value": value, "timestamp": iso(ms), "sourceType": kind, "sourceId": source}
            for value, ms, kind, source in entries
        ]
    return found


def inline_associations(api: Api, store: Store, record: Record, names: Iterable[str]) -> dict[str, Any]:
    """Return a record's associations as lists and single reads carry them, by the other type's name."""
    world, found = api.world, dict[str, Any]()
    source, most = store.kind.type_id, world.settings.association_page
    for name in names:
        other = api.kind(name)
        linked = world.graph.targets(source, record.id, other.type_id)
        there = world.stores[other.type_id]
        living = [to_id for to_id in sorted(linked) if there.find_living(to_id)]
        if not living:
            continue
        results = [{"id": str(i), "type": kind.name} for i in living[:most] for kind in linked[i]]
        found[other.name] = {"results": results}
        if len(living) > most:
            found[other.name]["paging"] = {"next": {"after": str(living[most])}}
    return found


def get_record(api: Api, request: Request) -> Answer:
    name, wanted = request.params
    store = api.open(request, name, "read")
    query = request.query
    record = find_record(store, wanted, query.get("idProperty"), archived=query.flag("archived"))
    if record is None:
        raise resource_missing() if wanted.isdigit() else object_missing(wanted)
    plan = store.plan(query.joined("properties"))
    extras = _extras(api, store, record, query.list("propertiesWithHistory"), query.list("associations"))
    return json_answer(200, plan.wire(record) | extras)


def find_record(
    store: Store, wanted: str, id_property: str | None, *, archived: bool = False
) -> Record | None:
    """Return a record by id (also one merged away) or by a unique property. Raises `ApiError`."""
    if id_property and id_property != "hs_object_id":
        if not store.is_unique(id_property):
            raise invalid(f"Property {id_property} is not a unique property of {store.kind.name}")
        found = store.find_by_unique(id_property, wanted)
        return None if found is None else store.records[found]
    record = store.records.get(store.resolve(record_id(wanted)))
    return record if record is not None and (record.archived_ms is not None) == archived else None


def batch_read(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "read")
    body, inputs = request.object(), request.inputs()
    history = _names(body, "propertiesWithHistory")
    check_batch(inputs, PAGE_MOST_WITH_HISTORY if history else BATCH_MOST)
    archived = request.query.flag("archived")
    id_property = body.get("idProperty")
    found: dict[int, Record] = {}
    missing: list[str] = []
    for one in inputs:
        wanted = str(one.get("id"))
        if (
            not id_property
            and not api.world.settings.batch_read_resolves_merged
            and _is_merged(store, wanted)
        ):
            continue
        record = (
            find_record(store, wanted, id_property, archived=archived)
            if id_property or wanted.isdigit()
            else None
        )
        if record is None:
            missing.append(wanted)
        else:
            found[record.id] = record
    plan = store.plan(_names(body, "properties"))
    # Not in the order of the inputs, as with the real one; nor by id, which often is that order.
    records = [found[i] for i in sorted(found, key=lambda i: str(i)[::-1])]
    if history:
        written = [
            encode(plan.wire(r) | {"propertiesWithHistory": history_of(store, r, history)}) for r in records
        ]
    else:
        written = [store.write(plan, record) for record in records]
    errors = [missing_error(store, missing)] if missing else []
    return batch_answer(api, 200, written, errors)


def _is_merged(store: Store, wanted: str) -> bool:
    return wanted.isdigit() and int(wanted) in store.aliases


def _names(body: dict[str, Any], key: str) -> list[str]:
    found = body.get(key)
    return [str(name) for name in found] if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def check_batch(inputs: Sequence[dict[str, Any]], most: int, *, key: str = "id") -> None:
    """Hold a batch to its size and to distinct ids. Raises `ApiError`."""
    if len(inputs) > most:
        raise invalid(f"The maximum number of inputs is {most}, there were {len(inputs)}")
    counted = Counter(str(one[key]) for one in inputs if key in one)
    twice = sorted(one for one, times in counted.items() if times > 1)
    if twice:
        raise invalid(
            f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique",
            context={"ids": twice},
        )


def missing_error(store: Store, ids: Sequence[str]) -> dict[str, Any]:
    """Return the error of a batch for ids that are not there."""
    return ApiError(
        404,
        f"Could not get some {store.kind.singular.upper()} objects, they may be deleted or not exist. "
        "Check that ids are valid.",
        "OBJECT_NOT_FOUND",
        context={"ids": list(ids)},
    ).envelope()


def batch_answer(
    api: Api, status: int, written: Sequence[bytes], errors: Sequence[dict[str, Any]] = ()
) -> Answer:
    """Return a batch's answer: 207 as soon as there are errors."""
    moment = iso(api.world.now_ms()).encode()
    head = b'"status":"COMPLETE",'
    tail = b""
    if errors:
        tail = b'"numErrors":%d,"errors":%s,' % (len(errors), encode(list(errors)))
    body = b"".join(
        (b"{", head, b'"results":[', b",".join(written), b"],", tail,
         b'"startedAt":"', moment, b'","completedAt":"', moment, b'"}')
    )  # fmt: skip
    return Answer(207 if errors else status, body)


def search(api: Api, request: Request) -> Answer:
    store = api.open(request, request.params[0], "read")
    body = request.object()
    _check_search(api, request, body)
    limit = body.get("limit") or 10
    offset = _offset(body.get("after"))
    if not isinstance(limit, int) or limit > SEARCH_PAGE_MOST or limit < 1:
        raise invalid(f"limit must be between 1 and {SEARCH_PAGE_MOST}")
    if offset + limit > RESULTS_MOST:
        raise invalid(f"The search cannot page beyond {RESULTS_MOST} results")
    found = api.searcher(store.kind).find(body)
    plan = store.plan(_names(body, "properties"))
    written = [store.write(plan, record) for record in found[offset : offset + limit]]
    after = str(offset + limit) if offset + limit < len(found) else None
    return Answer(200, page(written, after, head=b'"total":%d,' % len(found)))


def _check_search(api: Api, request: Request, body: dict[str, Any]) -> None:
    counted = {key: body.get(key) for key in ("filterGroups", "filters", "query", "sorts")}
    size = len(request.body) if api.world.settings.strict_search_body else len(encode(counted))
    if size > QUERY_MOST or len(str(body.get("query") or "")) > QUERY_MOST:
        raise invalid(f"The request body may have at most {QUERY_MOST} characters")


def _offset(after: Any) -> int:
    if after is None or after == "":
        return 0
    try:
        return int(after)
    except (TypeError, ValueError):
        raise ApiError(
            400, f'Invalid input JSON: Cannot deserialize value of type `int` from String "{after}"'
        ) from None
