"""Runs as people ask for them and look at them: a worker does what is asked for, within about a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from syncline.actions.connect import chosen_objects
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.engine.readings import READINGS
from syncline.errors import Invalid, NotFound, PauseConnection
from syncline.store import definitions, run_list, runs
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.run_list import Filter, ListedRun

__all__ = ["ListedRun", "RunPage", "get_run", "list_page", "request_runs"]

AskedMode = Literal["incremental", "backfill", "reconcile"]


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, those asked for last first; `after` is where the next page begins, None at the end."""

    runs: list[ListedRun]
    after: str | None


async def list_page(
    hub: Hub,
    *,
    connection: str | None = None,
    object_name: str | None = None,
    mode: str | None = None,
    status: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> RunPage:
    """Return a page of runs. Raises `NotFound` for an unknown connection, `Invalid` for what is no place."""
    connection_id = None if connection is None else (await hub.get_connection(connection)).id
    wanted = Filter(connection_id, object_name, mode, status)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await run_list.list_page(
            conn, wanted, tenant_id=hub.tenant_id, limit=limit + 1, before=read_place(after)
        )
    return RunPage(*cut(found, limit, lambda each: (each.requested_at, each.id)))


async def get_run(hub: Hub, run_id: UUID) -> ListedRun:
    """Return one run. Raises `NotFound`."""
    found = await list_runs_by_id(hub, [run_id])
    if not found:
        raise NotFound("There is no such run.")
    return found[0]


async def list_runs_by_id(hub: Hub, ids: Sequence[UUID]) -> list[ListedRun]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await run_list.list_by_id(conn, ids, tenant_id=hub.tenant_id)


async def request_runs(
    hub: Hub,
    *,
    names: Sequence[str] = (),
    objects: Sequence[str] = (),
    mode: AskedMode = "incremental",
    by: str,
) -> list[ListedRun]:
    """Ask for runs of the connections called `names`, or of all that are active, and return them.

    Where such a run waits already, that one is returned. Raises `NotFound` for an unknown connection or
    object, `PauseConnection` for a paused one that was named, `Invalid` when there is none to sync.
    """
    wanted = await hub.list_connections(names)
    active = [each for each in wanted if each.status == "active"]
    if names and len(active) < len(wanted):
        paused = next(each for each in wanted if each.status != "active")
        raise PauseConnection(f"The connection {paused.name} is paused: {paused.paused_reason}")
    if not active:
        raise Invalid("There is no active connection to sync. Make one, or resume one that is paused.")
    ids: list[UUID] = []
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for each in active:
            ids += [
                await _request(conn, each, name, mode, by)
                for name in await _choose(conn, each, objects, mode, only=len(active) == 1)
            ]
        if not ids:
            raise NotFound(f"No connection has an object called {', '.join(objects)}.")
        return await run_list.list_by_id(conn, ids, tenant_id=hub.tenant_id)


async def _choose(
    conn: Conn, connection: Connection, objects: Sequence[str], mode: AskedMode, *, only: bool
) -> list[str]:
    """Return what is to be read of a connection. What only others have is passed over, unless it is alone."""
    platform = get_platform(connection.platform)
    readings = () if mode == "reconcile" else READINGS
    own = chosen_objects(connection, platform)
    if not objects:
        return [*own, *readings]
    known = {*own, *readings, *(each.name for each in platform.capabilities.objects)}
    known |= set(
        await definitions.list_objects(conn, tenant_id=connection.tenant_id, connection_id=connection.id)
    )
    unknown = [name for name in objects if name not in known]
    if unknown and only:
        raise NotFound(
            f"{connection.name} has no object called {unknown[0]!r}. There are: {', '.join(sorted(known))}."
        )
    return [name for name in dict.fromkeys(objects) if name in known]


async def _request(conn: Conn, connection: Connection, object_name: str, mode: AskedMode, by: str) -> UUID:
    keys = {"tenant_id": connection.tenant_id, "connection_id": connection.id}
    waiting = await runs.find_pending(conn, **keys, object_name=object_name, mode=mode)
    if waiting is not None:
        return waiting
    return await runs.request(conn, **keys, object_name=object_name, mode=mode, requested_by=by, now=now())
