"""What goes wrong between a client and a simulated service, on demand. Decides; others carry it out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from syncline.simulators.answers import Answer

#: Kinds that carry the request out all the same.
AFTER_COMMIT = frozenset({"reset-after-commit", "truncated", "slow", "empty-200"})

_GATEWAY_PAGE = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>%s | %s</title></head>
<body><div id="cf-wrapper"><h1>%s</h1>
<p>The web server reported an error. Ray ID: 8f2a6b0c4d1e9f37</p></div></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    share: float
    kinds: tuple[str, ...]


def read_plan(text: str, known: Sequence[str]) -> FaultPlan:
    """Read "0.1" (every kind there is) or "0.1:429,500,reset". Raises `ValueError`."""
    share, _, listed = str(text).partition(":")
    kinds = tuple(kind.strip() for kind in listed.split(",") if kind.strip()) or tuple(known)
    check_kinds(kinds, known)
    found = FaultPlan(float(share or 0), kinds)
    if not 0 <= found.share <= 1:
        raise ValueError("the share of faults must be between 0 and 1")
    return found


def check_kinds(kinds: Sequence[str], known: Sequence[str]) -> None:
    """Raises `ValueError` for a kind there is not."""
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise ValueError(f"unknown faults: {', '.join(unknown)}; there are {', '.join(known)}")


class Faults:
    """Chooses which requests go wrong: by the seed, every kind in its turn."""

    def __init__(self, seed: int, known: Sequence[str]) -> None:
        self.known = tuple(known)
        self._rng = random.Random(seed)
        self._turn = 0
        self._text = ""
        self._plan = FaultPlan(0, self.known)
        #: Kinds the next requests get, before any chance; for tests.
        self.queued: list[str] = []

    def next(self, setting: str) -> str | None:
        """Return the kind of fault the next request meets, None for most."""
        if self.queued:
            return self.queued.pop(0)
        if setting != self._text:
            self._text, self._plan = setting, read_plan(setting, self.known)
        if not self._plan.share or self._rng.random() >= self._plan.share:
            return None
        self._turn += 1
        return self._plan.kinds[(self._turn - 1) % len(self._plan.kinds)]


def gateway_page(status: int, title: str, host: str) -> Answer:
    """Return a page as a proxy before the service shows it, where JSON was expected."""
    words = title.encode()
    return Answer(status, _GATEWAY_PAGE % (words, host.encode(), words), b"text/html; charset=UTF-8")
