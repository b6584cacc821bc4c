"""What every request to the API passes first: characters that nobody can store, and Idempotency-Keys.

Plain ASGI, so that it holds for all routes. Who calls is proven here only where a key has to be theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog
from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.actions.idempotency import KeyReused, Repeatable, begin
from syncline.api.calls import identify
from syncline.api.problems import explain, problem
from syncline.errors import RetryLater, SignInNeeded, SynclineError

_log = structlog.get_logger(__name__)

_OURS = ("/api/", "/functions/")
#: CRMs' deliveries are read byte by byte by their own door.
_NOT_OURS = "/api/v1/webhooks/"
_MOST_BYTES = 10_000_000
#: A longer answer is not kept.
_MOST_KEPT = 1_000_000
_CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
#: In JSON: NUL, and halves of characters.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
#: Members of an answer that are shown once.
_SECRET = re.compile(rb'"(?:secret|token|password|api_key)"\s*:\s*"')


class _TooLong(Exception):
    """A body that is not read to its end."""


class Front:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(_OURS):
            return await self._app(scope, receive, send)
        changing = scope["method"] in _CHANGING
        if changing and path.startswith(_NOT_OURS) and _header(scope, b"authorization") is None:
            return await self._app(scope, receive, send)
        if "\x00" in path or b"%00" in scope.get("query_string", b""):
            return await problem(400, "No address of ours holds the character NUL.")(scope, receive, send)
        key = _header(scope, b"idempotency-key") if scope["method"] == "POST" else None
        if not changing or (key is None and not _is_json(scope)):
            return await self._app(scope, receive, send)
        try:
            body = await _read(scope, receive)
        except _TooLong:
            refusal = problem(
                413, f"A request is at most {_MOST_BYTES:,} bytes long.", {"connection": "close"}
            )
            return await refusal(scope, receive, send)
        if _is_json(scope) and _holds_unstorable(body):
            told = "The request holds NUL or half a character (a lone surrogate), which no database stores."
            return await problem(422, told)(scope, receive, send)
        again = _Again(body, receive)
        if key is None:
            return await self._app(scope, again.receive, send)
        return await self._once(scope, again, send, key, body)

    async def _once(self, scope: Scope, again: _Again, send: Send, key: str, body: bytes) -> None:
        """Answer a request with a key: for the first time, or as before."""
        try:
            call = await identify(Request(scope))
            begun = await begin(call.hub, call.caller, key, _hash(scope, body))
        except SignInNeeded:
            return await self._app(scope, again.receive, send)
        except KeyReused as error:
            return await problem(422, str(error))(scope, again.receive, send)
        except SynclineError as error:
            return await explain(error)(scope, again.receive, send)
        if isinstance(begun, Repeatable):
            return await self._first(scope, again, send, begun)
        headers = {"idempotency-replayed": "true"}
        if begun.location is not None:
            headers["location"] = begun.location
        response = Response(begun.body, begun.status or 200, headers, begun.content_type)
        return await response(scope, again.receive, send)

    async def _first(self, scope: Scope, again: _Again, send: Send, begun: Repeatable) -> None:
        heard = _Heard(send)
        try:
            await self._app(scope, again.receive, heard.send)
        except BaseException:
            await _try_to_release(begun)
            raise
        if not heard.is_done:
            await _try_to_release(begun)
            return
        try:
            await begun.keep(
                heard.status, heard.header(b"content-type"), heard.header(b"location"), heard.kept()
            )
        except RetryLater:
            _log.warning("answer_not_kept", path=scope["path"])


class _Again:
    """Gives a body that was read once more, and after it what comes from the client: its end."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Heard:
    """Sends an answer on, and remembers it as far as it may be kept."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            part: bytes = message.get("body", b"")
            self._size += len(part)
            if self._size <= _MOST_KEPT:
                self._parts.append(part)
            self._ended = not message.get("more_body", False)
        await self._send(message)

    @property
    def is_done(self) -> bool:
        """Whether the request did something, and its answer is whole."""
        stream = (self.header(b"content-type") or "").startswith("text/event-stream")
        return self._ended and 200 <= self.status < 300 and not stream

    def header(self, name: bytes) -> str | None:
        return _find(self._headers, name)

    def kept(self) -> bytes | None:
        """Return the body, or None for one that holds a secret or is too long."""
        body = b"".join(self._parts)
        secret = "no-store" in (self.header(b"cache-control") or "") or _SECRET.search(body)
        return None if secret or self._size > _MOST_KEPT else body


async def _read(scope: Scope, receive: Receive) -> bytes:
    announced = _header(scope, b"content-length") or ""
    if announced.isdecimal() and int(announced) > _MOST_BYTES:
        raise _TooLong
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > _MOST_BYTES:
            raise _TooLong
        parts.append(part)
        more = bool(message.get("more_body", False))
    return b"".join(parts)


def _hash(scope: Scope, body: bytes) -> bytes:
    known = hashlib.sha256()
    for part in (scope["method"].encode(), scope["path"].encode(), scope.get("query_string", b""), body):
        known.update(len(part).to_bytes(8, "big"))
        known.update(part)
    return known.digest()


def _holds_unstorable(body: bytes) -> bool:
    if _SUSPECT.search(body) is None:
        return False
    try:
        return any(not _is_storable(text) for text in _texts(msgspec.json.decode(body)))
    except msgspec.DecodeError:  # half a character, or no JSON at all: the latter is told by whoever reads it
        return _SUSPECT.search(body.replace(b"\\\\", b"")) is not None


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():  # pyright: ignore[reportUnknownVariableType] - JSON
            yield str(name)  # pyright: ignore[reportUnknownArgumentType] - as above
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType] - as above
            yield from _texts(inner)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _is_json(scope: Scope) -> bool:
    kind = (_header(scope, b"content-type") or "application/json").partition(";")[0]
    return kind.strip().lower().endswith("json")


async def _try_to_release(begun: Repeatable) -> None:
    try:
        await begun.release()
    except RetryLater:
        _log.warning("key_not_released")


def _header(scope: Scope, name: bytes) -> str | None:
    return _find(scope["headers"], name)


def _find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
