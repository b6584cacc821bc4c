"""Calls find their contact: by association, else by number, else through the deal with the number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from mapped import e164, moment
from simulated import OBJECTS, Mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.errors import RetryLater
from syncline.simulators.hubspot import World
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

NUMBER = "+16465550123"
OURS = "+17372040100"
#: (contact, kind of link, how many contacts share the number, deal), remote ids
Expected = tuple[str | None, str | None, int | None, str | None]


def linked(world: World, call: int, target: str) -> int | None:
    """Return the oldest living record of a type that a call is associated with."""
    there = world.store(target)
    ids = world.graph.targets("0-48", call, there.kind.type_id)
    return min((i for i in ids if there.find_living(i)), default=None)


def by_number(world: World, name: str, phone_property: str, number: str | None) -> list[str]:
    """Return living records with a number, oldest first."""
    found = [
        (moment(p["createdate"]) or datetime.max.replace(tzinfo=UTC), i)
        for i, p in truth(world, name).items()
        if number and e164(p[phone_property]) == number
    ]
    return [i for _, i in sorted(found)]


def contact_of(world: World, deal: str) -> str | None:
    contacts = world.graph.targets("0-3", int(deal), "0-1")
    found = min((i for i in contacts if world.store("contacts").find_living(i)), default=None)
    return None if found is None else str(found)


def expect(world: World, call: str, p: dict[str, Any]) -> Expected:
    contact, deal = linked(world, int(call), "contacts"), linked(world, int(call), "deals")
    real_deal = None if deal is None else str(deal)
    if contact is not None:
        return str(contact), "association", None, real_deal
    outbound = p["hs_call_direction"] == "OUTBOUND"
    number = e164(p["hs_call_to_number"] if outbound else p["hs_call_from_number"])
    contacts = by_number(world, "contacts", "phone", number)
    if contacts:
        return contacts[0], "phone", len(contacts), real_deal
    deals = by_number(world, "deals", "phone_number", number)
    if real_deal is None and deals:
        return contact_of(world, deals[0]), "deal_phone", None, deals[0]
    return None, None, None, real_deal


async def found_links(mirror: Mirror) -> dict[str, Expected]:
    ids = {
        row["record_id"]: row["remote_id"]
        for row in await mirror.select("select remote_id, record_id from sync.links where is_primary")
    }
    calls = await mirror.records("calls", "activities")
    return {
        i: (
            ids.get(c["contact_id"]),
            c["contact_link"],
            c["contact_candidates"],
            ids.get(c["deal_id"]),
        )
        for i, c in calls.items()
        if c["archived_at"] is None
    }


async def assert_links(mirror: Mirror) -> dict[str, Expected]:
    expected = {i: expect(mirror.world, i, p) for i, p in truth(mirror.world, "calls").items()}
    assert await found_links(mirror) == expected
    return expected


async def test_every_call_of_an_account_finds_the_contact_it_should(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=250, companies=20, deals=40, calls=160)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync(*OBJECTS[:5], "associations")
        expected = await assert_links(mirror)
    kinds = {kind for _, kind, _, _ in expected.values()}
    assert kinds == {"association", "phone", None}


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    """An account with one call to a number, which nobody has."""
    world = world_of()
    world.create("calls", call_to(NUMBER))
    async with mirror_of(world, db, settings, tenant_id) as made:
        await made.sync("contacts", "deals", "calls", "associations")
        assert await assert_links(made) == dict.fromkeys(truth(world, "calls"), (None, None, None, None))
        yield made


def call_to(number: str) -> dict[str, str]:
    return {
        "hs_timestamp": "2026-11-01T10:00:00.000Z",
        "hs_call_title": "Call",
        "hs_call_direction": "OUTBOUND",
        "hs_call_to_number": number,
        "hs_call_from_number": OURS,
    }


def contact(number: str | None, *, created: str = "2026-01-01T00:00:00Z", **more: str) -> dict[str, Any]:
    return {"email": f"{created}{number}@people.example", "phone": number, "createdate": created, **more}


def deal(number: str) -> dict[str, str]:
    return {
        "dealname": "D",
        "pipeline": "default",
        "dealstage": "qualifiedtobuy",
        "phone_number": number,
        "createdate": "2026-02-01T00:00:00Z",
    }


async def test_a_contact_who_comes_later_gets_the_calls_with_her_number_however_it_is_written(mirror: Mirror):
    mirror.world.create("contacts", contact("(646) 555-0123"))
    await mirror.pull("contacts")
    [(_, kind, candidates, _)] = (await assert_links(mirror)).values()
    assert (kind, candidates) == ("phone", 1)


async def test_of_several_contacts_with_a_number_the_oldest_gets_it_and_the_ambiguity_is_kept(mirror: Mirror):
    world = mirror.world
    world.create("contacts", contact(NUMBER, created="2026-03-01T00:00:00Z"))
    await mirror.pull("contacts")
    oldest = world.create("contacts", contact("646.555.0123", created="2025-03-01T00:00:00Z"))
    await mirror.pull("contacts")
    [(who, kind, candidates, _)] = (await assert_links(mirror)).values()
    assert (who, kind, candidates) == (str(oldest.id), "phone", 2)
    # The oldest changes her number, and then is archived: the other one has it again.
    world.update("contacts", oldest.id, {"phone": "+16465550999"})
    await mirror.pull("contacts")
    await assert_links(mirror)
    world.update("contacts", oldest.id, {"phone": NUMBER})
    await mirror.pull("contacts")
    await assert_links(mirror)
    world.archive("contacts", oldest.id)
    await mirror.pull("contacts")
    [(_, _, candidates, _)] = (await assert_links(mirror)).values()
    assert candidates == 1


async def test_a_deal_with_the_number_and_its_contact_stand_in_where_no_contact_has_it(mirror: Mirror):
    world = mirror.world
    person = world.create("contacts", contact(None))
    sale = world.create("deals", deal(NUMBER))
    world.associate("deals", sale.id, "contacts", person.id)
    await mirror.sync("contacts", "deals", "associations")
    [found] = (await assert_links(mirror)).values()
    assert found == (str(person.id), "deal_phone", None, str(sale.id))
    # Reading associations again does not take away what the number gave,
    before = await mirror.select("select version from crm.activities")
    await mirror.pull("associations")
    assert await mirror.select("select version from crm.activities") == before
    # another number of the deal does,
    world.update("deals", sale.id, {"phone_number": "+16465550777"})
    await mirror.pull("deals")
    [found] = (await assert_links(mirror)).values()
    assert found == (None, None, None, None)
    # and a contact who has the number is nearer than a deal that has it.
    world.update("deals", sale.id, {"phone_number": NUMBER})
    world.update("contacts", person.id, {"phone": NUMBER})
    await mirror.sync("deals", "contacts")
    [found] = (await assert_links(mirror)).values()
    assert found == (str(person.id), "phone", 1, None)


async def test_associations_win_over_numbers_and_numbers_stand_in_when_they_go(mirror: Mirror):
    world = mirror.world
    [call] = world.store("calls").living
    caller = world.create("contacts", contact(NUMBER))
    other = world.create("contacts", contact("+16465550456"))
    sale, right_sale = (
        world.create("deals", deal("+16465550888")),
        world.create("deals", deal("+16465550889")),
    )
    await mirror.sync("contacts", "deals")
    await assert_links(mirror)
    # When a colleague associates the call with somebody else, and with a deal
    world.associate("calls", call, "contacts", other.id)
    world.associate("calls", call, "deals", right_sale.id)
    await mirror.pull("associations")
    [found] = (await assert_links(mirror)).values()
    assert found == (str(other.id), "association", None, str(right_sale.id))
    # changes of numbers do not matter then
    world.update("contacts", other.id, {"phone": "+16465550457"})
    world.update("deals", sale.id, {"phone_number": NUMBER})
    await mirror.sync("contacts", "deals")
    await assert_links(mirror)
    # and when the contact's association goes, the number counts again.
    world.dissociate("calls", call, "contacts", other.id)
    await mirror.pull("associations")
    [found] = (await assert_links(mirror)).values()
    assert found == (str(caller.id), "phone", 1, str(right_sale.id))
    # An association that says what the number said is one all the same.
    world.associate("calls", call, "contacts", caller.id)
    await mirror.pull("associations")
    [found] = (await assert_links(mirror)).values()
    assert found[1] == "association"


async def test_a_real_deal_is_not_replaced_by_one_with_the_number(mirror: Mirror):
    world = mirror.world
    [call] = world.store("calls").living
    sale, real = world.create("deals", deal(NUMBER)), world.create("deals", deal("+16465550889"))
    await mirror.sync("deals")
    [found] = (await assert_links(mirror)).values()
    assert found == (None, "deal_phone", None, str(sale.id))
    world.associate("calls", call, "deals", real.id)
    await mirror.pull("associations")
    [found] = (await assert_links(mirror)).values()
    assert found == (None, None, None, str(real.id))


async def test_whoever_called_us_is_meant_by_an_inbound_call(mirror: Mirror):
    world = mirror.world
    world.create("contacts", contact(NUMBER))
    world.create("contacts", contact(OURS))
    world.create(
        "calls",
        call_to(OURS) | {"hs_call_direction": "INBOUND", "hs_call_from_number": "1-646-555-0123"},
    )
    await mirror.sync("contacts", "calls")
    await assert_links(mirror)


async def test_a_call_whose_number_goes_loses_the_contact_it_had_by_it(mirror: Mirror):
    world = mirror.world
    [call] = world.store("calls").living
    world.create("contacts", contact(NUMBER))
    await mirror.pull("contacts")
    await assert_links(mirror)
    world.update("calls", call, {"hs_call_to_number": None})
    await mirror.pull("calls")
    [found] = (await assert_links(mirror)).values()
    assert found == (None, None, None, None)


async def test_calls_of_a_run_that_was_cut_off_before_it_joined_them_are_joined_by_the_next(mirror: Mirror):
    world = mirror.world
    world.create("contacts", contact(NUMBER))
    stop = asyncio.Event()
    stop.set()
    # Given a run that ended right behind the commit of a contact
    with pytest.raises(RetryLater):
        await mirror.pull("contacts", stop=stop)
    assert await mirror.select("select from crm.contacts")
    # When the next one finds nothing new
    await mirror.execute("delete from sync.cursors where kind = 'absence'")
    run = await mirror.pull("contacts")
    assert run.records_created + run.records_updated == 0
    [(_, kind, _, _)] = (await assert_links(mirror)).values()
    assert kind == "phone"
