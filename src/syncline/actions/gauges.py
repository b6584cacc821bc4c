"""What a monitoring system is told of the whole installation: read in one transaction, kept for moments.

Over all tenants, so that only whoever runs the installation may be shown it; the door sees to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncline.actions.hub import Hub
from syncline.errors import RetryLater
from syncline.store import gauges, health, quota, sync_metrics, tenants, workers
from syncline.store.db import Conn
from syncline.store.gauges import Account, RunSlice, Success, Trouble, Waiting
from syncline.store.quota import Usage
from syncline.store.sync_metrics import DAY, SyncMetrics
from syncline.store.tenants import Tenant
from syncline.store.workers import Worker

#: Lengths of runs that are told apart, in seconds.
EDGES = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400)
#: Of more tenants than these nothing is told: each has a dozen series for every connection.
MOST_TENANTS = 200
#: However often it is asked, and whatever came of it, the database is asked no more often than this.
_GOOD_FOR_SECONDS = 5.0
_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class TenantGauges:
    slug: str
    metrics: SyncMetrics
    runs: Sequence[RunSlice]
    successes: Sequence[Success]
    waiting: Sequence[Waiting]
    troubles: Sequence[Trouble]
    accounts: Sequence[Account]
    #: By the account's platform and id.
    quota: Sequence[tuple[Account, Usage]]


@dataclass(frozen=True, slots=True)
class Gauges:
    """How the installation stood at a moment of the database's clock."""

    at: datetime
    workers: Sequence[Worker]
    tenants: Sequence[TenantGauges]
    tenants_left_out: int


class Watch:
    """Reads gauges for one process: however many ask, one read at a time, and none too often."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._found: Gauges | RetryLater | TimeoutError | None = None

    async def read(self) -> Gauges:
        """Return gauges of a few seconds ago at most.

        Raises `RetryLater` when the database is away and `TimeoutError` when it takes too long: the same to
        whoever asks, for as long as gauges would be good.
        """
        async with self._lock:
            if self._found is None or time.monotonic() > self._read_at + _GOOD_FOR_SECONDS:
                self._found = await self._look()
                self._read_at = time.monotonic()
            if isinstance(self._found, Gauges):
                return self._found
            raise self._found.with_traceback(None)

    async def _look(self) -> Gauges | RetryLater | TimeoutError:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await read_gauges(self._hub)
        except (RetryLater, TimeoutError) as error:
            return error


async def read_gauges(hub: Hub) -> Gauges:
    """Return how everything stands, tenant after tenant in one transaction."""
    async with hub.db.transaction(tenant_id=None) as conn:
        at = await health.read_clock(conn)
        known = [each for each in await tenants.list_tenants(conn) if each.status == "active"]
        living = await workers.list_workers(conn)
        shown = [await _read(conn, each, at) for each in known[:MOST_TENANTS]]
    return Gauges(at, living, shown, len(known) - len(shown))


async def _read(conn: Conn, tenant: Tenant, at: datetime) -> TenantGauges:
    tenant_id = tenant.tenant_id
    await gauges.see_tenant(conn, tenant_id)
    accounts = await gauges.list_accounts(conn, tenant_id=tenant_id)
    used = [
        (each, usage)
        for each in accounts
        if each.account_id is not None
        for usage in await quota.list_usage(conn, platform=each.platform, account_id=each.account_id)
    ]
    return TenantGauges(
        tenant.slug,
        await sync_metrics.read(conn, tenant_id=tenant_id, now=at),
        await gauges.list_runs(conn, tenant_id=tenant_id, since=at - DAY, edges=EDGES),
        await gauges.list_successes(conn, tenant_id=tenant_id),
        await gauges.list_waiting(conn, tenant_id=tenant_id),
        await gauges.list_troubles(conn, tenant_id=tenant_id),
        accounts,
        used,
    )
