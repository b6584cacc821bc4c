"""Throws away what nobody keeps any more: once a night for each tenant, in batches, as the owner.

Without the administrative role it does what the application may, and says what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from syncline.clock import now
from syncline.domain.retention import Keep, Subject
from syncline.engine.resting import rest
from syncline.engine.work import frames_of
from syncline.errors import RetryLater, SettingInvalid, SynclineError
from syncline.store import retention, sweeping, tenants
from syncline.store.administration import Administrator
from syncline.store.db import Conn, Database
from syncline.store.retention import AGING, Aging, aging_raw
from syncline.store.tenants import Tenant
from syncline.store.upkeep import OF_NOBODY, OF_TENANTS, forget_old
from syncline.store.urls import UrlSource

BATCH = 5000
#: When a night begins, by the tenant's clock.
_NIGHT_BEGINS = time(2, 30)
_LOOK_SECONDS = 300.0
NO_ADMINISTRATOR = (
    "The change log and the audit were left as they are: SYNCLINE_ADMIN_DATABASE_URL is not set for "
    "the worker."
)

_log = structlog.get_logger(__name__)


class Retention:
    """Tidies up for one tenant after the other. Without an administrator the append-only tables are left."""

    def __init__(self, db: Database, admin: Administrator | None) -> None:
        self._db = db
        self._admin = admin

    async def count(self, tenant_id: UUID, at: datetime) -> dict[Subject, int]:
        """Return how many rows would go now."""
        counts: dict[Subject, int] = {}
        for keep in (await self._list_keeps(tenant_id)).values():
            before = keep.cutoff(at)
            if before is None:
                continue
            total = 0
            for aging in await self._list_aging(tenant_id, keep.subject):
                async with self._begin(tenant_id, aging) as conn:
                    total += await retention.count_old(conn, aging, before, tenant_id=tenant_id)
            counts[keep.subject] = total
        return counts

    async def tidy(
        self, tenant_id: UUID, at: datetime, *, stop: asyncio.Event | None = None
    ) -> dict[Subject, int]:
        """Take away what is too old, batch by batch; returns rows by subject. May be stopped anywhere."""
        removed: dict[Subject, int] = {}
        for keep in (await self._list_keeps(tenant_id)).values():
            before = keep.cutoff(at)
            if before is None:
                continue
            total = 0
            for aging in await self._list_aging(tenant_id, keep.subject):
                if aging.needs_owner and self._admin is None:
                    continue
                total += await self._delete(tenant_id, aging, before, stop)
            removed[keep.subject] = total
        for fixed in OF_TENANTS:
            await self._delete(tenant_id, fixed.aging, fixed.cutoff(at), stop)
        return removed

    async def forget(self, at: datetime, *, stop: asyncio.Event | None = None) -> None:
        """Take away what is too old and belongs to no tenant: sessions, links, attempts, counts."""
        for fixed in OF_NOBODY:
            if fixed.aging.needs_owner and self._admin is None:
                continue
            while stop is None or not stop.is_set():
                async with self._begin(None, fixed.aging) as conn:
                    gone = await forget_old(conn, fixed.aging, fixed.cutoff(at), limit=BATCH)
                if gone < BATCH:
                    break

    async def drop_months(self, at: datetime) -> list[str]:
        """Drop the months of the change log that no tenant keeps any part of; returns their names."""
        if self._admin is None:
            return []
        cutoffs = [await self._find_cutoff(each, at) for each in await self._list_tenants()]
        if not cutoffs or any(each is None for each in cutoffs):
            return []
        oldest = min(each for each in cutoffs if each is not None)
        dropped: list[str] = []
        async with self._admin.transaction() as conn:
            months = await retention.list_months(conn)
        for month in months:
            if _end_of(month.month) <= oldest:
                async with self._admin.transaction() as conn:
                    if await retention.drop_month(conn, month):
                        dropped.append(month.name)
        return dropped

    async def _delete(
        self, tenant_id: UUID, aging: Aging, before: datetime, stop: asyncio.Event | None
    ) -> int:
        total = 0
        while stop is None or not stop.is_set():
            async with self._begin(tenant_id, aging) as conn:
                gone = await retention.delete_old(conn, aging, before, tenant_id=tenant_id, limit=BATCH)
            total += gone
            if gone < BATCH:
                break
        return total

    @asynccontextmanager
    async def _begin(self, tenant_id: UUID | None, aging: Aging) -> AsyncGenerator[Conn]:
        if self._admin is not None and aging.needs_owner:
            async with self._admin.transaction() as conn:
                yield conn
        else:
            async with self._db.transaction(tenant_id=tenant_id, bulk=True) as conn:
                yield conn

    async def _list_aging(self, tenant_id: UUID, subject: Subject) -> Sequence[Aging]:
        if subject != "raw":
            return AGING[subject]
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            return [
                aging_raw(each.table) for each in await sweeping.list_raw_tables(conn, tenant_id=tenant_id)
            ]

    async def _list_keeps(self, tenant_id: UUID) -> Mapping[Subject, Keep]:
        async with self._db.transaction(tenant_id=tenant_id) as conn:
            return await retention.list_keeps(conn, tenant_id=tenant_id)

    async def _list_tenants(self) -> list[Tenant]:
        async with self._db.statement() as conn:
            return await tenants.list_tenants(conn)

    async def _find_cutoff(self, tenant: Tenant, at: datetime) -> datetime | None:
        return (await self._list_keeps(tenant.tenant_id))["change_log"].cutoff(at)


@asynccontextmanager
async def open_retention(db: Database, admin_url: UrlSource) -> AsyncGenerator[tuple[Retention, str | None]]:
    """Open what tidies up, and say what it cannot do, if anything."""
    async with AsyncExitStack() as stack:
        admin: Administrator | None = None
        with suppress(SettingInvalid):
            url = admin_url if isinstance(admin_url, str) else await admin_url()
            admin = await stack.enter_async_context(Administrator.open(url))
        yield Retention(db, admin), NO_ADMINISTRATOR if admin is None else None


async def serve_retention(db: Database, admin_url: UrlSource, stop: asyncio.Event) -> None:
    """Tidy up for every tenant once in its night, until `stop`. Any number of workers may do this."""
    while not stop.is_set():
        try:
            await tidy_tonight(db, admin_url, now(), stop=stop)
        except (RetryLater, SynclineError) as error:
            _log.warning("retention_waits", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the next look, or the next night, goes on
            _log.error("retention_failed", error=type(error).__name__, frames=frames_of(error))
        await rest(stop, _LOOK_SECONDS)


async def tidy_tonight(
    db: Database, admin_url: UrlSource, at: datetime, *, stop: asyncio.Event | None = None
) -> int:
    """Tidy up for the tenants whose night has begun and who have not been served; returns how many."""
    async with db.statement() as conn:
        everybody = await tenants.list_tenants(conn)
    served = 0
    for tenant in everybody:
        night = night_of(at, tenant.time_zone)
        if night is None or (stop is not None and stop.is_set()):
            continue
        async with db.transaction(tenant_id=tenant.tenant_id) as conn:
            if not await retention.begin_night(conn, night, tenant_id=tenant.tenant_id, now=at):
                continue
        async with open_retention(db, admin_url) as (retaining, problem):
            if served == 0:  # whole months first: what is dropped need not be deleted row by row
                dropped = await retaining.drop_months(at)
                if dropped:
                    _log.info("change_log_months_dropped", months=dropped)
                await retaining.forget(at, stop=stop)
            removed = await retaining.tidy(tenant.tenant_id, at, stop=stop)
        if stop is not None and stop.is_set():
            return served  # another worker goes on with it
        told = {str(name): count for name, count in removed.items()}
        async with db.transaction(tenant_id=tenant.tenant_id) as conn:
            await retention.end_night(conn, night, told, problem, tenant_id=tenant.tenant_id, now=now())
        served += 1
        if any(removed.values()):
            gone = {name: count for name, count in removed.items() if count}
            _log.info("retention", tenant=tenant.slug, **gone)
    return served


def night_of(at: datetime, time_zone: str) -> date | None:
    """Return the date of the night that has begun; None before its hour."""
    local = at.astimezone(ZoneInfo(time_zone))
    return local.date() if local.time() >= _NIGHT_BEGINS else None


def _end_of(month: date) -> datetime:
    following = (month.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime(following.year, following.month, 1, tzinfo=UTC)
