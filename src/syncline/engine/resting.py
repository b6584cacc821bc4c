"""What everything that looks again and again does between two looks."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, and for no longer than `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
