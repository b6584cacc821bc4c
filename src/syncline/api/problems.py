"""How errors look over HTTP: one table from their classes to statuses, and RFC 9457's form of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from syncline import errors
from syncline.errors import SynclineError

PROBLEM = "application/problem+json"

STATUSES: dict[type[SynclineError], int] = {
    errors.SynclineError: 500,
    errors.RetryLater: 503,
    errors.Unavailable: 503,
    errors.RateLimited: 503,
    errors.LeaseLost: 503,
    errors.PauseConnection: 409,
    errors.TokenRejected: 409,
    errors.ScopeMissing: 409,
    errors.ParkRecord: 422,
    errors.RecordUnreadable: 422,
    errors.RecordRejected: 422,
    errors.StopForOperator: 503,
    errors.CallerMistake: 400,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Invalid: 400,
    errors.Forged: 401,
    errors.SignInNeeded: 401,
    errors.Forbidden: 403,
    errors.Stale: 412,
    errors.LimitReached: 429,
    errors.Busy: 409,
    errors.RunCancelled: 409,
}
_RETRY_AFTER_SECONDS = 5


def status_of(error: SynclineError) -> int:
    """Return the status of an error; one that has none of its own has that of its parent."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def explain(error: SynclineError) -> JSONResponse:
    """Describe an error. What is the operator's matter is not told to whoever called."""
    if isinstance(error, errors.RateLimited) and error.limit is not None:
        # A limit of the tenant's own, which it ran into on its way to a CRM.
        error = errors.LimitReached(str(error), limit=error.limit, after_seconds=error.after_seconds)
    status = status_of(error)
    told = not isinstance(error, errors.StopForOperator)
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, errors.Invalid) and error.fields:
        more["errors"] = [{"field": name, "detail": detail} for name, detail in error.fields.items()]
    if isinstance(error, errors.SignInNeeded):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, errors.LimitReached):
        more["limit"] = error.limit
        if error.after_seconds is not None:
            headers["retry-after"] = str(math.ceil(error.after_seconds))
    return problem(status, str(error) if told else "Syncline cannot do this now.", headers, more)


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """Describe why a request was not done; `more` are members beside those of RFC 9457."""
    wait = {"retry-after": str(_RETRY_AFTER_SECONDS)} if status == 503 else {}
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(
        {**told, **(more or {})},
        status_code=status,
        media_type=PROBLEM,
        headers={**wait, **(headers or {})},
    )
