"""What a person sees when something does not work: what is wrong, and what to do about it.

The API's errors stay as they are; which paths are pages is known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from syncline.api.problems import status_of
from syncline.errors import CallerMistake, Invalid, SignInNeeded, StopForOperator, SynclineError, Unavailable
from syncline.web.forms import Form
from syncline.web.page import Site, Visit, next_place, sign_in_url

_log = structlog.get_logger(__name__)

#: Everything else is read by people.
_PROGRAMS = ("/api", "/functions", "/webhooks", "/healthz", "/readyz", "/metrics", "/mcp", "/static")


@dataclass(frozen=True, slots=True)
class Failure:
    title: str
    detail: str
    advice: str = ""


_TITLES = {
    400: "That cannot be done as asked",
    403: "You may not see this",
    404: "There is nothing here",
    405: "That is not how this page is used",
    409: "That cannot be done now",
    412: "Somebody was faster",
    413: "That is too large",
    422: "That cannot be done as asked",
    429: "A limit is reached",
    500: "Something went wrong",
    503: "Syncline cannot work just now",
}
_ADVICE = {
    403: "Ask an administrator of your tenant for a role that allows it, or go back to the overview.",
    404: "It may have been removed or merged, or belong to another tenant. Search for it.",
    405: "Go back and use the button or the link on the page itself.",
    412: "Go back, load the page again, and repeat your change.",
    429: "Wait a moment and try again.",
    500: "Nothing was half done. Try again; if it happens again, the log of Syncline says what it was.",
    503: "Try again in a moment: this page asks by itself every ten seconds. "
    "If it stays so, run `syncline doctor` where Syncline runs.",
}


def add_failures(app: FastAPI, site: Site) -> None:
    """Give pages errors of their own; paths of programs keep those they have."""
    before = dict(app.exception_handlers)

    def show(kind: type[Exception], explain: Callable[[Site, Request, Any], Response]) -> None:
        async def handle(request: Request, error: Exception) -> Response:
            if request.url.path.startswith(_PROGRAMS):
                return await before[kind](request, error)  # type: ignore[misc] - the API registered it
            return explain(site, request, error)

        app.add_exception_handler(kind, handle)

    show(SynclineError, _explain)
    show(HTTPException, _refuse)
    show(RequestValidationError, _misread)
    show(Exception, _stumble)


def _misread(site: Site, request: Request, error: RequestValidationError) -> Response:
    del error  # a path or a query that no page of ours leads to
    return answer(site, request, 404, "There is no such page.")


def _explain(site: Site, request: Request, error: SynclineError) -> Response:
    if isinstance(error, SignInNeeded):
        where = sign_in_url(request)
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"HX-Redirect": where})
        return RedirectResponse(where, status_code=303)
    status = status_of(error)
    if isinstance(error, Unavailable):
        _log.warning("page_failed", path=request.url.path, error=str(error))
    told = str(error)
    if isinstance(error, StopForOperator):
        _log.error("page_failed", path=request.url.path, error=told)
        told = "The database or a setting needs somebody who looks after this installation."
    return answer(site, request, status, told, form=isinstance(error, CallerMistake))


def _refuse(site: Site, request: Request, error: HTTPException) -> Response:
    detail = "There is no such page." if error.status_code == 404 else error.detail
    return answer(site, request, error.status_code, detail)


def _stumble(site: Site, request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, method=request.method, exc_info=error)
    return answer(site, request, 500, "Something went wrong inside Syncline.")


def answer(site: Site, request: Request, status: int, detail: str, *, form: bool = False) -> Response:
    """Return the page that tells it; for a part of a page, the words alone, which app.js shows."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=status, headers={"X-Problem": quote(detail)})
    # By a link or a bookmark there is no page to go back to.
    came_from = urlsplit(request.headers.get("referer", ""))
    back = next_place(came_from.path) if form and request.method == "POST" and came_from.path else None
    advice = "" if form and status in {400, 422} else _ADVICE.get(status, "")
    failure = Failure(_TITLES.get(status, _TITLES[500]), detail, advice)
    visit = Visit(request, site, Form())
    response = visit.render(
        "error.html", status=status, failure=failure, code=status, retry=status == 503, back=back
    )
    if status == 503:
        response.headers["retry-after"] = "10"
    return response


def describe(error: SynclineError) -> str:
    """Return an error's words for beside a form; its fields are told there."""
    return "Please look at the fields below." if isinstance(error, Invalid) and error.fields else str(error)
