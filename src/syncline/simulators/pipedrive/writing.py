"""Handlers that write records by API v2, and merges by v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline.simulators.answers import Answer
from syncline.simulators.pipedrive import legacy, values
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import Request, invalid, missing, one
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.custom import check_custom
from syncline.simulators.pipedrive.kinds import KINDS, Kind
from syncline.simulators.times import time_ms

Handler = Callable[[Api, Request], Answer]

_REQUIRED = {"organizations": ("name",), "deals": ("title",)}
#: Kinds whose time of creation may be given.
_DATED = ("persons", "organizations")


def creator(name: str) -> Handler:
    """Return the handler that makes a record."""

    def handle(api: Api, request: Request) -> Answer:
        body = request.object()
        add_ms = _take_add_time(api.world, name, body)
        given = _check(api.world, KINDS[name], body)
        _require(name, given)
        _agree(api.world, name, {}, given)
        made = api.world.create(name, given, by=api.actor(request), add_ms=add_ms)
        store = api.store(name)
        status = api.world.settings.created_status
        return Answer(status, b'{"success":true,"data":' + store.write(store.plan(), made) + b"}")

    return handle


def changer(name: str) -> Handler:
    """Return the handler that changes a record; what is not named stays, arrays are replaced whole."""

    def handle(api: Api, request: Request) -> Answer:
        record = api.get_living(name, request.params[0])
        given = _check(api.world, KINDS[name], request.object())
        _agree(api.world, name, record.values, given)
        changed = api.world.update(name, record.id, given, by=api.actor(request))
        store = api.store(name)
        return Answer(200, b'{"success":true,"data":' + store.write(store.plan(), changed) + b"}")

    return handle


def deleter(name: str) -> Handler:
    """Return the handler that deletes a record, for good after thirty days."""

    def handle(api: Api, request: Request) -> Answer:
        record = api.get_living(name, request.params[0])
        api.world.delete(name, record.id, by=api.actor(request))
        return one({"id": record.id})

    return handle


def merger(name: str) -> Handler:
    """Return the handler that merges the record of the path into the one that `merge_with_id` names."""

    def handle(api: Api, request: Request) -> Answer:
        wanted = request.object().get("merge_with_id")
        if isinstance(wanted, bool) or not isinstance(wanted, int):
            raise invalid("merge_with_id: expected number")
        loser = api.get_living(name, request.params[0])
        survivor = api.store(name).find_living(wanted)
        if survivor is None:
            raise missing()
        if survivor.id == loser.id:
            raise invalid("merge_with_id: must be another one")
        merged = api.world.merge(name, loser.id, survivor.id, by=api.actor(request))
        return one(legacy.merged(api.world, name, merged, loser.id))

    return handle


def _check(account: Account, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    found = values.check_fields(account, kind, body)
    if "custom_fields" in body:
        if not kind.fields:
            raise invalid("custom_fields: is not known")
        found["custom_fields"] = check_custom(account, account.fields[kind.fields], body["custom_fields"])
    if kind.name == "persons":
        _check_name(found)
    return found


def _check_name(given: dict[str, Any]) -> None:
    """A person's name comes whole, or in both its parts."""
    parts = [given[each] for each in ("first_name", "last_name") if each in given]
    if "name" in given and parts:
        raise invalid("name: cannot be combined with first_name and last_name")
    if parts and (len(parts) == 1 or not any(parts)):
        raise invalid("first_name, last_name: both are needed, and not both empty")


def _require(name: str, given: dict[str, Any]) -> None:
    for field in _REQUIRED.get(name, ()):
        if field not in given:
            raise invalid(f"{field}: is required")
    if name == "persons" and "name" not in given and "first_name" not in given:
        raise invalid("name: is required")
    if name == "activities":
        given.setdefault("type", "call")
        given.setdefault("subject", str(given["type"]).capitalize())


def _agree(account: Account, name: str, before: Any, given: dict[str, Any]) -> None:
    """Raises `ApiError` where fields contradict each other."""
    if name != "deals":
        return
    stage = next((each for each in account.stages if each.stage_id == given.get("stage_id")), None)
    if stage is not None and given.get("pipeline_id", stage.pipeline_id) != stage.pipeline_id:
        raise invalid("stage_id: does not belong to the pipeline")
    status = given.get("status", before.get("status", "open"))
    for state in ("won", "lost"):
        if given.get(f"{state}_time") and status != state:
            raise invalid(f"{state}_time: the deal is not {state}")
    if given.get("lost_reason") and status != "lost":
        raise invalid("lost_reason: the deal is not lost")


def _take_add_time(account: Account, name: str, body: dict[str, Any]) -> int | None:
    if name not in _DATED or "add_time" not in body:
        return None
    return time_ms(values.moment(account, "add_time", body.pop("add_time")))
