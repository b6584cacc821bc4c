"""Associations: as rows with labels, in both sides' payloads, and as references of ours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from simulated import FEW, OBJECTS, Mirror, mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.connectors.hubspot.objects import CAPABILITIES
from syncline.simulators.hubspot import World
from syncline.store.db import Database

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio

SINGULAR = {name: name.removesuffix("s") for name in (*OBJECTS, "cars")} | {"companies": "company"}
PAIRS = CAPABILITIES.association_pairs
#: (object, table, object referred to, column)
REFERENCES = (
    ("contacts", "contacts", "companies", "company_id"),
    ("deals", "deals", "companies", "company_id"),
    ("deals", "deals", "contacts", "contact_id"),
    ("meetings", "activities", "contacts", "contact_id"),
    ("meetings", "activities", "companies", "company_id"),
    ("meetings", "activities", "deals", "deal_id"),
    ("tasks", "tasks", "contacts", "contact_id"),
    ("tasks", "tasks", "deals", "deal_id"),
)
Row = tuple[str, str, str, str, int, str, str, str | None]


def rows_of(world: World, pairs: tuple[tuple[str, str], ...] = PAIRS) -> set[Row]:
    """Return what rows there must be: from, to, type id, type, category, label, of living records."""
    found: set[Row] = set()
    for source, target in pairs:
        here, there = world.store(source), world.store(target)
        name = f"{SINGULAR[source]}_to_{SINGULAR[target]}"
        for from_id, to_id, types in world.graph.list_all(here.kind.type_id, there.kind.type_id):
            if here.find_living(from_id) and there.find_living(to_id):
                found |= {
                    (source, str(from_id), target, str(to_id), t.type_id, name, t.category, t.label)
                    for t in types
                }
    return found


async def stored_rows(mirror: Mirror) -> set[Row]:
    rows = await mirror.select(
        "select from_object, from_id, to_object, to_id, type_id, type, category, label from raw.associations"
    )
    found = {tuple(row.values()) for row in rows}
    assert len(found) == len(rows)
    return found  # type: ignore[return-value]


def copies_of(world: World, name: str) -> dict[str, dict[str, Any]]:
    """Return what each record's payload must hold, in the form lists and single reads have."""
    found: dict[str, dict[str, Any]] = {str(i): {} for i in world.store(name).living}
    ranked = sorted(rows_of(world), key=lambda row: (row[7] is None, len(row[3]), row[3], row[4]))
    for source, from_id, target, to_id, _, kind, _, label in ranked:
        if source == name:
            entry = {"id": to_id, "type": kind} | ({"label": label} if label else {})
            found[from_id].setdefault(target, {"results": []})["results"].append(entry)
    ranked = sorted(rows_of(world), key=lambda row: (row[7] is None, len(row[1]), row[1], row[4]))
    for source, from_id, target, to_id, _, _, _, label in ranked:
        if target == name:
            kind = f"{SINGULAR[target]}_to_{SINGULAR[source]}"
            entry = {"id": from_id, "type": kind} | ({"label": label} if label else {})
            found[to_id].setdefault(source, {"results": []})["results"].append(entry)
    return found


def referred(world: World, name: str, other: str) -> dict[str, str | None]:
    """Return whom each record refers to: its primary, else the oldest id."""
    here, there = world.store(name), world.store(other)
    found: dict[str, str | None] = {}
    for record_id in here.living:
        types = world.graph.targets(here.kind.type_id, record_id, there.kind.type_id)
        living = {i: {t.label for t in kinds} for i, kinds in types.items() if there.find_living(i)}
        best = min(living, key=lambda i: ("Primary" not in living[i], i), default=None)
        found[str(record_id)] = None if best is None else str(best)
    return found


async def assert_associations(mirror: Mirror, *names: str) -> None:
    assert await stored_rows(mirror) == rows_of(mirror.world)
    for name in names:
        rows = await mirror.raw(name)
        for remote_id, copies in copies_of(mirror.world, name).items():
            assert rows[remote_id]["raw"].get("associations", {}) == copies, (name, remote_id)
    for name, table, other, column in REFERENCES:
        if name in names:
            ours: dict[str, UUID] = {
                i: row["id"]
                for i, row in (
                    await mirror.records(other, other if other != "companies" else "companies")
                ).items()
            }
            records = await mirror.records(name, table)
            for remote_id, wanted in referred(mirror.world, name, other).items():
                assert records[remote_id][column] == (ours[wanted] if wanted else None), (name, column)


async def test_rows_payloads_and_references_are_the_accounts(mirror: Mirror):
    # Given a contact with two companies, the second of them primary, and a label of the account's own
    world, graph = mirror.world, mirror.world.graph
    contact, *_ = world.store("contacts").living
    one, two, *_ = world.store("companies").living
    world.associate("contacts", contact, "companies", one)
    world.associate("contacts", contact, "companies", two, [("HUBSPOT_DEFINED", 1)])
    graph.define("0-3", "0-1", ("USER_DEFINED", 77), "Decision maker", ("USER_DEFINED", 78), "Decides")
    deal, *_ = world.store("deals").living
    world.associate("deals", deal, "contacts", contact, [("USER_DEFINED", 77)])
    # When
    await mirror.sync(*OBJECTS)
    await mirror.pull("associations")
    # Then
    await assert_associations(mirror, *FEW.keys() - {"cars"})
    # A second time nothing is written
    before = await mirror.select("select xmin, * from raw.associations order by from_id, to_id, type_id")
    run = await mirror.pull("associations")
    after = await mirror.select("select xmin, * from raw.associations order by from_id, to_id, type_id")
    assert before == after
    assert run.records_read == len(before)


@pytest.fixture
def few() -> World:
    return world_of(contacts=40, companies=6, deals=12, meetings=6, tasks=5)


NAMES = ("contacts", "companies", "deals", "meetings", "tasks")


async def test_changes_of_associations_alone_are_found_by_the_next_reading_of_them(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync(*NAMES, "associations")
        # When one is added, one goes, another company becomes primary, and a deal and a contact are archived
        contacts, deals = few.store("contacts").living, few.store("deals").living
        companies = few.store("companies").living
        few.associate("deals", deals[0], "contacts", contacts[-1])
        first = next(iter(few.graph.targets("0-3", deals[1], "0-1")))
        few.dissociate("deals", deals[1], "contacts", first)
        for company in companies[:3]:
            few.associate("contacts", contacts[0], "companies", company, [("HUBSPOT_DEFINED", 1)])
        few.archive("deals", deals[2])
        few.archive("contacts", next(iter(few.graph.targets("0-3", deals[3], "0-1"))))
        await mirror.sync("contacts", "deals", "associations")
        # Then
        await assert_associations(mirror, "contacts", "companies", "deals", "meetings")
        log = await mirror.select(
            "select changes from crm.change_log where record_type = 'contact' and changes ? 'company_id'"
            " and record_id ="
            " (select record_id from sync.links where object = 'contacts' and remote_id = %(id)s)"
            " order by changed_at desc limit 1",
            id=str(contacts[0]),
        )
        ours = await mirror.records("companies", "companies")
        assert log[0]["changes"]["company_id"][1] == str(ours[str(companies[2])]["id"])


async def test_what_is_associated_with_a_changed_record_is_read_along_with_it(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync(*NAMES, "associations")
        contacts, deals = few.store("contacts").living, few.store("deals").living
        # When a colleague makes a contact and a deal, and associates the deal and a company with contacts
        made = few.create("contacts", {"email": "new@colleague.example", "firstname": "New"})
        few.associate("deals", deals[0], "contacts", made.id)
        few.associate("contacts", made.id, "companies", few.store("companies").living[0])
        deal = few.create(
            "deals", {"dealname": "New", "pipeline": "default", "dealstage": "qualifiedtobuy", "amount": "5"}
        )
        few.associate("deals", deal.id, "contacts", contacts[3])
        gone = next(iter(few.graph.targets("0-3", deals[4], "0-1")))
        few.dissociate("deals", deals[4], "contacts", gone)
        few.update("contacts", gone, {"firstname": "Freed"})
        # Then their own runs are enough
        await mirror.sync("contacts", "deals")
        await assert_associations(mirror, *NAMES)


async def test_a_record_with_more_associations_than_a_page_keeps_them_all(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=60, companies=2)
    world.settings.association_page = 7
    company = world.store("companies").living[0]
    for contact in world.store("contacts").living:
        world.associate("companies", company, "contacts", contact)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("contacts", "companies", "associations")
        await assert_associations(mirror, "contacts", "companies")


async def test_a_reference_waits_for_a_record_that_is_read_later(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        # Given associations that were read before the contacts they lead to
        await mirror.sync("deals", "companies", "associations")
        await mirror.sync("contacts", "meetings", "tasks")
        await mirror.pull("associations")
        await assert_associations(mirror, *NAMES)
