"""No CRM can be reached: people go on working, see how old things are, and what they did goes out later."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from syncline.actions.access import sign_in
from syncline.actions.connect import Wish, connect_token
from syncline.actions.hub import open_hub
from syncline.actions.people import add_person
from syncline.actions.permissions import Wish as Permission
from syncline.actions.sync import sync
from syncline.actions.work import run_worker
from syncline.actions.writing import allow
from syncline.api.app import make_app
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.web.app import add_pages

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"
FEW = {"contacts": 20, "companies": 4, "deals": 4, "owners": 2, "calls": 4, "meetings": 2, "emails": 2}
PAGES = (
    "/",
    "/syncs",
    "/sales-pipeline",
    "/contacts",
    "/companies",
    "/deals",
    "/board",
    "/queue",
    "/connections",
    "/connections/acme",
    "/search?q=a",
    "/api/v1/contacts",
    "/api/v1/status",
)


async def _nothing() -> list[object]:
    return []


async def test_with_every_crm_out_of_reach_people_work_on_and_the_queue_drains_on_return(
    settings: Settings,
) -> None:
    world = World(3)
    world.populate(**FEW)
    settings = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(open_hub(settings, application_name="test"))
        async with in_loop(world) as crm_url:
            port = urlsplit(crm_url).port or 0
            await connect_token(hub, Wish("hubspot", "acme", crm_url), DEFAULT_TOKEN)
            await sync(hub, objects=["owners", "companies", "contacts", "deals"], requested_by="test")
            await allow(hub, "acme", Permission("contacts", ("job_title",)), by="test")
        operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
        await add_person(hub, operator, "ada@example.com", "Ada", "admin", password=PASSWORD)
        token = await sign_in(hub, "ada@example.com", PASSWORD, address=None, user_agent=None)
        app = make_app(_nothing, hub=hub)  # type: ignore[arg-type]
        add_pages(app, hub)
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app), base_url="http://hub.test", cookies={"syncline": token}
            )
        )
        stop = asyncio.Event()
        working = asyncio.create_task(run_worker(hub, stop=stop))
        try:
            for path in PAGES:
                answer = await client.get(path)
                assert answer.status_code == 200, path
            contact = (await client.get("/api/v1/contacts?limit=1")).json()["items"][0]
            csrf = (await client.get("/api/v1/me")).json()["csrf_token"]
            answer = await client.patch(
                f"/api/v1/contacts/{contact['id']}",
                json={"job_title": "Written without a CRM"},
                headers={"if-match": f'"{contact["version"]}"', "x-csrf-token": csrf},
            )
            assert answer.status_code == 200, answer.text
            page = await client.get(f"/contacts/{contact['id']}")
            assert "Written without a CRM" in page.text
            assert "Job title" in (await client.get("/queue")).text
            async with in_loop(world, port):
                while "Written without a CRM" not in _titles(world):
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            await working


def _titles(world: World) -> list[str | None]:
    store = world.store("contacts")
    return [store.records[each].get("jobtitle") for each in store.living]
