"""`syncline serve` beside a CRM that tells of every change: what happens there is here without a run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest
from pydantic import SecretStr

from syncline.actions.connect import Wish, connect_token
from syncline.actions.hub import Hub, open_hub
from syncline.actions.sync import sync
from syncline.actions.webhooks import read_webhooks, set_secret
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.store.urls import DatabaseUrls
from syncline.web.server import serve

pytestmark = pytest.mark.anyio

SECRET = "the app's client secret"
OBJECTS = ("owners", "contacts", "companies", "deals")
BASE = "/api/v1/webhooks/hubspot"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Served:
    """An installation that serves, and the account it is connected to."""

    hub: Hub
    world: World
    crm: httpx2.AsyncClient
    port: int
    superuser: str

    async def subscribe(self, path: str, **more: Any) -> None:
        """Have the CRM send its webhooks to a path of the installation."""
        url = f"http://127.0.0.1:{self.port}{path}"
        given = {"url": url, "secret": SECRET, "gather_ms": 2, "day_seconds": 2} | more
        (await self.crm.post("/_simulator/webhooks", json=given)).raise_for_status()

    async def select(self, query: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.superuser, autocommit=True) as conn:
            return await (await conn.execute(query.encode())).fetchall()

    async def wait_for(self, query: str, expected: list[tuple[Any, ...]]) -> None:
        async with asyncio.timeout(20):
            while await self.select(query) != expected:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(hub: Hub, port: int) -> AsyncGenerator[None]:
    task = asyncio.create_task(serve(hub, host="127.0.0.1", port=port))
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    assert not task.done()
                    await asyncio.sleep(0.02)
        writer.close()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def served(settings: Settings, database_urls: DatabaseUrls) -> AsyncGenerator[Served]:
    world = World(5)
    world.populate(
        contacts=12, companies=4, deals=3, calls=0, meetings=0, emails=0, notes=0, tasks=0, owners=2,
        archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    port = free_port()
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with (
        in_loop(world) as url,
        open_hub(keyed, application_name="test") as hub,
        httpx2.AsyncClient(base_url=url) as crm,
    ):
        await connect_token(hub, Wish("hubspot", "main", url, OBJECTS), DEFAULT_TOKEN)
        await set_secret(hub, "main", SECRET)
        await sync(hub)
        async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as conn:
            await conn.execute("update sync.schedules set enabled = false")
        async with serving(hub, port):
            yield Served(hub, world, crm, port, database_urls.superuser)


LIVING = "select remote_id from raw.hubspot_contacts where archived_at is null order by remote_id::bigint"


async def test_everything_that_happens_at_the_crm_is_here_without_a_run(served: Served):
    world = served.world
    await served.subscribe(BASE)  # the account in the body decides
    first, second, third, fourth, fifth, sixth = world.store("contacts").living[:6]
    deal = world.store("deals").living[0]
    new = world.create("contacts", {"email": "new@example.com", "firstname": "New"}).id
    world.update("contacts", first, {"firstname": "Changed"})
    survivor = world.merge("contacts", second, third).id
    world.archive("contacts", fourth)
    world.erase(fifth)
    world.update("deals", deal, {"amount": "77"})
    world.associate("deals", deal, "contacts", sixth)
    # Then
    living = [(str(each),) for each in sorted(world.store("contacts").living)]
    assert (str(new),) in living
    assert (str(survivor),) in living
    await served.wait_for(LIVING, living)
    name = (
        "select c.first_name from crm.contacts c join sync.links l on l.record_id = c.id where l.remote_id = "
    )
    await served.wait_for(f"{name}'{first}' and l.object = 'contacts'", [("Changed",)])
    await served.wait_for("select remote_id, reason from sync.tombstones", [(str(fifth), "erased")])
    await served.wait_for(
        "select d.amount::text from crm.deals d join sync.links l on l.record_id = d.id"
        f" where l.remote_id = '{deal}' and l.object = 'deals'",
        [("77",)],
    )
    tied = f"select from raw.associations where from_id = '{deal}' and to_id = '{sixth}' limit 1"
    await served.wait_for(tied, [()])
    await served.wait_for("select distinct state from sync.inbox", [("done",)])
    assert await served.select("select distinct requested_by from sync.runs order by 1") == [
        ("cli",),
        ("webhook",),
    ]
    # and whoever looks is shown so.
    shown = await read_webhooks(served.hub)
    (webhook,) = shown.webhooks
    assert (webhook.url, webhook.secret, shown.refused) == (f"{BASE}/main", "own", [])
    assert webhook.inbox is not None
    assert (webhook.inbox.pending, webhook.inbox.failed) == (0, 0)
    assert webhook.inbox.events_today > 5


async def test_a_crm_with_the_wrong_secret_is_refused_and_a_person_can_see_it(served: Served):
    await served.subscribe(f"{BASE}/main", secret="wrong", day_seconds=0.2)
    served.world.update("contacts", served.world.store("contacts").living[0], {"firstname": "Zoë"})
    await served.wait_for("select count(*) > 0 from sync.refused_webhooks", [(True,)])
    assert await served.select("select from sync.inbox") == []
    shown = await read_webhooks(served.hub)
    assert {(each.connection, each.network) for each in shown.refused} == {("main", "127.0.0.0/24")}
    assert "signature" in shown.refused[0].reason


async def test_a_body_that_is_cut_off_or_endless_is_answered_or_dropped(served: Served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"POST {BASE}/main HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode())
    assert b"413" in await reader.readline()
    writer.close()
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"POST {BASE}/main HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n[".encode())
    await writer.drain()
    writer.close()
    await served.wait_for(
        "select reason from sync.refused_webhooks where reason like '%%complete%%'",
        [("The delivery ended before it was complete.",)],
    )
    assert await served.select("select from sync.inbox") == []
