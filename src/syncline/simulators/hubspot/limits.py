"""HubSpot's rate limits: bursts, the day, searches; and the headers that tell of them. Knows no route."""

from __future__ import annotations

from collections.abc import Callable

from syncline.simulators.hubspot.answers import ApiError
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.times import DAY_MS
from syncline.simulators.windows import Window

WINDOW_MS = 10_000
_UNLIMITED = 1_000_000_000
_SMALL_ACCOUNT = 100

Headers = list[tuple[bytes, bytes]]


class Limits:
    """The counters of one account. Refused requests are not counted."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.settings = settings
        self._now_ms = now_ms
        self._bursts: dict[tuple[str, str], Window] = {}
        self._search = Window(1000)
        self._day = 0
        self.used_today = 0

    def take(self, kind: str, token: str, *, daily_headers: bool) -> Headers:
        """Count a request ("burst", "search" or "associations"); return its answer's headers.

        Raises `ApiError` 429 when a limit is reached.
        """
        now = self._now_ms()
        if now // DAY_MS != self._day:
            self._day, self.used_today = now // DAY_MS, 0
        daily = self.settings.daily_limit
        if daily and self.used_today >= daily:
            raise daily_reached()
        headers = self._take_search(now) if kind == "search" else self._take_burst(kind, token, now)
        self.used_today += 1
        if daily_headers:
            headers += [
                (b"x-hubspot-ratelimit-daily", b"%d" % (daily or _UNLIMITED)),
                (b"x-hubspot-ratelimit-daily-remaining", b"%d" % ((daily or _UNLIMITED) - self.used_today)),
            ]
        return headers

    def _take_search(self, now: int) -> Headers:
        limit = self.settings.search_rate
        if limit is None:
            limit = 5 if self.settings.rate else 0
        if limit and self._search.take(limit, now) < 0:
            raise ApiError(429, "You have reached your secondly limit.", "RATE_LIMITS")
        return []

    def _take_burst(self, kind: str, token: str, now: int) -> Headers:
        limit = self.settings.rate
        if kind == "associations":
            asked = self.settings.association_rate
            limit = asked if asked is not None else min(limit, 150 if limit > _SMALL_ACCOUNT else limit)
        if not limit:
            limit, remaining = _UNLIMITED, _UNLIMITED - 1
        else:
            window = self._bursts.get((kind, token))
            if window is None:
                window = self._bursts[kind, token] = Window(WINDOW_MS)
            remaining = window.take(limit, now)
            if remaining < 0:
                raise burst_reached()
        return [
            (b"x-hubspot-ratelimit-interval-milliseconds", b"10000"),
            (b"x-hubspot-ratelimit-max", b"%d" % limit),
            (b"x-hubspot-ratelimit-remaining", b"%d" % remaining),
            (b"x-hubspot-ratelimit-secondly", b"%d" % max(1, limit // 10)),
            (b"x-hubspot-ratelimit-secondly-remaining", b"%d" % min(remaining, max(1, limit // 10))),
        ]


def burst_reached() -> ApiError:
    return ApiError(
        429, "You have reached your ten_secondly_rolling limit.",
        extra={
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "groupName": "publicapi:private_app-api-calls-ten-secondly:39522895",
        },
    )  # fmt: skip


def daily_reached() -> ApiError:
    return ApiError(
        429, "You have reached your daily limit.",
        extra={
            "errorType": "RATE_LIMIT",
            "policyName": "DAILY",
            "requestId": "5b7d3c2e-0000-4000-8000-000000000001",
        },
    )  # fmt: skip
