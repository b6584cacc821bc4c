"""A CRM kept in another Postgres, synced both ways by the engine: nothing of it is known to the engine."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql
from simulated import Mirror

from small_crm import Crm, Server, small_crm
from syncline.clock import new_id, now
from syncline.config import Settings
from syncline.connectors.postgres.objects import OBJECTS
from syncline.domain.sealing import Vault, new_key
from syncline.engine.remotes import Credentials, Remotes, seal_credentials
from syncline.store import connections
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

TABLES = {
    "companies": "companies",
    "contacts": "contacts",
    "deals": "deals",
    "activities": "activities",
    "users": "owners",
}
KINDS = {each.name: each.record_type for each in OBJECTS}


@asynccontextmanager
async def mirror_of_crm(
    crm: Crm, db: Database, settings: Settings, tenant_id: UUID, *, vault: Vault | None = None
) -> AsyncGenerator[Mirror]:
    vault, connection_id = vault or Vault([new_key()]), new_id()
    async with Remotes(db, vault) as remotes:
        async with db.transaction(tenant_id=tenant_id) as conn:
            await connections.insert(
                conn,
                tenant_id=tenant_id,
                connection_id=connection_id,
                platform="postgres",
                name="own",
                base_url=crm.base_url,
                account_id=str(connection_id),
                account_name="crm",
                account_url=None,
                credentials=seal_credentials(vault, Credentials(crm.token.access_token)),
                settings={},
                now=now(),
            )
        yield Mirror(db, settings, None, crm.base_url, tenant_id, connection_id, vault, remotes)  # type: ignore[arg-type]


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=8, contacts=30, deals=12, activities=15) as made:
        yield made


@pytest.fixture
async def mirror(crm: Crm, db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of_crm(crm, db, settings, tenant_id) as made:
        yield made


async def sync(mirror: Mirror) -> None:
    for name in ("users", "companies", "contacts", "deals", "activities", "associations"):
        run = await mirror.pull(name)
        assert run.status == "success", (name, run.error)


async def allow(mirror: Mirror, *names: str) -> None:
    for name in names:
        await mirror.allow(name, "create", "archive", "associate", kind=KINDS[name])


async def rows(crm: Crm, table: str) -> dict[str, dict[str, Any]]:
    query = sql.SQL("select to_jsonb(t) as row from {} t").format(sql.Identifier(table))
    return {each["row"]["id"]: each["row"] for each in await crm.run(query)}


async def raw(mirror: Mirror, name: str) -> dict[str, dict[str, Any]]:
    found = await mirror.select(sql.SQL("select * from {}").format(sql.Identifier("raw", f"postgres_{name}")))
    return {each["remote_id"]: each for each in found}


async def test_every_row_is_mirrored_and_mapped(crm: Crm, mirror: Mirror) -> None:
    await sync(mirror)
    for name, table in TABLES.items():
        there, here = await rows(crm, name), await raw(mirror, name)
        assert here.keys() == there.keys()
        for remote_id, row in there.items():
            kept = {key: here[remote_id]["raw"].get(key) for key in row}
            assert json.dumps(kept, sort_keys=True) == json.dumps(row, sort_keys=True)
        assert len(await mirror.records(name, table)) == len(there)
    contacts, companies = await rows(crm, "contacts"), await mirror.records("companies", "companies")
    owners = await mirror.records("users", "owners")
    for remote_id, record in (await mirror.records("contacts", "contacts")).items():
        row = contacts[remote_id]
        assert (record["email"], record["lead_source"]) == (row["email"], row["source"])
        company = companies.get(str(row["company_id"]))
        assert record["company_id"] == (company["id"] if company else None)
        owner = owners.get(str(row["owner_id"]))
        assert record["owner_id"] == (owner["id"] if owner else None)
    deals = await rows(crm, "deals")
    for remote_id, record in (await mirror.records("deals", "deals")).items():
        row = deals[remote_id]
        status = {"closed_won": "won", "closed_lost": "lost"}.get(row["stage"], "open")
        assert (record["stage"], record["status"], record["pipeline"]) == (row["stage"], status, "deals")
        assert record["probability"] == row["probability"]


async def test_changes_and_deletions_over_there_arrive(crm: Crm, mirror: Mirror) -> None:
    await sync(mirror)
    contact, gone = str(crm.rows.contacts[0]), str(crm.rows.contacts[1])
    await crm.run("update contacts set first_name = 'Changed' where id = %s", contact)
    await crm.run("update deals set contact_id = null where contact_id = %s", gone)
    await crm.run("delete from contacts where id = %s", gone)
    await crm.run("update companies set deleted_at = now() where id = %s", crm.rows.companies[0])
    await sync(mirror)
    records = await mirror.records("contacts", "contacts")
    assert records[contact]["first_name"] == "Changed"
    assert records[gone]["archived_at"] is not None
    companies = await mirror.records("companies", "companies")
    assert companies[str(crm.rows.companies[0])]["archived_at"] is not None


async def test_edits_here_arrive_there_and_their_echo_is_quiet(crm: Crm, mirror: Mirror) -> None:
    await sync(mirror)
    await allow(mirror, "companies", "contacts", "deals", "activities")
    await mirror.make_unique("companies", "contacts", "deals", "activities")
    await sync(mirror)
    contact, deal = str(crm.rows.contacts[0]), str(crm.rows.deals[0])
    await mirror.execute(
        "update crm.contacts set first_name = 'Here', lead_source = null where id = %(id)s",
        id=(await mirror.records("contacts", "contacts"))[contact]["id"],
    )
    await mirror.execute(
        "update crm.deals set amount = 12.5, expected_close_date = '2027-01-02' where id = %(id)s",
        id=(await mirror.records("deals", "deals"))[deal]["id"],
    )
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'made@example.com', 'Made')"
    )
    await mirror.settle()
    there = await rows(crm, "contacts")
    assert (there[contact]["first_name"], there[contact]["source"]) == ("Here", None)
    [made] = [row for row in there.values() if row["email"] == "made@example.com"]
    [ours] = await mirror.select("select id from crm.contacts where email = 'made@example.com'")
    assert made["syncline_record_id"] == str(ours["id"])
    assert (await rows(crm, "deals"))[deal]["amount"] == 12.5
    before = await mirror.select("select id, changes from crm.change_log")
    await sync(mirror)
    await sync(mirror)
    after = await mirror.select("select id, changes from crm.change_log")
    # The row's own time of creation is the one thing that was not known before.
    new = [each["changes"] for each in after if each not in before]
    assert [list(each) for each in new] == [["created_at"]]
    assert await mirror.select("select * from sync.queue") == []
    assert len(await rows(crm, "contacts")) == 31


async def test_a_company_given_here_is_the_company_there(crm: Crm, mirror: Mirror) -> None:
    await sync(mirror)
    await allow(mirror, "companies", "contacts")
    await mirror.make_unique("companies", "contacts")
    companies = await mirror.records("companies", "companies")
    remote_id, other = str(crm.rows.contacts[0]), str(crm.rows.companies[3])
    await mirror.execute(
        "update crm.contacts set company_id = %(company)s where id = %(id)s",
        id=(await mirror.records("contacts", "contacts"))[remote_id]["id"],
        company=companies[other]["id"],
    )
    await mirror.settle()
    assert (await rows(crm, "contacts"))[remote_id]["company_id"] == other
    await sync(mirror)
    assert (await mirror.records("contacts", "contacts"))[remote_id]["company_id"] == companies[other]["id"]


async def test_what_is_archived_here_is_marked_or_deleted_there(crm: Crm, mirror: Mirror) -> None:
    await sync(mirror)
    await allow(mirror, "companies", "activities")
    await mirror.make_unique("companies", "activities")
    company, activity = str(crm.rows.companies[0]), str(crm.rows.activities[0])
    for table, name, remote_id in (
        ("companies", "companies", company),
        ("activities", "activities", activity),
    ):
        record = (await mirror.records(name, table))[remote_id]
        statement = "update crm." + table + " set archived_at = now() where id = %(id)s"
        await mirror.execute(statement, id=record["id"])  # type: ignore[arg-type]
    await mirror.settle()
    assert (await rows(crm, "companies"))[company]["deleted_at"] is not None
    assert activity not in await rows(crm, "activities")


async def test_an_activity_of_a_type_of_their_own_stops_nothing(crm: Crm, mirror: Mirror) -> None:
    lunch, call = (str(each) for each in crm.rows.activities[:2])
    await crm.run("update activities set type = 'Lunch' where id = %s", lunch)
    await crm.run("update activities set type = 'Phone call' where id = %s", call)
    await sync(mirror)
    records = await mirror.records("activities", "activities")
    assert (records[lunch]["type"], records[call]["type"]) == ("note", "call")
    await allow(mirror, "activities")
    await mirror.execute(
        "update crm.activities set subject = 'Said here' where id = %(id)s", id=records[lunch]["id"]
    )
    await mirror.execute("update crm.activities set type = 'email' where id = %(id)s", id=records[call]["id"])
    await mirror.settle()
    there = await rows(crm, "activities")
    assert (there[lunch]["type"], there[lunch]["subject"]) == ("Lunch", "Said here")
    assert there[call]["type"] == "email"
