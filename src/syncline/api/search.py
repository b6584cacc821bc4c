"""One search over everything."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from syncline.actions import record_pages
from syncline.api.calls import Call
from syncline.api.record_shapes import answer
from syncline.api.records import READS
from syncline.api.shapes import Shape

router = APIRouter(prefix="/api/v1", tags=["search"])


class HitOut(Shape):
    """A record that was found."""

    id: UUID
    label: str
    #: What tells it from others of its name.
    hint: str | None


class HitsOut(Shape):
    """What was found of one kind."""

    record_type: str
    label: str
    plural: str
    items: list[HitOut]
    is_cut: bool


class SearchOut(Shape):
    """What was found, by kind; kinds without a match are left out."""

    groups: list[HitsOut]


_HINTS = ("email", "domain", "stage", "type", "status", "phone")


@router.get("/search", response_model=SearchOut, summary="Search everything")
async def search(
    q: Annotated[str, Query(min_length=1, max_length=200, examples=["ada lark"])],
    limit: Annotated[int, Query(ge=1, le=20, description="Of each kind.")] = 5,
    call: Call = READS,
) -> Response:
    """By words of names as they begin, in any order; by an address as it begins; by a telephone number."""
    found = await record_pages.search_everything(call.hub, call.caller, q, limit=limit)
    groups = [
        {
            "record_type": each.fields.name,
            "label": each.fields.label,
            "plural": each.fields.plural,
            "items": [
                {
                    "id": record.id,
                    "label": record.label,
                    "hint": next((record.values[name] for name in _HINTS if record.values.get(name)), None),
                }
                for record in each.records
            ],
            "is_cut": each.is_cut,
        }
        for each in found
    ]
    return answer({"groups": groups})
