"""Reading an object from end to end, in several ranges of ids where the cursors allow it.

A cursor of v2 is the last id in base64url JSON. That is so today and promised nowhere, so it is tried out
before anything relies on it; where it is not so, one cursor is followed from end to end.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.decode import Records
from syncline.connectors.pipedrive.objects import PAGE, get_place
from syncline.connectors.pipedrive.reading import Lists
from syncline.connectors.reads import SERIAL, Page, Walk
from syncline.errors import CallerMistake, Unavailable

#: Newest records that are looked at, to guess how many there are.
_SAMPLE = 100
#: Records that a range is to have at least: ten pages, of which its end wastes half a one.
_SMALLEST_RANGE = 10 * PAGE
#: With fewer records one cursor is as good.
_WORTH_RANGES = 8_000

_encode = msgspec.json.Encoder().encode


async def plan_walk(api: Api, object_name: str) -> Walk:
    """Find the way to read an object: two calls at most, 20 tokens. See `base.Connector.plan_walk`."""
    if get_place(object_name).version == 1:
        return SERIAL
    lists = Lists(api, object_name)
    newest, cursor, answer = await lists.page("", {"sort_direction": "desc"}, limit=_SAMPLE)
    ids = list_ids(answer.data)
    if cursor is None:
        return Walk("serial", min(ids, default=0), max(ids, default=0), len(newest.records))
    if len(ids) < 2 or ids != sorted(ids, reverse=True):
        return SERIAL
    last = ids[0]
    # Of activities and tasks, which are one list there, only a share is of this object.
    total = last * len(newest.records) // (last - ids[-1] + 1)
    if total < _WORTH_RANGES or not _is_of_known_form(cursor):
        return Walk("serial", 1, last, None)
    try:
        _, _, near = await lists.page(make_cursor(ids[1]), limit=_SAMPLE)
    except CallerMistake:
        return Walk("serial", 1, last, None)
    if list_ids(near.data)[:1] != [last]:
        return Walk("serial", 1, last, None)
    return Walk("list", 1, last, total, smallest_range=_SMALLEST_RANGE)


def find_bounds(walk: Walk, parts: int) -> Iterator[int]:
    """Yield ids that cut the object into equal spans, whole pages wide where no id is missing. No call."""
    if walk.kind != "list" or parts < 2:
        return
    pages = -(-walk.last // (PAGE * parts))
    for part in range(1, parts):
        bound = part * pages * PAGE
        if bound >= walk.last:
            return
        yield bound


async def walk_page(api: Api, object_name: str, walk: Walk, after: str, until: str) -> Page:
    """Read the next page of a walk. See `base.Connector.walk_page`."""
    began_ms = to_ms(now())
    found, following = await _next(api, object_name, walk, after, until)
    return Page(found.records, began_ms, following, None, found.unreadable)


async def walk_ids(
    api: Api, object_name: str, walk: Walk, after: str, until: str
) -> tuple[list[str], str | None]:
    """Read the next page of a walk, for its ids only: lists tell nothing less than whole records."""
    found, following = await _next(api, object_name, walk, after, until)
    living = [each.remote_id for each in found.records if each.archived_ms is None]
    return [*living, *(each[0] for each in found.unreadable if each[0])], following


async def _next(api: Api, object_name: str, walk: Walk, after: str, until: str) -> tuple[Records, str | None]:
    lists = Lists(api, object_name)
    if walk.kind == "serial":
        found, following, _ = await lists.page(after)
        return found, following
    above = int(after or 0)
    found, cursor, answer = await lists.page(make_cursor(above) if above > 0 else "")
    highest = max(list_ids(answer.data), default=0)
    if cursor is None:
        following = None
    elif highest <= above:
        raise Unavailable("Pipedrive's list repeats its page; it was left so as not to run in a circle.")
    else:
        following = None if until and highest >= int(until) else str(highest)
    records = [each for each in found.records if _is_within(each.remote_id, above, until)]
    unreadable = [each for each in found.unreadable if _is_within(each[0], above, until)]
    return Records(records, unreadable), following


def make_cursor(after_id: int) -> str:
    """Write the cursor that goes on after an id."""
    text = _encode({"field": "id", "fieldValue": after_id, "sortDirection": "asc", "id": after_id})
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _is_of_known_form(cursor: str) -> bool:
    try:
        decoded: Any = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return False
    if not isinstance(decoded, dict):
        return False
    found = cast("dict[str, Any]", decoded)
    return found.keys() == {"field", "fieldValue", "sortDirection", "id"} and found["field"] == "id"


def list_ids(data: Any) -> list[int]:
    """Return the ids of a page, also of rows that belong to another of our objects."""
    rows = cast("list[Any]", data) if isinstance(data, list) else []
    ids = (cast("dict[str, Any]", each).get("id") for each in rows if isinstance(each, dict))
    return [each for each in ids if isinstance(each, int)]


def _is_within(remote_id: str, above: int, until: str) -> bool:
    if not remote_id.isdigit():
        return True  # no id of Pipedrive's; better read twice than not at all
    return above < int(remote_id) and (not until or int(remote_id) <= int(until))
