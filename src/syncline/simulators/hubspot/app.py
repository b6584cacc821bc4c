"""The simulator as an ASGI application: tokens, limits, latency and faults around the handlers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

from syncline.simulators.hubspot import control, faults
from syncline.simulators.hubspot.answers import Answer, ApiError, Request
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.routing import Match, match
from syncline.simulators.hubspot.store import encode
from syncline.simulators.hubspot.world import World

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TRANSPORT = "simulator.transport"
_JSON = b"application/json;charset=utf-8"
#: Longest URL, in characters; longer ones get 414.
URL_MOST = 16_200


class App:
    """An ASGI application over one world. All state is in the world, so that several may share it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = Api(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b"" if scope["method"] == "GET" else await _read(receive)
        path: str = scope["path"]
        if path.startswith(control.PREFIX):
            answer = await control.wait_for(self.api, path, body)
            if answer is None:
                answer = control.answer(self.api, scope["method"], path, scope["query_string"], body)
            await _send(send, answer, [])
            return
        await self._serve(scope, receive, send, body)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        settings = self.world.settings
        if settings.latency_ms:
            await asyncio.sleep(settings.latency_ms / 2000)
        found = match(scope["method"], scope["path"], dated_paths=settings.dated_paths)
        fault = self.api.faults.next(settings.faults)
        headers: Headers = []
        if fault is None or fault in faults.AFTER_COMMIT:
            answer = self._answer(found, scope, body, headers)
        elif fault == "reset":
            answer = Answer(0)
        else:
            answer = faults.answer_of(fault, self.api.correlation_id())
        self.world.stats[found.route.name, 0 if fault and "reset" in fault else answer.status] += 1
        if settings.latency_ms:
            await asyncio.sleep(settings.latency_ms / 2000)
        if fault == "slow":
            await asyncio.sleep(settings.slow_seconds)
        if fault and "reset" in fault:
            await _reset(scope, receive)
        elif fault == "truncated":
            await _send_half(send, answer, headers)
        else:
            await _send(send, answer, headers)

    def _answer(self, found: Match, scope: Scope, body: bytes, headers: Headers) -> Answer:
        """Carry out a request; fills in the headers of its limits."""
        headers.append((b"x-hubspot-correlation-id", self.api.correlation_id().encode()))
        try:
            return found.route.handler(self.api, self._request(found, scope, body, headers))
        except ApiError as error:
            refused = error
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            # Handlers read what they need of a body and leave its shape to this place; without a body
            # it is a mistake of theirs.
            if not body:
                raise
            refused = ApiError(
                400, f"Invalid input JSON: cannot deserialize value ({type(problem).__name__})"
            )
        return Answer(refused.status, encode(refused.envelope(headers[0][1].decode())))

    def _request(self, found: Match, scope: Scope, body: bytes, headers: Headers) -> Request:
        """Admit a request: its length, its token, its limits. Raises `ApiError`."""
        if len(scope["path"]) + len(scope["query_string"]) > URL_MOST:
            raise ApiError(414, "URI Too Long")
        authorization, host = b"", b"api.hubapi.com"
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"host":
                host = value
        grant = None
        if found.route.limit:
            grant = self.world.auth.check(authorization)
            daily = grant.expires_ms is None
            headers += self.api.limits.take(found.route.limit, grant.token, daily_headers=daily)
        return Request(
            scope["method"], scope["path"], scope["query_string"], body, params=found.params,
            version=found.version, base_url=f"http://{host.decode('latin-1')}", grant=grant,
        )  # fmt: skip


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, answer: Answer, headers: Headers) -> None:
    await send(_start(answer, headers))
    await send({"type": "http.response.body", "body": answer.body})


def _start(answer: Answer, headers: Headers) -> dict[str, Any]:
    content = [
        (b"content-type", answer.content_type or _JSON),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    return {
        "type": "http.response.start",
        "status": answer.status,
        "headers": content + headers + answer.headers,
    }


async def _send_half(send: Send, answer: Answer, headers: Headers) -> None:
    """Promise the whole answer, send half of it and hang up (the server closes on an unfinished answer)."""
    await send(_start(answer, headers))
    await send(
        {"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True}
    )


async def _reset(scope: Scope, receive: Receive) -> None:
    """Break the connection so that the client sees a reset, not an end."""
    transport = cast("asyncio.Transport | None", scope.get(TRANSPORT))
    if transport is None:
        raise ConnectionResetError("the simulated connection broke")
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(raw.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
