"""Governing the queue: what waits is shown with the CRM's words, tried again, or let go."""

from __future__ import annotations

from uuid import UUID

import pytest
from two_way_rows import Rows

from syncline.actions.hub import Hub
from syncline.actions.queue import count_queue, drop_queue, list_queue, make_filter, retry_queue
from syncline.actions.writing import stop_writing
from syncline.errors import Invalid
from syncline.store.waiting import Filter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rows(hub: Hub) -> Rows:
    return Rows(hub)


@pytest.fixture
async def records(rows: Rows) -> list[UUID]:
    """Three contacts that wait for one connection: pending, parked and held; the first for another, too."""
    main, other = await rows.connect("main"), await rows.connect("other")
    await rows.allow(main, "")
    await rows.allow(other, "phone")
    made: list[UUID] = []
    for number, state in enumerate(("pending", "parked", "held"), 1):
        record = await rows.insert("contact", first_name=f"No {number}")
        await rows.link(main, "contact", record, str(number), {})
        if number == 1:
            await rows.link(other, "contact", record, "9", {})
        await rows.execute("update crm.contacts set phone = '1' where id = %(id)s", id=record)
        await rows.execute(
            "update sync.queue q set state = %(state)s, attempts = 3, queued_at = %(at)s,"
            " last_error = case when %(state)s = 'parked' then 'INVALID_EMAIL: no such address' end"
            " where record_id = %(id)s",
            state=state,
            id=record,
            at=f"2026-01-0{number}T00:00:00Z",
        )
        made.append(record)
    return made


async def test_what_waits_is_counted_and_listed_the_oldest_first(hub: Hub, rows: Rows, records: list[UUID]):
    found = await list_queue(hub, Filter())
    assert [(each.connection, each.state, each.count) for each in found.counts] == [
        ("main", "held", 1),
        ("main", "parked", 1),
        ("main", "pending", 1),
        ("other", "pending", 1),
    ]
    assert [each.record_id for each in found.waiting if each.connection == "main"] == records
    assert found.waiting[-2].reason == "INVALID_EMAIL: no such address"
    assert found.waiting[-2].label == "No 2"
    assert set(found.stops) == {"main", "other"}
    await rows.execute("update sync.connections set writes_enabled = true")
    assert (await list_queue(hub, Filter())).stops == {}
    await stop_writing(hub, None, by="ann")
    assert "ann" in (await list_queue(hub, Filter())).stops["main"]


async def test_filters_choose(hub: Hub, records: list[UUID]):
    async def count(**wanted: object) -> int:
        return await count_queue(hub, await make_filter(hub, **wanted))  # type: ignore[arg-type]

    assert await count() == 4
    assert await count(connection="other") == 1
    assert await count(record_id=records[0]) == 2
    assert await count(state="parked") == 1
    assert await count(reason="invalid_email") == 1
    assert await count(reason="something else") == 0
    assert await count(record_type="deal") == 0
    with pytest.raises(Invalid):
        await count(record_type="car")


async def test_what_was_refused_or_is_held_is_tried_again(hub: Hub, rows: Rows, records: list[UUID]):
    assert await retry_queue(hub, Filter(reason="INVALID")) == 1
    assert [row[1] for row in await rows.queue()].count("pending") == 3
    [row] = await rows.select(
        "select attempts, last_error, revision from sync.queue where record_id = %(id)s", id=records[1]
    )
    assert (row["attempts"], row["last_error"], row["revision"]) == (0, None, 1)
    [pending] = await rows.select(
        "select attempts from sync.queue where record_id = %(id)s limit 1", id=records[0]
    )
    assert pending["attempts"] == 3
    assert await retry_queue(hub, Filter()) == 1
    assert await retry_queue(hub, Filter()) == 0
    await rows.execute("update sync.queue set not_before = now() + interval '1 hour'")
    assert await retry_queue(hub, Filter(connection_id=None, record_id=records[0])) == 2


async def test_what_is_dropped_leaves_the_values_alone(hub: Hub, rows: Rows, records: list[UUID]):
    assert await drop_queue(hub, Filter(state="parked")) == 1
    assert (await rows.row("contact", records[1]))["phone"] == "1"
    assert await count_queue(hub, Filter()) == 3
