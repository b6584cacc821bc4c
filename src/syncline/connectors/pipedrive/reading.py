"""Pipedrive's records by list and by id. Knows nothing of walking in ranges, and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, cast

from syncline.clock import from_ms, now, to_ms
from syncline.connectors.pipedrive.api import Answer, Api
from syncline.connectors.pipedrive.decode import Records, read_records
from syncline.connectors.pipedrive.fields import add_labels, list_fields
from syncline.connectors.pipedrive.objects import DEALS, IDS, PAGE, USERS, get_place
from syncline.connectors.reads import Page
from syncline.connectors.transport import Response
from syncline.errors import Invalid, NotFound, Unavailable

#: Up to so many ids are read one by one, at one token each, where a list costs ten.
_SINGLES = 5
_AT_ONCE = 5
_ARCHIVED_DEALS = "/api/v2/deals/archived"
_ARCHIVED_COST = 20
#: Where the two lists of deals that are no longer alive begin.
_ARCHIVED, _DELETED = "archived", "deleted"
#: After a long absence changes are read piece by piece, in windows of a week or, of many, longer ones.
_WINDOW_MS = 7 * 86_400_000
_MOST_WINDOWS = 20
_NO_CURSOR = "Pipedrive's list repeats its cursor; it was left so as not to run in a circle."


class Lists:
    """Reads one object's lists; what comes without the labels of options is completed."""

    def __init__(self, api: Api, object_name: str) -> None:
        self._api = api
        self._name = object_name
        self._place = get_place(object_name)
        self._complete: Callable[[dict[str, Any]], None] | None = None

    async def page(
        self, cursor: str, filters: Mapping[str, str] | None = None, *, limit: int = PAGE
    ) -> tuple[Records, str | None, Answer]:
        """Read one page of living records by Pipedrive's own cursor ("" begins), in the order of ids."""
        if self._place.version == 1:
            return await self._page_by_number(cursor, filters or {})
        query = {"limit": str(limit), "sort_by": "id", "sort_direction": "asc"} | self._labels()
        query |= dict(filters or {})
        answer = await self._list(self._place.path, query, cursor, self._place.list_cost)
        return read_records(self._name, answer), self._following(answer, cursor), answer

    async def archived(
        self, cursor: str, filters: Mapping[str, str] | None = None
    ) -> tuple[Records, str | None]:
        """Read one page of deals that were archived or deleted; "" begins. Deleted ones show for 30 days."""
        which, _, at = cursor.partition(":") if cursor else (_ARCHIVED, "", "")
        query = {"limit": str(PAGE), "sort_by": "id", "sort_direction": "asc"} | dict(filters or {})
        if which == _ARCHIVED:
            answer = await self._list(_ARCHIVED_DEALS, query, at, _ARCHIVED_COST)
            found = read_records(self._name, answer, await self._completing(answer))
            following = self._following(answer, at)
            return found, f"{_DELETED}:" if following is None else f"{_ARCHIVED}:{following}"
        query |= {"status": "deleted"} | self._labels()
        answer = await self._list(self._place.path, query, at, self._place.list_cost)
        following = self._following(answer, at)
        return read_records(self._name, answer), None if following is None else f"{_DELETED}:{following}"

    async def newest(self, cursor: str) -> tuple[Records, str | None]:
        """Read one page of living records, those made last first."""
        query = {"limit": str(PAGE), "sort_by": "add_time", "sort_direction": "desc"} | self._labels()
        answer = await self._list(self._place.path, query, cursor, self._place.list_cost)
        return read_records(self._name, answer), self._following(answer, cursor)

    async def read(self, ids: Sequence[str]) -> Records:
        """Read up to 100 records by id; those that are gone are left out, or come as archived."""
        unique = list(dict.fromkeys(each for each in ids if _is_id(each, self._place.version)))
        if self._name == USERS:
            everybody, _, _ = await self._page_by_number("", {})
            wanted = set(unique)
            return Records(
                [each for each in everybody.records if each.remote_id in wanted],
                [each for each in everybody.unreadable if each[0] in wanted],
            )
        if self._place.version == 1 or len(unique) <= _SINGLES:
            return await self._read_singly(unique)
        found, _, _ = await self.page("", {"ids": ",".join(unique)}, limit=IDS)
        if self._name == DEALS:
            # The list leaves out deals that are archived or deleted; asked for by itself, each tells.
            known = set(found.list_ids())
            rest = await self._read_singly([each for each in unique if each not in known])
            return Records(found.records + rest.records, found.unreadable + rest.unreadable)
        return found

    async def _read_singly(self, ids: Iterable[str]) -> Records:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(remote_id: str) -> Records:
            async with limit:
                try:
                    answer = await self._api.call(
                        "GET",
                        f"{self._place.path}/{remote_id}",
                        cost=self._place.get_cost,
                        query=self._labels(),
                    )
                except NotFound:
                    return Records([], [])
                return read_records(self._name, answer)

        found = await asyncio.gather(*(one(each) for each in ids))
        return Records(
            [each for part in found for each in part.records],
            [each for part in found for each in part.unreadable],
        )

    async def _page_by_number(
        self, cursor: str, filters: Mapping[str, str]
    ) -> tuple[Records, str | None, Answer]:
        """Read one page of v1, which counts rows off. Users come in one piece."""
        if cursor and not cursor.isdigit():
            raise Invalid("The cursor is none of this list's.")
        query = {**filters}
        if self._name != USERS:
            query |= {"start": cursor or "0", "limit": str(PAGE), "sort": "id ASC"}
        answer = await self._api.call(
            "GET", self._place.path, cost=self._place.list_cost, query=query, may_be_empty=True
        )
        return read_records(self._name, answer), _following_number(answer, int(cursor or 0)), answer

    async def _list(self, path: str, query: Mapping[str, str], cursor: str, cost: int) -> Answer:
        return await self._api.call(
            "GET", path, cost=cost, query={**query, "cursor": cursor} if cursor else query
        )

    def _following(self, answer: Answer, cursor: str) -> str | None:
        following = answer.envelope.next_cursor
        if following is not None and following == cursor:
            raise Unavailable(_NO_CURSOR)
        return following

    def _labels(self) -> dict[str, str]:
        return {"include_option_labels": "true"} if self._place.tells_labels else {}

    async def _completing(self, answer: Answer) -> Callable[[dict[str, Any]], None] | None:
        """Return what adds labels of options; the definitions are asked for once, and only for records."""
        if self._complete is None and answer.data:
            self._complete = partial(add_labels, await list_fields(self._api, self._name))
        return self._complete


async def read_many(api: Api, object_name: str, ids: Sequence[str]) -> Page:
    """Read up to 100 records by id as a page. See `base.Connector.read_many`."""
    began_ms = to_ms(now())
    found = await Lists(api, object_name).read(ids)
    return Page(found.records, began_ms, unreadable=found.unreadable)


async def archived_page(api: Api, object_name: str, after: str) -> Page:
    """Read a page of archived records. Only deals have such lists, and notes and users among the living."""
    began_ms = to_ms(now())
    if object_name != DEALS:
        return Page([], began_ms)
    found, following = await Lists(api, object_name).archived(after)
    return Page(found.records, began_ms, following, None, found.unreadable)


async def changed_pages(
    api: Api, object_name: str, since_ms: int, until_ms: int | None
) -> AsyncIterator[Page]:
    """Yield what changed from `since_ms` to `until_ms`, both included, in windows of time, oldest first.

    Within a window by id: whoever changes meanwhile leaves the window or moves to the next reading, and
    shifts nothing. Records without a modified time are not found this way; reading everything finds them.
    """
    lists = Lists(api, object_name)
    is_v2 = get_place(object_name).version == 2
    began_ms = to_ms(now())
    for from_ms_, to_ms_ in _windows(since_ms, began_ms if until_ms is None else until_ms + 1, is_v2=is_v2):
        is_last = to_ms_ is None
        until = until_ms + 1 if is_last and until_ms is not None else to_ms_
        filters = {"updated_since": _write_seconds(from_ms_)}
        if is_v2 and until is not None:
            filters["updated_until"] = _write_seconds(until + 999)
        crm_ms: int | None = None
        async for page, answer in _window_pages(lists, object_name, filters):
            if crm_ms is None:
                crm_ms = _crm_ms(answer.response, page.requested_ms) if answer is not None else None
            yield page
        complete = until if until is not None else (began_ms if crm_ms is None else crm_ms)
        if until is not None and is_last and crm_ms is not None:
            complete = min(until, crm_ms)
        yield Page([], began_ms, None, complete)


async def _window_pages(
    lists: Lists, object_name: str, filters: Mapping[str, str]
) -> AsyncIterator[tuple[Page, Answer | None]]:
    cursor: str | None = ""
    while cursor is not None:
        began_ms = to_ms(now())
        found, cursor, answer = await lists.page(cursor, filters)
        yield Page(found.records, began_ms, None, None, found.unreadable), answer
    if object_name != DEALS:
        return
    cursor = ""
    while cursor is not None:
        began_ms = to_ms(now())
        found, cursor = await lists.archived(cursor, filters)
        yield Page(found.records, began_ms, None, None, found.unreadable), None


def _windows(since_ms: int, end_ms: int, *, is_v2: bool) -> list[tuple[int, int | None]]:
    """Cut a span of time; the last piece is open (None)."""
    span = end_ms - since_ms
    step = max(_WINDOW_MS, -(-span // _MOST_WINDOWS))
    if not is_v2 or span <= step:
        return [(since_ms, None)]
    starts = list(range(since_ms, end_ms, step))
    return [
        (start, starts[position + 1] if position + 1 < len(starts) else None)
        for position, start in enumerate(starts)
    ]


def _following_number(answer: Answer, start: int) -> str | None:
    more = answer.envelope.additional_data or {}
    # Of leads the same is written one level higher.
    held: Any = more.get("pagination", more)
    paging = cast("dict[str, Any]", held) if isinstance(held, dict) else {}
    if paging.get("more_items_in_collection") is not True:
        return None
    following = paging.get("next_start")
    rows = cast("list[Any]", answer.data) if isinstance(answer.data, list) else []
    number = following if isinstance(following, int) else start + len(rows)
    if number <= start:
        raise Unavailable(_NO_CURSOR)
    return str(number)


def _is_id(remote_id: str, version: int) -> bool:
    """Say whether an id may be put into a path: numbers, and the UUIDs of leads."""
    plain = remote_id.isascii() and remote_id.replace("-", "").isalnum()
    return plain and (version == 1 or remote_id.isdigit())


def _write_seconds(ms: int) -> str:
    return from_ms(max(ms, 0)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _crm_ms(response: Response, began_ms: int) -> int | None:
    """Return Pipedrive's time when a call began, at the latest."""
    try:
        answered_ms = to_ms(parsedate_to_datetime(response.headers.get("date", "")))
    except (ValueError, TypeError):
        return None
    return answered_ms - max(to_ms(now()) - began_ms, 0)
