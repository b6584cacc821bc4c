"""What tokens of any simulated account have in common: they expire, are revoked, come from refresh tokens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

CLIENT_ID = "simulated-client"
CLIENT_SECRET = "simulated-secret"  # noqa: S105 -- of simulators only


class Held(Protocol):
    """What a token stands for."""

    #: When it stops working, ms since 1970; None never.
    expires_ms: int | None
    #: The refresh token it came from.
    refresh_token: str | None


G = TypeVar("G", bound=Held)
C = TypeVar("C")


class TokenBook(Generic[G, C]):
    """All credentials of an account. `tokens` may be changed freely by tests."""

    def __init__(self, rng: random.Random, now_ms: Callable[[], int], lifetime_seconds: float) -> None:
        self._rng = rng
        self._now_ms = now_ms
        self.tokens: dict[str, G] = {}
        self.codes: dict[str, C] = {}
        self.refresh_tokens: dict[str, C] = {}
        self.clients: dict[str, str] = {CLIENT_ID: CLIENT_SECRET}
        #: How long new OAuth access tokens live.
        self.lifetime_seconds = lifetime_seconds
        #: Refreshes answered, for tests that want exactly one.
        self.refreshes = 0

    def revoke(self, token: str) -> None:
        """End a token; a refresh token takes its access tokens with it, as an uninstall does."""
        self.tokens.pop(token, None)
        if self.refresh_tokens.pop(token, None):
            for name in [name for name, grant in self.tokens.items() if grant.refresh_token == token]:
                del self.tokens[name]

    def expire(self, token: str, *, seconds_ago: float = 1) -> None:
        """Let an access token have expired that long ago."""
        self.tokens[token].expires_ms = self._now_ms() - int(seconds_ago * 1000)

    def random_digits(self, digits: int) -> str:
        """Return so many hexadecimal digits."""
        return f"{self._rng.getrandbits(digits * 4):0{digits}x}"
