"""The sales pipeline at one glance: how current it is, then leads, deals and appointments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.health import ConnectionHealth, Health, ObjectHealth, read_health
from syncline.actions.record_pages import Wanted, list_records
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.domain.filters import make_filter
from syncline.domain.record_fields import RECORD_FIELDS
from syncline.web import show
from syncline.web.page import Page, visits
from syncline.web.syncs import bars_of

router = APIRouter(include_in_schema=False)

_SHOWN = 15
#: Stages of a contact's life in which it is a lead, as CRMs call them.
_LEADS = ("lead", "marketingqualifiedlead", "salesqualifiedlead", "subscriber")
#: The kinds of record that this page is about.
_KINDS = ("contact", "deal", "activity", "owner")
_AHEAD = timedelta(days=60)


@router.get("/sales-pipeline")
async def show_pipeline(page: Page = visits("records:read")) -> Response:
    return page.render("sales_pipeline.html", **await _gather(page), help="index")


@router.get("/parts/sales-pipeline")
async def show_pipeline_part(page: Page = visits("records:read")) -> Response:
    return page.render("sales_pipeline_part.html", **await _gather(page))


async def _gather(page: Page) -> dict[str, Any]:
    health = await read_health(page.hub)
    return {
        "health": health,
        "syncs": [(each, _about(each)) for each in health.connections],
        "bars": bars_of,
        "sources": show.listed([get_platform(name).capabilities.label for name in _platforms(health)], 3),
        "rhythms": {kind: _rhythm(health, kind) for kind in _KINDS},
        "leads": await _leads(page),
        "deals": await list_records(page.hub, page.caller, "deal", _deals(), limit=_SHOWN),
        "appointments": await _appointments(page),
        "lead_stages": _LEADS,
    }


def _platforms(health: Health) -> list[str]:
    return list(dict.fromkeys(each.status.connection.platform for each in health.connections))


def _about(each: ConnectionHealth) -> list[ObjectHealth]:
    """Return the objects of a connection that become what this page is about."""
    mapped = {one.name: one.record_type for one in _objects(each)}
    return [one for one in each.objects if mapped.get(one.status.object) in _KINDS]


def _objects(each: ConnectionHealth) -> Sequence[Any]:
    return get_platform(each.status.connection.platform).capabilities.objects


def _rhythm(health: Health, kind: str) -> str:
    """Return how often records of a kind are read; of several connections that which comes first."""
    for each in health.connections:
        names = {one.name for one in _objects(each) if one.record_type == kind}
        for one in each.objects:
            if one.status.object in names and one.rhythm:
                return one.rhythm
    return ""


async def _leads(page: Page) -> Any:
    fields = RECORD_FIELDS["contact"]
    wanted = Wanted([make_filter(fields, "lifecycle_stage", "in", _LEADS)], sort="-updated_at")
    return await list_records(page.hub, page.caller, "contact", wanted, limit=_SHOWN)


def _deals() -> Wanted:
    return Wanted([make_filter(RECORD_FIELDS["deal"], "status", "eq", ["open"])], sort="-updated_at")


async def _appointments(page: Page) -> Any:
    fields, at = RECORD_FIELDS["activity"], now()
    wanted = Wanted(
        [
            make_filter(fields, "type", "eq", ["meeting"]),
            make_filter(fields, "occurred_at", "between", [at.isoformat(), (at + _AHEAD).isoformat()]),
        ],
        sort="occurred_at",
    )
    coming = await list_records(page.hub, page.caller, "activity", wanted, limit=_SHOWN)
    if coming.records:
        return coming
    # Nothing ahead: the latest there were say more than an empty table.
    before = Wanted([make_filter(fields, "type", "eq", ["meeting"])], sort="-occurred_at")
    return await list_records(page.hub, page.caller, "activity", before, limit=_SHOWN)
