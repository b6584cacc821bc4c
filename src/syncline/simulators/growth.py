"""Ids and times of populated records: ascending with uneven gaps, as an account that grew for years has."""

from __future__ import annotations

import random
from dataclasses import dataclass

from syncline.simulators.times import DAY_MS

_YEARS_MS = 4 * 365 * DAY_MS


@dataclass(frozen=True, slots=True)
class Era:
    """A time in which ids began at `first` and grew by up to `gap`; `share` of the records are of it."""

    first: int
    gap: int
    share: float


def record_ids(rng: random.Random, count: int, eras: tuple[Era, ...]) -> list[int]:
    """Return `count` ids, ascending. Runs of neighbours (imports) lie between wide gaps."""
    found: list[int] = []
    for position, era in enumerate(eras):
        last_era = position == len(eras) - 1
        wanted = count - len(found) if last_era else round(count * era.share)
        current = max(era.first, found[-1] + 1 if found else 0)
        in_run = 0
        for _ in range(min(wanted, count - len(found))):
            found.append(current)
            if in_run:
                in_run -= 1
                current += 1
            else:
                current += rng.randrange(1, era.gap)
                in_run = rng.randrange(2, 60) if rng.random() < 0.02 else 0
    return found


def moments(rng: random.Random, count: int, anchor_ms: int) -> list[tuple[int, int]]:
    """Return `count` pairs of created and modified time, created ascending, all before the anchor."""
    first = anchor_ms - _YEARS_MS
    created = sorted(first + rng.randrange(_YEARS_MS - DAY_MS) for _ in range(count))
    return [(ms, ms + int((anchor_ms - 1000 - ms) * rng.random() ** 3)) for ms in created]
