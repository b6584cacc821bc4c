"""Lists under a name: somebody's own, or shared with everybody by whoever may see everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.record_pages import Wanted
from syncline.actions.seeing import get_fields
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.domain.filters import MAX_FILTERS, Filter, make_filter, read_sort
from syncline.domain.record_fields import BY_PLURAL, RecordFields
from syncline.domain.record_values import fault_of
from syncline.errors import Forbidden, Invalid
from syncline.store import saved_views
from syncline.store.saved_views import SavedView

_MAX_NAME = 100
_MAX_COLUMNS = 60


@dataclass(frozen=True, slots=True)
class ViewGiven:
    """What somebody wants to come back to."""

    name: str
    #: (field, operator, values).
    filters: Sequence[tuple[str, str, Sequence[Any]]] = ()
    sort: str | None = None
    search: str | None = None
    archived: str = "no"
    #: Fields, in the order in which they are shown; none: those that the page shows by itself.
    columns: Sequence[str] = ()
    is_shared: bool = False


async def list_views(hub: Hub, caller: Caller, record_type: str) -> list[SavedView]:
    """Return the caller's own views of a kind of record by name, then those of everybody."""
    caller.require("records:read")
    page = get_fields(record_type).plural
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await saved_views.list_of_page(conn, page, tenant_id=hub.tenant_id, user_id=_owner_of(caller))


async def read_view(hub: Hub, caller: Caller, view_id: UUID) -> SavedView:
    """Return a view of the caller's own or of everybody. Raises `NotFound`."""
    caller.require("records:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await saved_views.get(conn, view_id, tenant_id=hub.tenant_id, user_id=_owner_of(caller))


async def save_view(
    hub: Hub, caller: Caller, record_type: str, given: ViewGiven, *, view_id: UUID | None = None
) -> SavedView:
    """Save a view, or (`view_id`) change one. Raises `Invalid` with the fields at fault, `NotFound`.

    `Forbidden` for one of everybody, unless the caller sees everything.
    """
    caller.require("records:read")
    fields = get_fields(record_type)
    query = _check(fields, given)
    owner = _owner_of(caller)
    if given.is_shared:
        _require_sharing(caller)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        created_by = caller.name
        if view_id is not None:
            before = await saved_views.get(conn, view_id, tenant_id=hub.tenant_id, user_id=owner)
            created_by = before.created_by
            if before.page != fields.plural:
                raise Invalid(f"That is a view of {before.page}.")
            if before.user_id is None:
                _require_sharing(caller)
        saved_id = view_id or new_id()
        await saved_views.put(
            conn,
            saved_id,
            tenant_id=hub.tenant_id,
            user_id=None if given.is_shared else owner,
            page=fields.plural,
            name=given.name.strip(),
            query=query,
            created_by=created_by,
            now=now(),
        )
        return await saved_views.get(conn, saved_id, tenant_id=hub.tenant_id, user_id=owner)


async def remove_view(hub: Hub, caller: Caller, view_id: UUID) -> None:
    """Delete a view. Raises `NotFound`, and `Forbidden` for one of everybody as `save_view` does."""
    caller.require("records:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await saved_views.get(conn, view_id, tenant_id=hub.tenant_id, user_id=_owner_of(caller))
        if found.user_id is None:
            _require_sharing(caller)
        await saved_views.remove(conn, view_id, tenant_id=hub.tenant_id)


def wanted_of(view: SavedView) -> Wanted:
    """Return what a view shows. Raises `Invalid` for one that a field it names has left behind."""
    fields, query = BY_PLURAL[view.page], view.query
    return Wanted(
        tuple(make_filter(fields, each["field"], each["op"], each["values"]) for each in query["filters"]),
        query.get("sort"),
        query.get("search"),
        query.get("archived", "no"),
    )


def _owner_of(caller: Caller) -> UUID | None:
    """Keys are nobody: what they save is everybody's."""
    return caller.user_id or caller.key_id


def _require_sharing(caller: Caller) -> None:
    if not caller.sees_all:
        raise Forbidden("Views of everybody are a manager's to make and change. Save one of your own.")


def _check(fields: RecordFields, given: ViewGiven) -> Mapping[str, Any]:
    faults: dict[str, str] = {}
    if not given.name.strip() or len(given.name) > _MAX_NAME:
        faults["name"] = f"1 to {_MAX_NAME} characters."
    if given.archived not in ("no", "only", "any"):
        faults["archived"] = "One of no, only, any."
    if len(given.filters) > MAX_FILTERS:
        faults["filters"] = f"No more than {MAX_FILTERS}."
    unknown = [each for each in given.columns if fields.find(each) is None]
    if unknown or len(given.columns) > _MAX_COLUMNS:
        faults["columns"] = f"There is no field {unknown[0][:100]!r}." if unknown else "Too many."
    if given.search is not None and len(given.search) > _MAX_NAME * 2:
        faults["search"] = "It is too long."
    if faults:
        raise fault_of(faults)
    filters = [make_filter(fields, name, op, values) for name, op, values in given.filters]
    return {
        "filters": [_write(each) for each in filters],
        "sort": None if given.sort is None else read_sort(fields, given.sort).text,
        "search": given.search,
        "archived": given.archived,
        "columns": list(given.columns),
    }


def _write(each: Filter) -> dict[str, Any]:
    return {"field": each.field, "op": each.op, "values": [cast("object", value) for value in each.values]}
