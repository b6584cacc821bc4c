"""Pipedrive for the contract's tests: the simulator behind a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from imitated import SECRET, Crm, Failure, Imitation, Way

from receiver import receiving
from syncline.connectors.base import Connector
from syncline.connectors.pipedrive.platform import PIPEDRIVE
from syncline.connectors.registry import open_transport
from syncline.connectors.transport import Token, Transport
from syncline.connectors.webhooks import Delivery
from syncline.simulators.pipedrive import Settings, World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_loop

_FAULTS = {"unavailable": "503", "garbled": "html-200", "truncated": "truncated", "limited": "429"}
_COUNTS = {
    "contacts": 8,
    "organizations": 5,
    "deals": 6,
    "activities": 20,
    "notes": 5,
    "leads": 3,
    "users": 3,
    **dict.fromkeys(("archived_deals", "deleted_deals", "archived_leads", "deleted_persons"), 0),
    "inactive_users": 0,
}
_TASK_TYPES = ("task", "deadline")
#: Ids so far apart that the account looks large.
_SPARSE = "sparse"


class SimulatedPipedrive(Crm):
    platform = PIPEDRIVE
    crowded = "persons"
    crowd = 1100
    ways = (
        Way("", "persons", "serial"),
        Way("crowded", "persons", "serial"),
        Way(_SPARSE, "persons", "list"),
        Way("", "notes", "serial"),
        Way("", "tasks", "serial"),
        Way("", "users", "serial"),
    )
    failures = ("unavailable", "garbled", "truncated", "limited", "token", "forbidden")
    emptied: ClassVar[Mapping[str, str]] = {
        "persons": "phone",
        "organizations": "website",
        "deals": "expected_close_date",
        "activities": "note",
        "tasks": "note",
    }
    lists_ended = frozenset({"deals"})
    lacks: ClassVar[Mapping[str, frozenset[str]]] = {
        # Only where the company has contact sync.
        "persons": frozenset({"job_title"}),
    }

    def __init__(self, world: World, transport: Transport) -> None:
        self.world = world
        super().__init__(transport, Token(DEFAULT_TOKEN))

    async def living(self, object_name: str) -> set[str]:
        if object_name == "users":
            return {str(each.user_id) for each in self.world.users}
        store = self.world.store("activities" if object_name == "tasks" else object_name)
        found = [store.records[each] for each in store.sections["living"].ids]
        if object_name in ("tasks", "activities"):
            found = [each for each in found if (each.get("type") in _TASK_TYPES) == (object_name == "tasks")]
        return {str(each.get("uuid") if object_name == "leads" else each.id) for each in found}

    def unknown_id(self, object_name: str) -> str:
        del object_name
        return "99999999"

    async def add(self, object_name: str, count: int = 1) -> list[str]:
        kind = "activities" if object_name == "tasks" else object_name
        first = len(self.world.store(kind).records)
        made = [self.world.create(kind, _named(object_name, first + number)) for number in range(count)]
        return [str(each.get("uuid") if object_name == "leads" else each.id) for each in made]

    async def touch(self, object_name: str, remote_ids: Sequence[str]) -> None:
        self.world.touch(
            "activities" if object_name == "tasks" else object_name, map(self._key_of, remote_ids)
        )

    async def end(self, object_name: str, remote_id: str) -> None:
        if object_name == "deals":
            self.world.archive("deals", int(remote_id))
        else:
            self.world.delete(
                "activities" if object_name == "tasks" else object_name, self._key_of(remote_id)
            )

    async def bring_back(self, object_name: str, remote_id: str) -> bool:
        if object_name == "deals":
            self.world.archive("deals", int(remote_id), back=True)
        else:
            self.world.restore("activities" if object_name == "tasks" else object_name, int(remote_id))
        return True

    async def unite(self, object_name: str, survivor_id: str, merged_id: str) -> str | None:
        return str(self.world.merge(object_name, int(merged_id), int(survivor_id)).id)

    async def plant(self, object_name: str, text: str) -> str | None:
        [remote_id] = await self.add(object_name)
        self.world.update(object_name, int(remote_id), {"name": text})
        return remote_id

    def spoiled(self, object_name: str, word: str) -> Mapping[str, str]:
        del object_name
        return {"owner_id": f"{word} {word}"}

    @asynccontextmanager
    async def meeting(self, failure: Failure, word: str) -> AsyncGenerator[Connector]:
        settings, token = self.world.settings, self.token
        if failure in _FAULTS:
            settings.faults = f"1:{_FAULTS[failure]}"
        else:
            self.token = Token(word)
            if failure == "forbidden":
                self.world.auth.add_token(word, ())
        yield self.fresh()
        settings.faults, self.token = "0", token

    def refusal(self, status: int, word: str) -> tuple[Mapping[str, str], bytes]:
        del status
        body = {"success": False, "error": f"Value '{word}' is not allowed", "error_info": "", "data": None}
        return {"content-type": "application/json"}, json.dumps(body).encode()

    async def deliveries(self, work: Callable[[], Awaitable[None]], count: int) -> list[Delivery]:
        async with receiving(self.world.now_ms) as receiver:
            await self.connector.ensure_webhooks(receiver.url, SECRET)
            await work()
            await receiver.wait_for(count)
            await self.connector.remove_webhooks(receiver.url)
            return receiver.deliveries

    def _key_of(self, remote_id: str) -> int:
        return int(remote_id) if remote_id.isdigit() else self.world.store("leads").by_uuid[remote_id]


def _named(object_name: str, number: int) -> dict[str, Any]:
    if object_name == "persons":
        address = {"value": f"added{number}@people.example", "primary": True, "label": "work"}
        return {
            "name": f"Added {number}",
            "first_name": "Added",
            "last_name": str(number),
            "emails": [address],
        }
    titles = {"organizations": "name", "deals": "title", "leads": "title", "notes": "content"}
    found: dict[str, Any] = {titles.get(object_name, "subject"): f"Added {number}"}
    if object_name in ("activities", "tasks"):
        found["type"] = "task" if object_name == "tasks" else "call"
    return found


@asynccontextmanager
async def open_pipedrive(server: Any, variant: str) -> AsyncGenerator[Crm]:
    # What it rewrites of HTML is tested apart: here nothing of what is written shall be lost.
    world = World(7, Settings(sanitizes=False))
    world.populate(**(_COUNTS | ({"contacts": SimulatedPipedrive.crowd} if variant else {})))
    for number in range(4):
        world.create("activities", _named("tasks", number), now_ms=world.anchor_ms - number * 60_000)
    if variant == _SPARSE:
        world.store("persons").last_id += 2_000_000
        for number in range(600):
            world.create("persons", _named("persons", 100_000 + number))
    async with in_loop(world) as url, aclosing(open_transport(PIPEDRIVE, url)) as transport:
        yield SimulatedPipedrive(world, transport)


IMITATION = Imitation(SimulatedPipedrive, open_pipedrive)
