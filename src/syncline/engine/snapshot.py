"""Keeping the pipeline as it stood when each day began, at 00:00 UTC, before anything is reconciled.

Statements are the store's. A day that nobody kept is worked out from the history of fields, and says so.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import structlog

from syncline.store import metrics, snapshots, tenants
from syncline.store.db import Database
from syncline.store.snapshots import Source

#: A snapshot taken so soon after midnight is one of the day's beginning.
_SOON = timedelta(minutes=10)
#: How far back missed days are made up for.
_FURTHEST = timedelta(days=366)
_AGAIN_AFTER = timedelta(minutes=1)

_log = structlog.get_logger(__name__)


class Snapshots:
    """Takes what is due. Cheap to ask often: until the next day begins it does nothing more."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._done_on: date | None = None
        self._not_before: datetime | None = None

    async def take(self, at: datetime) -> int:
        """Take the snapshots of all tenants that are due `at`, and return how many days were added.

        Any number of workers may do this at once. What fails is logged, and tried again a minute later: a
        snapshot stops nothing else.
        """
        today = at.astimezone(UTC).date()
        if self._done_on == today or (self._not_before is not None and at < self._not_before):
            return 0
        added, failed = 0, False
        async with self._db.statement() as conn:
            known = await tenants.list_tenants(conn)
        for tenant in known:
            if tenant.status != "active":
                continue
            try:
                added += await take_snapshot(self._db, tenant.tenant_id, at)
            except Exception as error:  # noqa: BLE001 - one tenant's trouble is not the others'
                failed = True
                _log.error("snapshot_failed", tenant=str(tenant.tenant_id), error=type(error).__name__)
        if failed:
            self._not_before = at + _AGAIN_AFTER
        else:
            self._done_on = today
        return added


async def take_snapshot(db: Database, tenant_id: UUID, at: datetime) -> int:
    """Bring a tenant's history of the pipeline up to the day of `at`, and return how many days were added."""
    today = at.astimezone(UTC).date()
    async with db.transaction(tenant_id=tenant_id) as conn:
        last = await snapshots.lock_last_day(conn, tenant_id=tenant_id)
        if last is not None and last >= today:
            return 0
        begins_at = await metrics.find_history_start(conn, tenant_id=tenant_id)
        days: list[tuple[date, Source]] = [(today, _source_of(today, at))]
        missed = today - timedelta(days=1)
        while last is not None and missed > last and today - missed <= _FURTHEST:
            if begins_at is not None and _begin(missed) >= begins_at:
                days.append((missed, "history"))
            missed -= timedelta(days=1)
        for day, source in reversed(days):
            await snapshots.add_day(conn, day, source, tenant_id=tenant_id, began_at=_begin(day), now=at)
    return len(days)


def _source_of(today: date, at: datetime) -> Source:
    return "snapshot" if at - _begin(today) <= _SOON else "late"


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
