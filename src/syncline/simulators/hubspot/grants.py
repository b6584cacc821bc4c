"""What a token may do. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Grant:
    """What a token stands for."""

    token: str
    scopes: frozenset[str]
    #: When it stops working, ms since 1970; None for a private app's token.
    expires_ms: int | None = None
    #: The refresh token it came from, for OAuth.
    refresh_token: str | None = None
    app_id: str = "39522895"
    user_id: int = 47_812_075
