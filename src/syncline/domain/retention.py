"""How long what is kept, unless a tenant says otherwise. Knows no table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from syncline.errors import Invalid

Subject = Literal[
    "runs",
    "inbox",
    "written",
    "decisions",
    "conflicts",
    "raw",
    "change_log",
    "audit",
    "notifications",
    "deliveries",
    "batches",
    "alerts",
    "idempotency",
]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)


@dataclass(frozen=True, slots=True)
class Rule:
    #: Days; None is for ever.
    keep_days: int | None
    #: What goes, for people.
    what: str


DEFAULTS: Mapping[Subject, Rule] = {
    "runs": Rule(90, "runs that have ended, but for the last of each object and mode, and their counts"),
    "inbox": Rule(14, "webhook deliveries that were worked off or given up"),
    "written": Rule(90, "what was written to CRMs; a run older than this cannot be undone there"),
    "decisions": Rule(365, "values that were overruled without asking anybody"),
    "conflicts": Rule(365, "conflicts that are decided or settled"),
    "raw": Rule(365, "payloads of records that are archived at their CRM; links stay"),
    "change_log": Rule(730, "the change log"),
    "audit": Rule(730, "the audit log"),
    "notifications": Rule(90, "notifications that were sent or given up"),
    "deliveries": Rule(30, "outgoing deliveries that have ended"),
    "batches": Rule(365, "edits and imports of many records; one older than this cannot be taken back"),
    "alerts": Rule(365, "alerts that are over"),
    "idempotency": Rule(2, "answers kept for requests that are sent twice"),
}
_MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Keep:
    """How long one tenant keeps one thing."""

    subject: Subject
    keep_days: int | None
    is_default: bool

    def cutoff(self, at: datetime) -> datetime | None:
        """Return the moment before which it goes; None when nothing does."""
        return None if self.keep_days is None else at - timedelta(days=self.keep_days)


def read_subject(name: str) -> Subject:
    """Return a subject by its name. Raises `Invalid`, saying which there are."""
    for each in SUBJECTS:
        if each == name:
            return each
    known = ", ".join(SUBJECTS)
    raise Invalid(f"Nothing called {name!r} is kept. There are: {known}.", fields={"subject": "unknown"})


def read_days(text: str) -> int | None:
    """Return a number of days; None for `forever`. Raises `Invalid`."""
    word = text.strip().lower()
    if word == "forever":
        return None
    if not word.isascii() or not word.isdigit() or not 1 <= int(word) <= _MOST_DAYS:
        raise Invalid(
            f"How long to keep it is a whole number of days from 1 to {_MOST_DAYS:,}, or forever.",
            fields={"keep_days": f"1 to {_MOST_DAYS}, or forever"},
        )
    return int(word)
