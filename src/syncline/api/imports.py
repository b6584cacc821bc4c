"""Files in and out: CSV imports with their mapping, CSV exports of lists, and lists saved under a name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, File, Query, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from syncline.actions import exporting, importing, saved_views
from syncline.actions.importing import ImportPlan
from syncline.actions.saved_views import ViewGiven
from syncline.actions.seeing import get_fields
from syncline.api.bulk import (
    MANY,
    BatchOut,
    BulkGiven,
    BulkPlanOut,
    FilterGiven,
    plan_edit,
    show_batch,
)
from syncline.api.calls import Call
from syncline.api.record_shapes import answer
from syncline.api.records import READS, Filters, SearchFor, SortBy, read_wanted
from syncline.api.shapes import Given, Shape, Value
from syncline.domain.filters import MAX_FILTERS, Archived
from syncline.domain.record_fields import RECORD_FIELDS, RecordFields
from syncline.domain.tables import Manner
from syncline.store.saved_views import SavedView

router = APIRouter(prefix="/api/v1")


class MannerGiven(Given):
    """How words of the file are to be read."""

    zone: Annotated[str, Field(max_length=60, description="Where times without a zone are.")] = "UTC"
    dates: Literal["iso", "dmy", "mdy"] = "iso"
    clears: Annotated[bool, Field(description="An empty cell empties the field.")] = False


class MappingGiven(Given):
    """Which column is which field; `id` is the record's own, null leaves a column out."""

    columns: Annotated[
        dict[str, str | None],
        Field(max_length=200, examples=[{"E-mail": "email", "Tier": "custom_fields.tier"}]),
    ]
    manner: MannerGiven | None = None


class ColumnOut(Shape):
    """A column of the file."""

    name: str
    field: str | None
    samples: list[str]


class ImportRowOut(Shape):
    """A row of the file, and what would be done about it."""

    line: int
    action: Literal["create", "change", "none", "invalid"]
    record_id: UUID | None
    values: dict[str, Value]
    reasons: dict[str, str] | None


class ImportPlanOut(Shape):
    """What an import would do. Nothing is done until its batch is applied."""

    batch: BatchOut
    columns: list[ColumnOut]
    manner: MannerGiven
    counts: dict[str, int]
    rows: list[ImportRowOut]


def _show(plan: ImportPlan) -> dict[str, Any]:
    return {
        "batch": show_batch(plan.batch),
        "columns": plan.columns,
        "manner": plan.manner,
        "counts": plan.counts,
        "rows": [
            {
                "line": row.position,
                "action": row.action,
                "record_id": row.record_id,
                "values": (row.values or {}).get("values") or {},
                "reasons": row.reasons,
            }
            for row in plan.rows
        ],
    }


class ViewIn(Given):
    """A list to come back to."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    filters: list[FilterGiven] = Field(default_factory=list, max_length=MAX_FILTERS)
    sort: Annotated[str | None, Field(max_length=100)] = None
    search: Annotated[str | None, Field(max_length=200)] = None
    archived: Archived = "no"
    columns: list[str] = Field(default_factory=list, max_length=60)
    is_shared: Annotated[bool, Field(description="Everybody of the tenant sees it.")] = False

    def given(self) -> ViewGiven:
        return ViewGiven(
            self.name,
            [(each.field, each.op, each.values) for each in self.filters],
            self.sort,
            self.search,
            self.archived,
            self.columns,
            self.is_shared,
        )


class ViewOut(Shape):
    """A list under a name."""

    id: UUID
    page: str
    name: str
    is_shared: bool
    query: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime


class ViewsOut(Shape):
    """Your own views by name, then those of everybody."""

    items: list[ViewOut]


def _show_view(view: SavedView) -> dict[str, Any]:
    told = {name: getattr(view, name) for name in ViewOut.model_fields if name != "is_shared"}
    return {**told, "is_shared": view.user_id is None}


def _add_exporting(fields: RecordFields) -> None:
    plural, name = fields.plural, fields.name

    @router.get(
        f"/{plural}/export.csv",
        tags=[plural],
        response_class=StreamingResponse,
        responses={
            200: {"description": "The file.", "content": {"text/csv": {"schema": {"type": "string"}}}}
        },
        name=f"export_{plural}",
        summary=f"Export {plural} as CSV",
    )
    async def export(  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        filters: Filters = [],  # noqa: B006 - FastAPI copies it
        sort: SortBy = None,
        search: SearchFor = None,
        archived: Archived = "no",
        columns: Annotated[list[str], Query(max_length=200, description="Fields; none: all.")] = [],  # noqa: B006
        bom: Annotated[bool, Query(description="Begin with a byte order mark, for spreadsheets.")] = False,
        call: Call = READS,
    ) -> StreamingResponse:
        """All that the list shows, and that you see; nothing in it is a formula."""
        wanted = read_wanted(fields, filters, sort, search, archived)
        parts = await exporting.export_csv(call.hub, call.caller, name, wanted, columns=columns, bom=bom)
        headers = {
            "content-disposition": f'attachment; filename="{plural}.csv"',
            "cache-control": "no-store",
        }
        return StreamingResponse(parts, media_type="text/csv; charset=utf-8", headers=headers)


def _add_bulk(fields: RecordFields) -> None:
    plural = fields.plural

    @router.post(
        f"/{plural}/bulk",
        tags=[plural],
        status_code=201,
        response_model=BulkPlanOut,
        name=f"plan_{plural}_edit",
        summary=f"Plan the same change of many {plural}",
    )
    async def plan(given: BulkGiven, call: Call = MANY) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Shows what would change, what it costs at CRMs and what brakes say. Apply its batch to do it."""
        return await plan_edit(call, fields, given)

    @router.post(
        f"/{plural}/imports",
        tags=[plural],
        status_code=201,
        response_model=ImportPlanOut,
        name=f"upload_{plural}",
        summary=f"Upload {plural} as CSV, and plan their import",
    )
    async def upload(  # pyright: ignore[reportUnusedFunction]
        file: Annotated[UploadFile, File(description="CSV; the first line names the columns.")],
        call: Call = MANY,
    ) -> Response:
        """Guesses the columns and says of each row what would be done. Apply its batch to do it."""
        plan = await importing.upload_import(
            call.hub, call.caller, fields.name, await file.read(), file_name=file.filename or ""
        )
        return answer(_show(plan), 201, {"location": f"/api/v1/imports/{plan.batch.id}"})


def _add_views(fields: RecordFields) -> None:
    plural = fields.plural

    @router.get(
        f"/{plural}/views",
        tags=[plural],
        response_model=ViewsOut,
        name=f"list_{plural}_views",
        summary=f"List saved views of {plural}",
    )
    async def list_them(call: Call = READS) -> Response:  # pyright: ignore[reportUnusedFunction]
        found = await saved_views.list_views(call.hub, call.caller, plural)
        return answer({"items": [_show_view(each) for each in found]})

    @router.post(
        f"/{plural}/views",
        tags=[plural],
        status_code=201,
        response_model=ViewOut,
        name=f"save_{plural}_view",
        summary=f"Save a view of {plural}",
    )
    async def save(given: ViewIn, call: Call = READS) -> Response:  # pyright: ignore[reportUnusedFunction]
        view = await saved_views.save_view(call.hub, call.caller, plural, given.given())
        return answer(_show_view(view), 201)


@router.get(
    "/imports/{batch_id}", tags=["bulk"], response_model=ImportPlanOut, summary="Read a planned import"
)
async def read_import(batch_id: UUID, call: Call = MANY) -> Response:
    return answer(_show(await importing.read_import(call.hub, call.caller, batch_id)))


@router.put(
    "/imports/{batch_id}", tags=["bulk"], response_model=ImportPlanOut, summary="Map an import's columns"
)
async def map_import(batch_id: UUID, given: MappingGiven, call: Call = MANY) -> Response:
    """Plans it anew. Columns that are not named are left out."""
    manner = None if given.manner is None else Manner(**given.manner.model_dump())
    plan = await importing.map_import(call.hub, call.caller, batch_id, given.columns, manner=manner)
    return answer(_show(plan))


@router.get("/views/{view_id}", tags=["views"], response_model=ViewOut, summary="Read a saved view")
async def read_view(view_id: UUID, call: Call = READS) -> Response:
    return answer(_show_view(await saved_views.read_view(call.hub, call.caller, view_id)))


@router.put("/views/{view_id}", tags=["views"], response_model=ViewOut, summary="Change a saved view")
async def change_view(view_id: UUID, given: ViewIn, call: Call = READS) -> Response:
    before = await saved_views.read_view(call.hub, call.caller, view_id)
    page = get_fields(before.page).plural
    view = await saved_views.save_view(call.hub, call.caller, page, given.given(), view_id=view_id)
    return answer(_show_view(view))


@router.delete("/views/{view_id}", tags=["views"], status_code=204, summary="Delete a saved view")
async def remove_view(view_id: UUID, call: Call = READS) -> None:
    await saved_views.remove_view(call.hub, call.caller, view_id)


for _each in RECORD_FIELDS.values():
    _add_exporting(_each)
    _add_views(_each)
    if _each.writable:
        _add_bulk(_each)
