"""What happened around a record, who changed what, taking one change back, and what belongs to what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from record_rows import Desk, make_desk

from syncline.actions import associations, dashboard, records, remote_versions, saved_views, timeline
from syncline.actions.hub import Hub
from syncline.actions.saved_views import ViewGiven
from syncline.clock import new_id
from syncline.errors import Forbidden, Invalid, NotFound

pytestmark = pytest.mark.anyio
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def desk(hub: Hub) -> Desk:
    return await make_desk(hub)


async def test_everything_that_happened_is_in_one_order_however_it_is_paged(desk: Desk):
    deal = (await records.create_record(desk.hub, desk.manager, "deal", {"name": "Oven"})).id
    for n in range(4):
        await desk.rows.insert(
            "activity", type="call", subject=f"call {n}", deal_id=deal, occurred_at=START + timedelta(days=n)
        )
        await desk.rows.insert("task", subject=f"task {n}", deal_id=deal, due_at=START + timedelta(days=n))
        await records.change_record(desk.hub, desk.manager, "deal", deal, {"amount": n})
    whole = await timeline.read_timeline(desk.hub, desk.manager, "deal", deal, limit=200)
    assert whole.after is None
    kinds = [each.kind for each in whole.items]
    assert (kinds.count("activity"), kinds.count("task"), kinds.count("change")) == (4, 4, 5)
    assert [each.at for each in whole.items] == sorted((each.at for each in whole.items), reverse=True)
    seen: list[UUID] = []
    after: str | None = None
    while True:
        page = await timeline.read_timeline(desk.hub, desk.manager, "deal", deal, limit=3, after=after)
        seen += [each.id for each in page.items]
        after = page.after
        if after is None:
            break
    assert seen == [each.id for each in whole.items]
    only = await timeline.read_timeline(desk.hub, desk.manager, "deal", deal, kinds=["task"])
    assert {each.kind for each in only.items} == {"task"}
    with pytest.raises(Invalid):
        await timeline.read_timeline(desk.hub, desk.manager, "deal", deal, after="yesterday")


async def test_a_rep_sees_nothing_of_what_others_did_on_a_record_of_theirs(desk: Desk):
    deal = await desk.rows.insert("deal", name="Oven", owner_id=desk.mine)
    await desk.rows.insert(
        "activity", type="note", subject="secret", deal_id=deal, owner_id=desk.theirs, occurred_at=START
    )
    await desk.rows.insert("task", subject="secret", deal_id=deal, owner_id=desk.theirs, due_at=START)
    await desk.rows.insert("activity", type="note", subject="free", deal_id=deal, occurred_at=START)
    seen = await timeline.read_timeline(desk.hub, desk.rep, "deal", deal)
    assert [each.detail["subject"] for each in seen.items] == ["free"]
    assert len((await timeline.read_timeline(desk.hub, desk.manager, "deal", deal)).items) == 3
    told = await associations.list_associations(desk.hub, desk.rep, "deal", deal)
    assert [each.label for each in told.items] == ["free"]


async def test_the_history_tells_old_and_new_by_whom_and_from_where(desk: Desk):
    made = await records.create_record(desk.hub, desk.manager, "contact", {"email": "a@example.com"})
    await records.change_record(
        desk.hub, desk.manager, "contact", made.id, {"job_title": "Cook", "custom_fields": {"tier": 1}}
    )
    history = await timeline.list_history(desk.hub, desk.rep, "contact", made.id)
    latest = {each.field: each for each in history.changes if each.action == "updated"}
    assert (latest["job_title"].old, latest["job_title"].new) == (None, "Cook")
    assert (latest["custom_fields.tier"].new, latest["job_title"].actor) == (1, "manager@example.com")
    assert {each.source for each in history.changes} == {"api"}
    first = await timeline.list_history(desk.hub, desk.rep, "contact", made.id, limit=1)
    assert {each.action for each in first.changes} == {"updated"}
    rest = await timeline.list_history(desk.hub, desk.rep, "contact", made.id, limit=1, after=first.after)
    assert ({each.action for each in rest.changes}, rest.after) == ({"created"}, None)


async def test_one_change_is_taken_back_unless_somebody_changed_it_since(desk: Desk):
    contact = await desk.rows.insert(
        "contact", first_name="Ada", phone="(415) 555-0100", phone_e164="+14155550100"
    )
    await records.change_record(
        desk.hub, desk.manager, "contact", contact, {"phone": "(415) 555-0142", "custom_fields": {"tier": 1}}
    )
    await records.change_record(desk.hub, desk.manager, "contact", contact, {"first_name": "Eve"})
    history = await timeline.list_history(desk.hub, desk.manager, "contact", contact)
    phone = next(each.change_id for each in history.changes if each.field == "phone")
    name = next(each.change_id for each in history.changes if each.field == "first_name")
    undone = await timeline.undo_change(desk.hub, desk.rep, "contact", contact, phone)
    assert (undone.values["phone"], undone.values["phone_e164"]) == ("(415) 555-0100", "+14155550100")
    assert undone.values["custom_fields"].get("tier") is None
    assert undone.values["first_name"] == "Eve"
    await records.change_record(desk.hub, desk.manager, "contact", contact, {"first_name": "Zoe"})
    with pytest.raises(Invalid) as caught:
        await timeline.undo_change(desk.hub, desk.manager, "contact", contact, name)
    assert set(caught.value.fields) == {"first_name"}
    with pytest.raises(NotFound):
        await timeline.undo_change(desk.hub, desk.manager, "contact", contact, new_id())


async def test_taking_back_that_a_record_was_made_archives_it(desk: Desk):
    made = await records.create_record(desk.hub, desk.manager, "company", {"name": "Twice"})
    [created, *_] = (await timeline.list_history(desk.hub, desk.manager, "company", made.id)).changes
    undone = await timeline.undo_change(desk.hub, desk.manager, "company", made.id, created.change_id)
    assert undone.values["archived_at"] is not None


async def test_a_change_of_another_record_is_not_taken_back_through_this_one(desk: Desk):
    one = await desk.rows.insert("deal", name="One", owner_id=desk.theirs)
    await records.change_record(desk.hub, desk.manager, "deal", one, {"name": "Secret"})
    [change] = (await timeline.list_history(desk.hub, desk.manager, "deal", one)).changes
    own = await desk.rows.insert("deal", name="Own", owner_id=desk.mine)
    with pytest.raises(NotFound):
        await timeline.undo_change(desk.hub, desk.rep, "deal", own, change.change_id)


async def test_records_belong_together_whichever_is_named_first(desk: Desk):
    company = await desk.rows.insert("company", name="Northwind")
    contact = await desk.rows.insert("contact", first_name="Ada")
    await associations.add_association(desk.hub, desk.rep, "company", company, "contact", contact)
    found = await associations.list_associations(desk.hub, desk.rep, "contact", contact)
    assert [(each.record_type, each.label, each.field, each.direction) for each in found.items] == [
        ("company", "Northwind", "company_id", "refers")
    ]
    found = await associations.list_associations(desk.hub, desk.rep, "company", company)
    assert [(each.id, each.direction) for each in found.items] == [(contact, "referred")]
    call = await desk.rows.insert("activity", type="call")
    await associations.add_association(desk.hub, desk.rep, "activity", call, "contact", contact)
    assert (await desk.rows.row("activity", call))["contact_link"] == "association"
    await associations.remove_association(desk.hub, desk.rep, "contact", contact, "activity", call)
    row = await desk.rows.row("activity", call)
    assert (row["contact_id"], row["contact_link"]) == (None, None)
    with pytest.raises(Invalid):
        await associations.add_association(desk.hub, desk.rep, "company", company, "owner", desk.mine)
    with pytest.raises(NotFound):
        await associations.add_association(desk.hub, desk.rep, "contact", contact, "company", new_id())


async def test_what_only_a_crm_says_is_told_with_the_crm(desk: Desk):
    main = await desk.rows.connect("main")
    deal = await desk.rows.insert("deal", name="Oven")
    first, second = [await desk.rows.insert("contact", first_name=name) for name in ("Ada", "Bob")]
    await desk.rows.link(main, "deal", deal, "9", {}, object_name="deals")
    for remote, contact in (("1", first), ("2", second)):
        await desk.rows.link(main, "contact", contact, remote, {})
        await desk.rows.execute(
            "insert into raw.associations (tenant_id, connection_id, from_object, from_id, to_object, to_id,"
            " type_id, type, category, label, synced_at) values (%(tenant_id)s, %(main)s, 'deals', '9',"
            " 'contacts', %(remote)s, 3, 'deal_to_contact', 'X', 'Decision maker', now())",
            main=main,
            remote=remote,
        )
    await records.change_record(desk.hub, desk.manager, "deal", deal, {"contact_id": str(first)})
    found = await associations.list_associations(desk.hub, desk.manager, "deal", deal)
    told = {each.label: (each.field, each.crm_label, each.connection) for each in found.items}
    assert told == {"Ada": ("contact_id", None, None), "Bob": (None, "Decision maker", "main")}
    other = await associations.list_associations(desk.hub, desk.manager, "contact", second)
    assert [(each.label, each.direction) for each in other.items] == [("Oven", "associated")]
    await desk.rows.execute(
        "update crm.contacts set owner_id = %(o)s where id = %(id)s", o=desk.theirs, id=second
    )
    mine = await associations.list_associations(desk.hub, desk.rep, "deal", deal)
    assert {each.label for each in mine.items} == {"Ada"}


async def test_every_crms_version_and_what_is_in_the_way_is_told_to_whoever_sees_the_record(desk: Desk):
    main = await desk.rows.connect("main")
    contact = await desk.rows.insert("contact", first_name="Ada", owner_id=desk.mine)
    await desk.rows.link(main, "contact", contact, "1", {"first_name": "Ada"})
    found = await remote_versions.read_versions(desk.hub, desk.rep, "contact", contact, raw=True)
    [remote] = found.remotes
    assert (remote.side.connection, remote.side.remote_id, remote.raw) == ("main", "1", None)
    assert found.explanation.conclusion


async def test_the_dashboard_counts_what_somebody_sees(desk: Desk):
    stages = await desk.place("default", "lead", "qualified", "+won")
    company = await desk.rows.insert("company", name="Northwind", readiness_score=80)
    secret = await desk.rows.insert("company", name="Secret", owner_id=desk.theirs)
    for stage, amount, owner, of in (
        ("qualified", 10, None, company),
        ("lead", 5, desk.mine, company),
        ("lead", 7, desk.theirs, company),
        ("lead", 50, None, secret),
    ):
        await desk.rows.insert(
            "deal",
            name="x",
            stage=stage,
            stage_id=stages[stage],
            amount=amount,
            owner_id=owner,
            company_id=of,
        )
    for status, day in (("won", 1), ("lost", 2), ("won", 3)):
        await desk.rows.insert("deal", name="y", status=status, closed_at=START.replace(day=day), amount=1)
    await desk.rows.insert("activity", type="call", subject="hello", company_id=secret, occurred_at=START)
    whole = await dashboard.read_dashboard(desk.hub, desk.manager)
    assert [(each.stage, each.count, int(each.total_value)) for each in whole.pipeline] == [
        ("lead", 3, 62),
        ("qualified", 1, 10),
    ]
    assert [(each.name, each.active_deals, int(each.pipeline_value)) for each in whole.top_companies] == [
        ("Secret", 1, 50),
        ("Northwind", 3, 22),
    ]
    assert [(str(each.month), each.won, each.lost, str(each.win_rate_pct)) for each in whole.win_rate] == [
        ("2026-03-01", 2, 1, "66.67")
    ]
    assert whole.recent_activities[0].company_name == "Secret"
    own = await dashboard.read_dashboard(desk.hub, desk.rep)
    assert [(each.stage, each.count) for each in own.pipeline] == [("lead", 2), ("qualified", 1)]
    assert [(each.name, each.active_deals) for each in own.top_companies] == [("Northwind", 2)]
    assert own.recent_activities[0].company_name is None


Do = Callable[[Desk, UUID], Awaitable[Any]]
EVERYTHING: dict[str, Do] = {
    "timeline": lambda desk, each: timeline.read_timeline(desk.hub, desk.rep, "deal", each),
    "history": lambda desk, each: timeline.list_history(desk.hub, desk.rep, "deal", each),
    "undo": lambda desk, each: timeline.undo_change(desk.hub, desk.rep, "deal", each, new_id()),
    "associations": lambda desk, each: associations.list_associations(desk.hub, desk.rep, "deal", each),
    "remotes": lambda desk, each: remote_versions.read_versions(desk.hub, desk.rep, "deal", each),
}


@pytest.mark.parametrize("what", EVERYTHING)
async def test_of_another_reps_record_nothing_is_told(desk: Desk, what: str):
    theirs = await desk.rows.insert("deal", name="Secret", owner_id=desk.theirs)
    for each in (theirs, new_id()):
        with pytest.raises(NotFound) as caught:
            await EVERYTHING[what](desk, each)
        assert str(caught.value) == "There is no deal with that id."


async def test_neither_end_of_an_association_may_be_another_reps(desk: Desk):
    theirs = await desk.rows.insert("company", name="Secret", owner_id=desk.theirs)
    contact = await desk.rows.insert("contact", first_name="Ada")
    for change in (associations.add_association, associations.remove_association):
        for ends in (("contact", contact, "company", theirs), ("company", theirs, "contact", contact)):
            with pytest.raises(NotFound):
                await change(desk.hub, desk.rep, *ends)


async def test_views_are_somebodys_own_or_everybodys(desk: Desk):
    given = ViewGiven(
        "Big ones", [("amount", "gte", ["1000"])], "-amount", columns=["name", "custom_fields.tier"]
    )
    own = await saved_views.save_view(desk.hub, desk.rep, "deals", given)
    assert saved_views.wanted_of(own).filters[0].values == (1000,)
    shared = await saved_views.save_view(desk.hub, desk.manager, "deal", ViewGiven("All", is_shared=True))
    names = [each.name for each in await saved_views.list_views(desk.hub, desk.rep, "deal")]
    assert names == ["Big ones", "All"]
    assert [each.name for each in await saved_views.list_views(desk.hub, desk.other, "deal")] == ["All"]
    with pytest.raises(NotFound):
        await saved_views.read_view(desk.hub, desk.other, own.id)
    with pytest.raises(NotFound):
        await saved_views.remove_view(desk.hub, desk.manager, own.id)
    with pytest.raises(Forbidden):
        await saved_views.remove_view(desk.hub, desk.rep, shared.id)
    with pytest.raises(Forbidden):
        await saved_views.save_view(desk.hub, desk.rep, "deal", ViewGiven("x", is_shared=True))
    changed = await saved_views.save_view(desk.hub, desk.rep, "deal", ViewGiven("Small ones"), view_id=own.id)
    assert (changed.id, changed.name) == (own.id, "Small ones")
    for wrong in (
        ViewGiven(" "),
        ViewGiven("x", [("nothing", "eq", ["1"])]),
        ViewGiven("x", sort="body"),
        ViewGiven("x", columns=["password"]),
        ViewGiven("x", archived="never"),
    ):
        with pytest.raises(Invalid):
            await saved_views.save_view(desk.hub, desk.rep, "deal", wrong)
    await saved_views.remove_view(desk.hub, desk.rep, own.id)
    assert [each.name for each in await saved_views.list_views(desk.hub, desk.rep, "deal")] == ["All"]
