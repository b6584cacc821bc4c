"""A time that tests move themselves."""

from __future__ import annotations

#: A Sunday, long after every populated record.
NOW_MS = 1_790_000_000_000


class Clock:
    """A time that moves only when told to."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
