"""A file imported twice, or beside others who make the same: every row comes to one record, and says so."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk

from syncline.actions import batches, bulk, erase, importing, records
from syncline.actions.bulk import Selection
from syncline.actions.erase import Wanted, carry_out
from syncline.actions.hub import Hub
from syncline.actions.importing import ImportPlan
from syncline.domain.records import CONTACT
from syncline.errors import Invalid
from syncline.store import batch_rows, locked
from syncline.store.batch_rows import Row

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    return await make_desk(hub)


PEOPLE = "email,first_name\n" + "".join(f"p{n}@example.com,Ann{n}\n" for n in range(30))
DEALS = "name,amount\n" + "".join(f"Deal {n % 3},{n}\n" for n in range(30))


async def upload(desk: Desk, kind: str, text: str) -> ImportPlan:
    return await importing.upload_import(desk.hub, desk.manager, kind, text.encode())


async def count(desk: Desk, table: str) -> int:
    rows = await desk.rows.select(f"select count(*) as n from crm.{table} where archived_at is null")  # type: ignore[arg-type]
    return int(rows[0]["n"])


async def rows_of(desk: Desk, batch_id: UUID) -> dict[int, Row]:
    async with desk.hub.db.transaction(tenant_id=desk.hub.tenant_id) as conn:
        found = await batch_rows.list_rows(conn, batch_id, tenant_id=desk.hub.tenant_id, limit=1000)
    return {row.position: row for row in found}


@pytest.mark.parametrize(
    ("kind", "table", "text"), [("contact", "contacts", PEOPLE), ("deal", "deals", DEALS)]
)
async def test_a_file_planned_twice_and_imported_by_both_at_once_makes_each_record_once(
    desk: Desk, kind: str, table: str, text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "AT_ONCE", 4)
    plans = [await upload(desk, kind, text) for _ in range(3)]
    assert [each.counts for each in plans] == [{"create": 30}] * 3
    ended = await asyncio.gather(
        *(batches.apply_batch(desk.hub, desk.manager, each.batch.id) for each in plans for _ in range(2))
    )
    assert await count(desk, table) == 30
    assert {each.state for each in ended} == {"success"}
    totals = {each.id: (each.created + each.skipped, each.done) for each in ended}
    assert set(totals.values()) == {(30, 30)}
    assert sum({each.id: each.created for each in ended}.values()) == 30
    for each in plans:
        for row in (await rows_of(desk, each.batch.id)).values():
            assert row.record_id is not None
            assert (row.state, row.action) in {("done", "create"), ("skipped", "none")}
            assert row.reasons == (
                None if row.state == "done" else {"": "It was there by then, and is the same."}
            )
    # Planned now, nothing is new; taken back, everything is.
    assert (await upload(desk, kind, text)).counts == {"none": 30}
    for each in plans:
        if (await batches.read_batch(desk.hub, desk.manager, each.batch.id)).batch.created:
            undo = await batches.plan_undo_of(desk.hub, desk.manager, each.batch.id)
            await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert await count(desk, table) == 0
    assert (await upload(desk, kind, text)).counts == {"create": 30}


async def test_what_others_made_and_took_away_since_it_was_planned_is_told(desk: Desk):
    changed = await desk.rows.insert("contact", email="changed@example.com", first_name="Old")
    moved = await desk.rows.insert("contact", email="moved@example.com", first_name="Old")
    same = await desk.rows.insert("contact", email="same@example.com", first_name="Same")
    text = (
        "email,first_name\nmade@example.com,New\nequal@example.com,New\nchanged@example.com,New\n"
        "moved@example.com,New\nsame@example.com,Same\ntwice@example.com,New\n"
    )
    plan = await upload(desk, "contact", text)
    assert plan.counts == {"create": 3, "change": 2, "none": 1}
    made = await desk.rows.insert("contact", email="made@example.com", first_name="Theirs", job_title="Kept")
    await desk.rows.insert("contact", email="equal@example.com", first_name="New")
    for _ in range(2):
        await desk.rows.insert("contact", email="twice@example.com")
    await records.archive_record(desk.hub, desk.manager, "contact", same)
    await records.change_record(desk.hub, desk.manager, "contact", moved, {"email": "other@example.com"})
    ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert (ended.created, ended.changed, ended.skipped, ended.failed) == (0, 2, 3, 1)
    rows = await rows_of(desk, plan.batch.id)
    told = {line: (row.state, row.action, *(row.reasons or {}).values()) for line, row in rows.items()}
    assert told == {
        2: ("done", "change", "It was there by then, and was changed."),
        3: ("skipped", "none", "It was there by then, and is the same."),
        4: ("done", "change"),
        5: ("skipped", "change", "It was there when this was planned, and is not any more."),
        6: ("skipped", "none", "It was there when this was planned, and is not any more."),
        7: ("failed", "create", "Several contacts have it by now; name one by its id."),
    }
    row = await desk.rows.row("contact", made)
    assert (row["first_name"], row["job_title"]) == ("New", "Kept")
    assert (await desk.rows.row("contact", changed))["first_name"] == "New"
    assert (await desk.rows.row("contact", moved))["first_name"] == "Old"


async def test_nobody_makes_a_record_by_looking_first_while_an_import_does(desk: Desk):
    """A pull goes on beside other pulls of the one connection, and not beside an import."""
    await desk.rows.connect("main")
    tenant_id = desk.hub.tenant_id
    order: list[str] = []

    async def pull() -> None:
        async with desk.hub.db.transaction(tenant_id=tenant_id) as conn:
            await locked.lock_identities(conn, CONTACT, tenant_id=tenant_id)
            order.append("pull")

    async with desk.hub.db.transaction(tenant_id=tenant_id) as conn:
        await locked.lock_identities(conn, CONTACT, tenant_id=tenant_id)
        await pull()
    async with desk.hub.db.transaction(tenant_id=tenant_id) as conn:
        await locked.lock_identities(conn, CONTACT, tenant_id=tenant_id, alone=True)
        waiting = asyncio.create_task(pull())
        waits: list[dict[str, Any]] = []
        while not waits:
            waits = await desk.rows.select(
                "select 1 from pg_locks where locktype = 'advisory' and not granted and database ="
                " (select oid from pg_database where datname = current_database())"
            )
        order.append("import")
    await waiting
    assert order == ["pull", "import", "pull"]


async def erase_somebody(desk: Desk, email: str, phone: str | None = None) -> None:
    await desk.rows.insert("contact", email=email, phone=phone, phone_e164=phone)
    admin = desk.caller("admin", "admin@example.com")
    assert await carry_out(desk.hub, await erase.erase_person(desk.hub, admin, Wanted(email, email)))


async def test_an_edit_of_many_gives_nobody_the_address_or_the_number_of_who_was_erased(desk: Desk):
    await erase_somebody(desk, "gone@example.com", "+14155550142")
    known = await desk.rows.insert("contact", email="ada@example.com")
    nameless = await desk.rows.insert("contact", first_name="Nameless")
    for values, kept_out in (({"email": "gone@example.com"}, 2), ({"phone": "+1 415 555 0142"}, 1)):
        plan = await bulk.plan_bulk(
            desk.hub, desk.manager, "contact", Selection(ids=[known, nameless]), values=values
        )
        ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
        assert ended.failed == kept_out
        problems = (await batches.read_batch(desk.hub, desk.manager, plan.batch.id)).problems
        assert {name for each in problems for name in each.reasons or {}} == set(values)
    # Who has another address shares a line with them.
    assert (await desk.rows.row("contact", known))["phone_e164"] == "+14155550142"
    assert (await desk.rows.row("contact", nameless))["phone"] is None
    for given in ({"email": "gone@example.com"}, {"phone": "+1 415 555 0142"}):
        with pytest.raises(Invalid):
            await records.change_record(desk.hub, desk.manager, "contact", nameless, given)


async def test_an_import_gives_nobody_the_address_of_who_was_erased(desk: Desk):
    await erase_somebody(desk, "gone@example.com")
    known = await desk.rows.insert("contact", email="ada@example.com")
    text = f"id,email,first_name\n{known},gone@example.com,A\n,gone@example.com,B\n,new@example.com,C\n"
    plan = await upload(desk, "contact", text)
    ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    assert (ended.created, ended.failed) == (1, 2)
    assert (await desk.rows.row("contact", known))["email"] == "ada@example.com"
    assert await count(desk, "contacts") == 2


async def test_ten_thousand_rows_with_faults_of_every_kind_are_imported_but_for_those(desk: Desk):
    lines = ["email,first_name,lead_score,owner"]
    for n in range(10_000):
        email = f"p{n}@example.com" if n % 10 else f"no address {n}"
        score = "much" if n % 7 == 0 else "12"
        lines.append(f"{email},{'' if n % 3 else 'Ann'},{score},{'' if n % 11 else 'nobody@example.com'}")
    wrong = sum(n % 10 == 0 or n % 7 == 0 or n % 11 == 0 for n in range(10_000))
    for name in ("people.csv", "a\x00b\ud800.csv"):
        plan = await importing.upload_import(
            desk.hub, desk.manager, "contact", "\n".join(lines).encode(), file_name=name
        )
        assert plan.counts["invalid"] == wrong
        ended = await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
        assert (ended.state, ended.failed, ended.done) == ("partial", wrong, 10_000)
        assert await count(desk, "contacts") == 10_000 - wrong


async def test_what_was_filled_in_since_an_import_spares_the_record(desk: Desk):
    text = "email,first_name\n" + "".join(f"{name}@example.com,{name}\n" for name in ("a", "b", "c", "d"))
    plan = await upload(desk, "contact", text)
    await batches.apply_batch(desk.hub, desk.manager, plan.batch.id)
    found = await desk.rows.select("select id, first_name from crm.contacts")
    ids = {row["first_name"]: row["id"] for row in found}
    change = records.change_record
    await change(desk.hub, desk.manager, "contact", ids["a"], {"job_title": "Filled in"})
    await change(desk.hub, desk.manager, "contact", ids["b"], {"custom_fields": {"tier": "gold"}})
    await change(desk.hub, desk.manager, "contact", ids["c"], {"job_title": "Filled in"})
    await change(desk.hub, desk.manager, "contact", ids["c"], {"job_title": None})
    undo = await batches.plan_undo_of(desk.hub, desk.manager, plan.batch.id)
    ended = await batches.apply_batch(desk.hub, desk.manager, undo.id)
    assert (ended.changed, ended.skipped, ended.state) == (2, 2, "partial")
    view = await batches.read_batch(desk.hub, desk.manager, undo.id)
    reasons = {each.record_id: (each.reasons or {})[""] for each in view.problems}
    assert reasons == {
        ids["a"]: "Somebody has changed it since: job_title.",
        ids["b"]: "Somebody has changed it since: custom_fields.tier.",
    }
    assert await count(desk, "contacts") == 2
