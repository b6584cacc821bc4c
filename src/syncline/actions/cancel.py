"""Ending a run that is under way or waits, in whichever process it is. What it has committed stays."""

from __future__ import annotations

from uuid import UUID

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine.reconcile import MODE as RECONCILE
from syncline.engine.reconcile import lease_purpose as reconcile_purpose
from syncline.engine.write import lease_purpose
from syncline.errors import Invalid
from syncline.store import leases, runs
from syncline.store.runs import READING_MODES, Run

_MODES = (*READING_MODES, RECONCILE)


async def cancel_run(hub: Hub, run_id: UUID, *, by: str) -> Run:
    """Ask a run to end, and return it as it stands: one that waits has ended, one that runs soon will.

    A run that is under way ends behind what it commits next, within some seconds; the next one goes on from
    there. May be repeated. Raises `NotFound`, and `Invalid` for a run that has ended or cannot be cancelled.
    """
    at = now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        run = await runs.get(conn, run_id, tenant_id=hub.tenant_id)
        if run.mode not in _MODES:
            raise Invalid(
                f"A {run.mode} run cannot be cancelled. Stopping all writing ends what is being sent."
            )
        if run.completed_at is not None:
            raise Invalid(f"That run has ended already: {run.status}.")
        await runs.ask_to_cancel(conn, run_id, by=by, tenant_id=hub.tenant_id, now=at)
        if run.status == "running" and not await _is_held(hub, run):
            # Its process has died; nobody else would write down that it ended.
            await runs.finish(
                conn,
                run_id,
                tenant_id=hub.tenant_id,
                status="cancelled",
                now=at,
                api_calls=run.api_calls,
                error_details={"error": f"Cancelled by {by}.", "kind": "RunCancelled"},
            )
        return await runs.get(conn, run_id, tenant_id=hub.tenant_id)


async def _is_held(hub: Hub, run: Run) -> bool:
    purpose = reconcile_purpose if run.mode == RECONCILE else lease_purpose
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        holder = await leases.find_holder(
            conn, tenant_id=hub.tenant_id, connection_id=run.connection_id, purpose=purpose(run.object)
        )
    return holder is not None
