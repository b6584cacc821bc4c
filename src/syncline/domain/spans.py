"""Lengths of time as people write them in rules: 30s, 2m, 1h, 1d. Knows of no rule."""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_span(text: str) -> timedelta | None:
    """Read a time such as 30s, 2m, 1h or 1d; None when it is none."""
    found = _SPAN.fullmatch(text.strip())
    return timedelta(seconds=int(found["count"]) * _SECONDS[found["unit"]]) if found else None


def write_span(span: timedelta) -> str:
    """Write a time as `read_span` reads it, in its largest unit."""
    seconds = int(span.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
