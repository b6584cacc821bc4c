"""Which records a page of API v2 holds, and the cursor to the next. Knows no HTTP."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.simulators.pipedrive.answers import invalid
from syncline.simulators.pipedrive.store import Record, Store, updated_key

Test = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted: by "id", "update_time", "add_time" or "due_date"."""

    field: str = "id"
    descending: bool = False

    def key(self, record: Record) -> Any:
        if self.field == "update_time":
            return updated_key(record)
        if self.field == "add_time":
            return record.add_ms
        return record.values.get("due_date") or "" if self.field == "due_date" else record.id


def write_cursor(order: Order, key: Any, record_id: int) -> str:
    """Return where the next page begins, as clients may not read it."""
    direction = "desc" if order.descending else "asc"
    told = {"field": order.field, "fieldValue": key, "sortDirection": direction, "id": record_id}
    return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str) -> dict[str, Any]:
    """Raises `ApiError` for what no page has named."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return {"field": found["field"], "fieldValue": found["fieldValue"], "id": int(found["id"]),
                "sortDirection": found["sortDirection"]}  # fmt: skip
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise invalid("cursor: invalid cursor") from None


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list asks for."""

    sections: Sequence[str]
    order: Order
    limit: int
    cursor: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    test: Test | None = None


def select(store: Store, wanted: Selection) -> tuple[list[Record], str | None]:
    """Return a page of records and the cursor of the next, None at the end. Raises `ApiError`."""
    ids = _ordered_ids(store, wanted)
    start = 0
    if wanted.cursor is not None:
        found = read_cursor(wanted.cursor)
        start = _place_after(store, ids, wanted.order, found)
    page: list[Record] = []
    records, test = store.records, wanted.test
    for place in range(start, len(ids)):
        record = records[ids[place]]
        if test is not None and not test(record):
            continue
        if len(page) == wanted.limit:
            last = page[-1]
            return page, write_cursor(wanted.order, wanted.order.key(last), last.id)
        page.append(record)
    return page, None


def _ordered_ids(store: Store, wanted: Selection) -> Sequence[int]:
    parts = [store.sections[name] for name in wanted.sections]
    order = wanted.order
    if wanted.since_ms is not None or wanted.until_ms is not None:
        ids = [i for part in parts for i in part.list_between(wanted.since_ms, wanted.until_ms)]
    elif len(parts) == 1 and not order.descending and order.field == "id":
        return parts[0].ids
    elif len(parts) == 1 and not order.descending and order.field in ("update_time", "add_time"):
        times = parts[0].by_updated if order.field == "update_time" else parts[0].by_added
        return [record_id for _, record_id in times]
    else:
        ids = [i for part in parts for i in part.ids]
    records = store.records
    return sorted(ids, key=lambda i: (order.key(records[i]), i), reverse=order.descending)


def _place_after(store: Store, ids: Sequence[int], order: Order, cursor: dict[str, Any]) -> int:
    """Return the place of the first record behind the cursor's, wherever that one is by now."""
    if cursor["field"] != order.field or cursor["sortDirection"] != ("desc" if order.descending else "asc"):
        raise invalid("cursor: does not belong to this sorting")
    if order.field == "id" and not order.descending:
        return bisect_right(ids, cursor["id"])
    mark = (cursor["fieldValue"], cursor["id"])
    keys = [(order.key(store.records[i]), i) for i in ids]
    try:
        if order.descending:
            keys.reverse()
            return len(keys) - bisect_left(keys, mark)
        return bisect_right(keys, mark)
    except TypeError:
        raise invalid("cursor: invalid cursor") from None
