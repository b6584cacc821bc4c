"""Handlers of what was before: the change logs of records, by API v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline.simulators.answers import Answer
from syncline.simulators.pipedrive import legacy
from syncline.simulators.pipedrive.account import Change
from syncline.simulators.pipedrive.answers import Request
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.reading import place_page
from syncline.simulators.times import DAY_MS, time_ms


def changelog(name: str) -> Callable[[Api, Request], Answer]:
    """Return the handler of a record's change log, the latest first, with cursors."""

    def handle(api: Api, request: Request) -> Answer:
        record = api.get(name, request.params[0])
        return place_page(
            api, [legacy.change(each) for each in _changes(api, name, record.id)], request.query
        )

    return handle


def deal_flow(api: Api, request: Request) -> Answer:
    """Return what happened to a deal, as far as its fields go; by `start` and `limit`."""
    record = api.get("deals", request.params[0])
    found = [
        {"object": "dealChange", "timestamp": legacy.plain(each.at_ms), "data": _flow(record.id, each)}
        for each in _changes(api, "deals", record.id)
    ]
    return legacy.page(found, request.query)


def _changes(api: Api, name: str, record_id: int) -> list[Change]:
    return list(reversed(api.world.history.get((name, record_id), [])))


def _flow(deal_id: int, made: Change) -> dict[str, Any]:
    told = legacy.change(made)
    return {
        "item_id": deal_id, "user_id": told["actor_user_id"], "field_key": told["field_key"],
        "old_value": told["old_value"], "new_value": told["new_value"], "log_time": told["time"],
        "change_source": told["change_source"], "is_bulk_update_flag": None,
    }  # fmt: skip


def recents(api: Api, request: Request) -> Answer:
    """Return what changed within the last month, with the gaps that this call has."""
    query, account = request.query, api.world
    since = (query.get("since_timestamp") or "").replace(" ", "T")
    month_ago = account.now_ms() - 31 * DAY_MS
    since_ms = max(time_ms(f"{since}Z") or 0, month_ago)
    wanted = query.list("items") or [store.kind.entity for store in account.stores.values()]
    found: list[tuple[int, dict[str, Any]]] = []
    for store in account.stores.values():
        if store.kind.entity not in wanted:
            continue
        for record in store.records.values():
            # What has no time of change is never recent.
            if record.update_ms is not None and record.update_ms >= since_ms:
                data = None if record.deleted_ms is not None else store.wire(record)
                told = {"item": store.kind.entity, "id": record.values.get("uuid") or record.id, "data": data}
                found.append((record.update_ms, told))
    found.sort(key=lambda each: each[0])
    return legacy.page([told for _, told in found], query)
