"""What was planned with values of a person who is erased meanwhile is not done any more."""

from __future__ import annotations

import pytest
from record_rows import make_desk

from syncline.actions import batches, bulk, importing, records
from syncline.actions.bulk import Selection
from syncline.actions.erase import Wanted, carry_out, erase_person
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.subject import Subject
from syncline.errors import Invalid, RetryLater
from syncline.store import sweeping
from syncline.store.personal import PLACES, values_of

pytestmark = pytest.mark.anyio

EMAIL = "petra@people.example"


async def test_an_import_that_waits_makes_nobody_who_was_erased(hub: Hub) -> None:
    desk = await make_desk(hub)
    boss = desk.caller("admin", "anna@example.com")
    table = f"Email,First name\n{EMAIL},Petra\nother@people.example,Otto\n".encode()
    plan = await importing.upload_import(hub, boss, "contact", table, file_name="people.csv")
    await desk.rows.insert("contact", email=EMAIL.title(), first_name="Petra")
    erasure_id = await erase_person(hub, boss, Wanted(EMAIL, EMAIL, only_here=True))
    assert await carry_out(hub, erasure_id)
    ended = await batches.apply_batch(hub, boss, plan.batch.id)
    assert (ended.state, ended.created, ended.failed) == ("partial", 1, 1)
    made = await desk.rows.select("select first_name, email from crm.contacts")
    assert made == [{"first_name": "Otto", "email": "other@people.example"}]
    [problem] = (await batches.read_batch(hub, boss, plan.batch.id)).problems
    assert problem.reasons == {"": "It held somebody who was erased."}


async def test_a_batch_that_is_taken_back_writes_nothing_to_who_is_to_be_erased(hub: Hub) -> None:
    desk = await make_desk(hub)
    boss = desk.caller("admin", "anna@example.com")
    petra = await desk.rows.insert("contact", email=EMAIL, job_title="Cook")
    otto = await desk.rows.insert("contact", email="other@people.example", job_title="Cook")
    plan = await bulk.plan_bulk(
        hub, boss, "contact", Selection(ids=[petra, otto]), values={"job_title": "Baker"}
    )
    await batches.apply_batch(hub, boss, plan.batch.id)
    await erase_person(hub, boss, Wanted(EMAIL, EMAIL, only_here=True))
    undo = await batches.plan_undo_of(hub, boss, plan.batch.id)
    await batches.apply_batch(hub, boss, undo.id)
    assert (await desk.rows.row("contact", petra))["job_title"] == "Baker"
    assert (await desk.rows.row("contact", otto))["job_title"] == "Cook"
    [problem] = (await batches.read_batch(hub, boss, undo.id)).problems
    assert problem.reasons == {"": "It held somebody who was erased."}


async def test_nobody_writes_anything_more_about_who_is_to_be_erased(hub: Hub) -> None:
    desk = await make_desk(hub)
    boss = desk.caller("admin", "anna@example.com")
    petra = await desk.rows.insert("contact", email=EMAIL)
    deal = await desk.rows.insert("deal", name="Big", status="open")
    erasure_id = await erase_person(hub, boss, Wanted(EMAIL, EMAIL, only_here=True))
    note = {"type": "note", "body": "Rang her.", "contact_id": str(petra)}
    with pytest.raises(Invalid, match="erased") as refusal:
        await records.create_record(hub, desk.manager, "activity", note)
    assert list(refusal.value.fields) == ["contact_id"]
    with pytest.raises(Invalid, match="erased"):
        await records.change_record(hub, desk.manager, "deal", deal, {"contact_id": str(petra)})
    assert await carry_out(hub, erasure_id)


async def test_what_is_written_about_a_person_while_they_are_removed_has_that_begun_again(hub: Hub) -> None:
    desk = await make_desk(hub)
    petra = await desk.rows.insert("contact", email=EMAIL)
    await desk.rows.insert("activity", type="note", contact_id=petra)
    place = next(each for each in PLACES if each.name == "crm.contacts")
    values = values_of(Subject(contact_ids=[petra], emails=[EMAIL]))
    with pytest.raises(RetryLater, match="just written down"):
        async with hub.db.transaction(tenant_id=hub.tenant_id, bulk=True) as conn:
            await sweeping.remove_own(conn, place, values, tenant_id=hub.tenant_id, now=now())
