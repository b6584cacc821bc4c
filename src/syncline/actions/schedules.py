"""When each object of a connection is read and reconciled: the defaults a connection begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine.cron import next_after
from syncline.engine.readings import ASSOCIATIONS, HISTORY, READINGS
from syncline.engine.reconcile import MODE as RECONCILE
from syncline.errors import SettingInvalid
from syncline.store import connections, schedules, tenants
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database

_MODE = "incremental"
#: What follows the objects comes between their hours, so that it finds them up to date.
_READINGS = {ASSOCIATIONS: "20 * * * *", HISTORY: "40 * * * *"}
_DAILY = "0 0 * * *"

_log = structlog.get_logger(__name__)


async def put_default_schedules(conn: Conn, connection: Connection, objects: Mapping[str, str]) -> None:
    """Make the schedules (object → cron) that are missing; what a person has set stays.

    The first time is now: a worker that runs already begins with the new connection at once.
    """
    for object_name, cron in {**objects, **_READINGS}.items():
        await schedules.put_default(
            conn,
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
            object_name=object_name,
            mode=_MODE,
            cron=cron,
            next_at=now(),
        )
    await put_reconcile_schedules(conn, connection, objects)


async def put_reconcile_schedules(conn: Conn, connection: Connection, objects: Iterable[str]) -> list[str]:
    """Let objects be reconciled daily at midnight of the tenant; returns those that were not so far.

    What a person has set stays, also one that is switched off.
    """
    zone = (await tenants.get_settings(conn, tenant_id=connection.tenant_id)).time_zone
    try:
        midnight = next_after(_DAILY, now(), zone)
    except SettingInvalid:  # whoever serves it says so, of every schedule
        midnight = next_after(_DAILY, now(), "UTC")
    return [
        name
        for name in objects
        if name not in READINGS
        and await schedules.put_default(
            conn,
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
            object_name=name,
            mode=RECONCILE,
            cron=_DAILY,
            next_at=midnight,
        )
    ]


async def schedule_reconciles(db: Database) -> None:
    """Give connections that were made before there was a daily reconcile theirs, and say so in the log."""
    async with db.statement() as conn:
        found = await tenants.list_tenants(conn)
    for tenant in found:
        async with db.transaction(tenant_id=tenant.tenant_id) as conn:
            for connection in await connections.list_all(conn, tenant_id=tenant.tenant_id):
                planned = await schedules.list_schedules(
                    conn, tenant_id=tenant.tenant_id, connection_id=connection.id
                )
                read = [each.object for each in planned if each.mode == _MODE]
                made = await put_reconcile_schedules(conn, connection, read)
                if made:
                    _log.info(
                        "reconcile_scheduled",
                        tenant=tenant.slug,
                        connection=connection.name,
                        objects=made,
                        cron=_DAILY,
                    )


async def hurry_schedules(hub: Hub, connection: Connection, objects: Sequence[str]) -> None:
    """Let the reading of these objects be due now. What is queued or running is not queued again."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for each in await schedules.list_schedules(
            conn, tenant_id=hub.tenant_id, connection_id=connection.id
        ):
            if each.object in objects and each.enabled and each.mode == _MODE:
                await schedules.change(
                    conn,
                    tenant_id=hub.tenant_id,
                    connection_id=connection.id,
                    object_name=each.object,
                    mode=each.mode,
                    cron=each.cron,
                    enabled=True,
                    next_at=now(),
                )
