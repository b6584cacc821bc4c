"""Companies, contacts, deals, activities, tasks, owners over the API: listed, read, made and changed."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from syncline.actions import record_pages, records, stages
from syncline.actions.record_pages import Wanted
from syncline.actions.seeing import MAX_PAGE, PAGE, get_fields
from syncline.api.calls import Call, needs
from syncline.api.record_shapes import (
    PAGE_MODELS,
    RECORD_MODELS,
    answer,
    answer_record,
    describe_body,
    show_page,
)
from syncline.api.shapes import Given, Shape
from syncline.domain.filters import Archived, read_filter
from syncline.domain.record_fields import RECORD_FIELDS, RecordFields
from syncline.errors import Invalid

router = APIRouter(prefix="/api/v1")

READS: Any = needs("records:read")
WRITES: Any = needs("records:write")
_FILTER_TEXT = (
    "field:operator:value, as often as needed; all must hold. Operators: eq, ne, in, contains, starts, gt, "
    "gte, lt, lte, between (two values between commas), empty, filled (no value). `connection` filters by "
    "the CRM a record is linked to, `custom_fields.key` by a custom field."
)
Filters = Annotated[
    list[str],
    Query(alias="filter", max_length=20, description=_FILTER_TEXT, examples=[["status:eq:open"]]),
]
SortBy = Annotated[
    str | None,
    Query(max_length=100, description="A field; '-' before it: the last first.", examples=["-created_at"]),
]
SearchFor = Annotated[
    str | None,
    Query(alias="q", max_length=200, description="Words of names, an address, a telephone number."),
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]
PlaceInList = Annotated[
    str | None, Query(max_length=2000, description="Where to go on: `after` of the page before.")
]
IfMatch = Annotated[
    str | None, Header(description='The ETag that was read, such as "3": nothing newer is overwritten.')
]
_NEEDED: dict[int | str, dict[str, Any]] = {428: {"description": "If-Match is missing."}}
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def read_version(if_match: str | None, *, needed: bool = False) -> int | None:
    """Read the version that a client read. Raises `Invalid`, and HTTP 428 where it is needed and missing."""
    if if_match is None:
        if needed:
            raise HTTPException(
                428, "Send If-Match with the ETag that you read, so that nothing newer is lost."
            )
        return None
    if if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise Invalid(
            'If-Match holds no ETag of ours; one looks like "3".', fields={"If-Match": "That is no ETag."}
        )
    return int(found[1])


def read_wanted(
    fields: RecordFields, filters: list[str], sort: str | None, search: str | None, archived: Archived
) -> Wanted:
    """Read what a list is to show. Raises `Invalid`."""
    return Wanted(tuple(read_filter(fields, each) for each in filters), sort, search, archived)


def _add_reading(fields: RecordFields) -> None:
    plural, model = fields.plural, RECORD_MODELS[fields.name]

    @router.get(
        f"/{plural}",
        tags=[plural],
        response_model=PAGE_MODELS[fields.name],
        name=f"list_{plural}",
        summary=f"List {plural}",
    )
    async def list_them(  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        filters: Filters = [],  # noqa: B006 - FastAPI copies it
        sort: SortBy = None,
        search: SearchFor = None,
        archived: Archived = "no",
        limit: PageSize = PAGE,
        after: PlaceInList = None,
        count: Annotated[bool, Query(description="Count them as well, up to 10,000.")] = False,
        call: Call = READS,
    ) -> Response:
        """Sorted by the index that the order has; `after` stays good while records change."""
        wanted = read_wanted(fields, filters, sort, search, archived)
        page = await record_pages.list_records(
            call.hub, call.caller, fields.name, wanted, limit=limit, after=after
        )
        counted = (
            await record_pages.count_records(call.hub, call.caller, fields.name, wanted) if count else None
        )
        return answer(show_page(page, counted))

    @router.get(
        f"/{plural}/{{record_id}}",
        tags=[plural],
        response_model=model,
        name=f"read_{fields.name}",
        summary=f"Read a {fields.name}",
    )
    async def read_one(record_id: UUID, call: Call = READS) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Its version is the ETag: send it as If-Match with a change."""
        return answer_record(await records.recall_record(call.hub, call.caller, fields.name, record_id))


def _add_writing(fields: RecordFields) -> None:
    plural, model = fields.plural, RECORD_MODELS[fields.name]

    @router.post(
        f"/{plural}",
        tags=[plural],
        status_code=201,
        response_model=model,
        name=f"create_{fields.name}",
        summary=f"Make a {fields.name}",
        openapi_extra=describe_body(fields, making=True),
    )
    async def create(given: Annotated[dict[str, Any], Body()], call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        """It is queued for every CRM in which such records may be made."""
        made = await records.create_record(call.hub, call.caller, fields.name, given)
        return answer_record(made, 201, location=True)

    @router.patch(
        f"/{plural}/{{record_id}}",
        tags=[plural],
        response_model=model,
        responses=_NEEDED,
        name=f"change_{fields.name}",
        summary=f"Change a {fields.name}",
        openapi_extra=describe_body(fields, making=False),
    )
    async def change(  # pyright: ignore[reportUnusedFunction]
        record_id: UUID,
        given: Annotated[dict[str, Any], Body()],
        if_match: IfMatch = None,
        call: Call = WRITES,
    ) -> Response:
        """Fields that are not named stay; null empties one. What changes goes to the CRMs."""
        version = read_version(if_match, needed=True)
        changed = await records.change_record(
            call.hub, call.caller, fields.name, record_id, given, version=version
        )
        return answer_record(changed)


def _add_archiving(fields: RecordFields) -> None:
    plural, model = fields.plural, RECORD_MODELS[fields.name]

    @router.delete(
        f"/{plural}/{{record_id}}",
        tags=[plural],
        response_model=model,
        name=f"archive_{fields.name}",
        summary=f"Archive a {fields.name}",
    )
    async def archive(record_id: UUID, if_match: IfMatch = None, call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Nothing is lost: it can be restored. Archived again, it stays as it is."""
        version = read_version(if_match)
        return answer_record(
            await records.archive_record(call.hub, call.caller, fields.name, record_id, version=version)
        )

    @router.post(
        f"/{plural}/{{record_id}}/restore",
        tags=[plural],
        response_model=model,
        name=f"restore_{fields.name}",
        summary=f"Restore an archived {fields.name}",
    )
    async def restore(record_id: UUID, if_match: IfMatch = None, call: Call = WRITES) -> Response:  # pyright: ignore[reportUnusedFunction]
        version = read_version(if_match)
        return answer_record(
            await records.restore_record(call.hub, call.caller, fields.name, record_id, version=version)
        )


for _each in RECORD_FIELDS.values():
    _add_reading(_each)
    if _each.writable:
        _add_writing(_each)
        _add_archiving(_each)


class StageGiven(Given):
    """Where a deal is to go."""

    stage: Annotated[
        str, Body(min_length=1, max_length=200, description="Its id, key or label.", examples=["qualified"])
    ]
    pipeline: Annotated[
        str | None, Body(max_length=200, description="Its id, key or label; none: the deal's own.")
    ] = None


@router.post(
    "/deals/{record_id}/stage",
    tags=["deals"],
    response_model=RECORD_MODELS["deal"],
    summary="Move a deal to a stage",
)
async def move_deal(
    record_id: UUID, given: StageGiven, if_match: IfMatch = None, call: Call = WRITES
) -> Response:
    """Status, close date and probability follow from the stage."""
    moved = await records.set_stage(
        call.hub,
        call.caller,
        record_id,
        given.stage,
        pipeline=given.pipeline,
        version=read_version(if_match),
    )
    return answer_record(moved)


class StageOut(Shape):
    """A stage that a deal can be moved to."""

    id: UUID
    key: str
    label: str
    is_closed: bool
    is_won: bool
    probability: float | None
    pipeline_id: UUID
    pipeline: str
    pipeline_label: str
    connection: str | None


class StagesOut(Shape):
    """Stages by pipeline, in their order; the hub's own pipelines first."""

    items: list[StageOut]


@router.get("/stages", tags=["deals"], summary="List pipelines and stages")
async def list_stages(call: Call = READS) -> StagesOut:
    found = await stages.list_stages(call.hub, call.caller)
    return StagesOut(items=[StageOut.model_validate(each) for each in found])


class FieldOut(Shape):
    """One field of a kind of record."""

    name: str
    label: str
    type: str
    writable: bool
    filterable: bool
    sortable: bool
    required: bool
    choices: list[str]
    refers_to: str | None


class FieldsOut(Shape):
    """What a kind of record has."""

    record_type: str
    label: str
    plural: str
    default_sort: str
    fields: list[FieldOut]


@router.get("/fields/{plural}", tags=["fields"], summary="Describe a kind of record")
async def describe_fields(plural: str, call: Call = READS) -> FieldsOut:
    """Which fields there are, and what can be done with each."""
    del call
    found = get_fields(plural)
    return FieldsOut(
        record_type=found.name,
        label=found.label,
        plural=found.plural,
        default_sort=found.default_sort,
        fields=[FieldOut.model_validate(each) for each in found.fields.values()],
    )
