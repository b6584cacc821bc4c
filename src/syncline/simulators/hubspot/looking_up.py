"""Handlers of what surrounds records: owners, pipelines, schemas, the account itself. Know no records."""

from __future__ import annotations

from typing import Any, cast

from syncline.simulators.answers import Answer, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request, invalid, object_missing, resource_missing
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.objects import DEAL, ObjectType
from syncline.simulators.hubspot.pipelines import Pipeline, Stage
from syncline.simulators.hubspot.store import Store
from syncline.simulators.hubspot.values import DAY_MS, iso

_OWNERS_MOST = 500


def list_owners(api: Api, request: Request) -> Answer:
    api.require(request, "crm.objects.owners.read")
    query = request.query
    archived, email = query.flag("archived"), query.get("email")
    limit = query.number("limit", 100)
    if not 1 <= limit <= _OWNERS_MOST:
        raise invalid(f"limit must be between 1 and {_OWNERS_MOST}")
    after = query.number("after", 0)
    found = [
        owner for owner in api.world.owners
        if owner.archived == archived and owner.owner_id >= after and email in {None, "", owner.email}
    ]  # fmt: skip
    out: dict[str, Any] = {"results": [owner.wire() for owner in found[:limit]]}
    if len(found) > limit:
        cursor = str(found[limit].owner_id)
        out["paging"] = {
            "next": {"after": cursor, "link": f"{request.base_url}{request.path}?after={cursor}"}
        }
    return json_answer(200, out)


def get_owner(api: Api, request: Request) -> Answer:
    api.require(request, "crm.objects.owners.read")
    by_user = request.query.get("idProperty") == "userId"
    for owner in api.world.owners:
        wanted = owner.user_id if by_user else owner.owner_id
        if str(wanted) == request.params[0] and owner.archived == request.query.flag("archived"):
            return json_answer(200, owner.wire())
    raise resource_missing()


def _pipelines(api: Api, request: Request, way: str) -> list[Pipeline]:
    store = api.open_schema(request, request.params[0], way)
    return api.world.pipelines.setdefault(store.kind.type_id, [])


def list_pipelines(api: Api, request: Request) -> Answer:
    found = [pipeline.wire() for pipeline in _pipelines(api, request, "read") if not pipeline.archived]
    return json_answer(200, {"results": found})


def _pipeline(api: Api, request: Request, way: str) -> Pipeline:
    for pipeline in _pipelines(api, request, way):
        if pipeline.pipeline_id == request.params[1] and not pipeline.archived:
            return pipeline
    raise object_missing(request.params[1])


def _stage(api: Api, request: Request, way: str) -> tuple[Pipeline, Stage]:
    pipeline = _pipeline(api, request, way)
    for stage in pipeline.stages:
        if stage.stage_id == request.params[2] and not stage.archived:
            return pipeline, stage
    raise object_missing(request.params[2])


def get_pipeline(api: Api, request: Request) -> Answer:
    return json_answer(200, _pipeline(api, request, "read").wire())


def list_stages(api: Api, request: Request) -> Answer:
    return json_answer(200, {"results": _pipeline(api, request, "read").wire()["stages"]})


def get_stage(api: Api, request: Request) -> Answer:
    return json_answer(200, _stage(api, request, "read")[1].wire())


def create_pipeline(api: Api, request: Request) -> Answer:
    held, body, moment = _pipelines(api, request, "write"), request.object(), iso(api.world.now_ms())
    if not body.get("label"):
        raise invalid("Invalid input JSON: Some required fields were not set: [label]")
    given = cast("list[dict[str, Any]]", body.get("stages") or [])
    stages = [_new_stage(api, request.params[0], stage) for stage in given]
    pipeline_id, order = str(body.get("pipelineId") or _new_number(api)), int(body.get("displayOrder") or 0)
    made = Pipeline(pipeline_id, str(body["label"]), order, stages, moment, moment)
    held.append(made)
    return json_answer(201, made.wire())


def create_stage(api: Api, request: Request) -> Answer:
    pipeline = _pipeline(api, request, "write")
    stage = _new_stage(api, request.params[0], request.object())
    pipeline.stages.append(stage)
    return json_answer(201, stage.wire())


def _new_stage(api: Api, object_name: str, body: dict[str, Any]) -> Stage:
    metadata = {key: str(value) for key, value in cast("dict[str, Any]", body.get("metadata") or {}).items()}
    if api.kind(object_name) is DEAL and "probability" not in metadata:
        raise invalid("probability is required in the metadata of a deal stage")
    if "probability" in metadata:
        metadata.setdefault("isClosed", str(metadata["probability"] in {"0.0", "1.0"}).lower())
    moment = iso(api.world.now_ms())
    stage_id = str(body.get("stageId") or _new_number(api))
    return Stage(
        stage_id, str(body.get("label")), int(body.get("displayOrder") or 0), metadata, moment, moment
    )


def _new_number(api: Api) -> int:
    return api.world.rng.randrange(200_000_000, 900_000_000)


def change_pipeline(api: Api, request: Request) -> Answer:
    pipeline, body = _pipeline(api, request, "write"), request.object()
    pipeline.label = str(body.get("label") or pipeline.label)
    pipeline.order = int(body.get("displayOrder", pipeline.order))
    pipeline.updated_at = iso(api.world.now_ms())
    return json_answer(200, pipeline.wire())


def change_stage(api: Api, request: Request) -> Answer:
    _, stage = _stage(api, request, "write")
    body = request.object()
    stage.label = str(body.get("label") or stage.label)
    stage.order = int(body.get("displayOrder", stage.order))
    given = cast("dict[str, Any]", body.get("metadata") or {})
    stage.metadata |= {key: str(value) for key, value in given.items()}
    stage.updated_at = iso(api.world.now_ms())
    return json_answer(200, stage.wire())


def archive_pipeline(api: Api, request: Request) -> Answer:
    pipeline = _pipeline(api, request, "write")
    for stage in pipeline.stages:
        _check_unused(api, request, pipeline, stage)
    pipeline.archived = True
    return Answer(204)


def archive_stage(api: Api, request: Request) -> Answer:
    pipeline, stage = _stage(api, request, "write")
    _check_unused(api, request, pipeline, stage)
    stage.archived = True
    return Answer(204)


def _check_unused(api: Api, request: Request, pipeline: Pipeline, stage: Stage) -> None:
    store: Store = api.world.store(request.params[0])
    names = ("pipeline", "dealstage") if store.kind is DEAL else ("hs_pipeline", "hs_pipeline_stage")
    place = (pipeline.pipeline_id, stage.stage_id)
    using = [r.id for r in store.list_living() if (r.get(names[0]), r.get(names[1])) == place]
    if using:
        listed = ", ".join(map(str, using[:10]))
        raise invalid(
            f"Stage ID: {stage.stage_id} is being referenced by object IDs: {listed}",
            sub_category="PipelineError.STAGE_ID_IN_USE", context={"stageId": [stage.stage_id]},
        )  # fmt: skip


def list_schemas(api: Api, request: Request) -> Answer:
    api.require(request, "crm.schemas.custom.read", "crm.objects.custom.read")
    return json_answer(
        200, {"results": [_schema(api, kind) for kind in api.world.types.all if kind.scope == "custom"]}
    )


def get_schema(api: Api, request: Request) -> Answer:
    store = api.open_schema(request, request.params[0], "read")
    return json_answer(200, _schema(api, store.kind))


def _schema(api: Api, kind: ObjectType) -> dict[str, Any]:
    store = api.world.stores[kind.type_id]
    own_name = kind.singular
    moment = "2024-02-17T09:12:44.310Z"
    return {
        "labels": {"singular": own_name.removesuffix("s").capitalize(), "plural": own_name.capitalize()},
        "requiredProperties": [kind.label_property],
        "searchableProperties": list(kind.searchable),
        "primaryDisplayProperty": kind.label_property,
        "secondaryDisplayProperties": [],
        "archived": False,
        "allowsSensitiveProperties": False,
        "restorable": True,
        "metaType": "PORTAL_SPECIFIC" if kind.scope == "custom" else "HUBSPOT",
        "id": kind.type_id.partition("-")[2],
        "fullyQualifiedName": kind.name,
        "createdAt": moment,
        "updatedAt": moment,
        "objectTypeId": kind.type_id,
        "name": own_name,
        "properties": [definition.wire() for definition in store.definitions.values()],
        "associations": _schema_associations(api, kind),
    }


def _schema_associations(api: Api, kind: ObjectType) -> list[dict[str, Any]]:
    graph = api.world.graph
    found: list[dict[str, Any]] = []
    for other in ("0-1", "0-2", "0-3") if kind.scope == "custom" else ():
        for one, two in ((kind.type_id, other), (other, kind.type_id)):
            for association in graph.types(one, two).values():
                found.append(  # noqa: PERF401 -- three loops read better as loops
                    {
                        "fromObjectTypeId": one,
                        "toObjectTypeId": two,
                        "name": association.name,
                        "id": str(association.type_id),
                    }
                )
    return found


def account_details(api: Api, _: Request) -> Answer:
    return json_answer(
        200,
        {
            "portalId": api.world.portal_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "US/Eastern",
            "companyCurrency": "USD",
            "additionalCurrencies": ["EUR", "GBP", "AUD"],
            "utcOffset": "-05:00",
            "utcOffsetMilliseconds": -18_000_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        },
    )


def daily_usage(api: Api, _: Request) -> Answer:
    now = api.world.now_ms()
    usage = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": api.world.settings.daily_limit or 1_000_000,
        "currentUsage": api.limits.used_today,
        "collectedAt": iso(now),
        "fetchStatus": "SUCCESS",
        "resetsAt": iso((now // DAY_MS + 1) * DAY_MS),
    }
    return json_answer(200, {"results": [usage]})


def unknown_route(_api: Api, _: Request) -> Answer:
    raise ApiError(404, "resource not found")
