"""Deciding conflicts: what is written, agreed on and queued, and what is not decided over a newer value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from two_way_rows import Rows

from syncline.actions.conflicts import count_open, list_conflicts, make_filter, show_conflict
from syncline.actions.connect import Connected
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.permissions import Wish
from syncline.actions.push import push
from syncline.actions.resolve import resolve_all, resolve_one, resolve_record
from syncline.actions.sync import sync
from syncline.actions.writing import allow
from syncline.clock import new_id
from syncline.errors import Invalid, NotFound
from syncline.simulators.hubspot import World
from syncline.store.conflicts import Filter

pytestmark = pytest.mark.anyio

ANN = Editor("ann")
PHONES = ("+14155550100", "+14155550111", "(415) 555-0122")


@pytest.fixture
def rows(hub: Hub) -> Rows:
    return Rows(hub)


async def disputed_contact(rows: Rows, connection: UUID, number: int = 1) -> tuple[UUID, dict[str, UUID]]:
    """A contact whose phone and job title both sides changed."""
    record = await rows.insert(
        "contact",
        first_name="Ann",
        last_name=f"No {number}",
        phone=PHONES[1],
        phone_e164=PHONES[1],
        job_title="Ours",
    )
    await rows.link(connection, "contact", record, str(number), {"phone": PHONES[0], "job_title": "Agreed"})
    ids = await rows.dispute(
        connection,
        "contact",
        record,
        str(number),
        {"phone": PHONES, "job_title": ("Agreed", "Ours", "Theirs")},
    )
    return record, ids


async def test_theirs_is_written_here_logged_and_sent_to_others_only(hub: Hub, rows: Rows):
    main, other = await rows.connect("main"), await rows.connect("other")
    await rows.allow(main, "")
    await rows.allow(other, "")
    record, ids = await disputed_contact(rows, main)
    await rows.link(other, "contact", record, "77", {"phone": PHONES[0]})
    [outcome] = await resolve_one(hub, ids["phone"], "theirs", by=ANN)
    assert (outcome.resolution, outcome.value, outcome.queued) == ("theirs", PHONES[2], False)
    row = await rows.row("contact", record)
    assert (row["phone"], row["phone_e164"]) == (PHONES[2], "+14155550122")
    assert row["field_times"].keys() == {"phone"}
    [entry] = await rows.log(record)
    assert entry["changes"] == {"phone": [PHONES[1], PHONES[2]]}
    assert (entry["source"], entry["actor"], entry["connection_id"]) == ("cli", "ann", main)
    assert (await rows.base(main, "1"))["phone"] == [PHONES[2]]
    assert await rows.queue() == [("other", "pending", ["phone"], 1)]
    [conflict] = (await list_conflicts(hub, Filter(status="resolved"))).conflicts
    assert (conflict.id, conflict.resolved_by, conflict.value) == (ids["phone"], "ann", PHONES[2])
    assert conflict.resolved_at is not None


async def test_a_number_stays_readable_when_only_its_spelling_changes(hub: Hub, rows: Rows):
    main = await rows.connect()
    record = await rows.insert("contact", phone="+14155550122", phone_e164="+14155550122")
    await rows.link(main, "contact", record, "1", {"phone": "1"})
    fields = {"phone": ("1", "+14155550122", "(415) 555-0122")}
    ids = await rows.dispute(main, "contact", record, "1", fields)
    await resolve_one(hub, ids["phone"], "theirs", by=ANN)
    row = await rows.row("contact", record)
    assert (row["phone"], row["phone_e164"]) == ("(415) 555-0122", "+14155550122")
    assert len(await rows.log(record)) == 1


async def test_ours_stays_and_is_queued_where_writing_is_allowed(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "phone")
    record, ids = await disputed_contact(rows, main)
    [phone] = await resolve_one(hub, ids["phone"], "ours", by=ANN)
    [title] = await resolve_one(hub, ids["job_title"], "ours", by=ANN)
    assert (phone.queued, title.queued) == (True, False)
    assert await rows.queue() == [("main", "pending", ["phone"], 1)]
    base = await rows.base(main, "1")
    assert (base["phone"], base["job_title"]) == ([PHONES[2]], ["Theirs"])
    assert await rows.log(record) == []


async def test_a_queued_row_gains_the_field_and_a_revision_and_stays_held(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "")
    record, ids = await disputed_contact(rows, main)
    await rows.execute("update crm.contacts set email = 'new@example.com' where id = %(id)s", id=record)
    await rows.execute("update sync.queue set state = 'held'")
    await resolve_one(hub, ids["phone"], "ours", by=ANN)
    assert await rows.queue() == [("main", "held", ["email", "phone"], 2)]


async def test_a_value_of_ones_own_goes_to_every_connection(hub: Hub, rows: Rows):
    main, other = await rows.connect("main"), await rows.connect("other")
    await rows.allow(main, "")
    await rows.allow(other, "")
    record, ids = await disputed_contact(rows, main)
    await rows.link(other, "contact", record, "77", {})
    [outcome] = await resolve_one(hub, ids["job_title"], "custom", by=ANN, value="Both")
    assert (outcome.value, outcome.queued) == ("Both", True)
    assert (await rows.row("contact", record))["job_title"] == "Both"
    assert [row[:3] for row in await rows.queue()] == [
        ("main", "pending", ["job_title"]),
        ("other", "pending", ["job_title"]),
    ]
    assert (await rows.log(record))[0]["connection_id"] is None
    assert (await rows.base(main, "1"))["job_title"] == ["Theirs"]


async def test_a_value_is_read_by_the_type_of_its_field(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal = await rows.insert("deal", name="Big", amount=10)
    await rows.link(main, "deal", deal, "5", {}, object_name="deals")
    ids = await rows.dispute(main, "deal", deal, "5", {"amount": (1, 10, 20.5)}, object_name="deals")
    with pytest.raises(Invalid, match="amount"):
        await resolve_one(hub, ids["amount"], "custom", by=ANN, value="a lot")
    [outcome] = await resolve_one(hub, ids["amount"], "custom", by=ANN, value="12.50")
    assert str((await rows.row("deal", deal))["amount"]) == "12.50"
    assert str(outcome.value) == "12.50"


async def test_nothing_is_decided_over_a_newer_value(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "")
    record, ids = await disputed_contact(rows, main)
    await rows.execute("update crm.contacts set phone = '+14155550199' where id = %(id)s", id=record)
    before = await rows.queue()
    for resolution in ("ours", "theirs", "custom"):
        [outcome] = await resolve_one(hub, ids["phone"], resolution, by=ANN, value="+14155550188")
        assert outcome.resolution is None
        assert outcome.problem
        assert "changed" in outcome.problem
        assert "5555" not in outcome.problem
        assert outcome.value == "+14155550199"
    assert await rows.queue() == before
    assert (await rows.base(main, "1"))["phone"] == [PHONES[0]]
    assert await count_open(hub) == 2


async def test_a_conflict_is_decided_once(hub: Hub, rows: Rows):
    main = await rows.connect()
    record, ids = await disputed_contact(rows, main)
    several = await asyncio.gather(
        *(resolve_one(hub, ids["phone"], side, by=Editor(side)) for side in ("ours", "theirs", "ours"))
    )
    done = [outcome for outcomes in several for outcome in outcomes if outcome.resolution is not None]
    assert len(done) == 1
    refused = [outcome.problem for outcomes in several for outcome in outcomes if outcome.problem]
    assert len(refused) == 2
    assert all("no longer open" in str(each) for each in refused)
    assert len(await rows.log(record)) == (done[0].resolution == "theirs")


async def test_a_record_is_decided_field_by_field(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "")
    record, _ = await disputed_contact(rows, main)
    outcomes = await resolve_record(hub, record, by=ANN, side="theirs", fields={"phone": "ours"})
    assert {each.conflict.field: each.resolution for each in outcomes} == {
        "phone": "ours",
        "job_title": "theirs",
    }
    row = await rows.row("contact", record)
    assert (row["phone"], row["job_title"]) == (PHONES[1], "Theirs")
    assert await rows.queue() == [("main", "pending", ["phone"], 1)]
    with pytest.raises(NotFound):
        await resolve_record(hub, record, by=ANN, side="ours")


async def test_a_field_that_is_not_in_dispute_is_named(hub: Hub, rows: Rows):
    main = await rows.connect()
    record, _ = await disputed_contact(rows, main)
    with pytest.raises(Invalid, match="job_title, phone"):
        await resolve_record(hub, record, by=ANN, fields={"email": "ours"})


async def test_all_are_decided_record_by_record_and_what_changed_stays_open(hub: Hub, rows: Rows):
    main, other = await rows.connect("main"), await rows.connect("other")
    await rows.allow(main, "")
    records = [(await disputed_contact(rows, main, number))[0] for number in range(1, 6)]
    _, elsewhere = await disputed_contact(rows, other, 9)
    await rows.execute("update crm.contacts set phone = '+14155550199' where id = %(id)s", id=records[2])
    wanted = await make_filter(hub, connection="main", field="phone")
    assert await count_open(hub, wanted) == 5
    outcomes = await resolve_all(hub, wanted, "theirs", by=ANN)
    assert len(outcomes) == 5
    assert [each.conflict.record_id for each in outcomes if each.problem] == [records[2]]
    left = {each.id for each in (await list_conflicts(hub)).conflicts}
    assert elsewhere["phone"] in left
    assert len(left) == 5 + 1 + 2


async def make_deal(rows: Rows, main: UUID) -> tuple[UUID, dict[str, str], dict[str, UUID]]:
    """A deal that is in our stage here, and won there. Returns it, stage ids by key, conflicts."""
    pipeline = new_id()
    stages = {"new": new_id(), "ours": new_id(), "won": new_id()}
    await rows.execute(
        "insert into crm.pipelines (tenant_id, id, connection_id, remote_id, key, label)"
        " values (%(tenant_id)s, %(id)s, %(connection)s, 'default', 'default', 'Sales')",
        id=pipeline,
        connection=main,
    )
    for key, stage in stages.items():
        await rows.execute(
            "insert into crm.stages (tenant_id, id, pipeline_id, remote_id, key, label, is_closed, is_won)"
            " values (%(tenant_id)s, %(id)s, %(pipeline)s, %(key)s, %(key)s, %(key)s, %(won)s, %(won)s)",
            id=stage,
            pipeline=pipeline,
            key=key,
            won=key == "won",
        )
    deal = await rows.insert(
        "deal", name="Big", pipeline="default", stage="ours", pipeline_id=pipeline, stage_id=stages["ours"]
    )
    base = {"pipeline": "default", "stage": "new", "stage_id": str(stages["new"]), "status": "open"}
    await rows.link(main, "deal", deal, "5", base, object_name="deals")
    ids = await rows.dispute(
        main,
        "deal",
        deal,
        "5",
        {"stage": ("new", "ours", "won")},
        object_name="deals",
        theirs={
            "stage_id": str(stages["won"]),
            "pipeline_id": str(pipeline),
            "pipeline": "default",
            "status": "won",
        },
    )
    return deal, {key: str(stage) for key, stage in stages.items()}, ids


async def test_a_deals_place_comes_from_one_side_whole(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal, stages, ids = await make_deal(rows, main)
    await resolve_one(hub, ids["stage"], "theirs", by=ANN)
    row = await rows.row("deal", deal)
    assert (row["stage"], str(row["stage_id"]), row["status"]) == ("won", stages["won"], "won")
    base = await rows.base(main, "5")
    assert (base["stage"], base["stage_id"], base["status"]) == (["won"], [stages["won"]], ["won"])


async def test_our_place_of_a_deal_is_not_left_with_their_status(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "pipeline", "stage", object_name="deals", kind="deal")
    deal, stages, ids = await make_deal(rows, main)
    await resolve_one(hub, ids["stage"], "ours", by=ANN)
    row = await rows.row("deal", deal)
    assert (row["stage"], str(row["stage_id"]), row["status"]) == ("ours", stages["ours"], "open")
    # What they have is what is agreed on, so that the next pull sees no change of theirs.
    assert (await rows.base(main, "5"))["status"] == ["won"]
    [(_, _, fields, _)] = await rows.queue()
    assert {"stage", "stage_id", "status"} <= set(fields)


async def test_a_deal_can_be_put_into_a_third_stage(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal, stages, ids = await make_deal(rows, main)
    with pytest.raises(Invalid, match="default/new"):
        await resolve_one(hub, ids["stage"], "custom", by=ANN, value="nowhere")
    await resolve_one(hub, ids["stage"], "custom", by=ANN, value="default/new")
    row = await rows.row("deal", deal)
    assert (row["stage"], str(row["stage_id"]), row["status"]) == ("new", stages["new"], "open")


async def test_fields_that_belong_together_cannot_go_to_different_sides(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal, _, _ = await make_deal(rows, main)
    await rows.dispute(main, "deal", deal, "5", {"pipeline": ("a", "default", "b")}, object_name="deals")
    with pytest.raises(Invalid, match="belong together"):
        await resolve_record(hub, deal, by=ANN, fields={"stage": "ours", "pipeline": "theirs"})
    assert await count_open(hub) == 2


async def test_a_record_that_is_gone_or_not_linked_any_more_is_told(hub: Hub, rows: Rows):
    main = await rows.connect()
    record, ids = await disputed_contact(rows, main)
    await rows.execute("delete from sync.links")
    [outcome, *_] = await resolve_one(hub, ids["phone"], "theirs", by=ANN)
    assert "not linked" in str(outcome.problem)
    await rows.execute("delete from crm.contacts where id = %(id)s", id=record)
    [outcome, *_] = await resolve_one(hub, ids["phone"], "theirs", by=ANN)
    assert "gone" in str(outcome.problem)
    assert not (await show_conflict(hub, ids["phone"])).exists


async def test_the_list_is_filtered_and_paged(hub: Hub, rows: Rows):
    main = await rows.connect()
    for number in range(1, 6):
        await disputed_contact(rows, main, number)
    first = await list_conflicts(hub, limit=4)
    rest = await list_conflicts(hub, limit=100, after=first.after)
    assert (len(first.conflicts), len(rest.conflicts), rest.after) == (4, 6, None)
    assert len({each.id for each in (*first.conflicts, *rest.conflicts)}) == 10
    of_field = await list_conflicts(hub, await make_filter(hub, field="phone", record_type="contact"))
    assert {each.field for each in of_field.conflicts} == {"phone"}
    assert of_field.conflicts[0].label == "Ann No 5"
    with pytest.raises(Invalid):
        await make_filter(hub, record_type="car")
    with pytest.raises(Invalid):
        await list_conflicts(hub, after="nowhere")
    with pytest.raises(NotFound):
        await make_filter(hub, connection="nobody")


async def test_one_conflict_is_shown_with_everything(hub: Hub, rows: Rows):
    main = await rows.connect()
    record, ids = await disputed_contact(rows, main)
    await rows.execute("update crm.contacts set phone = '+14155550199' where id = %(id)s", id=record)
    found = await show_conflict(hub, ids["phone"])
    assert (found.conflict.base, found.conflict.ours, found.conflict.theirs) == PHONES
    assert found.value_now == "+14155550199"
    assert (found.our_record["job_title"], found.their_record["job_title"]) == ("Ours", "Theirs")
    assert found.rule == "newest"
    assert found.together == []
    with pytest.raises(NotFound):
        await show_conflict(hub, new_id())


async def test_a_custom_field_is_decided_and_the_others_stay(hub: Hub, rows: Rows):
    main = await rows.connect()
    record = await rows.insert("contact", custom_fields=Jsonb({"size": 5, "color": "red"}))
    await rows.link(main, "contact", record, "1", {"custom_fields.size": 4})
    ids = await rows.dispute(main, "contact", record, "1", {"custom_fields.size": (4, 5, 6)})
    [outcome] = await resolve_one(hub, ids["custom_fields.size"], "theirs", by=ANN)
    assert outcome.value == 6
    assert (await rows.row("contact", record))["custom_fields"] == {"size": 6, "color": "red"}
    assert (await rows.base(main, "1"))["custom_fields.size"] == [6]


async def test_an_owner_is_given_by_address(hub: Hub, rows: Rows):
    main = await rows.connect()
    owner = await rows.insert("owner", email="Own@Example.com")
    record = await rows.insert("contact", first_name="Ann")
    await rows.link(main, "contact", record, "1", {})
    ids = await rows.dispute(main, "contact", record, "1", {"owner_id": (None, None, str(new_id()))})
    with pytest.raises(Invalid):
        await resolve_one(hub, ids["owner_id"], "custom", by=ANN, value="nobody@example.com")
    with pytest.raises(Invalid):
        await resolve_one(hub, ids["owner_id"], "custom", by=ANN, value=str(new_id()))
    await resolve_one(hub, ids["owner_id"], "custom", by=ANN, value="own@example.com")
    assert (await rows.row("contact", record))["owner_id"] == owner


async def test_deciding_while_a_sync_reads_the_same_records_loses_nothing(
    hub: Hub, world: World, connect: Callable[..., Awaitable[Connected]], rows: Rows
):
    await connect(objects=("owners", "contacts"))
    await sync(hub)
    review = Jsonb({"version": 1, "policy": "review"})
    await rows.execute("update sync.connections set mapping = %(mapping)s", mapping=review)
    await rows.execute("update crm.contacts set first_name = 'Here'")
    for remote_id in world.store("contacts").living:
        world.update("contacts", remote_id, {"firstname": "There"})
    await sync(hub)
    count = await count_open(hub)
    assert count == len(world.store("contacts").living)
    for remote_id in world.store("contacts").living:
        world.update("contacts", remote_id, {"lastname": "Else"})
    synced, outcomes = await asyncio.gather(
        sync(hub, full=True), resolve_all(hub, Filter(), "theirs", by=ANN)
    )
    assert synced.errors == []
    assert [each.problem for each in outcomes if each.problem] == []
    assert len(outcomes) == count
    await sync(hub)
    assert await count_open(hub) == 0
    living = (
        "select first_name, last_name, count(*) from crm.contacts where archived_at is null group by 1, 2"
    )
    [row] = await rows.select(living)
    assert (row["first_name"], row["last_name"], row["count"]) == ("There", "Else", count)


async def test_what_is_decided_arrives_at_the_crm(
    hub: Hub, world: World, connect: Callable[..., Awaitable[Connected]], rows: Rows
):
    await connect(objects=("owners", "contacts"))
    await sync(hub)
    review = Jsonb({"version": 1, "policy": "review"})
    await rows.execute("update sync.connections set mapping = %(mapping)s", mapping=review)
    await allow(hub, "acme", Wish("contacts", ("first_name",)), by="ann")
    chosen = world.store("contacts").living[:3]
    await rows.execute("update crm.contacts set first_name = 'Here'")
    await rows.execute("delete from sync.queue")
    for remote_id in chosen:
        world.update("contacts", remote_id, {"firstname": "There"})
    await sync(hub)
    found = {each.remote_id: each.id for each in (await list_conflicts(hub)).conflicts}
    assert sorted(found) == sorted(str(each) for each in chosen)
    await rows.execute("delete from sync.queue")
    await resolve_one(hub, found[str(chosen[0])], "ours", by=ANN)
    await resolve_one(hub, found[str(chosen[1])], "theirs", by=ANN)
    await resolve_one(hub, found[str(chosen[2])], "custom", by=ANN, value="Neither")
    pushed = await push(hub, "acme", by="ann")
    assert (pushed.parked, pushed.held) == ([], [])
    store = world.store("contacts")
    assert [store.records[each].get("firstname") for each in chosen] == ["Here", "There", "Neither"]
    assert await rows.queue() == []
    assert await count_open(hub) == 0
    await sync(hub)
    assert await count_open(hub) == 0
