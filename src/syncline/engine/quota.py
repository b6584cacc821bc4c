"""The quota governor: lets calls to a CRM account out at the rate the account allows, and no faster.

One `Governor` per process and account; all of them share the counters in Postgres (`store.quota`). Knows
accounts and their buckets; how slots of one bucket are taken and given back, its `Outlet` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from syncline.connectors.transport import Quota
from syncline.engine.lanes import Lane
from syncline.engine.slots import FORGET_AFTER_SECONDS, Outlet, Slot, to_ms
from syncline.store import quota as store
from syncline.store.db import Database
from syncline.store.quota import Bucket, Usage


class Governor:
    """Gives out slots for calls to one account, for all tasks of one event loop. Use with `async with`."""

    def __init__(
        self,
        db: Database,
        *,
        platform: str,
        account_id: str,
        quotas: Sequence[Quota],
        forget_after_seconds: float = FORGET_AFTER_SECONDS,
    ) -> None:
        self._db = db
        self._buckets = {q.bucket: _bucket(q, quotas, platform, account_id) for q in quotas}
        self._holder = uuid4()
        self._forget_after = forget_after_seconds
        self._outlets: dict[str, Outlet] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def acquire(self, bucket: str, *, lane: Lane = "incremental") -> Slot | None:
        """Wait for a slot of `bucket`; None when it has no quota to be kept.

        Higher lanes go first, in all processes; in a lane of one process, who came first. A lane that waits
        while others are served gets at least every twentieth slot. The day's last tenth is kept for other
        tools: only the lane `person` may touch it.
        Raises `RateLimited` when the day's budget is used up (`daily`) or the server closed the bucket for
        longer than is worth waiting, `Unavailable` when the database does not answer.
        """
        outlet = self._outlets.get(bucket)
        if outlet is None:
            if bucket not in self._buckets:
                return None
            outlet = Outlet(self._db, self._buckets[bucket], self._holder, self._forget_after)
            self._outlets[bucket] = outlet
        return await outlet.acquire(lane)

    async def aclose(self) -> None:
        """Report and give back everything, so that no other process waits for it."""
        outlets, self._outlets = self._outlets, {}
        await asyncio.gather(*(outlet.close() for outlet in outlets.values()), return_exceptions=True)


class Governors:
    """The governors of one process, one per account. Use with `async with`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._governors: dict[tuple[str, str], Governor] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for governor in self._governors.values():
            await governor.aclose()

    def of_account(self, platform: str, account_id: str, quotas: Sequence[Quota]) -> Governor:
        """Return this process's governor of an account; `quotas` count at its first use."""
        key = (platform, account_id)
        if key not in self._governors:
            self._governors[key] = Governor(self._db, platform=platform, account_id=account_id, quotas=quotas)
        return self._governors[key]


async def usage(db: Database, platform: str, account_id: str) -> list[Usage]:
    """Return how far an account's buckets and daily budgets are used, for status pages."""
    async with db.statement() as conn:
        return await store.list_usage(conn, platform=platform, account_id=account_id)


def _bucket(quota: Quota, quotas: Sequence[Quota], platform: str, account_id: str) -> Bucket:
    # A bucket without a daily limit of its own counts to the account's, which the first one names.
    budget = quota.bucket if quota.daily_limit is not None else quotas[0].bucket
    daily = quota.daily_limit if quota.daily_limit is not None else quotas[0].daily_limit
    return Bucket(
        platform=platform,
        account_id=account_id,
        name=quota.bucket,
        budget=budget,
        calls=quota.limit,
        window_ms=to_ms(quota.window.total_seconds()),
        has_headers=quota.has_headers,
        daily_calls=daily,
        dearest=quota.dearest,
    )
