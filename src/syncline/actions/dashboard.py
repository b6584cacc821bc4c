"""What a sales dashboard shows at first sight, of the records that somebody sees."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.actions.seeing import owners_seen
from syncline.domain.callers import Caller
from syncline.store import dashboard
from syncline.store.dashboard import CompanyTotal, MonthWon, RecentActivity, StageTotal


@dataclass(frozen=True, slots=True)
class Dashboard:
    #: Open deals by stage, in the order of the stages.
    pipeline: list[StageTotal]
    #: The ten companies whose open deals are worth most.
    top_companies: list[CompanyTotal]
    #: The latest twenty.
    recent_activities: list[RecentActivity]
    #: By the month in which deals closed, the latest first.
    win_rate: list[MonthWon]


async def read_dashboard(hub: Hub, caller: Caller) -> Dashboard:
    """Return the four tables, as they are now. Amounts of several currencies are added as they stand."""
    caller.require("records:read")
    owner_ids = owners_seen(caller)
    seen = None if owner_ids is None else sorted(owner_ids)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await dashboard.take_room(conn)
        return Dashboard(
            await dashboard.list_pipeline(conn, tenant_id=hub.tenant_id, owner_ids=seen),
            await dashboard.list_companies(conn, tenant_id=hub.tenant_id, owner_ids=seen),
            await dashboard.list_activities(conn, tenant_id=hub.tenant_id, owner_ids=seen),
            await dashboard.list_win_rate(conn, tenant_id=hub.tenant_id, owner_ids=seen),
        )
