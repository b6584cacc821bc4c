"""What Pipedrive's statuses, bodies and headers mean, as our errors and quota facts. Does no I/O.

Facts: Pipedrive's pages on responses, status codes and rate limiting, and what others report, read 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, cast

import msgspec

from syncline.connectors.headers import read_integer, read_seconds
from syncline.connectors.transport import QuotaFacts
from syncline.errors import (
    Invalid,
    NotFound,
    PauseConnection,
    RateLimited,
    ScopeMissing,
    SynclineError,
    TokenRejected,
    Unavailable,
)

#: Seconds to wait where nothing says how long, by status.
_PAUSES = {423: 2.0, 500: 1.0, 502: 3.0, 503: 10.0, 504: 3.0}
#: Whoever goes on calling is shut out by Cloudflare, with all programs of the company.
_SHUT_OUT_SECONDS = 900.0
_LONGEST_MESSAGE = 200
_WINDOW = timedelta(seconds=2)
#: What a message repeats of a record's values: quoted text, addresses and long numbers.
_VALUES = re.compile(r"\"[^\"]*\"|'[^']*'|\S+@\S+|\+?\d[\d .-]{4,}|https?://\S+")


class Failure(msgspec.Struct):
    """Pipedrive's error body. Every field may be missing, or of another type than documented."""

    success: Any = None
    error: Any = None
    error_info: Any = None
    errors: Any = None
    code: Any = None
    message: Any = None


class CallRefused(Invalid):
    """Pipedrive refused the content of a call."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        #: Pipedrive's body. It quotes values, and so belongs into no message.
        self.failure = failure


class Forbidden(ScopeMissing):
    """Pipedrive does not allow this call."""

    def __init__(self, message: str, failure: Failure, *, of_token: bool) -> None:
        super().__init__(message)
        self.failure = failure
        #: True when the token itself lacks a permission; False when it may be about this one record.
        self.of_token = of_token


def explain_failure(status: int, headers: Mapping[str, str], body: bytes) -> SynclineError:
    """Turn an answer of status 300 and above into the error that says what to do about it."""
    failure = read_failure(body)
    if status == 401:
        return TokenRejected("Pipedrive does not accept the token. Connect again with a valid one.")
    if status == 402:
        return PauseConnection("The Pipedrive account is closed or suspended (HTTP 402).")
    if status == 403:
        return _forbidden(failure)
    if status in {404, 410}:
        return NotFound(f"Pipedrive has no such thing (HTTP {status}).")
    if status == 429:
        return _rate_limited(headers, failure)
    if status == 423 or (status >= 500 and status != 501):
        seconds = read_seconds(headers.get("retry-after")) or _PAUSES.get(status)
        return Unavailable(f"Pipedrive cannot answer now (HTTP {status}).", after_seconds=seconds)
    return refuse(status, failure or Failure())


def refuse(status: int, failure: Failure) -> SynclineError:
    """Return the error of a call whose content was refused, also one answered with HTTP 200."""
    if failure.error == "invalid_grant":
        return TokenRejected("The grant was revoked or has expired. Connect Pipedrive again.")
    said = describe(failure)
    return CallRefused(f"Pipedrive refused the call (HTTP {status}){': ' if said else ''}{said}.", failure)


def read_quota(headers: Mapping[str, str]) -> QuotaFacts:
    """Read the rate limit headers. Those of the day are not documented, and may be missing."""
    limit = read_integer(headers.get("x-ratelimit-limit"))
    return QuotaFacts(
        limit=limit,
        window=None if limit is None else _WINDOW,
        remaining=read_integer(headers.get("x-ratelimit-remaining")),
        daily_limit=read_integer(headers.get("x-daily-ratelimit-token-limit")),
        daily_remaining=read_integer(headers.get("x-daily-ratelimit-token-remaining")),
    )


def read_failure(body: bytes) -> Failure | None:
    """Read an error body; None when it is not Pipedrive's (Cloudflare's page, a gateway's)."""
    try:
        return msgspec.json.decode(body, type=Failure)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def describe(failure: Failure, values: Iterable[str] = ()) -> str:
    """Return Pipedrive's own words in one line, without the values they quote; "" where there are none."""
    words = str(failure.error or failure.message or "") or _listed(failure.errors)
    info = str(failure.error_info or "")
    if info and "developers.pipedrive.com" not in info and info != words:
        words = f"{words}: {info}" if words else info
    for value in sorted(values, key=len, reverse=True):
        if value.strip():
            words = re.sub(rf"(?<!\w){re.escape(value.strip())}(?!\w)", "…", words)
    line = _VALUES.sub("…", " ".join(words.split()))
    return line[:_LONGEST_MESSAGE].rstrip(" .:")


def _listed(errors: Any) -> str:
    """Read {"field": ["what is wrong", …]}."""
    if not isinstance(errors, dict):
        return str(errors or "")
    named = cast("dict[str, Any]", errors).items()
    return "; ".join(f"{name}: {', '.join(map(str, _list(said)))}" for name, said in named)


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _forbidden(failure: Failure | None) -> SynclineError:
    if failure is None:  # a page, not an answer
        return RateLimited(
            "Pipedrive's edge shuts us out for too many calls (HTTP 403 with a page). Other programs of this "
            "account may be the cause.",
            after_seconds=_SHUT_OUT_SECONDS,
        )
    said = describe(failure)
    of_token = "scope" in said.lower()
    return Forbidden(
        f"Pipedrive does not allow this call (HTTP 403){': ' if said else ''}{said}."
        " The token's user lacks a permission, or the plan lacks the feature.",
        failure,
        of_token=of_token,
    )


def _rate_limited(headers: Mapping[str, str], failure: Failure | None) -> RateLimited:
    quota = read_quota(headers)
    words = "" if failure is None else describe(failure).lower()
    used_up = quota.daily_remaining is not None and quota.daily_remaining <= 0
    # Refused although the burst has room: then it is the day's budget that is gone.
    odd = quota.daily_remaining is None and quota.remaining is not None and quota.remaining > 0
    if used_up or odd or "daily" in words:
        return RateLimited("Pipedrive's tokens of this day are used up.", daily=True)
    seconds = read_seconds(headers.get("retry-after"))
    if seconds is None:
        # The unit is not stated; as seconds it is what others go by.
        seconds = read_seconds(headers.get("x-ratelimit-reset"))
    if seconds is None or seconds > 60:
        seconds = _WINDOW.total_seconds()
    return RateLimited("Pipedrive's limit of calls is used up for the moment.", after_seconds=seconds)
