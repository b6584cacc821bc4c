"""What can be set on a simulated account, also while it runs. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Settings:
    """What can be set, also while running. Times are as their names say."""

    #: Requests per token in any 10 s; 0 is without limit.
    rate: int = 0
    #: Searches per account and second; None follows `rate` (5, or none when that is 0).
    search_rate: int | None = None
    #: Association calls per 10 s; None follows `rate` (150, 100 for small accounts, none for 0).
    association_rate: int | None = None
    #: Calls per account and day; 0 is without limit.
    daily_limit: int = 0
    latency_ms: float = 0
    #: How long search does not see a change, in seconds.
    index_lag: float = 0
    #: Share of requests that go wrong, optionally with the kinds: "0.1" or "0.1:429,reset".
    faults: str = "0"
    slow_seconds: float = 2.0
    #: Hides that list cursors are record ids.
    opaque_after: bool = False
    #: Answers the dated paths (`/crm/objects/2026-03/…`) as well as v3 and v4.
    dated_paths: bool = True
    #: Batch read finds a record under an id that was merged away.
    batch_read_resolves_merged: bool = False
    #: Search refuses whole bodies over 3,000 characters, not only filters that long.
    strict_search_body: bool = False
    #: Associations per page, inline and by batch read.
    association_page: int = 500
    edits_per_minute: float = 0
