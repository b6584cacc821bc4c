"""When each object of a connection is read: the defaults a new connection begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine.readings import ASSOCIATIONS, HISTORY
from syncline.store import schedules
from syncline.store.connections import Connection
from syncline.store.db import Conn

_MODE = "incremental"
#: What follows the objects comes between their hours, so that it finds them up to date.
_READINGS = {ASSOCIATIONS: "20 * * * *", HISTORY: "40 * * * *"}


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


async def hurry_schedules(hub: Hub, connection: Connection, objects: Sequence[str]) -> None:
    """Let the schedules of these objects be due now. What is queued or running is not queued again."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for each in await schedules.list_schedules(
            conn, tenant_id=hub.tenant_id, connection_id=connection.id
        ):
            if each.object in objects and each.enabled:
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
