"""What happens, as a stream that open pages listen to: only that something did, the page then asks what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast
from uuid import UUID

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from syncline.actions.live import TOPICS, Interest, Topic, subscribe
from syncline.api.calls import PROVE_EVERY_SECONDS
from syncline.errors import Invalid, RetryLater
from syncline.web.page import Page, Site, find_page, visits

router = APIRouter(include_in_schema=False)

#: Long enough to say that this is a stream, and to be passed on by what stands between.
_GREETING = ": here\n\n"
#: Events of one kind within so short a time are one: whoever listens asks anew in any case.
_GATHER_SECONDS = 0.15
#: A stream ends after so long and is opened again: what stands between may forget it otherwise.
_LONGEST_SECONDS = 15 * 60.0


@router.get("/live")
async def live(page: Page = visits("syncs:read")) -> StreamingResponse:
    """Stream the names of what happens in the topics asked for."""
    asked = page.request.query_params.get("topics", "").split(",")
    topics = cast("list[Topic]", [each for each in asked if each in TOPICS]) or ["run"]
    return StreamingResponse(
        _stream(page, _interest(page, topics)),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


def _interest(page: Page, topics: list[Topic]) -> Interest:
    text = page.request.query_params
    kinds = tuple(each for each in text.get("types", "").split(",") if each)
    try:
        record_id = UUID(text["record"]) if "record" in text else None
    except ValueError:
        raise Invalid("That is not the id of a record.") from None
    return Interest(topics, kinds, record_id)


async def _stream(page: Page, interest: Interest) -> AsyncGenerator[str]:
    yield _GREETING
    loop = asyncio.get_running_loop()
    proven_at = loop.time()
    ends_at = proven_at + _LONGEST_SECONDS
    heard = _Heard()
    listening = asyncio.create_task(heard.listen(page, interest))
    page.site.streams.add(heard)
    try:
        while loop.time() < ends_at and not heard.is_over:
            await heard.something.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            if loop.time() - proven_at > PROVE_EVERY_SECONDS:
                if not await _may_go_on(page):
                    return
                proven_at = loop.time()
            yield heard.take()
    finally:
        page.site.streams.discard(heard)
        listening.cancel()
        await asyncio.wait([listening])


async def _may_go_on(page: Page) -> bool:
    """Tell whether whoever listens is still signed in, in the same tenant and role, with the same owners."""
    try:
        found = await find_page(page.request)
    except RetryLater:
        return False  # the page comes back by itself
    if found is None:
        return False
    return found.caller.sees_as(page.caller)


class _Heard:
    """What was heard since it was last told."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.something = asyncio.Event()
        self.is_over = False

    def end(self) -> None:
        self.is_over = True
        self.something.set()

    async def listen(self, page: Page, interest: Interest) -> None:
        listens = False
        try:
            async with aclosing(subscribe(page.hub, page.caller, interest=interest)) as events:
                async for event in events:
                    if event is not None:
                        self.kinds.add(event.kind)
                    elif not listens:
                        # Nobody heard what happened between the page and this moment: it is asked for once.
                        listens = True
                        self.kinds.update(interest.topics)
                    self.something.set()
        except RetryLater:
            pass  # the stream ends, and the page comes back by itself
        finally:
            self.end()

    def take(self) -> str:
        """Return it as events; where there is none a comment, which shows whether anybody is there."""
        self.something.clear()
        told = "".join(f"event: {kind}\ndata: 1\n\n" for kind in sorted(self.kinds))
        self.kinds.clear()
        return told or ": still here\n\n"


def end_streams(app: FastAPI) -> None:
    """End the streams that are open, so that a server which ends need not wait for them."""
    site: Site = app.state.site
    for each in list(site.streams):
        each.end()
