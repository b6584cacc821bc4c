"""Counting requests in any stretch of time. Knows nothing of what they are."""

from __future__ import annotations

from collections import deque


class Window:
    """A sliding window: at most `limit` grants in any `window_ms`."""

    __slots__ = ("_times", "window_ms")

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._times: deque[int] = deque()

    def take(self, limit: int, now_ms: int) -> int:
        """Count one request; return how many are left after it, or -1 when there was none left."""
        times = self._times
        self._forget(now_ms)
        if len(times) >= limit:
            return -1
        times.append(now_ms)
        return limit - len(times)

    def ms_until_free(self, now_ms: int) -> int:
        """Return in how many ms the oldest request that counts will not count any more; 0 without any."""
        self._forget(now_ms)
        return self._times[0] + self.window_ms - now_ms if self._times else 0

    def _forget(self, now_ms: int) -> None:
        while self._times and self._times[0] <= now_ms - self.window_ms:
            self._times.popleft()
