"""The whole application as people use it, beside a simulated CRM: a process that a browser is led through.

Run by hand with a SYNCLINE_HOME it serves until it is ended, and prints its address.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import LiteralString

from syncline.actions.connect import Wish, connect_token
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub, open_hub
from syncline.actions.mapping import apply_mapping
from syncline.actions.people import add_person
from syncline.actions.permissions import Wish as Permission
from syncline.actions.reconcile import Wanted, reconcile_now
from syncline.actions.setup import initialize
from syncline.actions.sync import sync
from syncline.actions.tenants import create_tenant
from syncline.actions.writing import allow, stop_writing
from syncline.cli.logs import configure_logs
from syncline.config import load_settings
from syncline.domain.callers import Caller
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop
from syncline.web.server import serve

PASSWORD = "correct horse battery staple"
ADMIN, MANAGER, REP = "ada@example.com", "maria@example.com", "ron@example.com"
FEW = {
    "contacts": 140,
    "companies": 30,
    "deals": 40,
    "calls": 40,
    "meetings": 8,
    "emails": 10,
    "notes": 8,
    "tasks": 8,
    "owners": 4,
    "archived_owners": 1,
    "cars": 0,
    "archived_contacts": 2,
}
CONFLICTS = 6


@dataclass(frozen=True, slots=True)
class Site:
    """What a test has to know of the process."""

    url: str
    crm_url: str
    token: str
    tenants: list[str]


async def main(port: int, crm_port: int = 0) -> None:
    configure_logs(log_format="json")
    settings = load_settings()
    if settings.database_url is None:
        await initialize(settings)
    world = World(11)
    world.populate(**FEW)
    async with open_hub(settings, application_name="site") as hub, in_loop(world, crm_port) as crm_url:
        tenants = await _people(hub)
        await _fill(hub, world, crm_url)
        site = Site(f"http://127.0.0.1:{port}", crm_url, DEFAULT_TOKEN, tenants)
        print(json.dumps(asdict(site)), flush=True)
        await serve(hub, host="127.0.0.1", port=port)


async def _people(hub: Hub) -> list[str]:
    operator = Caller(hub.tenant_id, "admin", "test", "cli", is_operator=True)
    await add_person(hub, operator, ADMIN, "Ada Admin", "admin", password=PASSWORD, operator=True)
    await add_person(hub, operator, MANAGER, "Maria Manager", "manager", password=PASSWORD)
    await add_person(hub, operator, REP, "Ron Rep", "rep", password=PASSWORD)
    other = await create_tenant(hub, operator, "empty", "Empty Ltd")
    there = Hub(hub.settings, hub.location, hub.db, other)
    await add_person(
        there, Caller(other.tenant_id, "admin", "test", "cli", is_operator=True), ADMIN, "Ada Admin", "admin"
    )
    return [hub.tenant.slug, other.slug]


async def _fill(hub: Hub, world: World, crm_url: str) -> None:
    """Connect and sync, then leave something of everything that pages show."""
    by = Editor("test")
    await connect_token(hub, Wish("hubspot", "acme", crm_url), DEFAULT_TOKEN)
    await sync(hub, requested_by="test")
    await apply_mapping(hub, "acme", b"version: 1\npolicy: review\n", by=by)
    await allow(hub, "acme", Permission("contacts", ("first_name", "job_title", "phone")), by=by.name)
    await stop_writing(hub, None, by=by.name)
    ids = world.store("contacts").living[:CONFLICTS]
    await _execute(
        hub,
        "update crm.contacts c set first_name = 'Here ' || l.remote_id, job_title = 'Director'"
        " from sync.links l where c.tenant_id = %(tenant_id)s and l.tenant_id = %(tenant_id)s"
        " and l.record_id = c.id and l.object = 'contacts' and l.remote_id = any(%(ids)s::text[])",
        ids=[str(each) for each in ids],
    )
    for each in ids:
        world.update("contacts", each, {"firstname": f"There {each}", "jobtitle": "Managing director"})
    await sync(hub, objects=["contacts"], requested_by="test")
    await _execute(
        hub,
        "update crm.contacts set phone = '+1 212 555 0100' where tenant_id = %(tenant_id)s and id in"
        " (select record_id from sync.links where tenant_id = %(tenant_id)s and object = 'contacts'"
        "  and remote_id = any(%(ids)s::text[]))",
        ids=[str(each) for each in world.store("contacts").living[20:25]],
    )
    await _execute(
        hub,
        "update sync.queue set state = 'parked', attempts = 3, last_error = 'Property values were not valid:"
        " phone must have at most 20 characters.' where tenant_id = %(tenant_id)s and record_id in"
        " (select record_id from sync.queue where tenant_id = %(tenant_id)s order by queued_at desc limit 2)",
    )
    await _execute(
        hub,
        "insert into sync.parked (tenant_id, connection_id, object, remote_id, kind, reason, problems,"
        " first_seen_at, last_seen_at) select %(tenant_id)s, id, 'contacts', '4711', 'payload',"
        " 'A value holds a character that cannot be stored.', '{}', now(), now() from sync.connections"
        " where tenant_id = %(tenant_id)s",
    )
    world.update("contacts", ids[0], {"lifecyclestage": "customer"})
    await reconcile_now(hub, Wanted(objects=["contacts", "companies"], report_only=True, requested_by="test"))


async def _execute(hub: Hub, statement: LiteralString, **values: object) -> None:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await conn.execute(statement, {"tenant_id": hub.tenant_id, **values})


def settings_of(home: Path, urls: dict[str, str], key: str) -> dict[str, str]:
    """Return the variables that the process is started with."""
    return {
        "SYNCLINE_HOME": str(home),
        "SYNCLINE_DATABASE_URL": urls["app"],
        "SYNCLINE_ADMIN_DATABASE_URL": urls["admin"],
        "SYNCLINE_READER_DATABASE_URL": urls["reader"],
        "SYNCLINE_SECRET_KEY": key,
        # Those whom tests tell of something listen on this machine.
        "SYNCLINE_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
    }


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:3])))
