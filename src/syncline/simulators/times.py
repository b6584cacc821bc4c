"""How moments are written and read: milliseconds since 1970 inside, ISO 8601 outside. Knows nothing else."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_INTEGER = re.compile(r"-?\d+")


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=8192)
def day(number: int) -> str:
    """Write a day, counted from 1970."""
    return date.fromordinal(_EPOCH_DAY + number).isoformat()


def iso(ms: int) -> str:
    """Write a moment in UTC: milliseconds only when there are any."""
    days, rest = divmod(ms, DAY_MS)
    seconds, fraction = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    if fraction:
        return f"{day(days)}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z"
    return f"{day(days)}T{hour:02}:{minute:02}:{second:02}Z"


def time_ms(value: object) -> int | None:
    """Read a date or time given as epoch milliseconds or ISO; None when it is neither."""
    text = str(value).strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        if len(text) > len("2026-01-01"):
            return None
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
