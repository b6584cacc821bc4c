"""When each object of a connection is read: the defaults a new connection begins with."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.clock import now
from syncline.engine.readings import ASSOCIATIONS, HISTORY
from syncline.engine.schedule import next_after
from syncline.store import schedules
from syncline.store.connections import Connection
from syncline.store.db import Conn

_MODE = "incremental"
#: What follows the objects comes between their hours, so that it finds them up to date.
_READINGS = {ASSOCIATIONS: "20 * * * *", HISTORY: "40 * * * *"}


async def put_default_schedules(
    conn: Conn, connection: Connection, objects: Mapping[str, str], *, time_zone: str
) -> None:
    """Make the schedules (object → cron) that are missing; what a person has set stays.

    The first time is the cron's next one: whoever connects by hand starts the first sync by hand, too.
    """
    for object_name, cron in {**objects, **_READINGS}.items():
        await schedules.put_default(
            conn,
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
            object_name=object_name,
            mode=_MODE,
            cron=cron,
            next_at=next_after(cron, now(), time_zone),
        )
