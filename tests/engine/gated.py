"""A simulated account whose answers can be held back, or spoilt: a test chooses what happens meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from simulated import Mirror

from syncline.simulators.hubspot.app import Headers, Receive, Scope, Send
from syncline.simulators.hubspot.server import Server, listen, url_of
from syncline.simulators.server import ApplicationServer

#: Changes the JSON of a request or an answer in place.
Spoil = Callable[[dict[str, Any]], None]


class Hold:
    """One request that is held, before it is carried out or with its answer on the way."""

    def __init__(self, ending: str, *, answered: bool) -> None:
        self.ending = ending
        self.answered = answered
        #: Set once a request has come this far.
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def wait(self) -> None:
        async with asyncio.timeout(20):
            await self.reached.wait()

    def release(self) -> None:
        self.released.set()


class Gate:
    """Stands before the account. Requests are told apart by how their path ends."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._holds: list[Hold] = []
        self._spoils: list[tuple[str, Spoil]] = []
        self._twists: list[tuple[str, Spoil]] = []

    def hold(self, ending: str, *, answered: bool = True) -> Hold:
        """Hold the next such request: its answer, or (`answered` False) the request itself."""
        made = Hold(ending, answered=answered)
        self._holds.append(made)
        return made

    def spoil(self, ending: str, change: Spoil) -> None:
        """Let `change` alter every such answer."""
        self._spoils.append((ending, change))

    def twist(self, ending: str, change: Spoil) -> None:
        """Let the account carry out something else than what it was asked."""
        self._twists.append((ending, change))

    def behave(self) -> None:
        """Alter nothing any more, and let go whatever is held."""
        self._spoils.clear()
        self._twists.clear()
        for each in self._holds:
            each.release()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        held = next((h for h in self._holds if path.endswith(h.ending) and not h.reached.is_set()), None)
        if held is not None and not held.answered:
            held.reached.set()
            await held.released.wait()
        messages: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            messages.append(message)

        for ending, change in self._twists:
            if path.endswith(ending):
                receive = await _twisted(receive, change)
        await self._app(scope, receive, keep)
        if held is not None and held.answered:
            held.reached.set()
            await held.released.wait()
        for ending, change in self._spoils:
            if path.endswith(ending):
                _alter(messages, change)
        for message in messages:
            await send(message)


async def _twisted(receive: Receive, change: Spoil) -> Receive:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body)
    change(asked)

    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}

    return replay


def _alter(messages: list[dict[str, Any]], change: Spoil) -> None:
    start, body = messages
    answer = json.loads(body["body"])
    change(answer)
    body["body"] = json.dumps(answer).encode()
    headers: Headers = [each for each in start["headers"] if each[0] != b"content-length"]
    start["headers"] = [*headers, (b"content-length", b"%d" % len(body["body"]))]


@asynccontextmanager
async def gate_of(mirror: Mirror, app: Any = None) -> AsyncGenerator[Gate]:
    """Let the mirror's connection go through a gate meanwhile; `app` is of another platform."""
    listener = listen()
    listener.listen(1024)
    server = ApplicationServer(app) if app is not None else Server(mirror.world)
    gate = Gate(server.config.app)
    server.config.app = gate
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    move = "update sync.connections set base_url = %(url)s where id = %(id)s"
    await mirror.execute(move, url=url_of(listener), id=mirror.connection_id)
    try:
        yield gate
    finally:
        gate.behave()
        await mirror.execute(move, url=mirror.url, id=mirror.connection_id)
        server.end()
        await serving
        listener.close()
