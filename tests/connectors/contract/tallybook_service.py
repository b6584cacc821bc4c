"""The CRM of docs/connectors/writing-one.md as a program: what its page says of it, and what goes wrong."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qs

import uvicorn

from syncline.simulators.server import PromptServer, in_loop

KEY = "tb-key-0123456789abcdef"
Item = dict[str, Any]
#: Kind of record → its fields: name → kind. All are written as text but those of the CRM's own.
FIELDS: dict[str, dict[str, str]] = {
    "firms": {"name": "text", "domain": "text", "website": "text", "owner_id": "text"},
    "people": {
        "email": "text",
        "first_name": "text",
        "last_name": "text",
        "phone": "text",
        "owner_id": "text",
        "firm_id": "text",
    },
    "sales": {
        "title": "text",
        "amount": "number",
        "book_id": "text",
        "stage_id": "text",
        "closes_on": "time",
        "owner_id": "text",
        "person_id": "text",
        "firm_id": "text",
    },
    "users": {"email": "text", "first_name": "text", "last_name": "text"},
}
_OWN = {"id": "text", "ref": "text", "made_at": "time", "changed_at": "time"}
_POINTS = {"firm_id": "firms", "person_id": "people", "owner_id": "users"}
_BOOKS = [
    {
        "id": "main",
        "name": "Main book",
        "stages": [
            {"id": "open", "name": "Open", "state": "open", "chance": 20},
            {"id": "won", "name": "Won", "state": "won"},
            {"id": "lost", "name": "Lost", "state": "lost"},
        ],
    }
]


class Refusal(Exception):
    """An answer that is none of what was asked for."""

    def __init__(self, status: int, code: str, name: str = "", message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "field": name, "message": message or code}}


@dataclass
class Service:
    """One account. `fault` is what every call meets."""

    items: dict[str, dict[str, Item]] = field(default_factory=lambda: {name: {} for name in FIELDS})
    keys: dict[str, bool] = field(default_factory=lambda: {KEY: True})
    fault: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _made: int = 0
    _ticks: int = 0

    def now(self) -> str:
        """Return the service's clock, which moves with every change."""
        moment = self.started_at + timedelta(milliseconds=self._ticks)
        return moment.isoformat(timespec="milliseconds")

    def tick(self) -> str:
        self._ticks += 1
        return self.now()

    def add(self, name: str, values: Item) -> Item:
        self._made += 1
        at = self.tick()
        key = f"{self._made:06}"
        empty: Item = dict.fromkeys([*FIELDS[name], "ref"])
        self.items[name][key] = empty | values | {"id": key, "made_at": at, "changed_at": at}
        return self.items[name][key]

    def change(self, name: str, remote_id: str, values: Item, at: str | None = None) -> Item:
        item = self.items[name].get(remote_id)
        if item is None:
            raise Refusal(404, "not_found")
        item |= values | {"changed_at": at or self.tick()}
        return item

    # -- the API

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        word, *rest = path.removeprefix("/v1/").split("/")
        if word == "me":
            return 200, {"id": "acc-1", "name": "Tally & Sons", "currency": "EUR", "now": self.now()}
        if word == "books":
            return 200, {"books": _BOOKS}
        if word == "fields" and rest and rest[0] in FIELDS:
            return 200, {"fields": self._describe(rest[0])}
        if word not in FIELDS:
            raise Refusal(404, "not_found")
        if method == "GET":
            return 200, self._list(word, query)
        if word == "users":
            raise Refusal(405, "not_allowed")
        if method == "DELETE":
            if self.items[word].pop(rest[0], None) is None:
                raise Refusal(404, "not_found")
            return 204, None
        return self._write(method, word, rest, self._checked(word, body))

    def _write(self, method: str, name: str, rest: list[str], values: Item) -> tuple[int, Any]:
        if method == "PATCH":
            return 200, {"item": self.change(name, rest[0], values)}
        if method == "PUT":
            known = [each for each in self.items[name].values() if each["ref"] == rest[1]]
            if known:
                return 200, {"item": self.change(name, known[0]["id"], values), "made": False}
            return 201, {"item": self.add(name, values | {"ref": rest[1]}), "made": True}
        return 201, {"item": self.add(name, values)}

    def _list(self, name: str, query: dict[str, str]) -> Item:
        found = sorted(self.items[name].values(), key=lambda each: each["id"])
        if "ids" in query:
            found = [each for each in found if each["id"] in query["ids"].split(",")]
        if "refs" in query:
            found = [each for each in found if each["ref"] in query["refs"].split(",")]
        if "changed_since" in query:
            since, until = query["changed_since"], query.get("changed_until", "9999-01-01T00:00:00+00:00")
            found = [each for each in found if _read(since) <= _read(each["changed_at"]) <= _read(until)]
            found.sort(key=lambda each: (each["changed_at"], each["id"]))
        start, limit = int(query.get("cursor", 0)), int(query["limit"])
        following = str(start + limit) if len(found) > start + limit else None
        return {"items": found[start : start + limit], "next": following, "now": self.now()}

    def _describe(self, name: str) -> list[Item]:
        kinds = FIELDS[name] | _OWN
        return [
            {"name": each, "label": each.title(), "kind": kind, "writable": each not in _OWN, "choices": []}
            for each, kind in kinds.items()
        ]

    def _checked(self, name: str, values: Item) -> Item:
        for key, value in values.items():
            if key not in FIELDS[name]:
                raise Refusal(422, "unknown_field", "", f"There is no “{key}”")
            if value is None:
                continue
            if not isinstance(value, str):
                raise Refusal(422, "wrong_type", key)
            if key in _POINTS and value not in self.items[_POINTS[key]]:
                raise Refusal(422, "no_such_record", key, f"“{value}” does not exist")
            if FIELDS[name][key] == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
                raise Refusal(422, "no_number", key, f"“{value}” is no number")
        return values

    # -- HTTP

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, headers, content = self._respond(scope, body)
        if self.fault == "truncated":
            content = content[: len(content) // 2]
        headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _admit(self, key: str) -> None:
        if not self.keys.get(key):
            raise Refusal(403, "not_allowed") if key in self.keys else Refusal(401, "no_such_key")

    def _respond(self, scope: Any, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if self.fault == "unavailable":
            return 503, [], b"{}"
        if self.fault == "garbled":
            return 200, [], b"<html>Just a moment...</html>"
        if self.fault == "limited":
            return 429, [(b"retry-after", b"3")], b"{}"
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        try:
            self._admit(dict(scope["headers"]).get(b"x-api-key", b"").decode())
            given: Any = json.loads(body) if body else {}
            status, answer = self.answer(scope["method"], scope["path"], query, given)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        return status, [], b"" if answer is None else json.dumps(answer).encode()


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)


@asynccontextmanager
async def serving(service: Service) -> AsyncGenerator[str]:
    """Serve inside the running loop; yields the base URL."""
    config = uvicorn.Config(
        cast("Any", service), lifespan="off", log_config=None, log_level=60, timeout_graceful_shutdown=1
    )
    async with in_loop(PromptServer(config)) as url:
        yield url
