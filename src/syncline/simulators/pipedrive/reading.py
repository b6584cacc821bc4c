"""Handlers that read records by API v2: lists, and one by its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.account import KEPT_DAYS
from syncline.simulators.pipedrive.answers import Query, Request, invalid, missing, one, page, record_id
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.company import Pipeline, Stage
from syncline.simulators.pipedrive.paging import Order, Selection, Test, read_cursor, select, write_cursor
from syncline.simulators.pipedrive.store import Plan, Record, Store
from syncline.simulators.times import DAY_MS

IDS_MOST, CUSTOM_FIELDS_MOST = 100, 15
_SORTINGS = ("id", "update_time", "add_time")
#: Kind → filters by equality that its list has, all of them numbers but `lead_id`.
_FILTERS = {
    "persons": ("owner_id", "org_id"),
    "organizations": ("owner_id",),
    "deals": ("owner_id", "person_id", "org_id", "pipeline_id", "stage_id"),
    "activities": ("owner_id", "deal_id", "person_id", "org_id"),
}
_STATUSES = ("open", "won", "lost", "deleted")


def lister(name: str, *, archived: bool = False) -> Callable[[Api, Request], Answer]:
    """Return the handler of a list."""

    def handle(api: Api, request: Request) -> Answer:
        store, query = api.store(name), request.query
        sortings = (*_SORTINGS, "due_date") if name == "activities" else _SORTINGS
        field = query.choice("sort_by", sortings)
        descending = query.choice("sort_direction", ("asc", "desc")) == "desc"
        sections, test = _narrow(api, name, query, archived=archived)
        wanted = Selection(
            sections, Order(field, descending), query.limit(), query.get("cursor") or None,
            query.moment("updated_since"), query.moment("updated_until"), test,
        )  # fmt: skip
        records, cursor = select(store, wanted)
        rows = _write(api, store, records, query)
        return page(rows, cursor, omit_cursor=api.world.settings.omits_last_cursor)

    return handle


def getter(name: str) -> Callable[[Api, Request], Answer]:
    """Return the handler of one record."""

    def handle(api: Api, request: Request) -> Answer:
        record = api.get(name, request.params[0])
        row = _write(api, api.store(name), [record], request.query)[0]
        return Answer(200, b'{"success":true,"data":' + row + b"}")

    return handle


def _narrow(api: Api, name: str, query: Query, *, archived: bool) -> tuple[Sequence[str], Test | None]:
    """Return the sections that are listed and the test of their records. Raises `ApiError`."""
    tests: list[Test] = []
    sections: list[str] = ["archived" if archived else "living"]
    ids = query.list("ids")
    if len(ids) > IDS_MOST:
        raise invalid(f"ids: at most {IDS_MOST} are allowed")
    if ids:
        if not all(each.isascii() and each.isdigit() for each in ids):
            raise invalid("ids: expected numbers")
        wanted = frozenset(map(int, ids))
        tests.append(lambda record: record.id in wanted)
    for key in _FILTERS[name]:
        number = query.number(key)
        if number is not None:
            tests.append(_equals(key, number))
    if name == "deals":
        sections = _sections_of(query, sections, tests)
    if name == "persons" and (deal_id := query.number("deal_id")) is not None:
        deal = api.world.stores["deals"].records.get(deal_id)
        tests.append(_equals("id", deal.get("person_id") if deal else None))
    if name == "activities":
        if query.get("lead_id"):
            tests.append(_equals("lead_id", query.get("lead_id")))
        if query.get("done") is not None:
            tests.append(_equals("done", query.flag("done")))
    if "deleted" in sections:
        oldest = api.world.now_ms() - KEPT_DAYS * DAY_MS
        tests.append(lambda record: record.deleted_ms is None or record.deleted_ms > oldest)
    if not tests:
        return sections, None
    return sections, tests[0] if len(tests) == 1 else lambda record: all(test(record) for test in tests)


def _sections_of(query: Query, sections: list[str], tests: list[Test]) -> list[str]:
    """Add the test of the statuses asked for; deleted deals are listed only by theirs."""
    statuses = frozenset(query.list("status"))
    if not statuses:
        return sections
    if not statuses <= set(_STATUSES):
        raise invalid(f"status: expected some of {', '.join(_STATUSES)}")
    tests.append(
        lambda record: (
            record.values["status"] in statuses if record.deleted_ms is None else "deleted" in statuses
        )
    )
    found = sections if statuses - {"deleted"} else []
    return [*found, "deleted"] if "deleted" in statuses else found


def _equals(key: str, wanted: Any) -> Test:
    if key == "id":
        return lambda record: record.id == wanted
    return lambda record: record.values.get(key) == wanted


def read_plan(store: Store, query: Query) -> Plan:
    """Return how records are to be written. Raises `ApiError`."""
    codes = query.list("custom_fields") or None
    if codes is not None and len(codes) > CUSTOM_FIELDS_MOST:
        raise invalid(f"custom_fields: at most {CUSTOM_FIELDS_MOST} keys are allowed")
    return store.plan(
        codes, option_labels=query.flag("include_option_labels"), labels=query.flag("include_labels")
    )


def _write(api: Api, store: Store, records: Sequence[Record], query: Query) -> list[bytes]:
    plan = read_plan(store, query)
    extras = query.list("include_fields")
    if not extras:
        return [store.write(plan, record) for record in records]
    unknown = [name for name in extras if name not in _EXTRAS[store.kind.name]]
    if unknown:
        raise invalid(f"include_fields: {', '.join(unknown)} cannot be included")
    if extras == ["attendees"]:
        return [
            encode(store.wire(each, plan) | {"attendees": each.get("attendees") or []}) for each in records
        ]
    counts = _count(api, store.kind.name, extras)
    return [
        encode(store.wire(each, plan) | {name: count.get(each.id, 0) for name, count in counts.items()})
        for each in records
    ]


_COMMON = ("activities_count", "done_activities_count", "undone_activities_count", "notes_count")
_DEALS = ("open_deals_count", "closed_deals_count", "won_deals_count", "lost_deals_count")
_EXTRAS: dict[str, tuple[str, ...]] = {
    "persons": (*_COMMON, *_DEALS),
    "organizations": (*_COMMON, *_DEALS, "people_count"),
    "deals": _COMMON,
    "activities": ("attendees",),
}
_LINKS = {"persons": "person_id", "organizations": "org_id", "deals": "deal_id"}


def _count(api: Api, name: str, extras: Sequence[str]) -> dict[str, Counter[int]]:
    link = _LINKS[name]

    def counted(other: str, test: Callable[[Record], bool]) -> Counter[int]:
        store = api.world.stores[other]
        records = (store.records[each] for each in store.living)
        return Counter(each.values[link] for each in records if each.values.get(link) and test(each))

    tests: dict[str, tuple[str, Callable[[Record], bool]]] = {
        "activities_count": ("activities", lambda _: True),
        "done_activities_count": ("activities", lambda each: bool(each.values["done"])),
        "undone_activities_count": ("activities", lambda each: not each.values["done"]),
        "notes_count": ("notes", lambda _: True),
        "people_count": ("persons", lambda _: True),
        "open_deals_count": ("deals", lambda each: each.values["status"] == "open"),
        "closed_deals_count": ("deals", lambda each: each.values["status"] != "open"),
        "won_deals_count": ("deals", lambda each: each.values["status"] == "won"),
        "lost_deals_count": ("deals", lambda each: each.values["status"] == "lost"),
    }
    return {name: counted(*tests[name]) for name in extras}


def list_pipelines(api: Api, request: Request) -> Answer:
    found = [each.wire() for each in api.world.pipelines if not each.deleted]
    return _page_of(api, found, request.query, ("id", "update_time", "add_time"))


def list_stages(api: Api, request: Request) -> Answer:
    pipeline_id = request.query.number("pipeline_id")
    found = [
        each.wire()
        for each in api.world.stages
        if not each.deleted and pipeline_id in (None, each.pipeline_id)
    ]
    return _page_of(api, found, request.query, ("id", "update_time", "add_time", "order_nr"))


def _page_of(api: Api, found: list[dict[str, Any]], query: Query, sortings: Sequence[str]) -> Answer:
    field = query.choice("sort_by", sortings)
    descending = query.choice("sort_direction", ("asc", "desc")) == "desc"
    found.sort(key=lambda each: (each[field], each["id"]), reverse=descending)
    return place_page(api, found, query)


def place_page(api: Api, found: Sequence[dict[str, Any]], query: Query, most: int = 500) -> Answer:
    """Return a page of a short list, whose cursor is a place in it. Raises `ApiError`."""
    start, limit = read_place(query.get("cursor")), query.limit(most)
    end = start + limit
    cursor = place_cursor(end) if end < len(found) else None
    rows = [encode(each) for each in found[start:end]]
    return page(rows, cursor, omit_cursor=api.world.settings.omits_last_cursor)


def read_place(cursor: str | None) -> int:
    """Raises `ApiError`."""
    if not cursor:
        return 0
    return read_cursor(cursor)["id"]


def place_cursor(place: int) -> str:
    return write_cursor(Order("place"), place, place)


def get_pipeline(api: Api, request: Request) -> Answer:
    return one(pipeline_of(api, request).wire())


def get_stage(api: Api, request: Request) -> Answer:
    return one(stage_of(api, request).wire())


def pipeline_of(api: Api, request: Request) -> Pipeline:
    """Return the pipeline of a path. Raises `ApiError` 404."""
    wanted = record_id(request.params[0])
    found = next((each for each in api.world.pipelines if each.pipeline_id == wanted), None)
    if found is None:
        raise missing("Pipeline")
    return found


def stage_of(api: Api, request: Request) -> Stage:
    """Return the stage of a path. Raises `ApiError` 404."""
    wanted = record_id(request.params[0])
    found = next((each for each in api.world.stages if each.stage_id == wanted), None)
    if found is None:
        raise missing("Stage")
    return found
