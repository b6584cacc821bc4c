"""Many records at once: what is to change, what that would do here and at the CRMs, and doing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.batches import begin_batch, cancel_batch, list_batches, plan_undo_of, read_batch
from syncline.actions.bulk import Selection, plan_bulk
from syncline.actions.record_pages import Wanted, count_records
from syncline.actions.seeing import get_fields
from syncline.api.bulk import go_on_by_itself
from syncline.api.calls import Call
from syncline.domain.filters import Archived, read_filter
from syncline.domain.record_fields import RecordFields
from syncline.errors import CallerMistake, Invalid
from syncline.store.batches import Batch
from syncline.web.page import Page, visits
from syncline.web.record_columns import PLURAL_OF, PLURALS
from syncline.web.record_forms import Input, list_inputs, read_inputs

router = APIRouter(include_in_schema=False)

#: A batch that nothing moved for so long was left by its process.
_LEFT_SECONDS = 15
#: Fields that make no sense to be alike for many.
_ONE_EACH = frozenset({"email", "phone", "first_name", "last_name", "domain", "website", "subject"})


def _add_routes(plural: str) -> None:
    fields = get_fields(plural)

    @router.post(f"/{plural}/bulk", name=f"bulk-{plural}")
    async def ask(page: Page = visits("records:bulk")) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        return await _ask(page, fields)

    @router.post(f"/{plural}/bulk/plan", name=f"plan-{plural}")
    async def plan(page: Page = visits("records:bulk")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _plan(page, fields)


def _selection(page: Page, fields: RecordFields) -> Selection:
    form = page.form
    chosen = form.choice("archived", ("no", "only", "any"), "no")
    archived: Archived = "any" if chosen == "any" else "only" if chosen == "only" else "no"
    if form.choice("of", ("chosen", "all"), "chosen") != "all":
        ids = [_read_id(each) for each in form.several("id")]
        return Selection(ids, Wanted(archived=archived))
    filters = tuple(read_filter(fields, each) for each in form.several("filter") if each)
    return Selection(None, Wanted(filters, search=form.optional("q"), archived=archived))


def _read_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        told = "holds something that is no id"
        raise Invalid("That is not the id of a record.", fields={"id": told}) from None


async def _ask(
    page: Page, fields: RecordFields, inputs: list[Input] | None = None, status: int = 200
) -> Response:
    selection = _selection(page, fields)
    if selection.ids is not None and not selection.ids:
        return page.go(f"/{fields.plural}", f"Choose at least one {fields.name} first.", "warn")
    count = (
        len(selection.ids)
        if selection.ids is not None
        else await count_records(page.hub, page.caller, fields.name, selection.wanted)
    )
    return page.render(
        "records/bulk.html",
        status=status,
        fields=fields,
        plural=fields.plural,
        inputs=inputs or await _inputs(page, fields),
        form=page.form,
        count=count,
        chosen=[str(each) for each in selection.ids or ()],
        kept=page.form.several("filter"),
        help="web-records",
    )


async def _inputs(page: Page, fields: RecordFields) -> list[Input]:
    found = await list_inputs(page, fields, None)
    return [each for each in found if each.name not in _ONE_EACH and each.kind != "area"]


async def _plan(page: Page, fields: RecordFields) -> Response:
    inputs = await _inputs(page, fields)
    doing = page.form.choice("doing", ("change", "archive", "restore"), "change")
    values: Mapping[str, Any] = {}
    try:
        if doing == "change":
            values = await read_inputs(page, inputs, None)
            emptied = {name: None for name in page.form.several("empty") if fields.find(name) is not None}
            values = {**values, **emptied}
        plan = await plan_bulk(
            page.hub,
            page.caller,
            fields.name,
            _selection(page, fields),
            doing="archive" if doing == "archive" else "restore" if doing == "restore" else "change",
            values=values,
        )
    except CallerMistake as error:
        page.form.blame(error, values="")
        return await _ask(page, fields, inputs, status=422)
    return page.render(
        "records/bulk_plan.html",
        fields=fields,
        plural=fields.plural,
        plan=plan,
        doing=doing,
        help="web-records",
    )


@router.get("/batches")
async def show_batches(page: Page = visits("records:bulk")) -> Response:
    found = await list_batches(page.hub, page.caller)
    return page.render("records/batches.html", batches=found, plural_of=PLURAL_OF, help="web-records")


@router.get("/batches/{batch_id}")
async def show_batch(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    return await _show(page, batch_id, "records/batch.html")


@router.get("/parts/batches/{batch_id}")
async def show_batch_part(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    return await _show(page, batch_id, "records/batch_part.html")


async def _show(page: Page, batch_id: UUID, template: str) -> Response:
    view = await read_batch(page.hub, page.caller, batch_id)
    return page.render(
        template,
        view=view,
        batch=view.batch,
        plural=PLURAL_OF[view.batch.record_type],
        is_left=_is_left(page, view.batch),
        help="web-records",
    )


def _is_left(page: Page, batch: Batch) -> bool:
    moved = batch.moved_at or batch.started_at
    now = page.context()["now"]
    return batch.state == "running" and moved is not None and (now - moved).total_seconds() > _LEFT_SECONDS


@router.post("/batches/{batch_id}/apply")
async def apply(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    """Begin a planned batch, or go on with one that was left; it goes on behind the answer."""
    await begin_batch(page.hub, page.caller, batch_id)
    go_on_by_itself(page.request, Call(page.hub, page.caller), batch_id)
    return page.go(f"/batches/{batch_id}")


@router.post("/batches/{batch_id}/cancel")
async def cancel(batch_id: UUID, page: Page = visits("records:bulk")) -> Response:
    await cancel_batch(page.hub, page.caller, batch_id)
    return page.go(f"/batches/{batch_id}", "Ended where it was. What it did stays, and can be taken back.")


@router.post("/batches/{batch_id}/undo")
async def undo(batch_id: UUID, page: Page = visits("runs:undo")) -> Response:
    planned = await plan_undo_of(page.hub, page.caller, batch_id)
    await begin_batch(page.hub, page.caller, planned.id)
    go_on_by_itself(page.request, Call(page.hub, page.caller), planned.id)
    return page.go(f"/batches/{planned.id}", "It is being taken back. What somebody changed since stays.")


for _plural in PLURALS:
    _add_routes(_plural)
