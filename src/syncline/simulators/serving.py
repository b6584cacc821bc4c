"""A simulated service as an ASGI application: latency and faults around what answers. Knows no service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from syncline.simulators.answers import Answer
from syncline.simulators.faults import AFTER_COMMIT, Faults
from syncline.simulators.journal import Journal

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TRANSPORT = "simulator.transport"


class ServedSettings(Protocol):
    """What any simulated account can be set to."""

    latency_ms: float
    faults: str
    slow_seconds: float
    edits_per_minute: float


class ServedWorld(Protocol):
    """A simulated account, as far as serving it goes."""

    #: (route, status) → answers; a broken connection counts as status 0.
    stats: Counter[tuple[str, int]]

    @property
    def settings(self) -> ServedSettings: ...

    #: Remembers colleagues' edits for the next start.
    journal: Journal | None

    def colleague_edit(self) -> str: ...


class Sending(Protocol):
    """What sends an account's webhooks."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around the answers of one service."""

    world: ServedWorld
    faults: Faults
    #: The kind of a fault → the answer in place of the real one.
    answer_of: Callable[[str], Answer]
    #: The content type of answers that name none.
    json_type: bytes

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, route: str, answer: Callable[[Headers], Answer]
    ) -> None:
        """Answer one request, or let it go wrong. `answer` carries it out and may add headers."""
        settings = self.world.settings
        if settings.latency_ms:
            await asyncio.sleep(settings.latency_ms / 2000)
        fault = self.faults.next(settings.faults)
        headers: Headers = []
        if fault is None or fault in AFTER_COMMIT:
            found = answer(headers)
        elif fault == "reset":
            found = Answer(0)
        else:
            found = self.answer_of(fault)
        if fault == "empty-200":
            found = self.answer_of(fault)
        self.world.stats[route, 0 if fault and "reset" in fault else found.status] += 1
        if settings.latency_ms:
            await asyncio.sleep(settings.latency_ms / 2000)
        if fault == "slow":
            await asyncio.sleep(settings.slow_seconds)
        if fault and "reset" in fault:
            await _reset(scope, receive)
        elif fault == "truncated":
            await self._send_half(send, found, headers)
        else:
            await self.send(send, found, headers)

    async def send(self, send: Send, answer: Answer, headers: Headers) -> None:
        await send(self._start(answer, headers))
        await send({"type": "http.response.body", "body": answer.body})

    def _start(self, answer: Answer, headers: Headers) -> dict[str, Any]:
        content = [
            (b"content-type", answer.content_type or self.json_type),
            (b"content-length", b"%d" % len(answer.body)),
        ]
        return {
            "type": "http.response.start",
            "status": answer.status,
            "headers": content + headers + answer.headers,
        }

    async def _send_half(self, send: Send, answer: Answer, headers: Headers) -> None:
        """Promise all, send half and hang up (the server closes on an unfinished answer)."""
        await send(self._start(answer, headers))
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


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
