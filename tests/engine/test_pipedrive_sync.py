"""A Pipedrive account synced both ways by the engine, which knows nothing of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

import pytest
from simulated import Mirror

from syncline.clock import new_id, now
from syncline.config import Settings
from syncline.connectors.pipedrive.objects import OBJECTS
from syncline.domain.sealing import Vault, new_key
from syncline.engine.remotes import Credentials, Remotes, seal_credentials
from syncline.simulators.pipedrive import Settings as Simulated
from syncline.simulators.pipedrive import World
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.server import in_loop
from syncline.store import connections
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

KINDS = {each.name: each.record_type for each in OBJECTS}
NONE = ("contacts", "organizations", "deals", "archived_deals", "deleted_deals", "activities", "notes",
        "leads", "archived_leads", "deleted_persons")  # fmt: skip


def world_of(settings: Simulated | None = None, **counts: int) -> World:
    world = World(7, settings or Simulated())
    world.populate(**(dict.fromkeys(NONE, 0) | counts))
    return world


def world_behind(mirror: Mirror) -> World:
    """Return the account of a mirror, which knows another platform's by its type."""
    return cast("World", mirror.world)


@asynccontextmanager
async def mirror_of(
    world: World, db: Database, settings: Settings, tenant_id: UUID, *, vault: Vault | None = None
) -> AsyncGenerator[Mirror]:
    vault, connection_id = vault or Vault([new_key()]), new_id()
    async with in_loop(world) as url, Remotes(db, vault) as remotes:
        async with db.transaction(tenant_id=tenant_id) as conn:
            await connections.insert(
                conn,
                tenant_id=tenant_id,
                connection_id=connection_id,
                platform="pipedrive",
                name="sales",
                base_url=url,
                account_id=f"{world.company_id}-{connection_id}",
                account_name="crm",
                account_url=None,
                credentials=seal_credentials(vault, Credentials(DEFAULT_TOKEN)),
                settings={"plan": "ultimate", "seats": "100", "currency": "USD"},
                now=now(),
            )
        yield Mirror(db, settings, world, url, tenant_id, connection_id, vault, remotes)  # type: ignore[arg-type]


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    world = world_of(
        contacts=60,
        organizations=20,
        deals=30,
        archived_deals=3,
        deleted_deals=2,
        activities=40,
        notes=10,
        leads=5,
    )
    async with mirror_of(world, db, settings, tenant_id) as made:
        yield made


ALL = ("users", "organizations", "persons", "deals", "notes", "activities", "tasks", "leads", "associations")


async def sync(mirror: Mirror, *, names: tuple[str, ...] = ALL) -> None:
    for name in names:
        run = await mirror.pull(name)
        assert run.status == "success", (name, run)


async def allow(mirror: Mirror, *names: str) -> None:
    for name in names:
        await mirror.allow(name, "create", "archive", "associate", kind=KINDS[name])


async def test_everything_is_mirrored_and_mapped(mirror: Mirror):
    await sync(mirror)
    world = world_behind(mirror)
    people = world.truth("persons")
    stage = world.code("person", "Stage")
    labels = {each.option_id: each.label for each in world.fields["person"].by_name("Stage").options or ()}
    contacts = await mirror.records("persons", "contacts")
    companies = await mirror.records("organizations", "companies")
    owners = await mirror.records("users", "owners")
    assert sorted(map(int, contacts)) == sorted(people)
    for remote_id, record in contacts.items():
        row = people[int(remote_id)]
        assert record["lifecycle_stage"] == labels.get(row["custom_fields"].get(stage))
        assert record["owner_id"] == owners[str(row["owner_id"])]["id"]
        company = companies.get(str(row["org_id"]))
        assert record["company_id"] == (company["id"] if company else None)
    deals = await mirror.records("deals", "deals")
    assert sorted(map(int, deals)) == sorted(world.truth("deals", "living", "archived", "deleted"))
    for remote_id, row in world.truth("deals").items():
        record = deals[str(remote_id)]
        assert record["archived_at"] is None
        assert record["status"] == row["status"]
        assert (record["closed_at"] is None) == (row["close_time"] is None)
        assert float(record["amount"]) == row["value"]
        assert record["contact_id"] == (contacts[str(row["person_id"])]["id"] if row["person_id"] else None)
    archived = world.truth("deals", "archived", "deleted")
    assert all(deals[str(each)]["archived_at"] is not None for each in archived)
    kinds = await mirror.select("select distinct type from crm.activities")
    assert {each["type"] for each in kinds} <= {"call", "email", "meeting", "note"}
    assert len(await mirror.records("tasks", "tasks")) + len(
        await mirror.records("activities", "activities")
    ) == len(world.truth("activities"))
    assert await mirror.select("select count(*) as n from raw.pipedrive_leads") == [{"n": 5}]
    assert await mirror.select("select * from sync.parked") == []


async def test_changes_archives_and_deletions_over_there_arrive(mirror: Mirror):
    await sync(mirror)
    world = world_behind(mirror)
    world.advance(1)
    person, deal, other = next(iter(world.truth("persons"))), *list(world.truth("deals"))[:2]
    world.update("persons", person, {"name": "Changed There"})
    world.archive("deals", deal)
    world.delete("deals", other)
    await sync(mirror)
    contact = (await mirror.records("persons", "contacts"))[str(person)]
    assert (contact["first_name"], contact["last_name"]) == ("Changed", "There")
    deals = await mirror.records("deals", "deals")
    assert deals[str(deal)]["archived_at"] is not None
    assert deals[str(other)]["archived_at"] is not None
    world.archive("deals", deal, back=True)
    await sync(mirror, names=("deals",))
    assert (await mirror.records("deals", "deals"))[str(deal)]["archived_at"] is None


async def test_looking_for_changes_costs_one_list_where_there_are_none(mirror: Mirror):
    await sync(mirror)
    mirror.forget_requests()
    await mirror.pull("persons")
    assert dict(world_behind(mirror).stats) == {("GET /v2/persons", 200): 1}


async def test_edits_here_arrive_there_and_their_echo_is_quiet(mirror: Mirror):
    await sync(mirror)
    world = world_behind(mirror)
    await allow(mirror, "organizations", "persons", "deals")
    await mirror.make_unique("organizations", "persons", "deals")
    await sync(mirror)
    person, deal = next(iter(world.truth("persons"))), next(iter(world.truth("deals")))
    contacts = await mirror.records("persons", "contacts")
    await mirror.execute(
        "update crm.contacts set first_name = 'Here', lifecycle_stage = 'customer',"
        " email = 'here@example.com' where id = %(id)s",
        id=contacts[str(person)]["id"],
    )
    await mirror.execute(
        "update crm.deals set amount = 12.5, expected_close_date = '2027-01-02', status = 'won'"
        " where id = %(id)s",
        id=(await mirror.records("deals", "deals"))[str(deal)]["id"],
    )
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'made@example.com', 'Made')"
    )
    await mirror.settle()
    assert await mirror.select("select * from sync.queue") == []
    there = world.truth("persons")
    assert there[person]["first_name"] == "Here"
    assert there[person]["emails"][0]["value"] == "here@example.com"
    made = [
        each
        for each in there.values()
        if each["emails"][:1] and each["emails"][0]["value"] == "made@example.com"
    ]
    [ours] = await mirror.select("select id from crm.contacts where email = 'made@example.com'")
    own_id = world.code("person", "Syncline record id")
    assert [each["custom_fields"][own_id] for each in made] == [f"syncline:{ours['id']}"]
    sold = world.truth("deals")[deal]
    assert (sold["value"], sold["status"], sold["expected_close_date"]) == (12.5, "won", "2027-01-02")
    before = await mirror.select("select id, changes from crm.change_log")
    await sync(mirror)
    await sync(mirror)
    after = await mirror.select("select id, changes from crm.change_log")
    # What Pipedrive found out by itself: whose the new record is, and when it was made or closed.
    new = [each["changes"] for each in after if each not in before]
    assert {name for each in new for name in each} <= {"created_at", "owner_id", "closed_at", "probability"}
    assert await mirror.select("select * from sync.queue") == []


async def test_a_company_given_here_is_the_organization_there(mirror: Mirror):
    await sync(mirror)
    world = world_behind(mirror)
    await allow(mirror, "organizations", "persons")
    companies = await mirror.records("organizations", "companies")
    contacts = await mirror.records("persons", "contacts")
    person, organization = next(iter(world.truth("persons"))), str(list(world.truth("organizations"))[3])
    await mirror.execute(
        "update crm.contacts set company_id = %(company)s where id = %(id)s",
        id=contacts[str(person)]["id"],
        company=companies[organization]["id"],
    )
    await mirror.settle()
    assert world.truth("persons")[person]["org_id"] == int(organization)
    await sync(mirror)
    again = (await mirror.records("persons", "contacts"))[str(person)]
    assert again["company_id"] == companies[organization]["id"]


async def test_what_is_archived_here_is_archived_or_deleted_there(mirror: Mirror):
    await sync(mirror)
    world = world_behind(mirror)
    await allow(mirror, "persons", "deals")
    person, deal = next(iter(world.truth("persons"))), next(iter(world.truth("deals")))
    for table, name, remote_id in (("contacts", "persons", person), ("deals", "deals", deal)):
        record = (await mirror.records(name, table))[str(remote_id)]
        statement = f"update crm.{table} set archived_at = now() where id = %(id)s"
        await mirror.execute(statement, id=record["id"])  # type: ignore[arg-type]
    await mirror.settle()
    assert person not in world.truth("persons")
    assert deal in world.truth("deals", "archived")
