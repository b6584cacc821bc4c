"""One record: its fields and whence they are, what happened around it, every CRM's version, its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.associations import list_associations
from syncline.actions.records import archive_record, change_record, create_record, read_record, restore_record
from syncline.actions.remote_versions import read_versions
from syncline.actions.resync import resync
from syncline.actions.seeing import Record, get_fields
from syncline.actions.timeline import (
    ITEM_KINDS,
    FieldChange,
    ItemKind,
    list_history,
    read_timeline,
    undo_change,
)
from syncline.domain.record_fields import RecordFields
from syncline.errors import CallerMistake, Invalid, Stale, SynclineError
from syncline.web.forms import Form
from syncline.web.page import Page, next_place, visits
from syncline.web.record_columns import ICONS, PLURAL_OF, PLURALS
from syncline.web.record_forms import Input, list_inputs, read_inputs
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

#: How far back the latest change of each field is looked for.
_CHANGES = 100
#: Kind → fields that name it, which the head of its page shows.
_STAMPS = frozenset({"created_at", "updated_at", "archived_at"})


def _add_routes(plural: str) -> None:
    fields = get_fields(plural)

    @router.get(f"/{plural}/new", name=f"new-{plural}")
    async def ask_new(page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        given = {name: page.request.query_params.get(name, "") for name in fields.fields}
        form = Form({name: value for name, value in given.items() if value})
        return await _show_form(page, fields, None, form=form)

    @router.post(f"/{plural}/new", name=f"make-{plural}")
    async def make(page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _make(page, fields)

    @router.get(f"/{plural}/{{record_id}}", name=f"show-{plural}")
    async def show(record_id: UUID, page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _show(page, fields, record_id)

    @router.get(f"/{plural}/{{record_id}}/timeline", name=f"timeline-{plural}")
    async def show_timeline(record_id: UUID, page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        record = await read_record(page.hub, page.caller, fields.name, record_id)
        return page.render("records/timeline.html", **_about(record), **await _timeline(page, record))

    @router.get(f"/{plural}/{{record_id}}/edit", name=f"edit-{plural}")
    async def ask_edit(record_id: UUID, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _show_form(
            page, fields, await read_record(page.hub, page.caller, fields.name, record_id)
        )

    @router.post(f"/{plural}/{{record_id}}/edit", name=f"save-{plural}")
    async def save(record_id: UUID, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _save(page, fields, record_id)

    @router.post(f"/{plural}/{{record_id}}/archive", name=f"archive-{plural}")
    async def archive(record_id: UUID, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        await archive_record(page.hub, page.caller, fields.name, record_id)
        return page.go(f"/{plural}/{record_id}", "Archived. It can be restored.")

    @router.post(f"/{plural}/{{record_id}}/restore", name=f"restore-{plural}")
    async def restore(record_id: UUID, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        await restore_record(page.hub, page.caller, fields.name, record_id)
        return page.go(f"/{plural}/{record_id}", "It lives again.")

    _add_sides(plural, fields)


def _add_sides(plural: str, fields: RecordFields) -> None:
    """Add what a record is at the CRMs, and what it was."""

    @router.get(f"/{plural}/{{record_id}}/changes", name=f"changes-{plural}")
    async def show_changes(record_id: UUID, page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        record = await read_record(page.hub, page.caller, fields.name, record_id)
        after = page.request.query_params.get("after")
        found = await list_history(page.hub, page.caller, fields.name, record_id, after=after)
        here = f"/{plural}/{record_id}/changes"
        return page.render(
            "records/changes.html",
            **_about(record),
            changes=_by_change(found.changes),
            next=here + query(after=found.after) if found.after else None,
            first=here if after else None,
        )

    @router.post(f"/{plural}/{{record_id}}/changes/{{change_id}}/undo", name=f"undo-{plural}")
    async def undo(record_id: UUID, change_id: UUID, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        here = f"/{plural}/{record_id}/changes"
        try:
            await undo_change(page.hub, page.caller, fields.name, record_id, change_id)
        except Invalid as error:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in error.fields.items())
            return page.go(here, f"{error} {reasons}".strip(), "warn")
        return page.go(here, "Taken back, here and wherever it may be written.")

    @router.get(f"/{plural}/{{record_id}}/crms", name=f"crms-{plural}")
    async def show_crms(record_id: UUID, page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        record = await read_record(page.hub, page.caller, fields.name, record_id)
        found = await read_versions(page.hub, page.caller, fields.name, record_id, raw=True)
        return page.render("records/crms.html", **_about(record), versions=found)

    @router.post(f"/{plural}/{{record_id}}/resync", name=f"resync-{plural}")
    async def again(record_id: UUID, page: Page = visits("syncs:run")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        await read_record(page.hub, page.caller, fields.name, record_id)
        here = f"/{plural}/{record_id}/crms"
        try:
            await resync(page.hub, str(record_id), by=page.caller.name)
        except SynclineError as error:
            return page.go(here, str(error), "warn")
        return page.go(here, "Read from each CRM again, and sent where it differed.")


def _about(record: Record) -> dict[str, Any]:
    """Return what every page of a record shows of it."""
    plural = record.fields.plural
    here = f"/{plural}/{record.id}"
    tabs = [("Overview", here), ("At the CRMs", f"{here}/crms"), ("Changes", f"{here}/changes")]
    return {
        "record": record,
        "fields": record.fields,
        "plural": plural,
        "tabs": tabs,
        "icons": ICONS,
        "plural_of": PLURAL_OF,
        "help": "web-records",
    }


async def _show(page: Page, fields: RecordFields, record_id: UUID) -> Response:
    record = await read_record(page.hub, page.caller, fields.name, record_id)
    history = await list_history(page.hub, page.caller, fields.name, record_id, limit=_CHANGES)
    related = await list_associations(page.hub, page.caller, fields.name, record_id)
    shown = [
        each
        for each in fields.fields.values()
        if each.name not in _STAMPS and not (each.name in ("pipeline", "stage") and record.references)
    ]
    return page.render(
        "records/record.html",
        **_about(record),
        **await _timeline(page, record),
        shown=shown,
        filled=[each for each in shown if record.values.get(each.name) not in (None, "")],
        latest=_latest(history.changes),
        related=_by_kind(related.items),
        more=related.more,
        may_log=page.may("records:write") and fields.name in ("contact", "company", "deal"),
    )


async def _timeline(page: Page, record: Record) -> dict[str, Any]:
    asked = page.request.query_params
    kinds = cast("list[ItemKind]", [each for each in asked.getlist("kind") if each in ITEM_KINDS])
    after = asked.get("before")
    found = await read_timeline(
        page.hub,
        page.caller,
        record.fields.name,
        record.id,
        kinds=kinds or ITEM_KINDS,
        limit=30,
        after=after,
    )
    here = f"/{record.fields.plural}/{record.id}/timeline"
    return {"timeline": found, "older": here + query(before=found.after, kind=kinds) if found.after else None}


def _latest(changes: list[FieldChange]) -> Mapping[str, FieldChange]:
    """Return field → its latest change; the newest come first."""
    found: dict[str, FieldChange] = {}
    for each in changes:
        found.setdefault(each.field, each)
    return found


def _by_kind(items: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in items:
        if each.record_type not in ("activity", "task"):
            found.setdefault(each.record_type, []).append(each)
    return found


def _by_change(changes: list[FieldChange]) -> list[list[FieldChange]]:
    found: dict[UUID, list[FieldChange]] = {}
    for each in changes:
        found.setdefault(each.change_id, []).append(each)
    return list(found.values())


async def _show_form(
    page: Page,
    fields: RecordFields,
    record: Record | None,
    inputs: list[Input] | None = None,
    *,
    status: int = 200,
    form: Form | None = None,
) -> Response:
    return page.render(
        "records/form.html",
        status=status,
        record=record,
        fields=fields,
        plural=fields.plural,
        inputs=inputs or await list_inputs(page, fields, record),
        form=form or page.form,
        back=next_place(page.request.query_params.get("back") or page.form.values.get("back")),
        help="web-records",
    )


async def _make(page: Page, fields: RecordFields) -> Response:
    inputs = await list_inputs(page, fields, None)
    try:
        values = await read_inputs(page, inputs, None)
        made = await create_record(page.hub, page.caller, fields.name, values)
    except CallerMistake as error:
        page.form.blame(error)
        return await _show_form(page, fields, None, inputs, status=422)
    back = next_place(page.form.values.get("back"))
    return page.go(back if back != "/" else f"/{fields.plural}/{made.id}", f"{fields.label} made.")


async def _save(page: Page, fields: RecordFields, record_id: UUID) -> Response:
    record = await read_record(page.hub, page.caller, fields.name, record_id)
    inputs = await list_inputs(page, fields, record)
    here = f"/{fields.plural}/{record_id}"
    try:
        values = await read_inputs(page, inputs, record) | _custom(page, record)
        if values:
            await change_record(
                page.hub, page.caller, fields.name, record_id, values, version=page.form.integer("version")
            )
    except Stale as error:
        page.form.blame(error)
        return await _show_form(page, fields, record, inputs, status=412)
    except CallerMistake as error:
        page.form.blame(error)
        return await _show_form(page, fields, record, inputs, status=422)
    return page.go(here, "Saved." if values else "Nothing was changed.")


def _custom(page: Page, record: Record) -> dict[str, Any]:
    """Return the custom fields that were changed in the form."""
    kept: Mapping[str, Any] = record.values.get("custom_fields") or {}
    found: dict[str, Any] = {}
    for key, value in kept.items():
        name = f"custom_fields.{key}"
        if not isinstance(value, dict | list) and page.form.has(name) and page.form.text(name) != str(value):
            found[name] = page.form.optional(name)
    return found


for _plural in PLURALS:
    _add_routes(_plural)
