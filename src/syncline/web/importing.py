"""Records from a file: uploaded, its columns said, every row shown with what it would do, then imported."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.batches import list_batches
from syncline.actions.importing import map_import, read_import, upload_import
from syncline.actions.seeing import get_fields
from syncline.domain.tables import Manner
from syncline.errors import CallerMistake
from syncline.web.page import Page, visits
from syncline.web.record_columns import PLURAL_OF, PLURALS

router = APIRouter(include_in_schema=False)


@router.get("/import")
async def ask_file(page: Page = visits("records:bulk")) -> Response:
    return await _ask(page)


async def _ask(page: Page, status: int = 200) -> Response:
    found = [each for each in await list_batches(page.hub, page.caller) if each.kind == "import"]
    return page.render(
        "records/import.html",
        status=status,
        form=page.form,
        kinds=[(each, each.capitalize()) for each in PLURALS],
        kind=page.request.query_params.get("type", "contacts"),
        batches=found,
        plural_of=PLURAL_OF,
        help="web-records",
    )


@router.post("/import")
async def upload(page: Page = visits("records:bulk")) -> Response:
    file = page.form.files.get("file")
    if file is None or not file.filename:
        page.form.errors["file"] = "Choose a file."
        return await _ask(page, 422)
    try:
        plan = await upload_import(
            page.hub,
            page.caller,
            page.form.text("type", "contacts"),
            await file.read(),
            file_name=file.filename,
        )
    except CallerMistake as error:
        page.form.blame(error)
        return await _ask(page, 422)
    return page.go(f"/import/{plan.batch.id}")


@router.get("/import/{batch_id}")
async def show(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    return await _show(page, batch_id)


async def _show(page: Page, batch_id: UUID, status: int = 200) -> Response:
    plan = await read_import(page.hub, page.caller, batch_id)
    if plan.batch.state != "planned":
        return page.go(f"/batches/{batch_id}")
    fields = get_fields(plan.batch.record_type)
    choices = [(each.name, each.label) for each in fields.fields.values() if each.writable]
    return page.render(
        "records/import_plan.html",
        status=status,
        plan=plan,
        form=page.form,
        fields=fields,
        plural=fields.plural,
        choices=[("", "Left out"), ("id", "Id of the record"), *choices],
        known={name for name, _ in choices} | {"id"},
        zone=page.place.time_zone,
        help="web-records",
    )


@router.post("/import/{batch_id}")
async def plan_anew(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    plan = await read_import(page.hub, page.caller, batch_id)
    mapping: dict[str, str | None] = {}
    for index, column in enumerate(plan.columns):
        custom = page.form.optional(f"custom{index}")
        mapping[column.name] = f"custom_fields.{custom}" if custom else page.form.optional(f"column{index}")
    manner = Manner(
        page.form.text("zone") or page.place.time_zone,
        page.form.text("dates", "iso"),
        page.form.has("clears"),
    )
    try:
        await map_import(page.hub, page.caller, batch_id, mapping, manner=manner)
    except CallerMistake as error:
        page.form.blame(error)
        return await _show(page, batch_id, 422)
    return page.go(f"/import/{batch_id}", "Planned anew.")
