"""Handlers of webhooks, by API v1: whom Pipedrive tells of changes."""

from __future__ import annotations

from urllib.parse import urlsplit

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.answers import ApiError, Request
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.webhooks import ACTIONS, OBJECTS, SUBSCRIPTIONS_MOST


def list_webhooks(api: Api, _: Request) -> Answer:
    found = [each.wire(api.world.company_id) for each in api.webhooks.subscriptions.values()]
    return Answer(200, encode({"status": "ok", "success": True, "data": found}))


def create_webhook(api: Api, request: Request) -> Answer:
    body = request.object()
    errors: dict[str, list[str]] = {}
    for name, allowed in (("event_action", ACTIONS), ("event_object", OBJECTS)):
        if body.get(name) not in allowed:
            errors[name] = ["Validation failed"]
    if body.get("version", "2.0") != "2.0":
        # Version 1.0 is still documented; this simulator does not send it.
        errors["version"] = ["Validation failed"]
    url = body.get("subscription_url")
    if not isinstance(url, str) or not _is_public(url) or url in api.unreachable:
        errors["subscription_url"] = ["invalid or non-reachable URL"]
    if not body.get("name"):
        errors["name"] = ["is required"]
    user_id = body.get("user_id") or request.user_id
    if not any(user.user_id == user_id for user in api.world.users):
        errors["user_id"] = ["not found"]
    if errors:
        raise _refused(400, errors)
    held = sum(each.owner_id == request.user_id for each in api.webhooks.subscriptions.values())
    if held >= SUBSCRIPTIONS_MOST:
        raise _refused(403, {"limit": [f"at most {SUBSCRIPTIONS_MOST} webhooks are allowed per user"]})
    made = api.webhooks.subscribe(
        str(url), body["event_action"], body["event_object"], name=body["name"], user_id=user_id,
        owner_id=request.user_id, http_user=body.get("http_auth_user"),
        http_password=body.get("http_auth_password"),
    )  # fmt: skip
    told = {"status": "ok", "success": True, "data": made.wire(api.world.company_id)}
    return Answer(201, encode(told))


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and bool(host) and not host.endswith("pipedrive.com")


def delete_webhook(api: Api, request: Request) -> Answer:
    text = request.params[0]
    if not text.isdigit() or int(text) not in api.webhooks.subscriptions:
        raise _refused(404, {"id": ["not found"]})
    api.webhooks.unsubscribe(int(text))
    return Answer(200, encode({"status": "ok", "success": True}))


def _refused(status: int, errors: dict[str, list[str]]) -> ApiError:
    return ApiError(status, "refused", body={"status": "error", "success": False, "errors": errors})
