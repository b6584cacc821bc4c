"""The time, and identifiers that sort by it. Knows nothing else, so that tests can set it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def to_ms(moment: datetime) -> int:
    """Return whole milliseconds since 1970 of an aware `moment`; fractions are cut off."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(ms: int) -> datetime:
    """Return the aware UTC moment `ms` milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=ms)


def new_id() -> UUID:
    """Make a version 7 UUID: unique without coordination, and increasing by the millisecond.

    Keys that increase keep index pages full; random ones cost a bulk load about a tenth more.
    RFC 9562, section 5.7.
    """
    ms = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF)
