"""Requests as handlers see them, and the bodies of Pipedrive's answers and errors. Knows no state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from syncline.simulators import answers
from syncline.simulators.answers import Answer, encode
from syncline.simulators.times import time_ms

PAGE_DEFAULT, PAGE_MOST = 100, 500
LINK = "Please check developers.pipedrive.com"


class ApiError(Exception):
    """An answer in Pipedrive's error envelope, or in another one that some routes have."""

    def __init__(
        self,
        status: int,
        message: str,
        info: str = LINK,
        *,
        code: str | None = None,
        extra: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.info = info
        self.code = code
        self.extra = extra or {}
        #: The whole body, where it is none of the usual.
        self.body = body

    def envelope(self) -> dict[str, Any]:
        if self.body is not None:
            return self.body
        out: dict[str, Any] = {"success": False, "error": self.message, "error_info": self.info}
        out |= {"data": None, "additional_data": None}
        if self.code:
            out["code"] = self.code
        return out | self.extra


def invalid(message: str, *, field_code: str | None = None) -> ApiError:
    """Return the refusal of a parameter or a field; custom fields are named by their code besides."""
    extra = {"field_code": field_code} if field_code else None
    return ApiError(400, f"Validation failed: {message}", code="ERR_SCHEMA_VALIDATION_FAILED", extra=extra)


def missing(what: str = "Entity") -> ApiError:
    return ApiError(404, f"{what} was not found", "Object was not found.")


def gone(what: str) -> ApiError:
    return ApiError(410, f"{what} was deleted", "The resource is permanently unavailable.")


def unauthorized() -> ApiError:
    return ApiError(
        401,
        "unauthorized access",
        body={"success": False, "error": "unauthorized access", "errorCode": 401, "error_info": LINK},
    )


def scope_missing(scopes: Sequence[str]) -> ApiError:
    words = f"Scope and URL mismatch: one of {', '.join(scopes)} is needed"
    return ApiError(403, words, body={"success": False, "error": words, "errorCode": 403, "error_info": LINK})


def one(value: Any, status: int = 200) -> Answer:
    """Return an answer with one thing as its data."""
    return Answer(status, encode({"success": True, "data": value}))


def page(rows: Sequence[bytes], cursor: str | None, *, omit_cursor: bool = False) -> Answer:
    """Return a page of v2, from rows that are written already."""
    is_told = cursor is not None or not omit_cursor
    more = b'{"next_cursor":%s}' % encode(cursor) if is_told else b"{}"
    body = b'{"success":true,"data":[' + b",".join(rows) + b'],"additional_data":' + more + b"}"
    return Answer(200, body)


@dataclass(slots=True)
class Grant:
    """What a token stands for."""

    token: str
    user_id: int
    #: None may do all that the user may, as API tokens do.
    scopes: frozenset[str] | None = None
    #: When it stops working, ms since 1970; None for an API token.
    expires_ms: int | None = None
    #: The refresh token it came from.
    refresh_token: str | None = None

    @property
    def is_oauth(self) -> bool:
        return self.scopes is not None


class Query(answers.Query):
    """A query string as Pipedrive reads it."""

    __slots__ = ()

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return an integer. Raises `ApiError`."""
        value = self.get(name)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except ValueError:
            raise invalid(f"{name}: expected number, received {value!r}") from None

    def limit(self, most: int = PAGE_MOST) -> int:
        """Return how many are asked for. Raises `ApiError`."""
        found = self.number("limit", PAGE_DEFAULT)
        if found is None or not 1 <= found <= most:
            raise invalid(f"limit: number must be between 1 and {most}")
        return found

    def moment(self, name: str) -> int | None:
        """Return a time in RFC 3339, in ms since 1970. Raises `ApiError`."""
        value = self.get(name)
        if not value:
            return None
        found = time_ms(value) if "T" in value else None
        if found is None:
            raise invalid(f"{name}: {value!r} is no date-time of RFC 3339")
        return found

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return one of the values allowed, the first when none is given. Raises `ApiError`."""
        value = self.get(name) or allowed[0]
        if value not in allowed:
            raise invalid(f"{name}: {value!r} is none of {', '.join(allowed)}")
        return value


class Request:
    """One call, with its body in full."""

    __slots__ = ("authorization", "base_url", "body", "grant", "method", "params", "path", "query")

    def __init__(
        self, method: str, path: str, query: bytes, body: bytes, *, params: tuple[str, ...] = (),
        base_url: str = "", grant: Grant | None = None,
    ) -> None:  # fmt: skip
        self.method = method
        self.path = path
        self.query = Query(query)
        self.body = body
        self.params = params
        self.base_url = base_url
        #: The header of that name, which tokens are asked for with.
        self.authorization = ""
        #: Who calls; None on routes that need no token.
        self.grant = grant

    @property
    def user_id(self) -> int:
        return self.grant.user_id if self.grant else 0

    def json(self) -> Any:
        """Return the decoded body. Raises `ApiError`."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ApiError(400, "Request body is not valid JSON", code="ERR_INVALID_JSON") from None

    def object(self) -> dict[str, Any]:
        """Return a body that must be an object. Raises `ApiError`."""
        found = self.json()
        if not isinstance(found, dict):
            raise invalid("body: expected object")
        return cast("dict[str, Any]", found)

    def objects(self) -> list[dict[str, Any]]:
        """Return a body that must be an array of objects. Raises `ApiError`."""
        found = self.json()
        if not isinstance(found, list) or not all(
            isinstance(each, dict) for each in cast("list[Any]", found)
        ):
            raise invalid("body: expected array of objects")
        return cast("list[dict[str, Any]]", found)

    def form(self) -> dict[str, str]:
        """Return a form-encoded body."""
        return dict(Query(self.body).pairs)


def record_id(text: str) -> int:
    """Read a record id of a path. Raises `ApiError`."""
    if not text.isascii() or not text.isdigit():
        raise invalid(f"id: expected number, received {text!r}")
    return int(text)
