"""Numbers in the headers of CRMs' answers, which may hold anything. Knows no CRM."""

from __future__ import annotations

_LONGEST_PAUSE_SECONDS = 86_400.0


def read_integer(text: str | None) -> int | None:
    """Return a number without a sign; None for whatever else stands there."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def read_seconds(text: str | None) -> float | None:
    """Return a Retry-After in seconds, a day at most; None for a date or for whatever else stands there."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return min(seconds, _LONGEST_PAUSE_SECONDS) if seconds >= 0 else None
