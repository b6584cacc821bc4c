"""The door beside the API, for tests and demos: truth, settings, edits, time. Not part of Pipedrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from syncline.simulators.answers import Answer, Query, encode
from syncline.simulators.control import COMMON, answer_call, by_route, wait_flushed
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.faults import KINDS
from syncline.simulators.pipedrive.world import World
from syncline.simulators.settings import change
from syncline.simulators.times import iso

PREFIX = "/_simulator/"
_LINES = b"application/x-ndjson"


def answer(api: Api, method: str, path: str, query: bytes, body: bytes) -> Answer:
    """Answer a call under `/_simulator/`; mistakes of the caller come back as 400 with a sentence."""
    segments = [segment for segment in path.removeprefix(PREFIX).split("/") if segment]

    def carry_out(given: dict[str, Any]) -> Any:
        if segments[:1] == ["dump"] and method == "GET":
            lines = dump(api.world, segments[1], Query(query).get("state") or "")
            return Answer(200, b"".join(lines), _LINES)
        return _HANDLERS[(method, *segments)](api, given)

    known = segments[:1] == ["dump"] or (method, *segments) in _HANDLERS
    return answer_call(method, path, body, carry_out if known else None)


async def wait_for(api: Api, path: str, body: bytes) -> Answer | None:
    """Answer a call that takes time; None for those that `answer` answers."""
    return await wait_flushed(path.removeprefix(PREFIX), body, api.webhooks.flush)


def dump(world: World, name: str, state: str = "") -> Iterator[bytes]:
    """Yield records as lines of JSON: `living`, `archived`, `deleted`, `merged`, or all when empty.

    A merged line is `{"id", "state", "survivor"}`, all others are as API v2 writes them.
    """
    store = world.store(name)
    for section in ("living", "archived", "deleted"):
        if state in ("", section):
            for record_id in store.sections[section].ids:
                yield encode({**store.wire(store.records[record_id]), "state": section}) + b"\n"
    if state in ("", "merged"):
        for old in sorted(store.merged):
            yield encode({"id": old, "state": "merged", "survivor": store.resolve(old)}) + b"\n"


def _stats(api: Api, _: dict[str, Any]) -> Any:
    return {
        "requests": sum(api.world.stats.values()),
        "routes": by_route(api.world.stats),
        "refreshes": api.world.auth.refreshes,
        "counts": {name: len(store.sections["living"].ids) for name, store in api.world.stores.items()},
        "users": len(api.world.users),
        "spent_today": api.limits.spent_today,
        "webhooks": api.webhooks.stats(),
    }


def _reset_stats(api: Api, _: dict[str, Any]) -> Any:
    api.world.stats.clear()
    api.world.calls.clear()
    api.webhooks.reset_stats()
    return {}


def _calls(api: Api, _: dict[str, Any]) -> Any:
    """Return every call since the last reset, with what it cost."""
    return {"calls": [asdict(call) for call in api.world.calls]}


def _settings(api: Api, given: dict[str, Any]) -> Any:
    change(api.world.settings, given, KINDS)
    return asdict(api.world.settings)


def _clock(api: Api, given: dict[str, Any]) -> Any:
    """Let `advance_seconds` pass; return the time it is then."""
    api.world.advance(float(given.get("advance_seconds", 0)))
    return {"now": iso(api.world.now_ms())}


def _webhooks(api: Api, given: dict[str, Any]) -> Any:
    """Change what goes wrong with deliveries; see `webhooks.Weather` for what can be set."""
    return {"webhooks": asdict(api.webhooks.change(given))}


def _get_webhooks(api: Api, _: dict[str, Any]) -> Any:
    listed = [each.wire(api.world.company_id) for each in api.webhooks.subscriptions.values()]
    for each in listed:
        del each["http_auth_password"]
    return {"webhooks": asdict(api.webhooks.weather), "subscriptions": listed}


def _drop_webhook(api: Api, given: dict[str, Any]) -> Any:
    """Remove a subscription, or without `id` all, as Pipedrive does after days of failures."""
    ids = [int(given["id"])] if "id" in given else list(api.webhooks.subscriptions)
    for webhook_id in ids:
        api.webhooks.drop(webhook_id)
    return {"dropped": len(ids)}


def _create(api: Api, given: dict[str, Any]) -> Any:
    made = api.world.create(given["object"], given["values"])
    return {"id": made.id, "uuid": made.get("uuid")}


def _update(api: Api, given: dict[str, Any]) -> Any:
    silent = bool(given.get("silent"))
    record = api.world.update(given["object"], int(given["id"]), given["values"], silent=silent)
    return api.world.store(given["object"]).wire(record)


def _delete(api: Api, given: dict[str, Any]) -> Any:
    ids = given.get("ids") or [given["id"]]
    for record_id in ids:
        api.world.delete(given["object"], int(record_id))
    return {"deleted": len(ids)}


def _restore(api: Api, given: dict[str, Any]) -> Any:
    api.world.restore(given["object"], int(given["id"]))
    return {}


def _archive(api: Api, given: dict[str, Any]) -> Any:
    api.world.archive(given["object"], int(given["id"]), back=bool(given.get("back")))
    return {}


def _merge(api: Api, given: dict[str, Any]) -> Any:
    return {"id": api.world.merge(given["object"], int(given["id"]), int(given["into"])).id}


def _associate(api: Api, given: dict[str, Any]) -> Any:
    """Let a record point to another, or with `to_id` null to none any more."""
    store, target = api.world.store(given["from"]), api.world.store(given["to"]).kind.name
    key = next(key for key, kind in store.kind.links.items() if kind == target)
    api.world.update(given["from"], int(given["from_id"]), {key: given["to_id"]})
    return {}


def _touch(api: Api, given: dict[str, Any]) -> Any:
    """Touch `ids`, or `count` living records, giving all the same time of change."""
    store = api.world.store(given["object"])
    ids = [int(one) for one in given.get("ids") or ()]
    if not ids:
        living = store.sections["living"].ids
        ids = sorted(api.world.rng.sample(living, min(int(given["count"]), len(living))))
    now = api.world.touch(given["object"], ids)
    return {"touched": len(ids), "update_time": iso(now), "ids": ids}


def _token(api: Api, given: dict[str, Any]) -> Any:
    api.world.auth.add_token(
        given["token"], given.get("scopes"), user_id=given.get("user_id"),
        expires_in_seconds=given.get("expires_in_seconds"),
    )  # fmt: skip
    return {"token": given["token"]}


_HANDLERS: dict[tuple[str, ...], Callable[[Api, dict[str, Any]], Any]] = {
    **COMMON,
    ("GET", "stats"): _stats,
    ("POST", "stats", "reset"): _reset_stats,
    ("GET", "calls"): _calls,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _settings,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _clock,
    ("GET", "webhooks"): _get_webhooks,
    ("POST", "webhooks"): _webhooks,
    ("POST", "webhooks", "drop"): _drop_webhook,
    ("POST", "create"): _create,
    ("POST", "update"): _update,
    ("POST", "delete"): _delete,
    ("POST", "restore"): _restore,
    ("POST", "archive"): _archive,
    ("POST", "merge"): _merge,
    ("POST", "associate"): _associate,
    ("POST", "touch"): _touch,
    ("POST", "tokens"): _token,
}
