"""Pipedrive's quotas: the company's tokens of the day, bursts, searches, and the wall. Knows no route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from syncline.simulators.answers import Answer
from syncline.simulators.faults import gateway_page
from syncline.simulators.pipedrive.answers import ApiError, Grant
from syncline.simulators.pipedrive.settings import Settings
from syncline.simulators.times import DAY_MS
from syncline.simulators.windows import Window

BURST_MS, REFUSALS_MS = 2000, 10_000
_SEARCHES, _OAUTH_TIMES = 10, 4
_UNLIMITED = 1_000_000_000

Headers = list[tuple[bytes, bytes]]


class Limits:
    """The counters of one company. A refused request takes no tokens of the day."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._now_ms = now_ms
        self._bursts: dict[tuple[str, str], Window] = {}
        self._refusals = Window(REFUSALS_MS)
        self._walled_until_ms = 0
        self._day = 0
        self.spent_today = 0
        #: Day, counted from 1970 → tokens spent in it.
        self.spent: Counter[int] = Counter()

    def find_wall(self, grant: Grant) -> Answer | None:
        """Return the page that API tokens meet once the company ignored too many refusals."""
        if grant.is_oauth or self._now_ms() >= self._walled_until_ms:
            return None
        return gateway_page(403, "Access denied | Error 1015", "api.pipedrive.com")

    def take(self, grant: Grant, cost: int, *, search: bool) -> Headers:
        """Count a request; return its answer's headers. Raises `ApiError` 429 when a quota is used up."""
        now, settings = self._now_ms(), self.settings
        if now // DAY_MS != self._day:
            self._day, self.spent_today = now // DAY_MS, 0
        headers = self._take_burst(grant, now, search=search)
        daily = settings.daily_limit
        if daily and self.spent_today + cost > daily:
            self._refused(now)
            raise _refusal("API daily request limit exceeded", headers + self._daily_headers())
        self.spent_today += cost
        self.spent[self._day] += cost
        return headers + self._daily_headers()

    def _daily_headers(self) -> Headers:
        daily = self.settings.daily_limit or _UNLIMITED
        if not self.settings.daily_headers:
            return []
        return [
            (b"x-daily-ratelimit-token-limit", b"%d" % daily),
            (b"x-daily-ratelimit-token-remaining", b"%d" % max(0, daily - self.spent_today)),
        ]

    def _limit(self, grant: Grant, *, search: bool) -> int:
        settings = self.settings
        if search:
            if settings.search_rate is not None:
                return settings.search_rate
            return _SEARCHES if settings.rate else 0
        if grant.is_oauth:
            return settings.rate * _OAUTH_TIMES if settings.oauth_rate is None else settings.oauth_rate
        return settings.rate

    def _take_burst(self, grant: Grant, now: int, *, search: bool) -> Headers:
        limit = self._limit(grant, search=search)
        if not limit:
            return _burst_headers(_UNLIMITED, _UNLIMITED - 1, 2)
        key = ("search" if search else "burst", grant.token)
        window = self._bursts.setdefault(key, Window(BURST_MS))
        remaining = window.take(limit, now)
        reset = -(-window.ms_until_free(now) // 1000)
        headers = _burst_headers(limit, max(0, remaining), max(1, reset))
        if remaining < 0:
            self._refused(now)
            raise _refusal("Rate limit exceeded", headers + self._daily_headers())
        return headers

    def _refused(self, now: int) -> None:
        """Count a refusal; too many in a short time raise the wall."""
        most = self.settings.wall_after
        if most and self._refusals.take(most, now) <= 0:
            self._walled_until_ms = now + int(self.settings.wall_seconds * 1000)


def _burst_headers(limit: int, remaining: int, reset_seconds: int) -> Headers:
    return [
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % reset_seconds),
    ]


class Refusal(ApiError):
    """No quota: the headers say of which kind."""

    def __init__(self, message: str, headers: Headers) -> None:
        body = {"success": False, "error": message, "errorCode": 429}
        super().__init__(429, message, body=body)
        self.headers = headers


def _refusal(message: str, headers: Headers) -> Refusal:
    return Refusal(message, headers)
