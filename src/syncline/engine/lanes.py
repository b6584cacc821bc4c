"""Who goes first when slots are few: lanes in their order, and the line of those who wait in this process.

Knows nothing of windows, budgets or other processes: the database decides how many slots each lane gets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Literal, TypeVar, get_args

#: What a call is for. `person`: somebody waits for the answer, and only this lane may touch the part of the
#: day's budget that is kept for other tools. `webhook` and `push`: a change is on its way in, or out.
#: `incremental`: a run that reads what has changed. `backfill`: one that reads everything.
Lane = Literal["person", "webhook", "push", "incremental", "backfill"]

#: Highest first, as arrays in the database are ordered (migration 0009).
LANES: tuple[Lane, ...] = get_args(Lane)
#: The lanes that leave alone what is kept of the day for other tools.
WITHOUT_RESERVE: tuple[Lane, ...] = LANES[1:]

Place = TypeVar("Place")


class Line(Generic[Place]):
    """Who waits for a place, by lane; in a lane, who came first is first. For the tasks of one event loop."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[asyncio.Future[Place]]] = {lane: deque() for lane in LANES}

    def __bool__(self) -> bool:
        """Whether somebody may be waiting; whoever has left counts until the next `count`."""
        return any(self._lanes.values())

    def join(self, lane: Lane, waiter: asyncio.Future[Place]) -> bool:
        """Add a waiter at the end of his lane. Tells whether nobody waits in this lane or one above."""
        is_first = not any(self._lanes[each] for each in LANES[: LANES.index(lane) + 1])
        self._lanes[lane].append(waiter)
        return is_first

    def count(self) -> list[int]:
        """Return how many wait in each lane, highest first, after dropping those who have left."""
        for lane, waiters in self._lanes.items():
            if any(waiter.done() for waiter in waiters):
                self._lanes[lane] = deque(waiter for waiter in waiters if not waiter.done())
        return [len(waiters) for waiters in self._lanes.values()]

    def call_next(self, lanes: Iterable[Lane] = LANES) -> asyncio.Future[Place] | None:
        """Take out who is first in the highest of `lanes` in which somebody waits; None when nobody does."""
        for lane in lanes:
            while self._lanes[lane]:
                waiter = self._lanes[lane].popleft()
                if not waiter.done():
                    return waiter
        return None

    def turn_away(self, make_error: Callable[[], Exception], lanes: tuple[Lane, ...] = LANES) -> None:
        """Give all who wait in `lanes` an error instead of a place, each his own."""
        while (waiter := self.call_next(lanes)) is not None:
            waiter.set_exception(make_error())

    def cancel(self) -> None:
        """Send everybody away."""
        while (waiter := self.call_next()) is not None:
            waiter.cancel()
