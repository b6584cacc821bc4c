"""Making jobs of what is due: schedules whose time has come, and runs that somebody asked for.

Knows cron expressions and time zones; statements are the store's, and doing the jobs is `engine.work`'s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from syncline.errors import SettingInvalid
from syncline.store import jobs, schedules, tenants
from syncline.store.db import Conn, Database
from syncline.store.jobs import RunOrder
from syncline.store.schedules import Schedule

_FIELDS = 5


def next_after(cron: str, after: datetime, time_zone: str) -> datetime:
    """Return the first moment after `after` that `cron` names in `time_zone`, in UTC.

    A time that a change of the clocks skips comes at the end of the gap; one that comes twice counts twice.
    Raises `SettingInvalid` for an expression or a zone that makes no sense, or a date that never comes.
    """
    if len(cron.split()) != _FIELDS:
        raise SettingInvalid(f"{cron!r} is no schedule: five fields are needed, such as '*/15 * * * *'.")
    try:
        local = after.astimezone(ZoneInfo(time_zone))
        found: datetime = croniter(cron, local).get_next(datetime)
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder's name is no zone, and says so by OSError
        raise SettingInvalid(f"{time_zone!r} is not a time zone; write it like 'Europe/Berlin'.") from error
    except (CroniterError, ValueError) as error:
        raise SettingInvalid(f"{cron!r} is no schedule that can be kept: {error}.") from error
    return found.astimezone(UTC)


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
            made += await jobs.enqueue(conn, orders)
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
