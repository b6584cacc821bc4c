"""Reading an object from end to end: finds out by probing how, then page by page.

That the list's cursor is a record id is true of HubSpot as it is today and nowhere promised, so it is
tried out before anything relies on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import Records
from syncline.connectors.hubspot.reading import (
    OWNERS,
    Asked,
    ask,
    guard_progress,
    list_ids,
    list_records,
)
from syncline.connectors.hubspot.search import ID, id_page, search, search_ids
from syncline.connectors.reads import SERIAL, Page, Walk
from syncline.errors import CallerMistake, Unavailable

_PROBE = 10
#: HubSpot's search counts no further (search guide, read 2026-04).
_DEEPEST = 10_000


async def plan_walk(api: Api, object_name: str) -> Walk:
    """Find the way to read an object in ranges: at most four calls. See `base.Connector.plan_walk`."""
    if object_name == OWNERS:
        return SERIAL
    start = await list_ids(api, object_name, "")
    ids = _ids(start)
    if start.after is None:
        return Walk("serial", min(ids, default=0), max(ids, default=0), len(start.records))
    try:
        top = (await search(api, ask(object_name, ()), (), ID, descending=True, limit=_PROBE)).found
    except CallerMistake:
        return SERIAL  # Not every object can be searched.
    last = max(_ids(top), default=0)
    first = min(ids, default=0)
    if last < max(ids, default=0):
        # The index lags, or does not sort by id: its ids tell nothing.
        return Walk("serial", first, max(ids, default=0), top.total)
    inclusive = await _probe_cursor(api, object_name, start, ids, last)
    if inclusive is None:
        return Walk("search", first, last, top.total)
    return Walk("list", first, last, top.total, inclusive)


async def find_bounds(api: Api, object_name: str, walk: Walk, parts: int) -> AsyncIterator[int]:
    """Count off equal parts by search. See `base.Connector.find_bounds`."""
    step = (walk.total or 0) // parts
    if walk.kind == "serial" or not 0 < step <= _DEEPEST:
        return
    above = 0
    for _ in range(parts - 1):
        asked = ask(object_name, ())
        ids = _ids((await search(api, asked, [(ID, "GT", str(above))], ID, limit=1, skip=step - 1)).found)
        if not ids or ids[0] <= above:
            return  # fewer than the total said, or an index that does not sort
        above = ids[0]
        yield above


async def _probe_cursor(api: Api, object_name: str, start: Records, ids: list[int], last: int) -> bool | None:
    """Tell whether the list's cursor is a record id, and one that is delivered too; None if it is no id."""
    cursor = start.after or ""
    if len(ids) < 2 or not _ascends(ids) or not cursor.isdigit() or int(cursor) < ids[-1]:
        return None
    try:
        near = _ids(await list_ids(api, object_name, str(ids[-2]), limit=_PROBE))
        middle = (ids[-1] + last) // 2
        far = _ids(await list_ids(api, object_name, str(middle), limit=_PROBE))
    except CallerMistake:
        return None
    # A record of the first page may be archived meanwhile; then this account is read by search.
    inclusive = near[:2] == ids[-2:]
    if not inclusive and near[:1] != ids[-1:]:
        return None
    plausible = _ascends(near) and _ascends(far) and all(each >= middle for each in far)
    return inclusive if plausible and (far or middle >= last) else None


async def walk_page(api: Api, asked: Asked, walk: Walk, after: str, until: str) -> Page:
    """Read the next page of a walk. See `base.Connector.walk_page`."""
    if walk.kind == "serial":
        listed, full, began_ms = await list_records(api, asked, after)
        guard_progress(after, listed.after)
        return Page(full.records, began_ms, listed.after, None, full.unreadable)
    above = int(after or 0)
    if walk.kind == "search":
        hits, full = await id_page(api, asked, above, until)
        return Page(full.records, hits.began_ms, _following(hits.found, above, until), None, full.unreadable)
    listed, full, began_ms = await list_records(api, asked, _cursor(walk, above))
    records = [each for each in full.records if _is_within(each.remote_id, above, until)]
    return Page(records, began_ms, _following(listed, above, until), None, full.unreadable)


async def walk_ids(
    api: Api, object_name: str, walk: Walk, after: str, until: str
) -> tuple[list[str], str | None]:
    """Read the next page of a walk with nothing but ids. See `base.Connector.list_ids`."""
    if walk.kind == "serial":
        found = await list_ids(api, object_name, after)
        guard_progress(after, found.after)
        return [each for each in found.list_ids() if each], found.after
    above = int(after or 0)
    if walk.kind == "search":
        found = (await search_ids(api, object_name, above, until)).found
    else:
        found = await list_ids(api, object_name, _cursor(walk, above))
    ids = [each for each in found.list_ids() if _is_within(each, above, until)]
    return ids, _following(found, above, until)


def _cursor(walk: Walk, above: int) -> str:
    """Return the cursor that begins just after an id. Below the first record none is needed."""
    if above <= 0:
        return ""
    return str(above + 1 if walk.inclusive else above)


def _following(found: Records, above: int, until: str) -> str | None:
    """Return the id to go on from: the highest so far, never HubSpot's cursor, which may be one too far."""
    if found.after is None:
        return None
    highest = found.highest_id()
    if highest <= above:
        raise Unavailable("HubSpot's list repeats its cursor; it was left so as not to run in a circle.")
    return None if until and highest >= int(until) else str(highest)


def _is_within(remote_id: str, above: int, until: str) -> bool:
    if not remote_id.isdigit():
        return True  # No id of HubSpot's; better read twice than not at all.
    number = int(remote_id)
    return above < number and (not until or number <= int(until))


def _ids(found: Records) -> list[int]:
    return [int(each) for each in found.list_ids() if each.isascii() and each.isdigit()]


def _ascends(ids: list[int]) -> bool:
    return all(lower < higher for lower, higher in pairwise(ids))
