"""Values that lost without anybody being asked: they are listed, and can be put back as a person's edit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from two_way_rows import RUN, Rows

from syncline.actions.decisions import list_decisions, undo_decision
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.clock import new_id, now
from syncline.errors import Invalid, NotFound
from syncline.store import merging

pytestmark = pytest.mark.anyio

ANN = Editor("ann")


@pytest.fixture
def rows(hub: Hub) -> Rows:
    return Rows(hub)


async def decide(
    rows: Rows, connection: UUID, kind: str, record: UUID, *fields: tuple[str, str, Any, Any]
) -> list[UUID]:
    """Write decisions of one merge down, as a pull does; each is field, winner, ours, theirs."""
    made = [new_id() for _ in fields]
    async with rows.hub.db.transaction(tenant_id=rows.hub.tenant_id) as conn:
        await merging.put_decisions(
            conn,
            [
                {
                    "id": decision,
                    "record_id": record,
                    "field": field,
                    "rule": "newest",
                    "winner": winner,
                    "value": ours if winner == "ours" else theirs,
                    "losing": {"ours": theirs, "theirs": ours, "both": None}[winner],
                    "ours": ours,
                    "theirs": theirs,
                    "read": theirs,
                    "reason": "Theirs changed 5 ms later.",
                }
                for decision, (field, winner, ours, theirs) in zip(made, fields, strict=True)
            ],
            tenant_id=rows.hub.tenant_id,
            connection_id=connection,
            record_type=kind,
            run_id=RUN,
            now=now(),
        )
    return made


async def test_the_losing_value_is_put_back_logged_and_sent(hub: Hub, rows: Rows):
    main = await rows.connect()
    await rows.allow(main, "")
    record = await rows.insert("contact", phone="(415) 555-0122", phone_e164="+14155550122")
    await rows.link(main, "contact", record, "1", {"phone": "(415) 555-0122"})
    [decision] = await decide(
        rows, main, "contact", record, ("phone", "theirs", "415-555-0123", "(415) 555-0122")
    )
    [undone] = await undo_decision(hub, decision, by=ANN)
    assert (undone.done, undone.value) == (True, "415-555-0123")
    row = await rows.row("contact", record)
    assert (row["phone"], row["phone_e164"]) == ("415-555-0123", "+14155550123")
    [entry] = await rows.log(record)
    assert (entry["source"], entry["actor"], entry["connection_id"]) == ("cli", "ann", None)
    assert await rows.queue() == [("main", "pending", ["phone"], 1)]
    [again] = await undo_decision(hub, decision, by=ANN)
    assert not again.done
    assert "already" in str(again.problem)


async def test_what_somebody_changed_since_is_left_alone(hub: Hub, rows: Rows):
    main = await rows.connect()
    record = await rows.insert("contact", first_name="Theirs")
    [decision] = await decide(rows, main, "contact", record, ("first_name", "theirs", "Ours", "Theirs"))
    await rows.execute("update crm.contacts set first_name = 'Later' where id = %(id)s", id=record)
    [undone] = await undo_decision(hub, decision, by=ANN)
    assert (undone.done, undone.value) == (False, "Later")
    assert "Later" not in str(undone.problem)
    assert (await rows.row("contact", record))["first_name"] == "Later"


async def test_a_deals_place_is_put_back_whole(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal = await rows.insert("deal", pipeline="default", stage="theirs", status="won", amount=5)
    first, *_ = await decide(
        rows,
        main,
        "deal",
        deal,
        ("stage", "theirs", "ours", "theirs"),
        ("status", "theirs", "open", "won"),
        ("amount", "theirs", 4, 5),
    )
    undone = await undo_decision(hub, first, by=ANN)
    assert sorted(each.decision.field for each in undone) == ["stage", "status"]
    row = await rows.row("deal", deal)
    assert (row["stage"], row["status"], int(row["amount"])) == ("ours", "open", 5)


async def test_what_went_into_one_value_cannot_be_taken_apart(hub: Hub, rows: Rows):
    main = await rows.connect()
    record = await rows.insert("company", description="a\n---\nb")
    [decision] = await decide(rows, main, "company", record, ("description", "both", "a", "b"))
    with pytest.raises(Invalid):
        await undo_decision(hub, decision, by=ANN)
    with pytest.raises(NotFound):
        await undo_decision(hub, new_id(), by=ANN)


async def test_the_list_is_the_latest_first_filtered_and_paged(hub: Hub, rows: Rows):
    main = await rows.connect()
    records = [await rows.insert("contact", first_name="x") for _ in range(2)]
    for record in records:
        for field in ("first_name", "last_name"):
            await decide(rows, main, "contact", record, (field, "ours", "a", "b"))
    page = await list_decisions(hub, limit=3)
    rest = await list_decisions(hub, limit=3, after=page.after)
    assert (len(page.decisions), len(rest.decisions), rest.after) == (3, 1, None)
    assert page.decisions[0].field == "last_name"
    of_record = await list_decisions(hub, record_id=records[0], field="first_name", connection="main")
    assert [(each.record_id, each.losing) for each in of_record.decisions] == [(records[0], "b")]
