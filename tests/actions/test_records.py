"""One record by somebody who may: read, made, changed, archived; and as absent as none to whoever may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk

from syncline.actions import records
from syncline.actions.hub import Hub
from syncline.clock import new_id
from syncline.errors import Forbidden, Invalid, NotFound, Stale

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    return await make_desk(hub)


async def test_a_record_is_made_read_and_logged_under_the_callers_name(desk: Desk):
    made = await records.create_record(
        desk.hub,
        desk.manager,
        "contact",
        {
            "email": "ada@example.com",
            "first_name": "Ada",
            "phone": "(415) 555-0142",
            "custom_fields": {"tier": 2},
        },
    )
    found = await records.read_record(desk.hub, desk.rep, "contact", made.id)
    assert found.values["email"] == "ada@example.com"
    assert found.values["phone_e164"] == "+14155550142"
    assert found.values["custom_fields"] == {"tier": 2}
    assert (found.version, found.label) == (1, "Ada")
    [entry] = await desk.rows.log(made.id)
    assert (entry["action"], entry["source"], entry["actor"]) == ("created", "api", "manager@example.com")
    assert entry["changes"]["custom_fields.tier"] == [None, 2]
    assert "sort_name" not in entry["changes"]


async def test_a_change_is_queued_for_every_crm_that_may_have_it(desk: Desk):
    main = await desk.rows.connect()
    await desk.rows.allow(main, "")
    record = await desk.rows.insert("contact", first_name="Ada")
    await desk.rows.link(main, "contact", record, "1", {"first_name": "Ada"})
    await records.change_record(desk.hub, desk.manager, "contact", record, {"first_name": "Eve"}, version=1)
    assert await desk.rows.queue() == [("main", "pending", ["first_name"], 1)]


async def test_what_is_already_so_changes_nothing(desk: Desk):
    record = await desk.rows.insert("deal", name="Oven", amount=Decimal("10.50"))
    changed = await records.change_record(
        desk.hub, desk.manager, "deal", record, {"amount": "10.5", "name": "Oven"}
    )
    assert changed.version == 1
    assert await desk.rows.log(record) == []


async def test_of_two_writers_who_read_the_same_version_one_is_told_that_it_is_stale(desk: Desk):
    record = await desk.rows.insert("contact", first_name="Ada")

    async def write(name: str) -> str:
        try:
            await records.change_record(
                desk.hub, desk.manager, "contact", record, {"first_name": name}, version=1
            )
        except Stale:
            return "stale"
        return "done"

    assert sorted(await asyncio.gather(write("Bea"), write("Cleo"))) == ["done", "stale"]
    assert len(await desk.rows.log(record)) == 1


async def test_every_field_at_fault_is_named_at_once_and_nothing_is_written(desk: Desk):
    record = await desk.rows.insert("deal", name="Oven")
    with pytest.raises(Invalid) as caught:
        await records.change_record(
            desk.hub,
            desk.manager,
            "deal",
            record,
            {
                "amount": "much",
                "probability": 101,
                "expected_close_date": "soon",
                "closed_at": "2026-01-01T00:00:00",
                "owner_id": str(new_id()),
                "status": "won",
                "colour": "red",
                "currency": "dollars",
            },
        )
    assert set(caught.value.fields) == {
        *("amount", "probability", "expected_close_date", "closed_at", "status", "colour", "currency"),
    }
    with pytest.raises(Invalid) as caught:
        await records.change_record(desk.hub, desk.manager, "deal", record, {"owner_id": str(new_id())})
    assert set(caught.value.fields) == {"owner_id"}
    assert await desk.rows.log(record) == []


@pytest.mark.parametrize(
    "value", ["a\x00b", "\ud800", "x" * 2000, float("nan"), float("inf"), True, [], {}, 10**40]
)
async def test_a_value_that_cannot_be_stored_is_told_and_never_breaks_anything(desk: Desk, value: Any):
    for name in ("email", "amount", "owner_id", "closed_at"):
        kind = "contact" if name == "email" else "deal"
        given: dict[str, Any] = {name: value} if kind == "contact" else {"name": "x", name: value}
        with pytest.raises(Invalid) as caught:
            await records.create_record(desk.hub, desk.manager, kind, given)
        assert set(caught.value.fields) == {name}


async def test_what_must_be_there_is_asked_for_and_cannot_be_emptied(desk: Desk):
    with pytest.raises(Invalid) as caught:
        await records.create_record(desk.hub, desk.manager, "deal", {"amount": 5})
    assert set(caught.value.fields) == {"name"}
    record = await desk.rows.insert("deal", name="Oven")
    with pytest.raises(Invalid):
        await records.change_record(desk.hub, desk.manager, "deal", record, {"name": " "})


async def test_custom_fields_change_one_by_one(desk: Desk):
    made = await records.create_record(
        desk.hub, desk.manager, "contact", {"email": "a@example.com", "custom_fields": {"a": 1, "b": "x"}}
    )
    changed = await records.change_record(
        desk.hub, desk.manager, "contact", made.id, {"custom_fields": {"b": None, "c": True}}
    )
    assert {key: value for key, value in changed.values["custom_fields"].items() if value is not None} == {
        "a": 1,
        "c": True,
    }
    with pytest.raises(Invalid) as caught:
        await records.change_record(
            desk.hub, desk.manager, "contact", made.id, {"custom_fields": {"bad/key": 1, "list": [1]}}
        )
    assert set(caught.value.fields) == {"custom_fields.bad/key", "custom_fields.list"}


async def test_an_archived_record_can_be_restored_and_not_changed_meanwhile(desk: Desk):
    record = await desk.rows.insert("company", name="Northwind")
    archived = await records.archive_record(desk.hub, desk.manager, "company", record)
    assert archived.values["archived_at"] is not None
    again = await records.archive_record(desk.hub, desk.manager, "company", record)
    assert again.version == archived.version
    with pytest.raises(Invalid):
        await records.change_record(desk.hub, desk.manager, "company", record, {"name": "South"})
    restored = await records.restore_record(desk.hub, desk.manager, "company", record, version=again.version)
    assert restored.values["archived_at"] is None
    assert [entry["action"] for entry in await desk.rows.log(record)] == ["archived", "restored"]


Do = Callable[[Desk, UUID], Awaitable[Any]]
EVERYTHING: dict[str, Do] = {
    "read": lambda desk, each: records.read_record(desk.hub, desk.rep, "deal", each),
    "change": lambda desk, each: records.change_record(desk.hub, desk.rep, "deal", each, {"name": "x"}),
    "archive": lambda desk, each: records.archive_record(desk.hub, desk.rep, "deal", each),
    "restore": lambda desk, each: records.restore_record(desk.hub, desk.rep, "deal", each),
    "stage": lambda desk, each: records.set_stage(desk.hub, desk.rep, each, "won"),
}


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_record_of_another_rep_is_as_absent_as_none(desk: Desk, what: str):
    theirs = await desk.rows.insert("deal", name="Secret", owner_id=desk.theirs)
    for each in (theirs, new_id()):
        with pytest.raises(NotFound) as caught:
            await EVERYTHING[what](desk, each)
        assert str(caught.value) == "There is no deal with that id."
    assert await desk.rows.log(theirs) == []


async def test_a_rep_keeps_own_and_unassigned_records_and_cannot_give_them_away(desk: Desk):
    own = await desk.rows.insert("deal", name="Own", owner_id=desk.mine)
    free = await desk.rows.insert("deal", name="Free")
    for each in (own, free):
        await records.change_record(desk.hub, desk.rep, "deal", each, {"amount": 5})
    await records.change_record(desk.hub, desk.rep, "deal", free, {"owner_id": str(desk.mine)})
    with pytest.raises(Invalid) as caught:
        await records.change_record(desk.hub, desk.rep, "deal", own, {"owner_id": str(desk.theirs)})
    assert set(caught.value.fields) == {"owner_id"}
    made = await records.create_record(desk.hub, desk.rep, "deal", {"name": "New"})
    assert made.values["owner_id"] == str(desk.mine)
    assert made.references["owner_id"].label == "Rae Rep"


async def test_a_reference_to_what_a_rep_may_not_see_has_no_name_and_cannot_be_made(desk: Desk):
    company = await desk.rows.insert("company", name="Secret", owner_id=desk.theirs)
    contact = await desk.rows.insert("contact", first_name="Ada", company_id=company)
    seen = await records.read_record(desk.hub, desk.rep, "contact", contact)
    assert seen.references["company_id"].label is None
    assert (await records.read_record(desk.hub, desk.manager, "contact", contact)).references[
        "company_id"
    ].label == "Secret"
    with pytest.raises(Invalid):
        await records.create_record(desk.hub, desk.rep, "contact", {"company_id": str(company)})


async def test_owners_are_seen_and_not_written(desk: Desk):
    assert (await records.read_record(desk.hub, desk.rep, "owner", desk.theirs)).label == "Otto Other"
    with pytest.raises(Forbidden):
        await records.change_record(desk.hub, desk.manager, "owner", desk.theirs, {"first_name": "x"})


async def test_a_deals_stage_brings_status_close_date_and_probability(desk: Desk):
    ids = await desk.place("default", "lead", "qualified", "+won", "-lost")
    deal = await desk.rows.insert("deal", name="Oven")
    moved = await records.set_stage(desk.hub, desk.rep, deal, "Qualified")
    assert (moved.values["stage"], moved.values["stage_id"]) == ("qualified", str(ids["qualified"]))
    assert (moved.values["pipeline"], moved.values["status"], moved.values["probability"]) == (
        "default",
        "open",
        10,
    )
    won = await records.set_stage(desk.hub, desk.rep, deal, str(ids["won"]))
    assert (won.values["status"], won.values["probability"]) == ("won", 100)
    assert won.values["closed_at"] is not None
    back = await records.change_record(desk.hub, desk.rep, "deal", deal, {"stage": "lead"})
    assert (back.values["status"], back.values["closed_at"]) == ("open", None)
    with pytest.raises(Invalid) as caught:
        await records.set_stage(desk.hub, desk.rep, deal, "nowhere")
    assert "lead" in caught.value.fields["stage"]


async def test_of_a_stage_that_several_pipelines_have_the_deals_own_is_meant(desk: Desk):
    await desk.place("sales", "lead", connection=await desk.rows.connect("one"))
    renewals = await desk.place("renewals", "lead", connection=await desk.rows.connect("two"))
    deal = await desk.rows.insert("deal", name="Oven")
    with pytest.raises(Invalid) as caught:
        await records.set_stage(desk.hub, desk.rep, deal, "lead")
    assert "renewals" in caught.value.fields["pipeline"]
    moved = await records.set_stage(desk.hub, desk.rep, deal, "lead", pipeline="Renewals")
    assert moved.values["pipeline_id"] == str(renewals[""])
    again = await records.set_stage(desk.hub, desk.rep, deal, "lead")
    assert again.version == moved.version
