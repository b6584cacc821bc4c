"""Lists of records: filtered, sorted, searched, changed in place, saved as views, taken away as files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from syncline.actions.exporting import export_csv
from syncline.actions.record_pages import MAX_COUNT, Wanted, count_records, list_records
from syncline.actions.records import change_record, read_record
from syncline.actions.saved_views import ViewGiven, list_views, read_view, remove_view, save_view, wanted_of
from syncline.actions.seeing import get_fields
from syncline.domain.filters import Archived, Filter, read_filter
from syncline.domain.record_fields import RecordFields
from syncline.errors import Invalid, Stale
from syncline.web.page import Page, visits
from syncline.web.record_columns import COLUMNS, ICONS, INLINE, NAMED_BY, PLURALS
from syncline.web.record_forms import list_inputs, list_owner_options, read_inputs
from syncline.web.render import query

router = APIRouter(include_in_schema=False)

_ARCHIVED: tuple[tuple[str, str], ...] = (("no", "Living"), ("only", "Archived"), ("any", "Both"))
OPERATOR_WORDS = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "contains": "contains",
    "starts": "begins with",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "between": "is between",
    "empty": "is empty",
    "filled": "is filled",
}


def read_wanted(page: Page, fields: RecordFields) -> tuple[Wanted, list[str]]:
    """Return what the address asks for, and its filters as they stand there. Raises `Invalid`."""
    asked = page.request.query_params
    texts = [each for each in asked.getlist("filter") if each]
    archived: Archived = (
        "only" if asked.get("archived") == "only" else ("any" if asked.get("archived") == "any" else "no")
    )
    filters = tuple(read_filter(fields, each) for each in texts)
    return Wanted(filters, asked.get("sort") or None, asked.get("q") or None, archived), texts


def address_of(plural: str, wanted: Wanted, texts: Sequence[str], **more: Any) -> str:
    """Return the address of a list."""
    archived = None if wanted.archived == "no" else wanted.archived
    given = {"q": wanted.search, "sort": wanted.sort, "archived": archived, "filter": list(texts) or None}
    return f"/{plural}" + query(**{**given, **more})


def _add_routes(plural: str) -> None:
    fields = get_fields(plural)

    @router.get(f"/{plural}", name=f"list-{plural}")
    async def show(page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        return await _show_list(page, fields)

    @router.get(f"/{plural}/export.csv", name=f"export-{plural}")
    async def export(page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        wanted, _ = read_wanted(page, fields)
        parts = await export_csv(page.hub, page.caller, fields.name, wanted, bom=True)
        return StreamingResponse(
            parts,
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{plural}.csv"'},
        )

    @router.post(f"/{plural}/views", name=f"view-{plural}")
    async def keep(page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _keep_view(page, fields)

    @router.post(f"/{plural}/views/{{view_id}}/remove", name=f"unview-{plural}")
    async def drop(view_id: UUID, page: Page = visits("records:read")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        await remove_view(page.hub, page.caller, view_id)
        return page.go(f"/{plural}", "The view is gone.")

    @router.get(f"/{plural}/{{record_id}}/cells/{{name}}", name=f"cell-{plural}")
    async def edit_cell(record_id: UUID, name: str, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _show_cell(
            page, fields, record_id, name, editing="cancel" not in page.request.query_params
        )

    @router.post(f"/{plural}/{{record_id}}/cells/{{name}}", name=f"save-cell-{plural}")
    async def save_cell(record_id: UUID, name: str, page: Page = visits("records:write")) -> Response:  # pyright: ignore[reportUnusedFunction] - as above
        return await _save_cell(page, fields, record_id, name)


async def _show_list(page: Page, fields: RecordFields) -> Response:
    asked = page.request.query_params
    view = None
    if "view" in asked:
        view = await read_view(page.hub, page.caller, _uuid(asked["view"]))
        wanted = wanted_of(view)
        texts = [_write(each) for each in wanted.filters]
    else:
        added = _added(page)
        if added is not None:
            wanted, texts = read_wanted(page, fields)
            read_filter(fields, added)
            return page.go(address_of(fields.plural, wanted, [*texts, added]))
        wanted, texts = read_wanted(page, fields)
    after = asked.get("after")
    found = await list_records(page.hub, page.caller, fields.name, wanted, after=after)
    is_plain = not (texts or wanted.search)
    total = (
        None
        if is_plain and after is None and found.after is None
        else await count_records(page.hub, page.caller, fields.name, wanted)
    )
    columns = [fields.fields[name] for name in COLUMNS[fields.name]]
    return page.render(
        "records/list.html",
        fields=fields,
        plural=fields.plural,
        found=found,
        wanted=wanted,
        view=view,
        views=await list_views(page.hub, page.caller, fields.name),
        columns=columns,
        inline=INLINE[fields.name] if fields.writable and page.may("records:write") else frozenset(),
        named_by=NAMED_BY.get(fields.name),
        filters=[_describe(fields, wanted, texts, index) for index in range(len(texts))],
        texts=texts,
        filterable=[each for each in fields.fields.values() if each.filterable],
        operators=OPERATOR_WORDS,
        owners=await list_owner_options(page),
        archived=_ARCHIVED,
        icon_name=ICONS[fields.name],
        count=len(found.records) if total is None else min(total, MAX_COUNT),
        is_more=total is not None and total > MAX_COUNT,
        here=address_of(fields.plural, wanted, texts),
        next=address_of(fields.plural, wanted, texts, after=found.after) if found.after else None,
        first=address_of(fields.plural, wanted, texts) if after else None,
        sorts={
            name: address_of(fields.plural, _resorted(wanted, found.sort.text, name), texts)
            for name in fields.sortable
        },
        export=f"/{fields.plural}/export.csv"
        + address_of(fields.plural, wanted, texts).partition(fields.plural)[2],
        help="web-records",
    )


def _resorted(wanted: Wanted, now: str, name: str) -> Wanted:
    return Wanted(wanted.filters, f"-{name}" if now == name else name, wanted.search, wanted.archived)


def _added(page: Page) -> str | None:
    """Return the filter that somebody put together by the form, as it stands in addresses."""
    asked = page.request.query_params
    field, op = asked.get("field"), asked.get("op")
    if not field or not op:
        return None
    return f"{field}:{op}" if op in ("empty", "filled") else f"{field}:{op}:{asked.get('value', '').strip()}"


def _write(each: Filter) -> str:
    return ":".join([each.field, each.op, ",".join(str(value) for value in each.values)]).rstrip(":")


def _describe(fields: RecordFields, wanted: Wanted, texts: Sequence[str], index: int) -> tuple[str, str]:
    """Return a filter in words, and where the list is without it."""
    each = wanted.filters[index]
    known = fields.find(each.field)
    label = known.label if known is not None else each.field.capitalize()
    values = (
        " and ".join(str(value) for value in each.values)
        if each.op == "between"
        else ", ".join(str(value) for value in each.values)
    )
    rest = [text for place, text in enumerate(texts) if place != index]
    return f"{label} {OPERATOR_WORDS[each.op]} {values}".strip(), address_of(fields.plural, wanted, rest)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("There is no such view.") from None


async def _keep_view(page: Page, fields: RecordFields) -> Response:
    form = page.form
    filters: list[tuple[str, str, Sequence[Any]]] = []
    for text in form.several("filter"):
        each = read_filter(fields, text)
        filters.append((each.field, each.op, each.values))
    given = ViewGiven(
        form.text("name"),
        filters,
        form.optional("sort"),
        form.optional("q"),
        form.text("archived", "no"),
        is_shared=form.has("is_shared"),
    )
    saved = await save_view(page.hub, page.caller, fields.name, given)
    return page.go(f"/{fields.plural}?view={saved.id}", f"Saved as {saved.name}.")


async def _show_cell(
    page: Page, fields: RecordFields, record_id: UUID, name: str, *, editing: bool, status: int = 200
) -> Response:
    if name not in INLINE[fields.name]:
        raise Invalid("That cannot be changed in the list. Open the record.")
    record = await read_record(page.hub, page.caller, fields.name, record_id)
    inputs = await list_inputs(page, fields, record, [name]) if editing else []
    return page.render(
        "records/cell.html",
        status=status,
        record=record,
        plural=fields.plural,
        each=fields.fields[name],
        entry=inputs[0] if inputs else None,
        form=page.form,
        inline=INLINE[fields.name],
    )


async def _save_cell(page: Page, fields: RecordFields, record_id: UUID, name: str) -> Response:
    if name not in INLINE[fields.name]:
        raise Invalid("That cannot be changed in the list. Open the record.")
    record = await read_record(page.hub, page.caller, fields.name, record_id)
    inputs = await list_inputs(page, fields, record, [name])
    try:
        values = await read_inputs(page, inputs, record)
        if values:
            version = page.form.integer("version")
            await change_record(page.hub, page.caller, fields.name, record_id, values, version=version)
    except (Invalid, Stale) as error:
        page.form.blame(error)
        if not page.is_part:
            raise
        return await _show_cell(page, fields, record_id, name, editing=True, status=422)
    if not page.is_part:
        return page.go(f"/{fields.plural}/{record_id}", "Saved.")
    return await _show_cell(page, fields, record_id, name, editing=False)


for _plural in PLURALS:
    _add_routes(_plural)
