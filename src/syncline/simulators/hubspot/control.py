"""The door beside the API, for tests and demos: ground truth, settings, edits. Not part of HubSpot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from syncline.simulators.answers import Answer, encode
from syncline.simulators.control import COMMON, answer_call, by_route, wait_flushed
from syncline.simulators.hubspot.answers import Query
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.faults import KINDS
from syncline.simulators.hubspot.store import Plan, Record
from syncline.simulators.hubspot.values import iso
from syncline.simulators.hubspot.webhooks import describe
from syncline.simulators.hubspot.world import World
from syncline.simulators.settings import change

PREFIX = "/_simulator/"
_LINES = b"application/x-ndjson"


def answer(api: Api, method: str, path: str, query: bytes, body: bytes) -> Answer:
    """Answer a call under `/_simulator/`; mistakes of the caller come back as 400 with a sentence."""
    segments = [segment for segment in path.removeprefix(PREFIX).split("/") if segment]
    handler = _HANDLERS.get((method, *segments))

    def carry_out(given: dict[str, Any]) -> Any:
        if handler is not None:
            return handler(api, given)
        if segments[0] == "dump":
            state = Query(query).get("state") or ""
            return Answer(200, b"".join(dump(api.world, segments[1], state)), _LINES)
        return Answer(200, b"".join(dump_associations(api.world, segments[1], segments[2])), _LINES)

    known = handler is not None or (method == "GET" and segments[:1] in (["dump"], ["associations"]))
    return answer_call(method, path, body, carry_out if known else None)


async def wait_for(api: Api, path: str, body: bytes) -> Answer | None:
    """Answer a call that takes time; None for those that `answer` answers."""
    return await wait_flushed(path.removeprefix(PREFIX), body, api.webhooks.flush)


def dump(world: World, name: str, state: str = "") -> Iterator[bytes]:
    """Yield records as lines of JSON with every property: `living`, `archived`, `merged`, or all when empty.

    A merged line is `{"id", "state", "survivor"}`.
    """
    store = world.store(name)
    plan = store.plan_once(store.definitions)
    if state in {"", "living"}:
        yield from (_line(plan, store.records[i], "living") for i in store.living)
    if state in {"", "archived"}:
        yield from (_line(plan, store.records[i], "archived") for i in store.archived)
    if state in {"", "merged"}:
        for old in sorted(store.aliases):
            yield encode({"id": str(old), "state": "merged", "survivor": str(store.resolve(old))}) + b"\n"
    if state in {"", "erased"}:
        for old in sorted(store.erased):
            yield encode({"id": str(old), "state": "erased"}) + b"\n"


def _line(plan: Plan, record: Record, state: str) -> bytes:
    values = plan.properties(record)
    line: dict[str, Any] = {
        "id": str(record.id),
        "state": state,
        "properties": {key: value for key, value in values.items() if value is not None},
        "createdAt": iso(record.created_ms),
        "updatedAt": iso(record.updated_ms),
    }
    if record.archived_ms is not None:
        line["archivedAt"] = iso(record.archived_ms)
    if record.merged:
        line["mergedIds"] = [str(old) for old in record.merged]
    return encode(line) + b"\n"


def dump_associations(world: World, source: str, target: str) -> Iterator[bytes]:
    """Yield the associations of living records as lines of JSON, one per type, ids ascending."""
    here, there = world.store(source), world.store(target)
    for from_id, to_id, types in sorted(
        world.graph.list_all(here.kind.type_id, there.kind.type_id), key=lambda found: found[:2]
    ):
        if here.find_living(from_id) and there.find_living(to_id):
            for kind in sorted(types, key=lambda kind: kind.type_id):
                line = {"from": str(from_id), "to": str(to_id), "type": kind.name, **kind.wire()}
                yield encode(line) + b"\n"


def _stats(api: Api, _: dict[str, Any]) -> Any:
    return {
        "requests": sum(api.world.stats.values()),
        "routes": by_route(api.world.stats),
        "refreshes": api.world.auth.refreshes,
        "counts": {kind.name: len(api.world.stores[kind.type_id].living) for kind in api.world.types.all},
        "owners": len(api.world.owners),
        "webhooks": api.webhooks.stats(),
    }


def _reset_stats(api: Api, _: dict[str, Any]) -> Any:
    api.world.stats.clear()
    api.webhooks.reset_stats()
    return {}


def _settings(api: Api, given: dict[str, Any]) -> Any:
    settings = api.world.settings
    change(settings, given, KINDS)
    return asdict(settings)


def _webhooks(api: Api, given: dict[str, Any]) -> Any:
    """Set up, change, or with an empty `url` end the webhooks; see `webhooks.Target` for what can be set."""
    return {"webhooks": api.webhooks.change(given)}


def _get_webhooks(api: Api, _: dict[str, Any]) -> Any:
    return {"webhooks": describe(api.webhooks.outbox.target)}


def _create(api: Api, given: dict[str, Any]) -> Any:
    return {"id": str(api.world.create(given["object"], given["properties"]).id)}


def _update(api: Api, given: dict[str, Any]) -> Any:
    record = api.world.update(given["object"], int(given["id"]), given["properties"])
    return {"id": str(record.id), "updatedAt": iso(record.updated_ms)}


def _recalculate(api: Api, given: dict[str, Any]) -> Any:
    return {"id": str(api.world.recalculate(given["object"], int(given["id"]), given["properties"]).id)}


def _archive(api: Api, given: dict[str, Any]) -> Any:
    ids = given.get("ids") or [given["id"]]
    for record_id in ids:
        api.world.archive(given["object"], int(record_id))
    return {"archived": len(ids)}


def _restore(api: Api, given: dict[str, Any]) -> Any:
    api.world.restore(given["object"], int(given["id"]))
    return {}


def _merge(api: Api, given: dict[str, Any]) -> Any:
    survivor = api.world.merge(given["object"], int(given["primary"]), int(given["secondary"]))
    return {"id": str(survivor.id)}


def _erase(api: Api, given: dict[str, Any]) -> Any:
    api.world.erase(int(given["id"]))
    return {}


def _types(given: dict[str, Any]) -> list[tuple[str, int]]:
    return [(str(category), int(type_id)) for category, type_id in given.get("types") or ()]


def _associate(api: Api, given: dict[str, Any]) -> Any:
    api.world.associate(given["from"], int(given["from_id"]), given["to"], int(given["to_id"]), _types(given))
    return {}


def _dissociate(api: Api, given: dict[str, Any]) -> Any:
    api.world.dissociate(given["from"], int(given["from_id"]), given["to"], int(given["to_id"]))
    return {}


def _touch(api: Api, given: dict[str, Any]) -> Any:
    """Touch `ids`, or `count` living records, giving all the same modified time."""
    store = api.world.store(given["object"])
    ids = [int(one) for one in given.get("ids") or ()]
    if not ids:
        ids = sorted(api.world.rng.sample(store.living, min(int(given["count"]), len(store.living))))
    now = api.world.touch(given["object"], ids, given.get("properties"))
    return {"touched": len(ids), "updatedAt": iso(now), "ids": [str(one) for one in ids]}


def _plant(api: Api, given: dict[str, Any]) -> Any:
    if given.get("all"):
        return {name: str(record.id) for name, record in api.world.plant_all_defects().items()}
    return {"id": str(api.world.plant_defect(given["defect"]).id)}


def _token(api: Api, given: dict[str, Any]) -> Any:
    scopes = given.get("scopes")
    more = {} if scopes is None else {"scopes": scopes}
    api.world.auth.add_token(given["token"], **more, expires_in_seconds=given.get("expires_in_seconds"))
    return {"token": given["token"]}


_HANDLERS: dict[tuple[str, ...], Callable[[Api, dict[str, Any]], Any]] = {
    **COMMON,
    ("GET", "stats"): _stats,
    ("POST", "stats", "reset"): _reset_stats,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _settings,
    ("GET", "webhooks"): _get_webhooks,
    ("POST", "webhooks"): _webhooks,
    ("POST", "create"): _create,
    ("POST", "update"): _update,
    ("POST", "recalculate"): _recalculate,
    ("POST", "archive"): _archive,
    ("POST", "restore"): _restore,
    ("POST", "merge"): _merge,
    ("POST", "erase"): _erase,
    ("POST", "associate"): _associate,
    ("POST", "dissociate"): _dissociate,
    ("POST", "touch"): _touch,
    ("POST", "plant"): _plant,
    ("POST", "tokens"): _token,
}
