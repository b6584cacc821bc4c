"""What a sales dashboard shows at first sight, of the records that somebody sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.caching import Question, answer
from syncline.actions.hub import Hub
from syncline.actions.seeing import owners_seen
from syncline.actions.together import together
from syncline.domain.callers import Caller
from syncline.store import dashboard
from syncline.store.dashboard import CompanyTotal, MonthWon, RecentActivity, StageTotal

#: What the four tables are made of.
RESTS_ON = frozenset({"crm.activities", "crm.companies", "crm.contacts", "crm.deals", "crm.stages"})


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
    question = Question("dashboard", (), RESTS_ON, asks_for_me=False)
    return await answer(hub, caller, question, lambda: _read(hub, caller))


async def _read(hub: Hub, caller: Caller) -> Dashboard:
    owner_ids = owners_seen(caller)
    seen = None if owner_ids is None else sorted(owner_ids)
    # Companies take as long as all the others.
    async with together() as group:
        companies = group.create_task(_read_companies(hub, seen))
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            await dashboard.take_room(conn)
            pipeline = await dashboard.list_pipeline(conn, tenant_id=hub.tenant_id, owner_ids=seen)
            activities = await dashboard.list_activities(conn, tenant_id=hub.tenant_id, owner_ids=seen)
            win_rate = await dashboard.list_win_rate(conn, tenant_id=hub.tenant_id, owner_ids=seen)
    return Dashboard(pipeline, companies.result(), activities, win_rate)


async def _read_companies(hub: Hub, seen: Sequence[UUID] | None) -> list[CompanyTotal]:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await dashboard.take_room(conn)
        return await dashboard.list_companies(conn, tenant_id=hub.tenant_id, owner_ids=seen)
