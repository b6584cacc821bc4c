"""Making jobs of what is due: schedules whose time has come, and runs that somebody asked for.

Statements are the store's, and doing the jobs is `engine.work`'s.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from syncline.engine.cron import next_after
from syncline.errors import SettingInvalid
from syncline.store import jobs, queueing, schedules, tenants
from syncline.store.db import Conn, Database
from syncline.store.jobs import RunOrder
from syncline.store.schedules import Schedule


async def enqueue_due(db: Database, at: datetime) -> int:
    """Queue everything that is due at `at`, over all tenants, and return how many jobs that made.

    Any number of workers may do this at once. However many times of a schedule were missed, one job is
    made; its next time is reckoned from `at`. What is queued or running already is not queued again.
    """
    async with db.statement() as conn:
        due = await schedules.list_due_tenants(conn, at)
        zones = (
            {tenant.tenant_id: tenant.time_zone for tenant in await tenants.list_tenants(conn)} if due else {}
        )
    made = 0
    for tenant_id in due:
        async with db.transaction(tenant_id=tenant_id) as conn:
            orders = await jobs.list_requested(conn, tenant_id=tenant_id)
            orders += await _claim(conn, at, tenant_id, zones.get(tenant_id, "UTC"))
            made += await queueing.enqueue(conn, orders)
    return made


async def _claim(conn: Conn, at: datetime, tenant_id: UUID, time_zone: str) -> list[RunOrder]:
    orders: list[RunOrder] = []
    steps: list[tuple[Schedule, datetime]] = []
    for schedule in await schedules.claim_due(conn, at, tenant_id=tenant_id):
        try:
            steps.append((schedule, next_after(schedule.cron, at, time_zone)))
        except SettingInvalid as error:
            await schedules.switch_off(conn, schedule, str(error), tenant_id=tenant_id)
            continue
        orders.append(RunOrder(tenant_id, schedule.connection_id, schedule.object, schedule.mode))
    if steps:
        await schedules.advance(conn, steps, at, tenant_id=tenant_id)
    return orders
