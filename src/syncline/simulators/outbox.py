"""Webhooks that wait to be sent, and what goes amiss with them on the way. Knows no service and no HTTP."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

#: By how much a reordered event may be late: those behind it overtake it.
_STRAY_SECONDS = 0.1


class Mishaps(Protocol):
    """The shares of events that do not arrive as they should."""

    @property
    def dropped(self) -> float: ...
    @property
    def duplicated(self) -> float: ...
    @property
    def delayed(self) -> float: ...
    @property
    def reordered(self) -> float: ...

    @property
    def delay_seconds(self) -> float:
        """Longest that a delayed event is held back."""
        ...


SHARES = ("dropped", "duplicated", "delayed", "reordered")


def check_shares(mishaps: Mishaps) -> None:
    """Raises `ValueError` for what is no share."""
    if not all(0 <= getattr(mishaps, share) <= 1 for share in SHARES):
        raise ValueError(f"{', '.join(SHARES)} are shares between 0 and 1")


class Outbox(Generic[T]):
    """Events that wait to be sent, the next one first. `put` may be called from any thread."""

    def __init__(self, seed: str, copy: Callable[[T], T]) -> None:
        self._copy = copy
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(seed)
        #: Called when something was put in.
        self.on_put: Callable[[], None] = lambda: None
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, event: T, mishaps: Mishaps) -> None:
        """Put in what becomes of an event: nothing, it, or it twice, at once or later."""
        self.counts["events"] += 1
        if self._happens(mishaps.dropped, "dropped"):
            return
        for _ in range(1 + self._happens(mishaps.duplicated, "duplicated")):
            self._put_once(self._copy(event), mishaps)
        self.on_put()

    def seconds_until_due(self) -> float | None:
        """Return how long until the next event is due, at most 0 when one is; None when there is none."""
        return self._heap[0][0] - time.monotonic() if self._heap else None

    def next_batch(self, most: int) -> list[T]:
        """Take out up to `most` events that are due."""
        found: list[T] = []
        while self._heap and len(found) < most and self._heap[0][0] <= time.monotonic():
            found.append(heapq.heappop(self._heap)[2])
        return found

    def clear(self) -> None:
        self._heap.clear()

    def _happens(self, share: float, name: str) -> bool:
        happens = bool(share) and self.rng.random() < share
        self.counts[name] += happens
        return happens

    def _put_once(self, event: T, mishaps: Mishaps) -> None:
        due = time.monotonic()
        self._number += 1
        if self._happens(mishaps.delayed, "delayed"):
            due += mishaps.delay_seconds * self.rng.uniform(0.5, 1)
        if self._happens(mishaps.reordered, "reordered"):
            due += self.rng.uniform(0, _STRAY_SECONDS)
        heapq.heappush(self._heap, (due, self._number, event))

    def stats(self, waiting: int) -> dict[str, Any]:
        """Return counts since the last reset: of events, but for `deliveries` (attempts) and `answers`."""
        counts = self.counts
        answers = {name[7:]: n for name, n in sorted(counts.items()) if name.startswith("answer ")}
        plain = ("events", *SHARES, "delivered", "given_up", "deliveries", "retries")
        return {**{name: counts[name] for name in plain}, "answers": answers, "waiting": waiting}
