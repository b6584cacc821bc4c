"""Requests as handlers see them, and the bodies of HubSpot's errors. Knows no state."""

from __future__ import annotations

import json
from typing import Any, cast

from syncline.simulators import answers
from syncline.simulators.hubspot.grants import Grant

OBJECT_MISSING = "Object not found.  objectId are usually numeric."
SCOPES_LINK = "https://developers.hubspot.com/scopes"


class ApiError(Exception):
    """An answer in HubSpot's error envelope."""

    def __init__(
        self,
        status: int,
        message: str,
        category: str | None = None,
        *,
        context: dict[str, list[str]] | None = None,
        errors: list[dict[str, Any]] | None = None,
        sub_category: str | None = None,
        extra: dict[str, Any] | None = None,
        existing_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.context = context
        self.errors = errors
        self.sub_category = sub_category
        self.extra = extra or {}
        #: The record that has what was to be unique; told in batches only.
        self.existing_id = existing_id

    def envelope(self, correlation_id: str | None = None) -> dict[str, Any]:
        """Return the error as JSON; without a correlation id as batches carry it."""
        out: dict[str, Any] = {"status": "error", "message": self.message}
        if correlation_id:
            out["correlationId"] = correlation_id
        if self.context is not None:
            out["context"] = self.context
        if self.errors is not None:
            out["errors"] = self.errors
        if self.category:
            out["category"] = self.category
        if self.sub_category:
            out["subCategory"] = self.sub_category
        return out | self.extra


def invalid(message: str, **more: Any) -> ApiError:
    return ApiError(400, message, "VALIDATION_ERROR", **more)


def object_missing(record_id: str) -> ApiError:
    return ApiError(404, OBJECT_MISSING, "OBJECT_NOT_FOUND", context={"id": [record_id]})


def resource_missing() -> ApiError:
    return ApiError(404, "resource not found")


def unknown_type(name: str) -> ApiError:
    return ApiError(400, f"Unable to infer object type from: {name}")


def scope_missing(scopes: tuple[str, ...]) -> ApiError:
    return ApiError(
        403,
        "This app hasn't been granted all required scopes to make this call. "
        f"Read more about required scopes here: {SCOPES_LINK}.",
        "MISSING_SCOPES",
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(scopes)},
            }
        ],
        extra={"links": {"scopes": SCOPES_LINK}},
    )


class Request:
    """One call, with its body in full."""

    __slots__ = (
        "base_url",
        "body",
        "grant",
        "method",
        "params",
        "path",
        "query",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        body: bytes,
        *,
        params: tuple[str, ...] = (),
        version: str = "",
        base_url: str = "",
        grant: Grant | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = Query(query)
        self.body = body
        self.params = params
        #: The version segment of the path: "v3", "2026-03" …
        self.version = version
        self.base_url = base_url
        #: What the caller may do; None on routes that need no token.
        self.grant = grant

    @property
    def source(self) -> tuple[str, str]:
        """Return the source that changes made by this call carry."""
        return ("INTEGRATION", self.grant.app_id if self.grant else "")

    def json(self) -> Any:
        """Return the decoded body. Raises `ApiError`."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ApiError(400, "Invalid input JSON on line 1, column 1: unreadable body") from None

    def object(self) -> dict[str, Any]:
        """Return a body that must be a JSON object. Raises `ApiError`."""
        body = self.json()
        if not isinstance(body, dict):
            raise ApiError(400, "Invalid input JSON on line 1, column 1: Cannot deserialize value of type")
        return cast("dict[str, Any]", body)

    def inputs(self) -> list[dict[str, Any]]:
        """Return the `inputs` of a batch. Raises `ApiError`."""
        found = self.object().get("inputs")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[Any]", found)):
            raise invalid("Invalid input JSON: inputs may not be null")
        return cast("list[dict[str, Any]]", found)

    def form(self) -> dict[str, str]:
        """Return a form-encoded body."""
        return dict(Query(self.body).pairs)


class Query(answers.Query):
    """A query string as HubSpot reads it."""

    __slots__ = ()

    def number(self, name: str, default: int) -> int:
        """Return an integer. Raises `ApiError`."""
        value = self.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except ValueError:
            raise invalid(f"{name} must be an integer") from None
