"""The API as an ASGI application, and how errors look there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from syncline.actions.readiness import Unready

_PROBLEM = "application/problem+json"


def make_app(list_unready: Callable[[], Awaitable[list[Unready]]]) -> FastAPI:
    """Return the application; `list_unready` is asked at every look at /readyz."""
    app = FastAPI(title="Syncline", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        """Say that the process lives; whether it can work is /readyz's matter."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        reasons = await list_unready()
        return _unready(reasons) if reasons else PlainTextResponse("ready\n")

    return app


def _unready(reasons: list[Unready]) -> JSONResponse:
    """Describe why not, as RFC 9457 has it."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": "Syncline cannot work now",
            "status": 503,
            "detail": " ".join(reason.detail for reason in reasons),
            "reasons": [{"code": reason.code, "detail": reason.detail} for reason in reasons],
        },
        status_code=503,
        media_type=_PROBLEM,
        headers={"retry-after": "5"},
    )
