"""Lets reads be answered with what is known already, and tells so: `X-Cache` and `Age`.

Plain ASGI, around all routes. A request with `Cache-Control: no-cache` is worked out anew; one with If-Match,
and one that changes something, knows of no cache at all.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline import clock
from syncline.actions.caching import Use, using

_ANEW = re.compile(r"\bno-cache\b|\bno-store\b|\bmax-age\s*=\s*0\b")


class Kept:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {bytes(name).lower(): bytes(value) for name, value in scope.get("headers", ())}
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or b"if-match" in headers:
            await self._app(scope, receive, send)
            return
        wish = b",".join((headers.get(b"cache-control", b""), headers.get(b"pragma", b"")))
        use = Use(may_read=_ANEW.search(wish.decode("latin-1").lower()) is None)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and use.hits + use.misses:
                message = {**message, "headers": [*message.get("headers", []), *_tell(use)]}
            await send(message)

        with using(use):
            await self._app(scope, receive, told)


def _tell(use: Use) -> list[tuple[bytes, bytes]]:
    """Return the headers: a hit is an answer no part of which was worked out for it."""
    found = [(b"x-cache", b"miss" if use.misses else b"hit")]
    if use.hits:
        found.append((b"age", str(use.age_seconds(clock.now())).encode()))
    return found
