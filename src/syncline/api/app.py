"""The API as an ASGI application, and how errors look there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from syncline.actions.readiness import Unready
from syncline.api.problems import PROBLEM
from syncline.api.webhooks import add_routes
from syncline.engine.webhooks import Intake


def make_app(
    list_unready: Callable[[], Awaitable[list[Unready]]],
    *,
    intake: Intake | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """Return the application; `list_unready` is asked at every look at /readyz.

    Webhooks go to `intake`; `public_url` is how CRMs reach us, None takes each address as it was called.
    """
    app = FastAPI(title="Syncline", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        """Say that the process lives; whether it can work is /readyz's matter."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        reasons = await list_unready()
        return _unready(reasons) if reasons else PlainTextResponse("ready\n")

    if intake is not None:
        add_routes(app, intake, public_url)
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
        media_type=PROBLEM,
        headers={"retry-after": "5"},
    )
