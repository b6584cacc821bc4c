"""How a connector reaches its CRM: one call, its answer, what it costs, and whoever carries it out.

Shapes only, part of the contract in `base`. A CRM behind HTTP is reached through `connectors.http`; another
kind brings a `Transport` of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Token:
    """Credentials in use. Never logged; `repr` shows no value."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    #: When `access_token` stops working, ms since 1970; None when it does not expire.
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call, relative to the connection's base URL."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Body to be sent as JSON; None sends no body.
    json: Any = None
    #: Body to be sent form-encoded (OAuth); excludes `json`.
    form: Mapping[str, str] | None = None
    bucket: str = "burst"
    #: What it takes of the daily budget, in the budget's own unit: calls, or tokens where prices differ.
    cost: int = 1
    #: False when sending it twice could do it twice; the engine then retries only before the first byte.
    idempotent: bool = True
    #: False for calls that authenticate by themselves (OAuth token calls).
    authorized: bool = True
    #: Name and password that such a call brings; excludes `authorized`.
    basic: tuple[str, str] | None = field(default=None, repr=False)
    #: Another host of the CRM that answers this call, as `https://…`; never with the connection's token. Only
    #: where the connection's own host is of the same domain: a proxy or a simulator answers for all of them.
    origin: str | None = None
    #: The path as it may be told to anybody: only words of the connector's own, and braces for all else that
    #: tells one record, object or account from another. Empty tells nothing of it.
    template: str = ""


@dataclass(frozen=True, slots=True)
class QuotaFacts:
    """What one answer's headers say about a quota; None where they are silent."""

    limit: int | None = None
    window: timedelta | None = None
    remaining: int | None = None
    #: In units of `Request.cost`.
    daily_limit: int | None = None
    daily_remaining: int | None = None

    @property
    def daily_used(self) -> int | None:
        if self.daily_limit is None or self.daily_remaining is None:
            return None
        return self.daily_limit - self.daily_remaining


@dataclass(frozen=True, slots=True)
class Response:
    """An answer below 300. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    quota: QuotaFacts = QuotaFacts()

    def measure_skew(self, ours_seconds: float) -> float:
        """Return the server's clock, as its `Date` header tells it, minus ours at that moment, in seconds."""
        try:
            theirs = parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, TypeError):
            return 0.0
        # `Date` is cut to whole seconds: half a second more is the best guess.
        return round(theirs + 0.5 - ours_seconds, 1)


#: Sends one request and returns its answer. Raises `errors.RetryLater` only after its own retries
#: are used up, `errors.PauseConnection`, or `errors.CallerMistake` for a 4xx the connector did not expect.
Send = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota as configured, before any header has corrected it. Limits are calls per window."""

    bucket: str
    limit: int
    window: timedelta
    #: True when the CRM's answers carry headers that state this limit.
    has_headers: bool = True
    #: In units of `Request.cost`; it begins anew at midnight UTC unless headers tell otherwise.
    daily_limit: int | None = None
    #: The most that one call of this bucket costs: so much has to be left of the day for a call to go out.
    dearest: int = 1


class Transport(Protocol):
    """Carries calls of one connection to its CRM, each exactly once. Safe to use from many tasks."""

    async def send(self, request: Request, token: Token | None) -> Response:
        """Carry out one call. Raises the classes of `errors`, never with a value of the call in them."""
        ...

    async def aclose(self) -> None: ...
