"""Handlers that change pipelines and stages by API v2; for admins only."""

from __future__ import annotations

from typing import Any

from syncline.simulators.answers import Answer
from syncline.simulators.pipedrive import values
from syncline.simulators.pipedrive.answers import Request, invalid, one
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.reading import pipeline_of, stage_of

#: Name in the API → name in the account, and what it takes.
_PIPELINE: dict[str, tuple[str, values.Check]] = {
    "name": ("name", values.filled),
    "is_deal_probability_enabled": ("has_probability", values.boolean),
}
_STAGE: dict[str, tuple[str, values.Check]] = {
    "name": ("name", values.filled),
    "pipeline_id": ("pipeline_id", values.pipeline),
    "deal_probability": ("probability", values.integer),
    "is_deal_rot_enabled": ("rots", values.boolean),
    "days_to_rotten": ("days_to_rotten", values.nullable(values.integer)),
}


def _read(api: Api, request: Request, known: dict[str, tuple[str, values.Check]]) -> dict[str, Any]:
    api.require_admin(request)
    found: dict[str, Any] = {}
    for name, value in request.object().items():
        if name not in known:
            raise invalid(f"{name}: is not known")
        key, check = known[name]
        found[key] = check(api.world, name, value)
    if found.pop("rots", True) is False:
        found["days_to_rotten"] = None
    return found


def _require(given: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in given:
            raise invalid(f"{name}: is required")


def create_pipeline(api: Api, request: Request) -> Answer:
    given = _read(api, request, _PIPELINE)
    _require(given, "name")
    return one(api.world.add_pipeline(**given, by=api.actor(request)).wire())


def change_pipeline(api: Api, request: Request) -> Answer:
    found = pipeline_of(api, request)
    given = _read(api, request, _PIPELINE)
    return one(api.world.change_pipeline(found.pipeline_id, by=api.actor(request), **given).wire())


def delete_pipeline(api: Api, request: Request) -> Answer:
    api.require_admin(request)
    found = pipeline_of(api, request)
    api.world.change_pipeline(found.pipeline_id, by=api.actor(request), deleted=True)
    return one({"id": found.pipeline_id})


def create_stage(api: Api, request: Request) -> Answer:
    given = _read(api, request, _STAGE)
    _require(given, "name", "pipeline_id")
    days = given.pop("days_to_rotten", None)
    made = api.world.add_stage(**given, by=api.actor(request))
    made.days_to_rotten = days
    return one(made.wire())


def change_stage(api: Api, request: Request) -> Answer:
    found = stage_of(api, request)
    given = _read(api, request, _STAGE)
    return one(api.world.change_stage(found.stage_id, by=api.actor(request), **given).wire())


def delete_stage(api: Api, request: Request) -> Answer:
    api.require_admin(request)
    found = stage_of(api, request)
    api.world.change_stage(found.stage_id, by=api.actor(request), deleted=True)
    return one({"id": found.stage_id})
