"""A span for each request over HTTP, where spans are sent at all."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.api.calls import prove
from syncline.api.prometheus import route_of
from syncline.engine.telemetry import span
from syncline.errors import SynclineError

#: Of the headers only what names the caller's own span.
_CARRIED = (b"traceparent", b"tracestate")


class Traced:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = await _find_carrier(scope)
        method: str = scope["method"]
        with span(method, {"http.request.method": method}, kind="server", carrier=carrier) as told:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status: int = message["status"]
                    told.call(f"{method} {route_of(scope)}")
                    told.note("http.route", route_of(scope))
                    told.note("http.response.status_code", status)
                    if status >= 500:
                        told.fail(str(status))
                await send(message)

            await self._app(scope, receive, noted)


async def _find_carrier(scope: Scope) -> Mapping[str, str]:
    """Return the headers that name the caller's span, of a caller with a key or a session; none of others.

    Anybody could name any trace, and say of it whether it is kept.
    """
    carrier = {
        bytes(name).decode("latin-1"): bytes(value).decode("latin-1")
        for name, value in scope["headers"]
        if bytes(name).lower() in _CARRIED
    }
    if not carrier:
        return {}
    try:
        await prove(Request(scope))
    except SynclineError:  # whoever answers the request says what is wrong
        return {}
    return carrier
