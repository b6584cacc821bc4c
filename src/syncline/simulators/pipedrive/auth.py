"""Tokens, what they may do, and the OAuth consents behind them. Knows no HTTP but the words of refusals."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from syncline.simulators.pipedrive.answers import Grant, unauthorized
from syncline.simulators.times import DAY_MS
from syncline.simulators.tokens import CLIENT_ID, CLIENT_SECRET, TokenBook

__all__ = [
    "ALL_SCOPES",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DEFAULT_TOKEN",
    "LIFETIME_SECONDS",
    "Auth",
    "Consent",
]

DEFAULT_TOKEN = "5ca1ab1e" * 5  # 40 digits, as real ones have
LIFETIME_SECONDS = 3600
REFRESH_DAYS, CODE_MS = 60, 300_000

ALL_SCOPES = frozenset(
    {
        "base", "admin", "users:read", "recents:read", "search:read", "deal-fields:full",
        "contact-fields:full", "webhooks:read", "webhooks:full",
        *(f"{what}:read" for what in ("deals", "contacts", "activities", "leads")),
        *(f"{what}:full" for what in ("deals", "contacts", "activities", "leads")),
    }
)  # fmt: skip


@dataclass(slots=True)
class Consent:
    """What a person agreed to, behind a code or a refresh token."""

    client_id: str
    scopes: frozenset[str]
    #: When it dies, ms since 1970: a code soon, a refresh token when nobody uses it.
    dies_ms: int
    redirect_uri: str | None = None


class Auth(TokenBook[Grant, Consent]):
    """All credentials of the company. `tokens` may be changed freely by tests."""

    def __init__(self, rng: random.Random, now_ms: Callable[[], int], user_id: int) -> None:
        super().__init__(rng, now_ms, LIFETIME_SECONDS)
        self._user_id = user_id
        self.add_token(DEFAULT_TOKEN)

    def add_token(
        self, token: str, scopes: Iterable[str] | None = None, *, user_id: int | None = None,
        expires_in_seconds: float | None = None,
    ) -> Grant:  # fmt: skip
        """Accept a token: a user's API token, or with scopes an OAuth access token."""
        expires = None if expires_in_seconds is None else self._now_ms() + int(expires_in_seconds * 1000)
        held = (
            None
            if scopes is None and expires is None
            else frozenset(ALL_SCOPES if scopes is None else scopes)
        )
        self.tokens[token] = Grant(token, user_id or self._user_id, held, expires)
        return self.tokens[token]

    def issue_code(
        self,
        scopes: Iterable[str] = ALL_SCOPES,
        *,
        client_id: str = CLIENT_ID,
        redirect_uri: str | None = None,
    ) -> str:
        """Return an authorization code, as a person's consent gives; it works once, for five minutes."""
        code = self.random_digits(40)
        self.codes[code] = Consent(
            client_id, frozenset(scopes) | {"base"}, self._now_ms() + CODE_MS, redirect_uri
        )
        return code

    def issue_refresh_token(self, scopes: Iterable[str] = ALL_SCOPES, *, client_id: str = CLIENT_ID) -> str:
        token = f"{self._user_id}:{self.random_digits(40)}"
        held = frozenset(scopes) | {"base"}
        self.refresh_tokens[token] = Consent(client_id, held, self._now_ms() + REFRESH_DAYS * DAY_MS)
        return token

    def issue_access_token(self, refresh_token: str) -> Grant:
        """Return a fresh access token of a known refresh token, which lives on from now."""
        consent = self.refresh_tokens[refresh_token]
        consent.dies_ms = self._now_ms() + REFRESH_DAYS * DAY_MS
        # Real ones are that long, too.
        token = f"v1u:{self.random_digits(300)}"
        grant = self.add_token(token, consent.scopes, expires_in_seconds=self.lifetime_seconds)
        grant.refresh_token = refresh_token
        return grant

    def take_code(self, code: str) -> Consent | None:
        """Return what a code stands for, once; None for one that does not count."""
        found = self.codes.pop(code, None)
        return found if found is not None and found.dies_ms > self._now_ms() else None

    def find_refresh_token(self, token: str) -> Consent | None:
        found = self.refresh_tokens.get(token)
        return found if found is not None and found.dies_ms > self._now_ms() else None

    def check(self, api_token: str, authorization: str) -> Grant:
        """Return the grant of a request's headers. Raises `ApiError` 401."""
        scheme, _, bearer = authorization.partition(" ")
        if scheme.lower() == "bearer":
            grant = self.tokens.get(bearer.strip())
            grant = grant if grant is not None and grant.is_oauth else None
        else:
            grant = self.tokens.get(api_token)
            grant = grant if grant is not None and not grant.is_oauth else None
        if grant is None or (grant.expires_ms is not None and grant.expires_ms <= self._now_ms()):
            raise unauthorized()
        return grant
