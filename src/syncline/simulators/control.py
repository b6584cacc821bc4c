"""The door beside a simulated API: how its calls are read, answered and refused. Knows no service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from syncline.simulators.answers import Answer, json_answer
from syncline.simulators.faults import Faults, check_kinds

_FLUSH_SECONDS = 60


def answer_call(
    method: str, path: str, body: bytes, handler: Callable[[dict[str, Any]], Any] | None
) -> Answer:
    """Answer a call; mistakes of the caller come back as 400 with a sentence."""
    if handler is None:
        return json_answer(404, {"error": f"no such control: {method} {path}"})
    try:
        given: dict[str, Any] = json.loads(body) if body else {}
        found = handler(given)
    except (KeyError, ValueError, TypeError, IndexError, StopIteration) as problem:
        return json_answer(400, {"error": f"{type(problem).__name__}: {problem}"})
    return found if isinstance(found, Answer) else json_answer(200, found)


async def wait_flushed(
    path: str, body: bytes, flush: Callable[[float], Awaitable[dict[str, Any]]]
) -> Answer | None:
    """Wait until webhooks are out where that is asked for; None where it is not."""
    if path.strip("/") != "webhooks/flush":
        return None
    try:
        timeout_seconds = float(json.loads(body or b"{}").get("timeout_seconds", _FLUSH_SECONDS))
    except (ValueError, TypeError, AttributeError) as problem:
        return json_answer(400, {"error": f"{type(problem).__name__}: {problem}"})
    return json_answer(200, await flush(timeout_seconds))


class Tokens(Protocol):
    """Credentials of an account, as far as tests spoil them."""

    def revoke(self, token: str) -> None: ...

    def expire(self, token: str) -> None: ...

    def issue_refresh_token(self) -> str: ...


class Account(Protocol):
    @property
    def auth(self) -> Tokens: ...

    def colleague_edit(self) -> str: ...


class Controlled(Protocol):
    """A simulated API with its account and faults."""

    faults: Faults

    @property
    def world(self) -> Account: ...


def _queue_faults(api: Controlled, given: dict[str, Any]) -> Any:
    """Let the next requests go wrong, each in its way; `replace` forgets those that were to before."""
    kinds = [str(kind) for kind in given["kinds"]]
    check_kinds(kinds, api.faults.known)
    if given.get("replace"):
        api.faults.queued.clear()
    api.faults.queued += kinds
    return {"queued": len(api.faults.queued)}


def _colleagues(api: Controlled, given: dict[str, Any]) -> Any:
    return {"edits": [api.world.colleague_edit() for _ in range(int(given.get("count", 1)))]}


def _revoke(api: Controlled, given: dict[str, Any]) -> Any:
    api.world.auth.revoke(given["token"])
    return {}


def _expire(api: Controlled, given: dict[str, Any]) -> Any:
    api.world.auth.expire(given["token"])
    return {}


def _refresh_token(api: Controlled, _: dict[str, Any]) -> Any:
    return {"refresh_token": api.world.auth.issue_refresh_token()}


#: What every simulator can be told to do.
COMMON: dict[tuple[str, ...], Callable[[Controlled, dict[str, Any]], Any]] = {
    ("POST", "faults"): _queue_faults,
    ("POST", "colleagues"): _colleagues,
    ("POST", "tokens", "revoke"): _revoke,
    ("POST", "tokens", "expire"): _expire,
    ("POST", "tokens", "refresh"): _refresh_token,
}


def by_route(stats: Counter[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Return how often each route was answered with each status."""
    found: dict[str, dict[str, int]] = {}
    for (route, status), count in sorted(stats.items()):
        found.setdefault(route, {})[str(status)] = count
    return found
