"""HubSpot for the contract's tests: the simulator behind a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from imitated import SECRET, Crm, Failure, Imitation, Way

from receiver import receiving
from syncline.connectors.base import Connector
from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.connectors.registry import open_transport
from syncline.connectors.transport import Token, Transport
from syncline.connectors.webhooks import Delivery
from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import Server
from syncline.simulators.server import in_loop

_FAULTS = {"unavailable": "503", "garbled": "html-200", "truncated": "truncated", "limited": "429"}
_COUNTS = {
    **dict.fromkeys(("contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks"), 5),
    "owners": 3,
    "archived_owners": 1,
    "archived_contacts": 0,
    "cars": 0,
}
_SEARCHED = "searched"


class SimulatedHubSpot(Crm):
    platform = HUBSPOT
    crowded = "contacts"
    crowd = 250
    ways = (
        Way("", "contacts", "serial"),
        Way("crowded", "contacts", "list"),
        Way(_SEARCHED, "contacts", "search"),
        Way("", "owners", "serial"),
    )
    failures = ("unavailable", "garbled", "truncated", "limited", "token", "forbidden")
    emptied: ClassVar[Mapping[str, str]] = {
        "contacts": "jobtitle",
        "companies": "description",
        "deals": "amount",
        "calls": "hs_call_body",
        "meetings": "hs_meeting_location",
        "emails": "hs_email_text",
        "notes": "hs_note_body",
        "tasks": "hs_task_body",
    }
    lists_ended = frozenset(emptied)

    def __init__(self, world: World, server: Server, transport: Transport) -> None:
        self.world = world
        self.server = server
        super().__init__(transport, Token(DEFAULT_TOKEN))

    async def living(self, object_name: str) -> set[str]:
        if object_name == "owners":
            return {str(each.owner_id) for each in self.world.owners if not each.archived}
        return {str(each) for each in self.world.store(object_name).living}

    def unknown_id(self, object_name: str) -> str:
        del object_name
        return "999999999999"

    async def add(self, object_name: str, count: int = 1) -> list[str]:
        first = len(self.world.store(object_name).records)
        records = [
            self.world.create(object_name, {**_named(object_name, first + number)}) for number in range(count)
        ]
        return [str(each.id) for each in records]

    async def touch(self, object_name: str, remote_ids: Sequence[str]) -> None:
        self.world.touch(object_name, [int(each) for each in remote_ids], {"hs_analytics_source": "OFFLINE"})

    async def end(self, object_name: str, remote_id: str) -> None:
        self.world.archive(object_name, int(remote_id))

    async def bring_back(self, object_name: str, remote_id: str) -> bool:
        self.world.restore(object_name, int(remote_id))
        return True

    async def unite(self, object_name: str, survivor_id: str, merged_id: str) -> str | None:
        return str(self.world.merge(object_name, int(survivor_id), int(merged_id)).id)

    async def plant(self, object_name: str, text: str) -> str | None:
        return str(self.world.plant({self.emptied[object_name]: text}, name=object_name).id)

    def spoiled(self, object_name: str, word: str) -> Mapping[str, str]:
        del object_name
        return {"hubspot_owner_id": f"{word} {word}"}

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
        message = f'Property values were not valid: [{{"isValid":false,"message":"\\"{word}\\" is none"}}]'
        body = {"status": "error", "message": message, "correlationId": "1", "category": "VALIDATION_ERROR"}
        return {"content-type": "application/json"}, json.dumps(body).encode()

    async def deliveries(self, work: Callable[[], Awaitable[None]], count: int) -> list[Delivery]:
        async with receiving(self.world.now_ms) as receiver:
            hooks: Any = self.server.app.api.webhooks
            hooks.change({"url": receiver.url, "secret": SECRET})
            await work()
            await receiver.wait_for(count)
            hooks.change({"url": ""})
            return receiver.deliveries


def _named(object_name: str, number: int) -> dict[str, Any]:
    if object_name == "contacts":
        return {"email": f"added{number}@people.example", "firstname": f"Added {number}"}
    titles = {"companies": "name", "deals": "dealname", "notes": "hs_note_body", "tasks": "hs_task_subject"}
    titles |= {"calls": "hs_call_title", "meetings": "hs_meeting_title", "emails": "hs_email_subject"}
    return {titles[object_name]: f"Added {number}"}


@asynccontextmanager
async def open_hubspot(server: Any, variant: str) -> AsyncGenerator[Crm]:
    world = World(7, Settings(opaque_after=variant == _SEARCHED))
    world.populate(**(_COUNTS | ({"contacts": SimulatedHubSpot.crowd} if variant else {})))
    serving = Server(world)
    async with in_loop(serving) as url, aclosing(open_transport(HUBSPOT, url)) as transport:
        yield SimulatedHubSpot(world, serving, transport)


IMITATION = Imitation(SimulatedHubSpot, open_hubspot)
