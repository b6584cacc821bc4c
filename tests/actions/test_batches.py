"""Many records at once: an edit or an import is shown first, done in parts, and taken back as a whole."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk

from syncline.actions import batches, bulk, exporting, importing, record_pages, records
from syncline.actions.bulk import Selection
from syncline.actions.hub import Hub
from syncline.actions.record_pages import Wanted
from syncline.clock import new_id
from syncline.domain.filters import make_filter
from syncline.domain.record_fields import RECORD_FIELDS
from syncline.domain.tables import Manner
from syncline.errors import Forbidden, Invalid, NotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    return await make_desk(hub)


async def make_contacts(desk: Desk, count: int, **values: Any) -> list[UUID]:
    return [await desk.rows.insert("contact", first_name=f"C{n:04}", **values) for n in range(count)]


async def count(desk: Desk, where: str) -> int:
    rows = await desk.rows.select(f"select count(*) as n from crm.contacts where {where}")  # type: ignore[arg-type]
    return int(rows[0]["n"])


async def test_an_edit_is_shown_before_it_is_done_and_done_to_what_was_shown(desk: Desk):
    made = await make_contacts(desk, 5, lifecycle_stage="lead")
    wanted = Wanted((make_filter(RECORD_FIELDS["contact"], "lifecycle_stage", "eq", ["lead"]),))
    plan = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(wanted=wanted), values={"lifecycle_stage": "customer"}
    )
    assert (plan.batch.state, plan.batch.rows) == ("planned", 5)
    assert {each.changes["lifecycle_stage"] for each in plan.samples} == {("lead", "customer")}
    assert await count(desk, "lifecycle_stage = 'customer'") == 0
    late = await desk.rows.insert("contact", lifecycle_stage="lead")
    seen: list[tuple[int, int]] = []
    ended = await batches.apply_batch(
        desk.hub, desk.manager, plan.batch.id, watch=lambda done, total: seen.append((done, total))
    )
    assert (ended.state, ended.changed, ended.done) == ("success", 5, 5)
    assert seen[-1] == (5, 5)
    assert (await desk.rows.row("contact", late))["lifecycle_stage"] == "lead"
    for each in made:
        [entry] = await desk.rows.log(each)
        assert (entry["actor"], entry["source"]) == ("manager@example.com", "api")
    [run] = await desk.rows.select("select distinct run_id from crm.change_log where action = 'updated'")
    assert run["run_id"] == plan.batch.id


async def test_what_an_edit_will_cost_at_a_crm_and_what_a_brake_will_say_is_shown(desk: Desk):
    main = await desk.rows.connect("main")
    await desk.rows.allow(main, "lifecycle_stage")
    made = await make_contacts(desk, 120)
    for n, each in enumerate(made):
        await desk.rows.link(main, "contact", each, str(n), {})
    plan = await bulk.plan_bulk(
        desk.hub,
        desk.manager,
        "contact",
        Selection(ids=made),
        values={"lifecycle_stage": "x", "job_title": "y"},
    )
    [cost] = plan.costs
    assert (cost.connection, cost.object, cost.records, cost.calls) == ("main", "contacts", 120, 4)
    assert cost.brake is not None
    assert "120 of 120" in cost.brake
    assert cost.stop is not None
    free = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(ids=made), values={"job_title": "y"}
    )
    assert free.costs == []
    await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert len(await desk.rows.queue()) == 120


async def test_an_edit_is_taken_back_as_a_whole_but_for_what_somebody_changed_since(desk: Desk):
    made = await make_contacts(desk, 4, phone="(415) 555-0100", phone_e164="+14155550100", job_title="Cook")
    plan = await bulk.plan_bulk(
        desk.hub,
        desk.manager,
        "contact",
        Selection(ids=made),
        values={"phone": "(415) 555-0142", "job_title": "Baker", "custom_fields": {"tier": 1}},
    )
    await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert await count(desk, "phone_e164 = '+14155550142' and custom_fields ->> 'tier' = '1'") == 4
    await records.change_record(desk.hub, desk.manager, "contact", made[0], {"job_title": "Chef"})
    undo = await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    assert (undo.kind, undo.rows) == ("undo", 4)
    ended = await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert (ended.changed, ended.failed) == (4, 0)
    assert await count(desk, "phone_e164 = '+14155550100' and custom_fields ->> 'tier' is null") == 4
    assert await count(desk, "job_title = 'Cook'") == 3
    assert (await desk.rows.row("contact", made[0]))["job_title"] == "Chef"
    with pytest.raises(Invalid):
        await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    assert (await batches.read_batch(desk.hub, desk.manager, plan.batch.id)).undone_by == undo.id


async def test_archiving_many_is_a_batch_and_comes_back(desk: Desk):
    made = await make_contacts(desk, 3)
    plan = await bulk.plan_bulk(desk.hub, desk.manager, "contact", Selection(ids=made), doing="archive")
    await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert await count(desk, "archived_at is not null") == 3
    back = await bulk.plan_bulk(desk.hub, desk.manager, "contact", Selection(), doing="restore")
    await batches.apply_batch(desk.hub, desk.manager, back.batch.id)
    assert await count(desk, "archived_at is not null") == 0


async def test_an_edit_goes_on_where_it_was_and_two_who_go_on_take_turns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    made = await make_contacts(desk, 20)
    plan = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(ids=made), values={"job_title": "x"}
    )
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)

    class Killed(Exception):
        """The process that did it is no more."""

    def kill(done: int, total: int) -> None:
        if done >= 6:
            raise Killed

    with pytest.raises(Killed):
        await batches.go_on(desk.hub, desk.manager, plan.batch.id, watch=kill)
    ended = await asyncio.gather(*(batches.go_on(desk.hub, desk.manager, plan.batch.id) for _ in range(3)))
    assert {(each.state, each.changed, each.done) for each in ended} == {("success", 20, 20)}
    assert await count(desk, "job_title = 'x' and version = 2") == 20


async def test_a_cancelled_batch_keeps_what_it_did_which_can_be_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    made = await make_contacts(desk, 6)
    plan = await bulk.plan_bulk(
        desk.hub, desk.manager, "contact", Selection(ids=made), values={"job_title": "x"}
    )
    await batches.begin_batch(desk.hub, desk.manager, plan.batch.id)

    def stop(done: int, total: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await batches.go_on(desk.hub, desk.manager, plan.batch.id, watch=stop)
    assert (await batches.cancel_batch(desk.hub, desk.manager, plan.batch.id)).state == "cancelled"
    assert (await batches.go_on(desk.hub, desk.manager, plan.batch.id)).done == 2
    undo = await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert await count(desk, "job_title = 'x'") == 0


async def test_many_records_are_a_managers_matter(desk: Desk):
    made = await make_contacts(desk, 1)
    with pytest.raises(Forbidden):
        await bulk.plan_bulk(desk.hub, desk.rep, "contact", Selection(ids=made), values={"job_title": "x"})
    with pytest.raises(Forbidden):
        await importing.upload_import(desk.hub, desk.rep, "contact", b"email\nada@example.com\n")
    for read in (batches.read_batch, batches.begin_batch, batches.cancel_batch, importing.read_import):
        with pytest.raises(Forbidden):
            await read(desk.hub, desk.rep, new_id())
        with pytest.raises(NotFound):
            await read(desk.hub, desk.manager, new_id())


async def test_an_edit_that_makes_no_sense_is_refused_with_its_field(desk: Desk):
    made = await make_contacts(desk, 1)
    for values in ({}, {"nothing": 1}, {"email": "x"}, {"owner_id": str(new_id())}):
        with pytest.raises(Invalid) as caught:
            await bulk.plan_bulk(desk.hub, desk.manager, "contact", Selection(ids=made), values=values)
        assert len(caught.value.fields) == 1
    with pytest.raises(Invalid):
        await bulk.plan_bulk(
            desk.hub, desk.manager, "contact", Selection(ids=[new_id()]), values={"job_title": "x"}
        )


FILE = """\
Email Address;First name;Owner;Company;Lead score;Tier;Note
ada@example.com;Ada;rep@example.com;northwind.example;12;gold;new
BOB@example.com;Bobby;;;1.234,50;;changed
cleo@example.com;Cleo;;;;;the same
dan@example;Dan;;;;;no address
eve@example.com;Eve;nobody@example.com;;much;;two faults
ada@example.com;Ada again;;;;;twice
;Nobody;;;;;without an address
"""


async def test_an_import_says_of_each_row_what_it_would_do(desk: Desk):
    company = await desk.rows.insert("company", name="Northwind", domain="northwind.example")
    bob = await desk.rows.insert("contact", email="bob@example.com", first_name="Bob")
    await desk.rows.insert("contact", email="cleo@example.com", first_name="Cleo")
    plan = await importing.upload_import(
        desk.hub, desk.manager, "contact", FILE.encode(), file_name="people.csv"
    )
    assert {each.name: each.field for each in plan.columns} == {
        "Email Address": "email",
        "First name": "first_name",
        "Owner": "owner_id",
        "Company": "company_id",
        "Lead score": "lead_score",
        "Tier": None,
        "Note": None,
    }
    assert plan.counts == {"create": 2, "change": 1, "none": 1, "invalid": 3}
    wrong = {row.position: set(row.reasons or {}) for row in plan.rows if row.action == "invalid"}
    assert wrong == {5: {"email"}, 6: {"owner_id", "lead_score"}, 7: {"email"}}
    mapped = {each.name: each.field for each in plan.columns} | {"Tier": "custom_fields.tier"}
    plan = await importing.map_import(desk.hub, desk.manager, plan.batch.id, mapped)
    ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert (ended.created, ended.changed, ended.skipped, ended.failed) == (2, 1, 1, 3)
    assert ended.state == "partial"
    [ada] = await desk.rows.select("select * from crm.contacts where email = 'ada@example.com'")
    assert (ada["owner_id"], ada["company_id"], ada["custom_fields"]) == (
        desk.mine,
        company,
        {"tier": "gold"},
    )
    row = await desk.rows.row("contact", bob)
    assert (row["first_name"], str(row["lead_score"]), row["email"]) == (
        "Bobby",
        "1234.50",
        "BOB@example.com",
    )
    view = await batches.read_batch(desk.hub, desk.manager, plan.batch.id)
    assert [each.position for each in view.problems] == [4, 5, 6, 7]
    [left] = await desk.rows.select('select count(*) as n from app.batch_rows where "values" is not null')
    assert left["n"] == 0
    undo = await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert await count(desk, "archived_at is null") == 2
    assert (await desk.rows.row("contact", bob))["first_name"] == "Bob"


async def test_a_thousand_rows_are_imported_and_taken_back_without_what_was_edited_since(desk: Desk):
    known = [
        await desk.rows.insert("contact", email=f"p{n}@example.com", first_name="Old") for n in range(100)
    ]
    lines = ["email,first_name,phone", *(f"p{n}@example.com,N{n},(415) 555-{n:04}" for n in range(1000))]
    plan = await importing.upload_import(desk.hub, desk.manager, "contact", "\n".join(lines).encode())
    assert plan.counts == {"create": 900, "change": 100}
    ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert (ended.state, ended.created, ended.changed) == ("success", 900, 100)
    assert await count(desk, "phone_e164 like '+1415555%%'") == 1000
    [edited] = await desk.rows.select("select id from crm.contacts where email = 'p500@example.com'")
    await records.change_record(desk.hub, desk.manager, "contact", edited["id"], {"job_title": "Kept"})
    await records.change_record(desk.hub, desk.manager, "contact", edited["id"], {"first_name": "Kept"})
    undo = await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    ended = await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert (ended.state, ended.changed, ended.skipped) == ("partial", 999, 1)
    assert await count(desk, "archived_at is null") == 101
    assert await count(desk, "first_name = 'Old' and phone is null and phone_e164 is null") == 100
    page = await record_pages.list_records(desk.hub, desk.manager, "contact", limit=200)
    assert {each.id for each in page.records} == {*known, edited["id"]}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\n\n", b"email\n", b"a,a\n1,2\n", b"\x00\x01\x02", b"email\n\x00\n"),
        ",".join(str(n) for n in range(300)).encode() + b"\n1\n",
    ],
)
async def test_what_is_no_table_is_refused(desk: Desk, data: bytes):
    with pytest.raises(Invalid) as caught:
        await importing.upload_import(desk.hub, desk.manager, "contact", data)
    assert set(caught.value.fields) == {"file"}


async def test_files_of_other_encodings_and_delimiters_are_read(desk: Desk):
    text = "E-mail\tVorname\tLast name\nzoe@example.com\tZoë\tMüller, geb. Öl\n"
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        plan = await importing.upload_import(desk.hub, desk.manager, "contact", text.encode(encoding))
        [row] = plan.rows
        assert (row.values or {})["values"] == {"email": "zoe@example.com", "last_name": "Müller, geb. Öl"}
        mapped = {"E-mail": "email", "Vorname": "first_name"}
        plan = await importing.map_import(desk.hub, desk.manager, plan.batch.id, mapped)
        assert (plan.rows[0].values or {})["values"] == {"email": "zoe@example.com", "first_name": "Zoë"}


async def test_dates_and_times_are_read_as_they_were_meant(desk: Desk):
    data = b"name,close date,closed_at\nOven,31/12/2026,2026-11-02 09:30\n"
    plan = await importing.upload_import(desk.hub, desk.manager, "deal", data)
    assert set(plan.rows[0].reasons or {}) == {"expected_close_date"}
    mapped = {each.name: each.field for each in plan.columns}
    manner = Manner("Europe/Berlin", "dmy")
    plan = await importing.map_import(desk.hub, desk.manager, plan.batch.id, mapped, manner=manner)
    assert (plan.rows[0].values or {})["values"] == {
        "name": "Oven",
        "expected_close_date": "2026-12-31",
        "closed_at": "2026-11-02T08:30:00+00:00",
    }
    for wrong in ({"nothing": "name"}, {"name": "nothing"}, {"name": "name", "close date": "name"}, {}):
        with pytest.raises(Invalid):
            await importing.map_import(desk.hub, desk.manager, plan.batch.id, wrong)
    with pytest.raises(Invalid):
        await importing.map_import(desk.hub, desk.manager, plan.batch.id, mapped, manner=Manner("Mars/One"))


async def read_csv(desk: Desk, kind: str, wanted: Wanted | None = None, **options: Any) -> str:
    caller = options.pop("caller", desk.manager)
    parts = await exporting.export_csv(desk.hub, caller, kind, wanted, **options)
    return b"".join([part async for part in parts]).decode()


async def test_an_export_is_what_the_list_shows_and_no_formula(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exporting, "_AT_ONCE", 2)
    for name in ("=cmd|' /C calc'!A0", "+1 415 555 0142", "-3", "@SUM(A1)", 'say "hi", ok'):
        await desk.rows.insert("deal", name=name, owner_id=desk.mine)
    await desk.rows.insert("deal", name="theirs", owner_id=desk.theirs)
    text = await read_csv(desk, "deal", Wanted(sort="name"), columns=["id", "name", "owner_id"], bom=True)
    assert text.startswith("\ufeffid,name,owner_id,owner_name\r\n")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [each["name"] for each in lines] == [
        "+1 415 555 0142",
        "-3",
        "'=cmd|' /C calc'!A0",
        "'@SUM(A1)",
        'say "hi", ok',
        "theirs",
    ]
    assert lines[0]["owner_name"] == "Rae Rep"
    own = await read_csv(desk, "deal", caller=desk.rep, columns=["name"])
    assert "theirs" not in own
    assert len(own.splitlines()) == 6
    with pytest.raises(Invalid):
        await read_csv(desk, "deal", columns=["password"])


async def test_an_export_imported_again_changes_nothing(desk: Desk):
    await desk.rows.insert(
        "company", name="=Equals", domain="a.example", annual_revenue="12.5", owner_id=desk.mine
    )
    await desk.rows.insert("company", name="Plain\nname", domain="b.example", description="x" * 5000)
    text = await read_csv(desk, "company")
    plan = await importing.upload_import(desk.hub, desk.manager, "company", text.encode())
    assert plan.counts == {"none": 2}
