"""The search over everything."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.record_pages import search_everything
from syncline.web.page import Page, visits
from syncline.web.record_columns import ICONS, PLURAL_OF

router = APIRouter(include_in_schema=False)


@router.get("/search")
async def show_search(page: Page = visits("records:read")) -> Response:
    text = page.request.query_params.get("q", "").strip()
    return page.render(
        "records/search.html",
        text=text,
        hits=await search_everything(page.hub, page.caller, text, limit=8),
        icons=ICONS,
        plural_of=PLURAL_OF,
        help="web-records",
    )
