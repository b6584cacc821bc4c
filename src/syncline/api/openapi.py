"""The API's description: what every route shares is added here, once: errors, security, Idempotency-Key.

Reads off each route what it asks for (`calls.needs`), so that nothing has to be said twice.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from syncline.api.problems import PROBLEM
from syncline.api.samples import complete, sample

_WRITES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_TEXT = """\
Keeps your CRMs and your own Postgres in agreement. Send an API key as `Authorization: Bearer …`, or call from
a page that somebody signed in to. Errors are problem+json (RFC 9457); lists go on with `after`."""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was not done (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, then what to do; for people."},
        "errors": {
            "type": "array",
            "description": "Which fields are wrong, and why.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "limit": {"type": "string", "description": "Which limit is reached, by its name in /api/v1/limits."},
    },
}
#: Status → what it means, and what its detail may say.
ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("What was asked for makes no sense.", "There is no limit called 'x'."),
    401: ("Nobody we know, or no longer.", "Sign in first, or send a valid API key."),
    403: ("Not allowed.", "This needs the role manager or more; yours is rep."),
    404: ("There is no such thing.", "There is no such run."),
    409: ("It contradicts how things stand now.", "Another run is already doing this."),
    412: ("It was changed since it was read.", "Read it again, then repeat your change."),
    413: ("The request is too long.", "A request is at most 10,000,000 bytes long."),
    422: ("A field is missing, or is no value of its kind.", "The request cannot be read: limit: too small."),
    429: ("A limit is reached.", "This key has made its 12,000 requests of this minute."),
    503: ("Not now; try again.", "Postgres could not do this now."),
}
#: A filter, too, may name what there is not.
_EVERYWHERE = (400, 401, 403, 404, 422, 429, 503)
_IDEMPOTENCY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Do it once, however often it is sent: the same key gives the same answer for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def describe(app: FastAPI) -> None:
    """Let an application describe itself with what all its routes share."""
    known: dict[str, Any] = {}

    def describe_once() -> dict[str, Any]:
        if not known:
            known.update(_describe(app))
        return known

    app.openapi = describe_once  # type: ignore[method-assign] - as FastAPI's documentation has it


@dataclass(frozen=True, slots=True)
class DescribedRoute:
    """A route that is in the description."""

    path: str
    methods: frozenset[str]
    #: What it asks for; None for one that anybody may call.
    permission: str | None
    #: The module that holds it.
    module: str


def list_routes(app: FastAPI) -> list[DescribedRoute]:
    """Return every route of an application that is in its description."""
    return [
        DescribedRoute(
            each.path_format or "",
            frozenset(each.methods or ()),
            next(_permissions(route.dependant), None),
            route.endpoint.__module__,
        )
        for each in iter_route_contexts(app.routes)
        if isinstance(route := each.original_route, APIRoute) and route.include_in_schema
    ]


def _permissions(dependant: Dependant) -> Iterator[str]:
    permission = getattr(dependant.call, "permission", None)
    if permission is not None:
        yield str(permission)
    for each in dependant.dependencies:
        yield from _permissions(each)


def _describe(app: FastAPI) -> dict[str, Any]:
    told = get_openapi(
        title="Syncline", version=importlib.metadata.version("syncline"), description=_TEXT, routes=app.routes
    )
    parts = told.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for made in ("HTTPValidationError", "ValidationError"):
        schemas.pop(made, None)
    schemas["Problem"] = _PROBLEM
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "syncline",
            "description": "Somebody who signed in. What changes something carries X-CSRF-Token as well.",
        },
    }
    for route in list_routes(app):
        for method in route.methods:
            operation = told["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                _complete(operation, route, method)
                _show(operation, schemas)
    return told


def _show(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Give an example to each request and each good answer that has none."""
    good = [each for status, each in operation["responses"].items() if status.startswith("2")]
    for part in (operation.get("requestBody", {}), *good):
        for content in part.get("content", {}).values():
            schema = content.get("schema")
            if schema and "example" in content:
                content["example"] = complete(content["example"], schema, schemas)
            elif schema and "examples" not in content:
                content["example"] = complete(sample(schema, schemas), schema, schemas)


def _complete(operation: dict[str, Any], route: DescribedRoute, method: str) -> None:
    permission = route.permission
    if permission is not None:
        operation["security"] = [{"bearer": []}, {"session": []}]
        operation["x-permission"] = permission
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds `{permission}`.".strip()
    statuses = {*_EVERYWHERE}
    if method in _WRITES:
        statuses |= {409, 413}
    if any(each.get("name", "").lower() == "if-match" for each in operation.get("parameters", [])):
        statuses |= {409, 412}
    responses = cast("dict[str, Any]", operation.setdefault("responses", {}))
    for status in sorted(statuses):
        responses[str(status)] = _response(status)
    for status, found in responses.items():
        if int(status) >= 400 and "content" not in found:
            found["content"] = _response(int(status))["content"]
    if method == "POST":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)


def _response(status: int) -> dict[str, Any]:
    text, example = ERRORS.get(status, ("Not done.", "Not done."))
    shown: dict[str, Any] = {"type": "about:blank", "title": text, "status": status, "detail": example}
    if status == 429:
        shown["limit"] = "requests_per_minute_per_key"
    response: dict[str, Any] = {
        "description": text,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}},
    }
    if status in (429, 503):
        seconds = {"schema": {"type": "integer"}, "description": "Seconds until it is worth trying again."}
        response["headers"] = {"Retry-After": seconds}
    return response
