"""Tokens, what they may do, and the OAuth grants behind them. Knows no HTTP but the words of refusals."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from syncline.simulators.hubspot.answers import ApiError
from syncline.simulators.hubspot.grants import Grant
from syncline.simulators.hubspot.values import DAY_MS, iso
from syncline.simulators.tokens import CLIENT_ID, CLIENT_SECRET, TokenBook

__all__ = [
    "ALL_SCOPES",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DEFAULT_TOKEN",
    "LIFETIME_SECONDS",
    "Auth",
    "Consent",
    "expired",
]

DEFAULT_TOKEN = "pat-na1-simulated"  # noqa: S105 -- a token of the simulator only
LIFETIME_SECONDS = 1800

ALL_SCOPES = frozenset(
    {
        "oauth", "crm.objects.owners.read", "sales-email-read", "crm.export", "tickets", "e-commerce",
        *(
            f"crm.{area}.{kind}.{way}"
            for area in ("objects", "schemas")
            for kind in ("contacts", "companies", "deals", "tickets", "products", "line_items", "custom")
            for way in ("read", "write")
        ),
    }
)  # fmt: skip

_NOT_FOUND = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more "
    "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)


@dataclass(slots=True)
class Consent:
    """An authorization code or refresh token, and what was agreed to."""

    client_id: str
    scopes: frozenset[str]
    redirect_uri: str | None = None


class Auth(TokenBook[Grant, Consent]):
    """All credentials of the account. `tokens` may be changed freely by tests."""

    def __init__(self, rng: random.Random, now_ms: Callable[[], int]) -> None:
        super().__init__(rng, now_ms, LIFETIME_SECONDS)
        self.add_token(DEFAULT_TOKEN)

    def add_token(
        self, token: str, scopes: Iterable[str] = ALL_SCOPES, *, expires_in_seconds: float | None = None
    ) -> Grant:
        """Accept a token, of a private app unless it expires."""
        expires = None if expires_in_seconds is None else self._now_ms() + int(expires_in_seconds * 1000)
        self.tokens[token] = Grant(token, frozenset(scopes), expires)
        return self.tokens[token]

    def issue_code(
        self,
        scopes: Iterable[str] = ALL_SCOPES,
        *,
        client_id: str = CLIENT_ID,
        redirect_uri: str | None = None,
    ) -> str:
        """Return an authorization code, as a person's consent gives; it works once."""
        code = self._random("na1-")
        self.codes[code] = Consent(client_id, frozenset(scopes) | {"oauth"}, redirect_uri)
        return code

    def issue_refresh_token(self, scopes: Iterable[str] = ALL_SCOPES, *, client_id: str = CLIENT_ID) -> str:
        token = self._random("na1-")
        self.refresh_tokens[token] = Consent(client_id, frozenset(scopes) | {"oauth"})
        return token

    def issue_access_token(self, refresh_token: str) -> Grant:
        """Return a fresh access token of a known refresh token; earlier ones stay valid until they expire."""
        scopes = self.refresh_tokens[refresh_token].scopes
        grant = self.add_token(self._random("CN"), scopes, expires_in_seconds=self.lifetime_seconds)
        grant.refresh_token = refresh_token
        return grant

    def check(self, header: bytes) -> Grant:
        """Return the grant of an Authorization header. Raises `ApiError` 401."""
        scheme, _, token = header.decode("latin-1").partition(" ")
        grant = self.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if grant is None:
            raise ApiError(401, _NOT_FOUND, "INVALID_AUTHENTICATION")
        if grant.expires_ms is not None and grant.expires_ms <= self._now_ms():
            raise expired(grant.expires_ms, self._now_ms())
        return grant

    def _random(self, prefix: str) -> str:
        return f"{prefix}{self.random_digits(40)}"


def expired(expires_ms: int, now_ms: int) -> ApiError:
    """Return the refusal of an expired token."""
    late = now_ms - expires_ms
    words = f"{late // DAY_MS} day(s)" if late >= DAY_MS else f"{late // 1000} second(s)"
    return ApiError(
        401,
        f"The OAuth token used to make this call expired {words} ago.",
        "EXPIRED_AUTHENTICATION",
        context={"expire time": [iso(expires_ms)]},
    )
