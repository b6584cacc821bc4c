"""What a simulated service answers, and how JSON and query strings are written and read. Knows no service."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import msgspec

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes = b""
    #: None sends the service's JSON content type.
    content_type: bytes | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])


def encode(value: Any) -> bytes:
    """Write JSON; also what is no proper text (a lone surrogate goes out as its escape)."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def json_answer(status: int, value: Any) -> Answer:
    return Answer(status, encode(value))


@lru_cache(maxsize=1024)
def _decoded(text: str) -> str:
    # The same long lists of properties come with every page.
    return unquote_plus(text)


class Query:
    """A query string, or a form: lists may come as commas or as repeated names."""

    __slots__ = ("pairs",)

    def __init__(self, raw: bytes) -> None:
        self.pairs: list[tuple[str, str]] = []
        if not raw:
            return
        for part in raw.decode("utf-8", "replace").split("&"):
            name, _, value = part.partition("=")
            if "%" in value or "+" in value:
                value = _decoded(value)
            if "%" in name:
                name = _decoded(name)
            self.pairs.append((name.removesuffix("[]"), value))

    def get(self, name: str) -> str | None:
        for key, value in self.pairs:
            if key == name:
                return value
        return None

    def joined(self, name: str) -> str:
        """Return all values of a list, comma separated."""
        found = [value for key, value in self.pairs if key == name]
        return found[0] if len(found) == 1 else ",".join(found)

    def list(self, name: str) -> list[str]:
        return [part.strip() for part in self.joined(name).split(",") if part.strip()]

    def flag(self, name: str) -> bool:
        return (self.get(name) or "").lower() == "true"
