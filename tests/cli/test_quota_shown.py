"""The line of `syncline status` that tells how far an account's quota goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from syncline.cli.status import show_quota
from syncline.store.quota import Usage

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def used(limit: int | None, calls: int, forecast: int, enough_until: datetime | None) -> Usage:
    return Usage(
        bucket="burst",
        budget="burst",
        used=19,
        others=0,
        limit=190,
        window_ms=10_000,
        source="stated",
        closed_until=None,
        rate_limit_hits=0,
        day_started_at=NOON - timedelta(hours=12),
        day_ends_at=NOON + timedelta(hours=12),
        day_ours=calls,
        day_used=calls,
        day_limit=limit,
        day_pace=1000,
        day_forecast=forecast,
        day_enough_until=enough_until,
    )


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (used(250_000, 12_300, 48_000, None), "today 12,300 of 250,000, at this pace 48,000 by 00:00 UTC"),
        (
            used(250_000, 112_300, 480_000, NOON + timedelta(hours=3)),
            "today 112,300 of 250,000, at this pace enough until 15:00 UTC",
        ),
        (
            used(250_000, 230_000, 480_000, NOON - timedelta(hours=3)),
            "today 230,000 of 250,000, used up but for what is kept for other tools",
        ),
        (used(None, 12_300, 48_000, None), "today 12,300"),
    ],
)
def test_the_status_tells_how_long_the_days_budget_lasts(usage: Usage, told: str) -> None:
    assert show_quota(usage, NOON) == f"19 of 190 per 10 s; {told}"
