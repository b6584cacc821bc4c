"""The API as an ASGI application, and how errors look there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from syncline.actions.hub import Hub
from syncline.actions.readiness import Unready
from syncline.api.front import Front
from syncline.api.kept import Kept
from syncline.api.openapi import describe
from syncline.api.problems import PROBLEM, explain, problem
from syncline.api.prometheus import add_metrics
from syncline.api.routers import ROUTERS
from syncline.api.tracing import Traced
from syncline.api.webhooks import add_routes
from syncline.engine.telemetry import is_tracing
from syncline.engine.webhooks import Intake
from syncline.errors import SynclineError

_log = structlog.get_logger(__name__)


def make_app(
    list_unready: Callable[[], Awaitable[list[Unready]]],
    *,
    hub: Hub | None = None,
    intake: Intake | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """Return the application; `list_unready` is asked at every look at /readyz.

    Without a `hub` nothing but health is served. Webhooks go to `intake`; `public_url` is how CRMs reach us,
    None takes each address as it was called.
    """
    app = FastAPI(title="Syncline", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.hub = hub

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> PlainTextResponse:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        """Say that the process lives; whether it can work is /readyz's matter."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        reasons = await list_unready()
        return _unready(reasons) if reasons else PlainTextResponse("ready\n")

    _explain_errors(app)
    if intake is not None:
        add_routes(app, intake, public_url)
    if hub is not None:
        for router in ROUTERS:
            app.include_router(router)
        app.add_middleware(Front)
        app.add_middleware(Kept)
        describe(app)
        add_metrics(app, hub)
        if is_tracing():
            app.add_middleware(Traced)
    return app


def _explain_errors(app: FastAPI) -> None:
    """Give every error the form of RFC 9457; an unexpected one says nothing of what is inside."""

    @app.exception_handler(SynclineError)
    async def known(request: Request, error: SynclineError) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        del request
        return explain(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        del request
        found = [
            {
                "field": ".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]),
                "detail": each["msg"],
            }
            for each in error.errors()
        ]
        told = "; ".join(f"{each['field']}: {each['detail']}" for each in found)
        return problem(422, f"The request cannot be read: {told}.", more={"errors": found})

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        del request
        detail = error.detail or HTTPStatus(error.status_code).phrase
        return problem(error.status_code, detail, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        _log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
        return problem(500, "Something went wrong inside Syncline; its log says what.")


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
