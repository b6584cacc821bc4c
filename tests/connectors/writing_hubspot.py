"""A connector on the simulated HubSpot, and what tests of writing look at: what was asked, what is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from syncline.connectors.base import Connector
from syncline.connectors.registry import get_platform, open_transport
from syncline.connectors.transport import Request, Response, Token
from syncline.connectors.writes import RemoteWrite
from syncline.simulators.hubspot import Settings, World
from syncline.simulators.hubspot.server import in_loop

PLATFORM = get_platform("hubspot")
NOBODY = dict.fromkeys(("contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks"), 0)


def world_of(*, settings: Settings | None = None, **counts: int) -> World:
    world = World(7, settings or Settings())
    world.populate(**(NOBODY | counts))
    return world


@dataclass
class Client:
    world: World
    connector: Connector
    requests: list[Request] = field(default_factory=list[Request])
    #: Called before each request is sent; may raise in its place.
    before: Callable[[Request], None] = lambda request: None
    #: Called with each answer; may raise in its place, as when it is lost on the way.
    after: Callable[[Request, Response], None] = lambda request, response: None

    def paths(self, word: str) -> list[Request]:
        """Return the requests whose path has `word` in it."""
        return [each for each in self.requests if word in each.path]

    def names(self, object_name: str = "contacts") -> list[str]:
        store = self.world.store(object_name)
        return sorted(str(store.records[each].get("firstname")) for each in store.living)


@asynccontextmanager
async def client_of(
    world: World, *, token: str = "pat-na1-simulated", ids_for: tuple[str, ...] = ("contacts",)
) -> AsyncGenerator[Client]:
    """Open a connector; `ids_for` are the objects that have the property for our ids."""
    async with in_loop(world) as url, aclosing(open_transport(PLATFORM, url)) as http:

        async def send(request: Request) -> Response:
            client.requests.append(request)
            client.before(request)
            response = await http.send(request, Token(token))
            client.after(request, response)
            return response

        client = Client(world, PLATFORM.make(send, {}))
        for name in ids_for:
            wanted = client.connector.external_id_property(name)
            assert wanted is not None
            await client.connector.apply_properties(name, [wanted])
        client.requests.clear()
        yield client


def create(number: int, **properties: str | None) -> RemoteWrite:
    return RemoteWrite(f"new {number}", None, {"firstname": f"N{number}", **properties}, f"own-id-{number}")


def change(remote_id: object, **properties: str | None) -> RemoteWrite:
    return RemoteWrite(f"change {remote_id}", str(remote_id), properties)
