"""`POST /functions/v1/fetch-hubspot-live`, under the address and in the form that programs already use.

The one route that names a CRM: what it does is what other routes do for every CRM.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field

from syncline.actions.hub import Hub
from syncline.actions.reading_live import Timeframe, find_begin, read_live
from syncline.actions.runs import ListedRun, list_runs_by_id, request_runs
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Name, show
from syncline.api.syncs import RUN, RunShape
from syncline.api.telling import tell_error
from syncline.errors import Invalid, NotFound, PauseConnection
from syncline.store.connections import Connection

router = APIRouter(prefix="/functions/v1", tags=["compatibility"])

PLATFORM = "hubspot"
#: For how long a sync is waited for; a longer one goes on, and can be watched.
WAIT_SECONDS = 55.0
_LOOK_SECONDS = 0.2


class FetchOrder(Given):
    """What is to be fetched."""

    type: Name = Field(description="By HubSpot's own word: deals, contacts, calls, owners, …")
    sync: bool = Field(
        default=False, description="Bring what is stored up to date, instead of reading past it."
    )
    timeframe: Timeframe = Field(
        default="all", description="Records made or changed since then, in the tenant's time zone."
    )
    connection: Name | None = Field(default=None, description="Needed where there are several accounts.")
    associations: bool = Field(default=True, description="Say of each record what it belongs to.")


_LIVE: dict[str, Any] = {
    "success": True,
    "type": "deals",
    "sync": False,
    "timeframe": "this_month",
    "since": "2026-03-01T00:00:00+01:00",
    "connection": "main",
    "results": [
        {
            "id": "43486818666",
            "properties": {"dealname": "Coaching", "amount": "1200", "dealstage": "closedwon"},
            "associations": {"contacts": {"results": [{"id": "150479232059", "type": "deal_to_contact"}]}},
        }
    ],
    "total": 1,
    "complete": True,
    "error": None,
}
_SYNCED: dict[str, Any] = {"success": True, "type": "deals", "sync": True, "runs": [RUN]}


@router.post(
    "/fetch-hubspot-live",
    summary="Fetch from HubSpot, live or into the database",
    response_class=Response,
    responses={
        200: {
            "description": "Records as HubSpot has them (all pages), or the runs that ended.",
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "examples": {"live": {"value": _LIVE}, "sync": {"value": _SYNCED}},
                }
            },
        },
        202: {
            "description": "The runs have been asked for and have not ended yet.",
            "content": {"application/json": {"schema": {"type": "object"}, "example": _SYNCED}},
        },
    },
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"type": "deals", "timeframe": "this_month"}}}
        }
    },
)
async def fetch(order: FetchOrder, call: Annotated[Call, needs("syncs:run")]) -> Response:
    """Read HubSpot past what is stored (`sync: false`), or run the incremental sync (`sync: true`).

    A live answer holds every record, however many there are, is sent as it is read and stores nothing;
    `complete` is false and `error` says why where HubSpot failed in the middle. A sync answers with its runs
    when they have ended, or after a minute with those that go on.
    """
    if order.sync:
        return await _sync(call, order)
    connection = await _choose(call.hub, order.connection)
    since = await find_begin(call.hub, order.timeframe)
    pages = read_live(call.hub, connection, order.type, since=since, associations=order.associations)
    try:
        # What is wrong with the request, the token or the type is told by its status.
        first = await anext(pages)
    except StopAsyncIteration:
        first = []
    head = {
        "success": True,
        "type": order.type,
        "sync": False,
        "timeframe": order.timeframe,
        "since": None if since is None else since.isoformat(),
        "connection": connection.name,
    }
    return StreamingResponse(_send(head, first, pages), media_type="application/json")


async def _choose(hub: Hub, name: str | None) -> Connection:
    if name is not None:
        found = await hub.get_connection(name)
        if found.platform != PLATFORM:
            raise NotFound(f"{name} is no HubSpot account.")
        return found
    known = [each for each in await hub.list_connections() if each.platform == PLATFORM]
    active = [each for each in known if each.status == "active"]
    if not known:
        raise NotFound("No HubSpot account is connected.")
    if not active:
        raise PauseConnection(f"The connection {known[0].name} is paused: {known[0].paused_reason}")
    if len(active) > 1:
        names = ", ".join(each.name for each in active)
        raise Invalid(
            f"There are several HubSpot accounts ({names}). Name one as connection.",
            fields={"connection": f"is one of {names}"},
        )
    return active[0]


async def _send(
    head: dict[str, Any], first: list[dict[str, Any]], pages: AsyncGenerator[list[dict[str, Any]]]
) -> AsyncIterator[bytes]:
    total, error = 0, None
    yield msgspec.json.encode(head)[:-1] + b',"results":['
    async with aclosing(pages):
        page = first
        try:
            while True:
                if page:
                    yield (b"," if total else b"") + msgspec.json.encode(page)[1:-1]
                total += len(page)
                page = await anext(pages)
        except StopAsyncIteration:
            pass
        except Exception as failure:  # noqa: BLE001 - the answer has begun: this is the only way to tell
            error = tell_error(failure)["detail"]
    tail = msgspec.json.encode({"total": total, "complete": error is None, "error": error})
    yield b"]," + tail[1:]


async def _sync(call: Call, order: FetchOrder) -> Response:
    hub = call.hub
    if order.connection is not None:
        names = [(await _choose(hub, order.connection)).name]
    else:
        names = [
            each.name
            for each in await hub.list_connections()
            if each.platform == PLATFORM and each.status == "active"
        ] or [(await _choose(hub, None)).name]
    asked = await request_runs(hub, names=names, objects=[order.type], by=call.caller.name)
    runs = await _wait(hub, [each.id for each in asked])
    ended = all(each.completed_at is not None for each in runs)
    told = {
        "success": all(each.status in ("pending", "running", "success", "partial") for each in runs),
        "type": order.type,
        "sync": True,
        "runs": [show(RunShape, each).model_dump(mode="json") for each in runs],
    }
    return JSONResponse(told, 200 if ended else 202)


async def _wait(hub: Hub, ids: Sequence[UUID]) -> list[ListedRun]:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        runs = await list_runs_by_id(hub, ids)
        if all(each.completed_at is not None for each in runs) or time.monotonic() > until:
            return runs
        await asyncio.sleep(_LOOK_SECONDS)
