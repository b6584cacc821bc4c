"""How far a CRM account's quota is used, as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from syncline.api.shapes import Shape


class UsageShape(Shape):
    """One bucket of an account, and the budget of the day that it counts to."""

    bucket: str
    budget: str
    used: int = Field(description="Calls of ours in the window, those under way included.")
    others: int = Field(description="What other programs were last seen to use.")
    limit: int | None = Field(description="Calls in the window; null when the CRM states no limit.")
    window_ms: int
    source: str = Field(description="Where the limit comes from: guess, stated, found or none.")
    closed_until: datetime | None
    rate_limit_hits: int
    day_started_at: datetime
    day_ends_at: datetime
    day_ours: int
    day_used: int
    day_limit: int | None
    day_pace: float = Field(description="Everybody's calls per hour.")
    day_forecast: int = Field(description="What everybody will have used at the day's end, at this pace.")
    day_enough_until: datetime | None = Field(
        description="When the budget, less what is kept for other programs, is used up; null when it lasts."
    )


USAGE: dict[str, Any] = {
    "bucket": "burst",
    "budget": "burst",
    "used": 12,
    "others": 0,
    "limit": 190,
    "window_ms": 10000,
    "source": "stated",
    "closed_until": None,
    "rate_limit_hits": 0,
    "day_started_at": "2026-03-01T00:00:00Z",
    "day_ends_at": "2026-03-02T00:00:00Z",
    "day_ours": 1200,
    "day_used": 1300,
    "day_limit": 250000,
    "day_pace": 150.0,
    "day_forecast": 3600,
    "day_enough_until": None,
}
