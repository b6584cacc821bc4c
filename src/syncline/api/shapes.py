"""What the API's answers are made of: the base of their models, texts, places in lists, streams of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: Time without a word after which a stream says that it lives.
SILENCE_SECONDS = 15.0


class Shape(BaseModel):
    """A part of an answer, read off the attributes of what an action returned."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class Given(BaseModel):
    """The body of a request; a field that is not known is told, not passed over."""

    model_config = ConfigDict(extra="forbid")


def _in_words(value: object) -> object:
    return str(value) if isinstance(value, Exception) else value


#: An error as the person reads it.
Words = Annotated[str | None, BeforeValidator(_in_words)]
#: A value of a record's field, in JSON.
Value = Any
Name = Annotated[str, Field(min_length=1, max_length=200)]

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.", examples=[50])]
After = Annotated[
    str | None, Query(max_length=200, description="Where to go on: `after` of the page before.")
]


def example(value: Any, status: int = 200, text: str = "Done.") -> dict[int | str, dict[str, Any]]:
    """Describe an answer by an example of it."""
    return {status: {"description": text, "content": {"application/json": {"example": value}}}}


def show(model: type[M], value: object) -> M:
    """Read a model off what an action returned."""
    return model.model_validate(value, from_attributes=True)


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Do something for as long as the client waits for it. Cancels it when they go, and raises that."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait([doing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            doing.cancel()
        return await doing
    finally:
        leaving.cancel()
        doing.cancel()
        await asyncio.wait([leaving, doing])


async def _until_gone(request: Request) -> None:
    await request.body()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def wants_stream(request: Request) -> bool:
    """Tell whether the client asked for events rather than one answer."""
    return "text/event-stream" in request.headers.get("accept", "")


def stream(parts: AsyncIterator[bytes]) -> StreamingResponse:
    """Send events as they come; nothing between us and the client may hold them back."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(parts, media_type="text/event-stream", headers=headers)


def event(kind: str, data: Any, place: str | None = None) -> bytes:
    """Write one event of a stream."""
    text = msgspec.json.encode(data, enc_hook=_encode).decode()
    head = "" if place is None else f"id: {place}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n".encode()


#: Kept alive: a line that clients pass over.
COMMENT = b": still here\n\n"

Report = Callable[[str, int, int | None], None]


async def with_progress(
    work: Callable[[Report], Awaitable[T]], tell: Callable[[T], Any], fail: Callable[[Exception], Any]
) -> AsyncIterator[bytes]:
    """Yield `progress` events while something is done, and `result` or `error` at its end.

    Ends what is being done when the client goes.
    """
    news: asyncio.Queue[tuple[str, int, int | None]] = asyncio.Queue(1000)

    def report(what: str, done: int, total: int | None) -> None:
        with suppress(asyncio.QueueFull):  # the next one says more
            news.put_nowait((what, done, total))

    doing = asyncio.ensure_future(work(report))
    try:
        while True:
            asking = asyncio.create_task(news.get())
            await asyncio.wait([doing, asking], timeout=SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                what, done, total = asking.result()
                yield event("progress", {"what": what, "done": done, "total": total})
                continue
            asking.cancel()
            if doing.done():
                break
            yield COMMENT
        try:
            result = await doing
        except Exception as error:  # noqa: BLE001 - the answer has begun: this is the only way to tell
            yield event("error", fail(error))
        else:
            yield event("result", tell(result))
    finally:
        doing.cancel()
        await asyncio.wait([doing])


def _encode(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, UUID):
        return str(value)
    raise NotImplementedError
