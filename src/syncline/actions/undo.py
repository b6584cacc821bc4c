"""Taking back what a run did: shown first, then done here and sent to the CRM, and said what stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.plan import Watch, unwatched
from syncline.actions.push import drain_now, grant_all
from syncline.engine.push import Drained
from syncline.engine.putting_back import Undone
from syncline.engine.remotes import Remote
from syncline.engine.undo import rehearse_undo, undo_run
from syncline.errors import Invalid
from syncline.store import allowances, connections, effects, run_list, runs
from syncline.store.connections import Connection
from syncline.store.effects import Held
from syncline.store.run_list import Filter, ListedRun
from syncline.store.runs import Run


@dataclass(slots=True)
class UndoResult:
    """What an undo would do, or did."""

    run: Run
    connection: str
    undone: Undone
    #: Why nothing is sent, in a sentence: what is to go to the CRM waits.
    stop: str | None = None
    sent: Drained = field(default_factory=Drained)
    #: What a brake holds.
    held: list[Held] = field(default_factory=list[Held])


async def list_runs(
    hub: Hub,
    *,
    connection: str | None = None,
    mode: str | None = None,
    changed: bool = False,
    limit: int = 20,
) -> list[ListedRun]:
    """Return the latest runs, the last first. Raises `NotFound` for an unknown connection.

    `changed` leaves out those that found nothing to do.
    """
    connection_id = None if connection is None else (await hub.get_connection(connection)).id
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        wanted = Filter(connection_id, mode=mode, begun=True, changed=changed)
        return await run_list.list_page(conn, wanted, tenant_id=hub.tenant_id, limit=limit)


async def plan_undo(hub: Hub, run_id: UUID, *, watch: Watch = unwatched) -> UndoResult:
    """Say what taking a run back would do, and what would stay. Reads at the CRM, and writes nothing.

    Raises `NotFound`, `Invalid` for a run that has not ended, `PauseConnection`.
    """
    run, connection = await _find(hub, run_id)
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        undone = await rehearse_undo(hub.db, remote, run, on_progress=partial(watch, "undo"))
        return UndoResult(run, connection.name, undone, await _find_stop(hub, remote))


async def undo(
    hub: Hub,
    run_id: UUID,
    *,
    by: str,
    past_brake: bool = False,
    watch: Watch = unwatched,
) -> UndoResult:
    """Take a run back. `past_brake` lets what it sends go beyond the brakes.

    Where writing is stopped, what is to be sent waits in the queue. Begun again after a crash, it goes on.
    Raises as `plan_undo`, and `Busy` while another undo of the connection is under way.
    """
    run, connection = await _find(hub, run_id)
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        stop = await _find_stop(hub, remote)
        result = UndoResult(run, connection.name, Undone(), stop)

        async def send(undone: Undone) -> None:
            if stop is None:
                # Begun again, what an earlier attempt left may be what is held.
                kinds = {*undone.kinds, *(each.record_type for each in await _list_held(hub, remote))}
                result.sent = await _send(hub, remote, by, sorted(kinds) if past_brake else [])

        result.undone = await undo_run(
            hub.db, remote, hub.settings, run, by=by, send=send, on_progress=partial(watch, "undo")
        )
        result.held = await _list_held(hub, remote)
    return result


async def _list_held(hub: Hub, remote: Remote) -> list[Held]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await effects.list_held(conn, **remote.keys)


async def _send(hub: Hub, remote: Remote, by: str, past_brake: Sequence[str]) -> Drained:
    first = partial(grant_all, keys=remote.keys, kinds=past_brake, by=by) if past_brake else None
    return await drain_now(hub, remote, by=by, first=first)


async def _find(hub: Hub, run_id: UUID) -> tuple[Run, Connection]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        run = await runs.get(conn, run_id, tenant_id=hub.tenant_id)
        connection = await connections.get(conn, run.connection_id, tenant_id=hub.tenant_id)
    if run.completed_at is None:
        raise Invalid("That run has not ended yet. Wait for it, or see `syncline status`.")
    return run, connection


async def _find_stop(hub: Hub, remote: Remote) -> str | None:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await allowances.find_stop(conn, **remote.keys)
