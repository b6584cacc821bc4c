"""What HubSpot's statuses and headers mean, as our errors and quota facts. Does no I/O.

Facts: developers.hubspot.com, error handling and usage guidelines, read 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import msgspec

from syncline.connectors.headers import read_integer, read_seconds
from syncline.connectors.transport import QuotaFacts
from syncline.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    RateLimited,
    ScopeMissing,
    SynclineError,
    TokenRejected,
    Unavailable,
)

#: Seconds to wait where HubSpot asks for a pause without saying how long, by status.
_PAUSES = {423: 2.0, 477: 60.0, 502: 3.0, 504: 3.0, 524: 10.0}
_LONGEST_MESSAGE = 200
#: Quoted text, addresses and long numbers: what a message repeats of a record's values.
_VALUES = re.compile(r"\"[^\"]*\"|'[^']*'|\[[^\]]*\]|\S+@\S+|\+?\d[\d .-]{4,}|https?://\S+")


class RouteUnknown(NotFound):
    """HubSpot does not know this path, or not under this version of its API."""


class ObjectUnknown(NotFound):
    """This HubSpot account has no object of that name."""


class Failure(msgspec.Struct, rename="camel"):
    """HubSpot's error body, or one entry of a batch's errors.

    Every field may be missing, or of another type than documented.
    """

    status: Any = None
    message: Any = None
    category: Any = None
    policy_name: Any = None
    error: Any = None
    errors: Any = None
    context: Any = None


class CallRefused(Invalid):
    """HubSpot refused the content of a call."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        #: HubSpot's body. It quotes values, and so belongs into no message.
        self.failure = failure


class Taken(AlreadyExists):
    """HubSpot has this already."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        #: HubSpot's body, which may name the record that is there.
        self.failure = failure


def explain_failure(status: int, headers: Mapping[str, str], body: bytes) -> SynclineError:
    """Turn an answer of status 300 and above into the error that says what to do about it."""
    failure = _read(body)
    if status in {401, 530}:
        return _token_rejected(status, failure)
    if status == 403:
        return _forbidden(failure)
    if status == 429:
        return _rate_limited(headers, failure)
    if status in {423, 477} or status >= 500:
        seconds = read_seconds(headers.get("retry-after")) or _PAUSES.get(status)
        return Unavailable(f"HubSpot cannot answer now (HTTP {status}).", after_seconds=seconds)
    if status == 404:
        # What HubSpot looked for and did not find has a category; a path it does not know has none.
        kind = NotFound if failure is not None and failure.category else RouteUnknown
        return kind("HubSpot has no such thing (HTTP 404).")
    return _refused(status, failure or Failure())


def read_quota(headers: Mapping[str, str]) -> QuotaFacts:
    """Read the rate limit headers. Search answers carry the daily ones only, OAuth answers none of those."""
    window_ms = read_integer(headers.get("x-hubspot-ratelimit-interval-milliseconds"))
    return QuotaFacts(
        limit=read_integer(headers.get("x-hubspot-ratelimit-max")),
        window=timedelta(milliseconds=window_ms) if window_ms else None,
        remaining=read_integer(headers.get("x-hubspot-ratelimit-remaining")),
        daily_limit=read_integer(headers.get("x-hubspot-ratelimit-daily")),
        daily_remaining=read_integer(headers.get("x-hubspot-ratelimit-daily-remaining")),
    )


def _read(body: bytes) -> Failure | None:
    """Read an error body; None when it is not HubSpot's (a gateway's page, nothing at all)."""
    try:
        return msgspec.json.decode(body, type=Failure)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _token_rejected(status: int, failure: Failure | None) -> TokenRejected:
    # A malformed token is stopped at HubSpot's edge with 530 and no body.
    if status == 401 and failure is not None and failure.category == "EXPIRED_AUTHENTICATION":
        return TokenRejected("The HubSpot token has expired. Connect again with a valid one.", expired=True)
    return TokenRejected("HubSpot does not accept the token. Connect again with a valid one.")


def _forbidden(failure: Failure | None) -> ScopeMissing:
    scopes: list[str] = []
    if failure is not None:
        details = _list(failure.errors)
        for context in (failure.context, *(_value(each, "context") for each in details)):
            scopes.extend(str(each) for each in _list(_value(context, "requiredGranularScopes")))
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted:
        return ScopeMissing("HubSpot refuses this call: the token lacks a permission (HTTP 403).")
    return ScopeMissing(
        f"The HubSpot token lacks a permission: {', '.join(wanted)}. Add it to the app and connect again.",
        scopes=wanted,
    )


def _value(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _rate_limited(headers: Mapping[str, str], failure: Failure | None) -> RateLimited:
    seconds = read_seconds(headers.get("retry-after"))
    words = "" if failure is None else f"{failure.policy_name or ''} {failure.message or ''}".lower()
    if "daily" in words:
        return RateLimited("HubSpot's daily limit of calls is used up.", after_seconds=seconds, daily=True)
    if seconds is None:
        seconds = 10.0 if "ten_secondly" in words else 1.0
    return RateLimited("HubSpot's limit of calls is used up for the moment.", after_seconds=seconds)


def _refused(status: int, failure: Failure) -> SynclineError:
    words = shorten(str(failure.message or failure.error or ""))
    if words.startswith("Unable to infer object type"):
        return ObjectUnknown()
    if failure.error == "invalid_grant" or failure.status == "BAD_REFRESH_TOKEN":
        return TokenRejected("The grant was revoked or has expired. Connect HubSpot again.")
    said = f": {words}" if words else ""
    if status == 409:
        return Taken(f"HubSpot has this already{said}.", failure)
    return CallRefused(f"HubSpot refused the call (HTTP {status}){said}.", failure)


def shorten(message: str) -> str:
    """Cut HubSpot's words to one short line without the values they quote."""
    line = _VALUES.sub("…", " ".join(message.split()))
    return line[:_LONGEST_MESSAGE].rstrip(" .:")
