"""The people of a deal are those its CRM associates with it, through changes, late arrivals and merges."""

from __future__ import annotations

from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, world_of

from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

NAMES = ("contacts", "companies", "deals")


@pytest.fixture
def few() -> World:
    made = world_of(contacts=30, companies=4, deals=12)
    contacts = made.store("contacts").living
    for n, deal in enumerate(made.store("deals").living):
        for contact in contacts[n : n + n % 4]:
            made.associate("deals", deal, "contacts", contact)
    return made


def people_at(world: World) -> set[tuple[str, str]]:
    """Return (deal, contact) by the CRM's ids, of living records."""
    deals, contacts = world.store("deals"), world.store("contacts")
    return {
        (str(deal), str(contact))
        for deal in deals.living
        for contact in world.graph.targets(deals.kind.type_id, deal, contacts.kind.type_id)
        if contacts.find_living(contact)
    }


async def people_here(mirror: Mirror) -> set[tuple[str, str]]:
    rows = await mirror.select(
        "select d.remote_id as deal, c.remote_id as contact from crm.deal_people p"
        " join sync.links d on d.record_id = p.deal_id and d.record_type = 'deal'"
        " join sync.links c on c.record_id = p.contact_id and c.record_type = 'contact'"
        " join crm.deals x on x.id = p.deal_id and x.archived_at is null"
        " join crm.contacts y on y.id = p.contact_id and y.archived_at is null"
    )
    return {(row["deal"], row["contact"]) for row in rows}


async def test_all_people_of_a_deal_are_known_and_its_contact_is_not_named_twice(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync(*NAMES, "associations")
        assert await people_here(mirror) == people_at(few)
        assert len(people_at(few)) > len(few.store("deals").living)
        doubled = await mirror.select(
            "select p.* from crm.deal_contacts p join crm.deals d on d.id = p.deal_id"
            " where d.contact_id = p.contact_id"
        )
        assert doubled == []
        before = await mirror.select("select xmin, * from crm.deal_contacts order by deal_id, contact_id")
        await mirror.pull("associations")
        after = await mirror.select("select xmin, * from crm.deal_contacts order by deal_id, contact_id")
        assert before == after


async def test_who_joins_a_deal_or_leaves_it_is_followed(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync(*NAMES, "associations")
        contacts, deals = few.store("contacts").living, few.store("deals").living
        few.associate("deals", deals[0], "contacts", contacts[-1])
        for contact in list(few.graph.targets("0-3", deals[3], "0-1")):
            few.dissociate("deals", deals[3], "contacts", contact)
        few.archive("contacts", next(iter(few.graph.targets("0-3", deals[7], "0-1"))))
        await mirror.sync("contacts", "deals", "associations")
        assert await people_here(mirror) == people_at(few)


async def test_people_that_are_read_after_their_deals_are_found_all_the_same(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync("deals", "associations")
        await mirror.sync("contacts", "associations")
        assert await people_here(mirror) == people_at(few)


async def test_a_contact_that_is_merged_hands_its_deals_over_and_gets_them_back(
    db: Database, settings: Settings, tenant_id: UUID, few: World
):
    async with mirror_of(few, db, settings, tenant_id) as mirror:
        await mirror.sync(*NAMES, "associations")
        pair = (await mirror.select("select deal_id, contact_id from crm.deal_contacts limit 1"))[0]
        survivor = (
            await mirror.select(
                "select id from crm.contacts c where not exists"
                " (select from crm.deal_people p where p.contact_id = c.id) limit 1"
            )
        )[0]["id"]
        before = await mirror.select("select * from crm.deal_people order by deal_id, contact_id")

        async def deals_of(contact: UUID) -> set[UUID]:
            rows = await mirror.select(
                "select deal_id from crm.deal_contacts where contact_id = %(id)s", id=contact
            )
            return {row["deal_id"] for row in rows}

        theirs = await deals_of(pair["contact_id"])
        merge = "update crm.contacts set merged_into = %(into)s, archived_at = now() where id = %(id)s"
        await mirror.execute(merge, into=survivor, id=pair["contact_id"])
        assert await deals_of(survivor) == theirs
        undo = "update crm.contacts set merged_into = null, archived_at = null where id = %(id)s"
        await mirror.execute(undo, id=pair["contact_id"])
        assert await deals_of(survivor) == set()
        assert before == await mirror.select("select * from crm.deal_people order by deal_id, contact_id")
