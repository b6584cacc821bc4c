"""Managers are told of new conflicts: one by one, in one where a run found many, and each once."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from two_way_rows import RUN, Rows

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine.notify import MOST_SINGLE, announce_conflicts

pytestmark = pytest.mark.anyio


@pytest.fixture
def rows(hub: Hub) -> Rows:
    return Rows(hub)


async def announce(hub: Hub, run_id: UUID | None = None) -> int:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await announce_conflicts(conn, tenant_id=hub.tenant_id, now=now(), run_id=run_id)


async def make_conflicts(rows: Rows, count: int) -> None:
    main = await rows.connect()
    for number in range(count):
        record = await rows.insert("contact", first_name="Ann", last_name=f"No {number}", phone="secret 1")
        await rows.dispute(
            main, "contact", record, str(number), {"phone": ("secret 0", "secret 1", "secret 2")}
        )


async def test_each_new_conflict_is_told_once_and_without_its_values(hub: Hub, rows: Rows):
    await make_conflicts(rows, 3)
    assert await announce(hub) == 3
    assert await announce(hub) == 0
    told = await rows.select("select * from compat.notifications order by created_at, id")
    assert len(told) == 3
    assert {each["recipient"] for each in told} == {"manager"}
    assert {(each["status"], each["retry_count"], each["sent_at"]) for each in told} == {("pending", 0, None)}
    assert "phone of contact Ann No" in told[0]["subject"]
    assert not [each for each in told if "secret" in each["subject"] + each["body"]]
    marked = await rows.select("select from sync.conflicts where notified_at is not null")
    assert len(marked) == 3


async def test_a_run_that_found_many_is_told_in_one(hub: Hub, rows: Rows):
    await make_conflicts(rows, MOST_SINGLE + 1)
    assert await announce(hub, RUN) == 1
    [told] = await rows.select("select subject, body from crm.notifications")
    assert told["subject"] == "21 conflicts with main"
    assert "21 of contact phone" in told["body"]
    assert await announce(hub, RUN) == 0


async def test_of_two_that_announce_at_once_one_does(hub: Hub, rows: Rows):
    await make_conflicts(rows, 5)
    assert sorted(await asyncio.gather(announce(hub), announce(hub), announce(hub))) == [0, 0, 5]


async def test_what_is_decided_together_is_told_together(hub: Hub, rows: Rows):
    main = await rows.connect()
    deal = await rows.insert("deal", name="Big", stage="ours")
    await rows.dispute(
        main, "deal", deal, "5", {"stage": ("a", "ours", "b"), "status": ("open", "open", "won")}
    )
    assert await announce(hub) == 1
    [told] = await rows.select("select subject from crm.notifications")
    assert told["subject"] == "Conflict: stage of deal Big"


async def test_a_conflict_that_was_decided_before_is_not_told(hub: Hub, rows: Rows):
    await make_conflicts(rows, 1)
    await rows.execute("update sync.conflicts set status = 'settled', resolved_at = now()")
    assert await announce(hub) == 0
