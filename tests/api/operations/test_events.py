"""What happens is told within a second to those who may know, whoever caused it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from served_doors import Doors

from syncline.actions.hub import Hub
from syncline.actions.live import subscribe
from syncline.domain.callers import Caller
from syncline.engine import feed
from syncline.errors import Forbidden, Invalid
from syncline.store.db import connect as connect_to

pytestmark = pytest.mark.anyio
EVENTS = "/api/v1/events"
TENANT = UUID("00000000-0000-7000-8000-000000000001")


class Listening:
    """Events as they arrive."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self, seconds: float = 5) -> tuple[str, dict[str, Any], str | None]:
        kind, place = "", None
        async with asyncio.timeout(seconds):
            async for line in self._lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("id: "):
                    place = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    return kind, json.loads(line.removeprefix("data: ")), place
        raise AssertionError("the stream ended")

    async def begun(self) -> None:
        async with asyncio.timeout(5):
            async for line in self._lines:
                if line.startswith(":"):
                    return


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, **params: Any) -> AsyncGenerator[Listening]:
    async with client.stream("GET", EVENTS, params=params) as answer:
        assert answer.status_code == 200, await answer.aread()
        heard = Listening(answer)
        await heard.begun()
        yield heard


async def add_contact(
    admin: Any, name: str = "Ada", *, tenant: UUID = TENANT, owner: UUID | None = None
) -> UUID:
    made = uuid4()
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, first_name, owner_id, created_at, updated_at)"
        " values (%s, %s, %s, %s, now(), now())",
        [tenant, made, name, owner],
    )
    return made


async def test_a_change_made_in_sql_arrives_within_a_second(client: httpx2.AsyncClient, admin: Any) -> None:
    async with listening(client, topic="record") as heard:
        began_at = time.monotonic()
        contact = await add_contact(admin)
        kind, told, place = await heard.next(1.0)
        assert time.monotonic() - began_at < 1.0
    assert kind == "record"
    assert (told["type"], told["record_id"], told["action"]) == ("contact", str(contact), "created")
    assert "first_name" in told["fields"]
    assert "Ada" not in json.dumps(told)
    assert place is not None


async def test_events_are_filtered_by_kind_and_record(client: httpx2.AsyncClient, admin: Any) -> None:
    wanted, unwanted = await add_contact(admin), await add_contact(admin, "Else")
    async with listening(client, topic="record", type="contact", record_id=str(wanted)) as heard:
        await admin.execute("update crm.contacts set last_name = 'X' where id = %s", [unwanted])
        await admin.execute("update crm.contacts set last_name = 'Y' where id = %s", [wanted])
        _, told, _ = await heard.next()
    assert told["record_id"] == str(wanted)
    assert (await client.get(EVENTS, params={"type": "unicorn"})).status_code == 400
    assert (await client.get(EVENTS, params={"topic": "weather"})).status_code == 422
    assert (await client.get(EVENTS, headers={"last-event-id": "nonsense"})).status_code == 400


async def test_whoever_comes_back_hears_what_they_missed(client: httpx2.AsyncClient, admin: Any) -> None:
    async with listening(client, topic="record") as heard:
        await add_contact(admin, "One")
        _, _, place = await heard.next()
    missed = await add_contact(admin, "Two")
    headers = {"last-event-id": place or ""}
    async with client.stream("GET", EVENTS, params={"topic": "record"}, headers=headers) as answer:
        _, told, _ = await Listening(answer).next()
    assert told["record_id"] == str(missed)


async def test_no_tenant_hears_of_another(doors: Doors, other: Hub, admin: Any) -> None:
    async with (
        doors.client() as ours,
        doors.client(hub=other) as theirs,
        listening(ours) as one,
        listening(theirs) as two,
    ):
        of_ours = await add_contact(admin)
        of_theirs = await add_contact(admin, tenant=other.tenant_id)
        assert (await one.next())[1]["record_id"] == str(of_ours)
        assert (await two.next())[1]["record_id"] == str(of_theirs)
        last = await add_contact(admin)
        assert (await one.next())[1]["record_id"] == str(last)
        with pytest.raises(TimeoutError):
            await two.next(0.6)


async def test_a_rep_hears_of_own_and_unassigned_records_only(hub: Hub, admin: Any) -> None:
    mine, other_owner = uuid4(), uuid4()
    for owner in (mine, other_owner):
        await admin.execute(
            "insert into crm.owners (tenant_id, id, email, created_at, updated_at)"
            " values (%s, %s, %s, now(), now())",
            [TENANT, owner, f"{owner}@example.com"],
        )
    rep = Caller(hub.tenant_id, "rep", "rep@example.com", "web", owner_ids=frozenset([mine]))
    events = subscribe(hub, rep, ("record",))
    assert await anext(events) is None
    hidden = await add_contact(admin, owner=other_owner)
    await admin.execute("update crm.contacts set first_name = 'Eve' where id = %s", [hidden])
    await admin.execute("delete from crm.contacts where id = %s", [hidden])
    free, own = await add_contact(admin), await add_contact(admin, owner=mine)
    async with asyncio.timeout(5):
        first, second = await anext(events), await anext(events)
    assert first is not None
    assert second is not None
    assert [first.data["record_id"], second.data["record_id"]] == [str(free), str(own)]
    await events.aclose()
    scoped = Caller(hub.tenant_id, "rep", "key", "api", scopes=frozenset(["syncs:read"]))
    with pytest.raises(Forbidden):
        await anext(subscribe(hub, scoped, ("record",)))
    with pytest.raises(Invalid):
        await anext(subscribe(hub, rep, ("weather",)))  # type: ignore[arg-type]


async def test_a_record_that_changes_hands_is_told_to_whoever_had_it_and_to_whoever_has_it(
    hub: Hub, admin: Any
) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    for owner in (one, two, three):
        await admin.execute(
            "insert into crm.owners (tenant_id, id, email, created_at, updated_at)"
            " values (%s, %s, %s, now(), now())",
            [TENANT, owner, f"{owner}@example.com"],
        )
    contact, last = await add_contact(admin, owner=one), await add_contact(admin)
    reps = [
        Caller(hub.tenant_id, "rep", "rep", "web", owner_ids=frozenset([each])) for each in (one, two, three)
    ]
    streams = [subscribe(hub, each, ("record",)) for each in reps]
    for stream in streams:
        assert await anext(stream) is None
    move = "update crm.contacts set owner_id = %s where id = %s"
    await admin.execute(move, [two, contact])
    await admin.execute("update crm.contacts set first_name = 'Theirs' where id = %s", [contact])
    await admin.execute("update crm.contacts set first_name = 'Last' where id = %s", [last])
    told = [await read_until(stream, last) for stream in streams]
    # The first hears that it goes, and nothing of what comes then; the third was never concerned.
    assert told[0] == [(contact, ["owner_id"])]
    assert told[1] == [(contact, ["owner_id"]), (contact, ["first_name"])]
    assert told[2] == []
    for stream in streams:
        await stream.aclose()


async def read_until(stream: Any, last: UUID) -> list[tuple[UUID, list[str]]]:
    """Return the (record, fields) that are told before a change of the last record."""
    found: list[tuple[UUID, list[str]]] = []
    async with asyncio.timeout(10):
        async for event in stream:
            if event is None:
                continue
            if event.data["record_id"] == str(last):
                return found
            found.append((UUID(event.data["record_id"]), event.data["fields"]))
    raise AssertionError("the stream ended")


async def test_what_commits_long_after_it_happened_is_told_all_the_same(
    hub: Hub, admin: Any, database_urls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SLACK", feed.SLACK / 30)
    caller = Caller(hub.tenant_id, "admin", "ada", "web")
    events = subscribe(hub, caller, ("record",), silence_seconds=0.3)
    assert await anext(events) is None
    async with await connect_to(database_urls.superuser) as late:
        async with late.transaction():
            slow = await add_contact(late, "Slow")
            async with late.transaction():  # a savepoint has a number of its own
                nested = await add_contact(late, "Nested")
            quick = await add_contact(admin, "Quick")
            told = await anext(events)
            assert told is not None
            assert told.data["record_id"] == str(quick)
            while await anext(events) is not None:
                pass
            assert await anext(events) is None  # longer than the window
        found: list[str] = []
        async with asyncio.timeout(5):
            while len(found) < 2:
                each = await anext(events)
                found += [each.data["record_id"]] if each is not None else []
    assert set(found) == {str(slow), str(nested)}
    await events.aclose()


async def test_a_flood_is_told_as_one_call_to_read_again(hub: Hub, admin: Any) -> None:
    caller = Caller(hub.tenant_id, "admin", "ada", "web")
    events = subscribe(hub, caller, ("record",))
    assert await anext(events) is None
    await admin.execute(
        "insert into crm.contacts (tenant_id, id, first_name, created_at, updated_at)"
        " select %s, gen_random_uuid(), 'Many', now(), now() from generate_series(1, 3000)",
        [TENANT],
    )
    async with asyncio.timeout(10):
        told = await anext(events)
    assert told is not None
    assert told.kind == "reload"
    await events.aclose()


async def test_a_slow_reader_is_let_go_and_others_are_not(
    hub: Hub, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 5)
    caller = Caller(hub.tenant_id, "admin", "ada", "web")
    slow, quick = subscribe(hub, caller, ("record",)), subscribe(hub, caller, ("record",))
    assert await anext(slow) is None
    assert await anext(quick) is None
    for number in range(12):
        made = await add_contact(admin, f"N{number}")
        told = await anext(quick)
        while told is None:
            told = await anext(quick)
        assert told.data["record_id"] == str(made)
    got = 0
    async for each in slow:
        got += each is not None
    assert got == 5
    await quick.aclose()


async def test_runs_and_queue_are_told(client: httpx2.AsyncClient, connect: Any, worker: None) -> None:
    async with listening(client, topic="run") as heard:
        await connect(objects=("owners", "contacts"))
        statuses: set[str] = set()
        objects: set[str] = set()
        while "contacts" not in objects or "success" not in statuses:
            _, told, _ = await heard.next(20)
            statuses.add(told["status"])
            objects.add(told["object"])


async def test_nothing_is_left_running_when_nobody_watches(hub: Hub) -> None:
    caller = Caller(hub.tenant_id, "admin", "ada", "web")
    events = subscribe(hub, caller)
    await anext(events)
    assert feed.feed_of(hub.db)._task is not None
    await events.aclose()
    assert feed.feed_of(hub.db)._task is None
