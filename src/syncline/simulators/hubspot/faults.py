"""What goes wrong between a client and HubSpot, on demand. Decides and describes; the app carries it out."""

from __future__ import annotations

import random
from dataclasses import dataclass

from syncline.simulators.hubspot.answers import Answer, ApiError
from syncline.simulators.hubspot.limits import burst_reached
from syncline.simulators.hubspot.store import encode

KINDS = (
    "429", "423", "477", "500", "502", "503", "504", "524", "html-200", "html-502",
    "reset", "reset-after-commit", "truncated", "slow",
)  # fmt: skip
#: Kinds that carry the request out all the same.
AFTER_COMMIT = frozenset({"reset-after-commit", "truncated", "slow"})

_CLOUDFLARE = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>%s | api.hubapi.com</title></head>
<body><div id="cf-wrapper"><h1>%s</h1>
<p>The web server reported an error. Ray ID: 8f2a6b0c4d1e9f37</p></div></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    share: float
    kinds: tuple[str, ...]


def read_plan(text: str) -> FaultPlan:
    """Read "0.1" (every kind) or "0.1:429,500,reset". Raises `ValueError`."""
    share, _, listed = str(text).partition(":")
    kinds = tuple(kind.strip() for kind in listed.split(",") if kind.strip()) or KINDS
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"unknown faults: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    found = FaultPlan(float(share or 0), kinds)
    if not 0 <= found.share <= 1:
        raise ValueError("the share of faults must be between 0 and 1")
    return found


class Faults:
    """Chooses which requests go wrong: by the seed, every kind in its turn."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._turn = 0
        self._text = ""
        self._plan = FaultPlan(0, KINDS)
        #: Kinds the next requests get, before any chance; for tests.
        self.queued: list[str] = []

    def next(self, setting: str) -> str | None:
        """Return the kind of fault the next request meets, None for most."""
        if self.queued:
            return self.queued.pop(0)
        if setting != self._text:
            self._text, self._plan = setting, read_plan(setting)
        if not self._plan.share or self._rng.random() >= self._plan.share:
            return None
        self._turn += 1
        return self._plan.kinds[(self._turn - 1) % len(self._plan.kinds)]


def answer_of(kind: str, correlation_id: str) -> Answer:
    """Return the answer of a fault that is an answer in place of the real one."""
    if kind == "html-200":
        return Answer(
            200, _CLOUDFLARE % (b"Just a moment...", b"Just a moment..."), b"text/html; charset=UTF-8"
        )
    if kind in {"html-502", "524"}:
        title = b"524: A timeout occurred" if kind == "524" else b"502: Bad gateway"
        return Answer(int(kind[-3:]), _CLOUDFLARE % (title, title), b"text/html; charset=UTF-8")
    error = _ERRORS[kind]
    answer = Answer(error.status, encode(error.envelope(correlation_id)))
    if kind == "477":
        answer.headers.append((b"retry-after", b"1"))
    return answer


_ERRORS = {
    "429": burst_reached(),
    "423": ApiError(423, "The resource is locked while another change is being made.", "LOCKED"),
    "477": ApiError(477, "Migration in progress", "MIGRATION_IN_PROGRESS"),
    "500": ApiError(500, "internal error"),
    "502": ApiError(502, "Bad gateway"),
    "503": ApiError(503, "Service temporarily unavailable"),
    "504": ApiError(504, "The request took too long and was stopped"),
}
