"""What happens, as it happens: a stream of events over HTTP (SSE)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from syncline.actions.live import TOPICS, Interest, Topic, subscribe
from syncline.api.calls import PROVE_EVERY_SECONDS, Call, needs, prove_again
from syncline.api.shapes import COMMENT, event, stream
from syncline.api.telling import tell_error
from syncline.errors import Invalid, RetryLater, SynclineError

router = APIRouter(prefix="/api/v1", tags=["events"])

_EXAMPLE = (
    "id: 1772355600000000-0198c1f2-6a00-7c3e-8f00-0000000000e1\n"
    "event: record\n"
    'data: {"id":"0198c1f2-6a00-7c3e-8f00-0000000000e1","at":"2026-03-01T09:00:00+00:00","type":"contact",'
    '"record_id":"0198c1f2-6a00-7c3e-8f00-0000000000a1","action":"updated","fields":["phone"],'
    '"source":"sql","actor":"ada","run_id":null}\n\n'
)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of events (SSE).",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


@router.get("/events", summary="Listen to what happens", responses=_STREAM, response_class=Response)
async def listen(
    request: Request,
    call: Annotated[Call, needs("syncs:read")],
    topic: Annotated[list[Topic], Query(max_length=4, description="None means all.")] = [],  # noqa: B006 - FastAPI copies it
    record_type: Annotated[
        list[str], Query(alias="type", max_length=10, description="Of records; none means all.")
    ] = [],  # noqa: B006 - as above
    record_id: UUID | None = None,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    after: Annotated[str | None, Query(max_length=100, description="As Last-Event-ID.")] = None,
) -> Response:
    """Send changes of records (`record`), runs (`run`), the queue (`queue`) and conflicts (`conflicts`).

    A change arrives within a second of its commit, whoever made it. `reload` means that more has happened
    than is told one by one. Come back with the last id and nothing is missed; some may come again. Events
    hold no values. A rep hears of own and unassigned records only.
    """
    interest = Interest(topic or _allowed(call), record_type, record_id)
    if unknown := set(record_type) - _TYPES:
        raise Invalid(f"There is no kind of record {min(unknown)!r}.", fields={"type": "is unknown"})
    events = subscribe(call.hub, call.caller, interest=interest, after=last_event_id or after)
    try:
        # What is wrong with the request is told by its status.
        first = await anext(events)
    except StopAsyncIteration:
        first = None
    return stream(_send(request, call, events, first))


_TYPES = frozenset(("company", "contact", "deal", "activity", "task", "owner"))


def _allowed(call: Call) -> tuple[Topic, ...]:
    return TOPICS if call.caller.may("records:read") else ("run", "queue", "conflicts")


async def _send(request: Request, call: Call, events: Any, first: Any) -> AsyncIterator[bytes]:
    proven_at = time.monotonic()
    try:
        async with aclosing(events):
            each = first
            while True:
                yield COMMENT if each is None else event(each.kind, each.data, each.place)
                if time.monotonic() - proven_at > PROVE_EVERY_SECONDS:
                    await prove_again(request, call, "syncs:read")
                    proven_at = time.monotonic()
                each = await anext(events)
    except (StopAsyncIteration, RetryLater):
        return  # whoever listens comes back by itself, and says where it was
    except SynclineError as error:
        yield event("error", tell_error(error))
