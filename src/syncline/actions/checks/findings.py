"""What a check says: an id that stays the same, what is the matter, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Holds no secret and no value of a record."""

    id: str
    level: Level
    message: str
    #: What to type, or to set; None where all is well.
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is called wrong."""

    #: Between our clock and the database's; leases and schedules go by both.
    database_skew_seconds: float = 2.0
    crm_skew_seconds: float = 10.0
    disk_free_bytes: int = 1 << 30
    disk_free_share: float = 0.05
    long_transaction_seconds: float = 300.0
    #: How long a schedule may be overdue before nobody seems to serve it.
    overdue_seconds: float = 120.0
    #: How long a run that was asked for may wait for a worker.
    waiting_seconds: float = 600.0
    unpushed_records: int = 10_000
    #: Of a day's calls.
    quota_share: float = 0.9


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def warn(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, "warn", message, remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, "fail", message, remedy)


def any_failed(findings: list[Finding]) -> bool:
    return any(finding.level == "fail" for finding in findings)
