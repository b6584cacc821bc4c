"""The door that CRMs knock at: reads the raw bytes and the exact address, hands them in, answers at once.

    POST /api/v1/webhooks/{platform}                        the account in the body decides whose it is
    POST /api/v1/webhooks/{platform}/{connection}           a connection by name or id
    POST /api/v1/webhooks/{platform}/{tenant}/{connection}  the same, of one tenant

What may pass is `engine.webhooks`' matter.
"""

from __future__ import annotations

import asyncio

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response

from syncline.api.problems import explain, problem
from syncline.clock import now, to_ms
from syncline.connectors.registry import PLATFORMS
from syncline.connectors.webhooks import Delivery, Webhooks
from syncline.engine.webhooks import Address, Intake
from syncline.errors import CallerMistake, SynclineError

#: A body has to be here by then; whoever is slower gets no more of our time.
_BODY_SECONDS = 10.0
_CLOSE = {"connection": "close"}

_log = structlog.get_logger(__name__)


class _Refused(Exception):
    """A request whose body is not read to its end."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def add_routes(app: FastAPI, intake: Intake, public_url: str | None) -> None:
    """Let an application take webhooks in. `public_url`: see `app.make_app`."""
    door = _Door(intake, public_url)
    base = "/api/v1/webhooks/{platform}"
    for path in (base, f"{base}/{{connection}}", f"{base}/{{tenant}}/{{connection}}"):
        # Plain routes: there is nothing for FastAPI to read from the request, and it would take time.
        app.router.add_route(path, door.answer, methods=["POST"], include_in_schema=False)


class _Door:
    def __init__(self, intake: Intake, public_url: str | None) -> None:
        self._intake = intake
        self._public_url = public_url

    async def answer(self, request: Request) -> Response:
        received_ms = to_ms(now())
        given = request.path_params
        platform = PLATFORMS.get(given["platform"])
        if platform is None or platform.webhooks is None:
            return problem(404, "No webhooks are known from there.")
        address = Address(given["platform"], given.get("connection"), given.get("tenant"))
        source = request.client.host if request.client is not None else ""
        try:
            body = await _read_body(request, platform.webhooks)
        except _Refused as refusal:
            self._intake.refuse(address.platform, refusal.detail, source)
            return problem(refusal.status, refusal.detail, _CLOSE)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]
        }
        delivery = Delivery("POST", self._url(request), headers, body, received_ms)
        try:
            await self._intake.receive(address, platform.webhooks, delivery, source)
        except SynclineError as error:
            if not isinstance(error, CallerMistake):
                _log.warning("webhook_not_stored", platform=address.platform, reason=str(error))
            return explain(error)
        return Response(status_code=202)

    def _url(self, request: Request) -> str:
        """Return the address as the CRM called it, byte for byte: signatures cover it."""
        scope = request.scope
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        if self._public_url is not None:
            return self._public_url + target
        return f"{scope['scheme']}://{request.headers.get('host', '')}{target}"


async def _read_body(request: Request, webhooks: Webhooks) -> bytes:
    """Read the body, no further than it may be long. Raises `_Refused`."""
    most = webhooks.max_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise _Refused(413, f"The delivery is larger than {most:,} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            more = True
            while more:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "The delivery ended before it was complete.")
                part: bytes = message.get("body", b"")
                more = bool(message.get("more_body", False))
                size += len(part)
                if size > most:
                    raise _Refused(413, f"The delivery is larger than {most:,} bytes.")
                parts.append(part)
    except TimeoutError:
        raise _Refused(408, f"The delivery was not there within {_BODY_SECONDS:.0f} seconds.") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)
