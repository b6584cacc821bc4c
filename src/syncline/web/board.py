"""The board: open deals by stage, moved by dragging, or by choosing a stage with the keyboard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.record_pages import MAX_COUNT, Wanted, count_records, list_records
from syncline.actions.records import set_stage
from syncline.actions.seeing import Record, get_fields
from syncline.actions.stages import list_stages
from syncline.domain.filters import Filter, make_filter
from syncline.errors import CallerMistake, Invalid
from syncline.store.stages import Stage
from syncline.web.page import Page, visits
from syncline.web.record_forms import list_owner_options
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

#: Deals that a column shows; it says how many more there are.
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Column:
    stage: Stage
    deals: list[Record]
    count: int
    #: Currency → sum of the deals that are shown.
    sums: dict[str, Decimal]

    @property
    def is_more(self) -> bool:
        return self.count > len(self.deals)


@router.get("/board")
async def show_board(page: Page = visits("records:read")) -> Response:
    return await _board(page, "records/board.html")


@router.get("/parts/board")
async def show_board_part(page: Page = visits("records:read")) -> Response:
    return await _board(page, "records/board_part.html")


async def _board(page: Page, template: str) -> Response:
    asked = page.request.query_params
    stages = await list_stages(page.hub, page.caller)
    pipelines = list({str(each.pipeline_id): each for each in stages}.values())
    chosen = next((each for each in pipelines if str(each.pipeline_id) == asked.get("pipeline")), None)
    chosen = chosen or (pipelines[0] if pipelines else None)
    shown = [each for each in stages if chosen is not None and each.pipeline_id == chosen.pipeline_id]
    owner = asked.get("owner") or None
    columns = await asyncio.gather(*(_column(page, each, owner) for each in shown))
    return page.render(
        template,
        columns=columns,
        stages=shown,
        pipelines=[(str(each.pipeline_id), _label(each, pipelines)) for each in pipelines],
        chosen=str(chosen.pipeline_id) if chosen is not None else "",
        owners=await list_owner_options(page),
        owner=owner,
        here="/board" + query(pipeline=asked.get("pipeline"), owner=owner),
        part="/parts/board" + query(pipeline=asked.get("pipeline"), owner=owner),
        help="web-records",
    )


def _label(pipeline: Stage, among: Sequence[Stage]) -> str:
    same = [each for each in among if each.pipeline_label == pipeline.pipeline_label]
    return (
        f"{pipeline.pipeline_label} ({pipeline.connection or 'here'})"
        if len(same) > 1
        else pipeline.pipeline_label
    )


async def _column(page: Page, stage: Stage, owner: str | None) -> Column:
    fields = get_fields("deal")
    filters: list[Filter] = [make_filter(fields, "stage_id", "eq", [str(stage.id)])]
    if owner:
        filters.append(make_filter(fields, "owner_id", "eq", [owner]))
    wanted = Wanted(tuple(filters), "-amount")
    found = await list_records(page.hub, page.caller, "deal", wanted, limit=_SHOWN)
    count = len(found.records)
    if found.after is not None:
        count = min(MAX_COUNT, await count_records(page.hub, page.caller, "deal", wanted))
    sums: dict[str, Decimal] = {}
    for each in found.records:
        amount: Any = each.values.get("amount")
        if amount is not None:
            currency = str(each.values.get("currency") or page.place.currency)
            sums[currency] = sums.get(currency, Decimal(0)) + Decimal(str(amount))
    return Column(stage, found.records, count, sums)


@router.post("/board/move")
async def move(page: Page = visits("records:write")) -> Response:
    """Move a deal to a stage; what is dragged gets the board as it is then, also where that failed."""
    deal, stage = page.form.id("deal"), page.form.text("stage")
    back = page.form.text("back")
    here = back if back.startswith("/board") else "/board"
    problem = "Choose a deal and the stage it goes to." if deal is None or not stage else None
    if deal is not None and stage:
        problem = await _move(page, deal, stage)
    if problem is not None:
        return page.go(here, problem, "warn")
    return page.go(here, "Moved.")


async def _move(page: Page, deal: UUID, stage: str) -> str | None:
    stages = await list_stages(page.hub, page.caller)
    found = next((each for each in stages if str(each.id) == stage), None)
    if found is None and not page.is_part:
        told = "is none of those on the board"
        raise Invalid(f"The stage {told}. Load the board again.", fields={"stage": told})
    try:
        await set_stage(
            page.hub,
            page.caller,
            deal,
            stage,
            pipeline=str(found.pipeline_id) if found is not None else None,
            version=page.form.integer("version"),
        )
    except CallerMistake as error:
        return str(error)
    return None
