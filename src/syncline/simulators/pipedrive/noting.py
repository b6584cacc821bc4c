"""Handlers of notes, by API v1."""

from __future__ import annotations

from typing import Any

from syncline.simulators.answers import Answer
from syncline.simulators.pipedrive import legacy, values
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import ApiError, Request, invalid, one
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.store import Record, updated_key
from syncline.simulators.times import time_ms

_LINKS = ("deal_id", "person_id", "org_id")
_FLAGS = tuple(f"pinned_to_{each}_flag" for each in ("deal", "person", "organization", "lead", "project"))


def list_notes(api: Api, request: Request) -> Answer:
    """Return the notes there are, without those that were deleted."""
    query, store = request.query, api.store("notes")
    tests = {key: query.number(key) for key in ("user_id", *_LINKS)} | {"lead_id": query.get("lead_id")}
    wanted = {key: value for key, value in tests.items() if value is not None}
    since_ms = query.moment("updated_since")
    records = (store.records[each] for each in store.living)
    found = [
        each
        for each in records
        if _fits(each, wanted) and (since_ms is None or updated_key(each) >= since_ms)
    ]
    return legacy.page([legacy.note(api.world, each, request.user_id) for each in found], query)


def _fits(record: Record, wanted: dict[str, Any]) -> bool:
    return all(record.values.get(key) == value for key, value in wanted.items())


def get_note(api: Api, request: Request) -> Answer:
    return one(legacy.note(api.world, api.get("notes", request.params[0]), request.user_id))


def create_note(api: Api, request: Request) -> Answer:
    body = request.object()
    add_ms = _take_add_time(api, request, body)
    given = _check(api.world, body)
    if "content" not in given:
        raise invalid("content: is required")
    if not any(given.get(key) for key in (*_LINKS, "lead_id")):
        raise invalid("one of deal_id, person_id, org_id, lead_id is required")
    made = api.world.create("notes", given, by=api.actor(request), add_ms=add_ms)
    return one(legacy.note(api.world, made, request.user_id))


def change_note(api: Api, request: Request) -> Answer:
    record = api.get_living("notes", request.params[0])
    body = request.object()
    add_ms = _take_add_time(api, request, body)
    given = _check(api.world, body) | {"last_update_user_id": request.user_id}
    changed = api.world.update("notes", record.id, given, by=api.actor(request))
    if add_ms is not None:
        changed = api.world.redate("notes", record.id, add_ms)
    return one(legacy.note(api.world, changed, request.user_id))


def delete_note(api: Api, request: Request) -> Answer:
    record = api.get_living("notes", request.params[0])
    api.world.delete("notes", record.id, by=api.actor(request))
    return one(True)


def _take_add_time(api: Api, request: Request, body: dict[str, Any]) -> int | None:
    """Take out when the note is said to have been made. Raises `ApiError` for one who may not say so."""
    if "add_time" not in body:
        return None
    given = values.moment(api.world, "add_time", body.pop("add_time"))
    if not any(each.is_admin for each in api.world.users if each.user_id == request.user_id):
        raise ApiError(403, "add_time can be set by an administrator only")
    return time_ms(given)


def _check(account: Account, body: dict[str, Any]) -> dict[str, Any]:
    checks: dict[str, values.Check] = {
        "content": values.filled, "user_id": values.user, "lead_id": values.nullable(values.text),
        "deal_id": values.nullable(values.link("deals")),
        "person_id": values.nullable(values.link("persons")),
        "org_id": values.nullable(values.link("organizations")),
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name in _FLAGS:
            # v1 writes flags as 0 and 1.
            found[name] = bool(values.choice((0, 1))(account, name, int(value)))
        elif name in checks:
            found[name] = checks[name](account, name, value)
        else:
            raise invalid(f"{name}: is not known")
    return found
