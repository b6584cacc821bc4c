"""Whatever was under way when a person was erased, they are in no CRM afterwards, and not here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from gated import Gate, gate_of
from mortal import push_and_die
from opened import opened
from simulated import Mirror, mirror_of, world_of
from test_remap import HUBSPOT, MOBILE, put

from syncline.actions.erase import Wanted, erase_person
from syncline.actions.push import push
from syncline.actions.undo import undo
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.sealing import Vault, new_key
from syncline.domain.subject import Ref
from syncline.engine.barring import Order, add_made, put_order
from syncline.engine.erase import Eraser
from syncline.engine.persons import Sought, find_person
from syncline.engine.remap import RemapOrder, remap
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

UPSERT, UPDATE = "contacts/batch/upsert", "contacts/batch/update"
EMAIL = "petra@people.example"


@dataclass
class Two:
    """A person whom one CRM has, and who waits to be made at another."""

    one: Mirror
    other: Mirror
    gate: Gate
    admin_url: str
    remote_id: int

    async def order(self, state: str = "wanted") -> UUID:
        """Order the person to be erased at both."""
        [row] = await self.one.select("select id from contacts where email = %(email)s", email=EMAIL)
        async with self.one.db.transaction(tenant_id=self.one.tenant_id) as conn:
            person = await find_person(conn, Sought(contact_ids=(row["id"],)), tenant_id=self.one.tenant_id)
            there: dict[UUID, Any] = {self.one.connection_id: "wanted", self.other.connection_id: state}
            return await put_order(
                conn,
                self.one.vault,
                person.subject,
                Order("test", "cli", there, {}),
                tenant_id=self.one.tenant_id,
                now=now(),
            )

    async def go_on(self, erasure_id: UUID) -> bool:
        await self.one.execute("update sync.erasures set not_before = now() where tenant_id = %(tenant_id)s")
        eraser = Eraser(self.one.db, self.one.remotes, self.admin_url)
        return await eraser.go_on(self.one.tenant_id, erasure_id)

    async def age(self) -> None:
        """Let what was sent have been sent long ago."""
        await self.one.execute(
            "update sync.remote_changes set sent_at = sent_at - interval '1 hour'"
            " where tenant_id = %(tenant_id)s and state = 'sent'"
        )

    def made_there(self) -> list[int]:
        """Return the records that programs made at the other account, erased ones too."""
        return [
            event.object_id
            for event in self.other.world.events
            if event.kind == "contact.creation" and event.source[0] == "INTEGRATION"
        ]

    def is_erased_everywhere(self) -> bool:
        there = self.other.world.store("contacts")
        return self.remote_id in self.one.world.store("contacts").erased and all(
            each in there.erased for each in self.made_there()
        )

    async def left_here(self) -> int:
        [row] = await self.one.select(
            "select (select count(*) from crm.contacts c where c::text like %(like)s)"
            " + (select count(*) from raw.hubspot_contacts r where r.raw::text like %(like)s)"
            " + (select count(*) from sync.links l where l.base::text like %(like)s"
            "    or l.sent::text like %(like)s)"
            " + (select count(*) from sync.remote_changes l where l::text like %(like)s)"
            " + (select count(*) from sync.queue q where q.record_type = 'contact'"
            "    and not exists (select from crm.contacts c where c.id = q.record_id))"
            " + (select count(*) from crm.change_log l where l.changes::text like %(like)s) as found",
            like=f"%{EMAIL}%",
        )
        return int(row["found"])


@pytest.fixture
async def two(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> AsyncGenerator[Two]:
    vault = Vault([new_key()])
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        one = await enter(mirror_of(world_of(), db, settings, tenant_id, name="one", vault=vault))
        other = await enter(mirror_of(world_of(contacts=1), db, settings, tenant_id, name="two", vault=vault))
        await other.make_unique("contacts")
        await other.pull("contacts")
        await other.allow("contacts", "create", "archive")
        remote_id = one.world.create("contacts", {"email": EMAIL, "firstname": "Petra"}).id
        await one.pull("contacts")
        gate = await enter(gate_of(other))
        yield Two(one, other, gate, database_urls.admin, remote_id)


async def test_who_is_made_at_a_crm_between_the_order_and_its_doing_is_erased_there(two: Two) -> None:
    hold = two.gate.hold(UPSERT)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    hold.release()
    await pushing
    assert len(two.made_there()) == 1
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0


async def test_a_write_that_is_under_way_is_waited_for(two: Two) -> None:
    hold = two.gate.hold(UPSERT)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    assert not await two.go_on(erasure_id)
    [row] = await two.one.select("select problem from sync.erasures")
    assert "being written" in row["problem"]
    hold.release()
    await pushing
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0


async def test_a_waiting_row_makes_nobody_who_is_to_be_erased(two: Two) -> None:
    erasure_id = await two.order()
    await two.other.push()
    assert two.made_there() == []
    assert await two.go_on(erasure_id)
    await two.other.push()
    assert two.made_there() == []
    assert await two.left_here() == 0


async def test_nobody_who_is_to_be_erased_is_tied_to_anything(two: Two) -> None:
    await two.one.allow("contacts", "associate", fields=())
    other = two.one.world.create("contacts", {"email": "other@people.example"}).id
    company = two.one.world.create("companies", {"name": "Us"}).id
    await two.one.sync("contacts", "companies")
    await two.one.execute(
        "update crm.contacts set company_id = (select record_id from sync.links where object = 'companies')"
        " where email in (%(email)s, 'other@people.example')",
        email=EMAIL,
    )
    erasure_id = await two.order()
    await two.one.push()
    assert list(two.one.world.associated("0-1", two.remote_id, "0-2")) == []
    assert list(two.one.world.associated("0-1", other, "0-2")) == [company]
    told = await two.one.select("select remote_id from sync.remote_changes where action = 'associated'")
    assert told == [{"remote_id": str(other)}]
    assert await two.go_on(erasure_id)


async def test_who_was_made_by_a_process_that_died_is_looked_for_and_erased(two: Two) -> None:
    assert await push_and_die(two.other, answered="upsert")
    assert len(two.made_there()) == 1
    erasure_id = await two.order()
    assert not await two.go_on(erasure_id)  # the answer may still be on its way
    await two.age()
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0
    await two.other.pull("contacts", full=True)
    assert await two.left_here() == 0


async def test_a_crm_that_nobody_asks_keeps_who_was_made_there_and_they_do_not_come_back(two: Two) -> None:
    assert await push_and_die(two.other, answered="upsert")
    erasure_id = await two.order("kept")
    await two.age()
    assert await two.go_on(erasure_id)
    assert not two.is_erased_everywhere()
    await two.other.pull("contacts", full=True)
    assert await two.left_here() == 0


async def test_who_was_never_made_is_told_of_as_such(two: Two) -> None:
    hold = two.gate.hold(UPSERT, answered=False)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    pushing.cancel()
    await asyncio.wait([pushing])
    erasure_id = await two.order()
    await two.age()
    assert await two.go_on(erasure_id)
    rows = await two.one.select("select state, reason from sync.remote_erasures where connection = 'two'")
    assert [(row["state"], row["reason"]) for row in rows] == [("done", "It was never made there.")]


async def test_an_answer_that_comes_long_after_has_the_person_erased_all_the_same(two: Two) -> None:
    """A process that stood still between writing down and sending makes somebody who is erased already."""
    hold = two.gate.hold(UPSERT, answered=False)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    await two.age()
    assert await two.go_on(erasure_id)
    hold.release()
    await pushing
    assert len(two.made_there()) == 1
    assert await two.left_here() == 0
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0


async def test_who_was_made_by_a_call_whose_answer_was_lost_is_looked_for_and_erased(two: Two) -> None:
    two.gate.spoil(UPSERT, lambda told: told["results"].clear())
    hold = two.gate.hold(UPSERT)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    hold.release()
    await pushing
    assert len(two.made_there()) == 1
    assert not await two.go_on(erasure_id)
    await two.age()
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0


async def test_whom_somebody_else_made_there_in_the_same_moment_is_erased_there(two: Two) -> None:
    hold = two.gate.hold(UPSERT, answered=False)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    theirs = two.other.world.create("contacts", {"email": EMAIL, "firstname": "Petra"}).id
    hold.release()
    await pushing
    assert await two.go_on(erasure_id)
    assert theirs in two.other.world.store("contacts").erased
    assert two.is_erased_everywhere()


async def test_who_could_not_be_looked_for_is_asked_for_once_the_answer_names_them(two: Two) -> None:
    hold = two.gate.hold(UPSERT, answered=False)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order("review")
    await two.age()
    await two.go_on(erasure_id)
    await two.one.execute(
        "update sync.remote_erasures set state = 'refused', reason = 'No way.', answered_at = now()"
        " where tenant_id = %(tenant_id)s and connection = 'two'"
    )
    hold.release()
    await pushing
    assert len(two.made_there()) == 1
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()


async def test_of_two_records_that_were_made_of_one_both_are_asked_for(two: Two) -> None:
    [record] = await two.one.select("select id from contacts where email = %(email)s", email=EMAIL)
    erasure_id = await two.order()
    later = now() + timedelta(hours=1)
    await two.one.execute("update sync.erasures set not_before = %(later)s", later=later)
    async with two.one.db.transaction(tenant_id=two.one.tenant_id) as conn:
        for remote_id in ("901", "902"):
            made = {record["id"]: Ref(two.other.connection_id, "contacts", remote_id)}
            keys = {"tenant_id": two.one.tenant_id, "within": erasure_id}
            await add_made(conn, two.one.vault, made, **keys)
    rows = await two.one.select(
        "select r.remote_id, r.state, e.not_before from sync.remote_erasures r"
        " join sync.erasures e on e.tenant_id = r.tenant_id and e.id = r.erasure_id"
        " where r.connection = 'two' order by r.remote_id"
    )
    assert [tuple(row.values()) for row in rows] == [("901", "wanted", later), ("902", "wanted", later)]


async def test_an_answer_that_comes_long_after_stores_nothing_of_what_the_crm_kept(two: Two) -> None:
    await two.other.push()
    [record] = await two.one.select("select id from contacts where email = %(email)s", email=EMAIL)
    await two.one.execute(
        "update crm.contacts set job_title = 'Asks petra@people.example' where id = %(id)s", id=record["id"]
    )
    two.gate.spoil(UPDATE, lambda told: told["results"][0]["properties"].update(jobtitle=f"Else {EMAIL}"))
    hold = two.gate.hold(UPDATE)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    await two.age()
    assert await two.go_on(erasure_id)
    hold.release()
    await pushing
    assert await two.left_here() == 0


async def test_who_was_merged_with_them_meanwhile_goes_too(two: Two) -> None:
    [record] = await two.one.select("select id from contacts where email = %(email)s", email=EMAIL)
    erasure_id = await two.order()
    await two.one.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), 'p.second@people.example', 'Petra')"
    )
    await two.one.execute(
        "update crm.contacts c set merged_into = o.id, archived_at = now() from crm.contacts o"
        " where c.id = %(id)s and o.email = 'p.second@people.example'",
        id=record["id"],
    )
    assert await two.go_on(erasure_id)
    assert await two.one.select("select 1 from contacts where first_name = 'Petra'") == []
    await two.other.push()
    assert two.made_there() == []
    [row] = await two.one.select(
        "select count(*) as found from crm.change_log l where l.changes::text like '%%p.second@%%'"
    )
    assert row["found"] == 0


async def test_a_mapping_that_is_applied_meanwhile_brings_nothing_back(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
) -> None:
    world = world_of(contacts=30)
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([new_key()])) as mirror:
        await mirror.pull("contacts")
        connection = await put(mirror, MOBILE)
        order = RemapOrder(settings.model_copy(update={"chunk_rows": 5}), "test")
        store = world.store("contacts")
        found = [store.records[i].get("email") for i in sorted(store.living)]
        emails = [each.lower() for each in found if isinstance(each, str)]
        erasing: list[asyncio.Task[bool]] = []

        async def erase(email: str) -> bool:
            async with db.transaction(tenant_id=tenant_id) as conn:
                person = await find_person(conn, Sought(emails=(email,)), tenant_id=tenant_id)
                erasure_id = await put_order(
                    conn,
                    mirror.vault,
                    person.subject,
                    Order("test", "cli", {}, {}),
                    tenant_id=tenant_id,
                    now=now(),
                )
            return await Eraser(db, mirror.remotes, database_urls.admin).go_on(tenant_id, erasure_id)

        def begin(_: object) -> None:
            if len(erasing) < 4:
                erasing.append(asyncio.create_task(erase(emails[-1 - len(erasing)])))

        order.on_progress = begin
        await remap(db, connection, HUBSPOT, "contacts", order)
        assert all(await asyncio.gather(*erasing))
        for email in emails[-4:]:
            [row] = await mirror.select(
                "select (select count(*) from crm.contacts c where c::text ilike %(like)s)"
                " + (select count(*) from raw.hubspot_contacts r where r.raw::text ilike %(like)s)"
                " + (select count(*) from sync.links l where l.base::text ilike %(like)s)"
                " + (select count(*) from crm.change_log l where l.changes::text ilike %(like)s) as found",
                like=f"%{email}%",
            )
            assert row["found"] == 0


async def test_taking_a_run_back_brings_nothing_back_of_who_is_to_be_erased(settings: Settings) -> None:
    async with opened(world_of(contacts=4), settings) as (hub, mirror):
        await mirror.sync("owners", "contacts")
        await mirror.allow("contacts")
        rows = await mirror.records("contacts", "contacts")
        first, second = sorted(rows.values(), key=lambda row: str(row["email"] or "~"))[:2]
        for each in (first, second):
            await mirror.execute(
                "update crm.contacts set job_title = 'Wrong' where id = %(id)s", id=each["id"]
            )
        [run_id] = (await push(hub, "main", by="test")).drained.run_ids
        boss = Caller(hub.tenant_id, "admin", "anna@example.com", "cli")
        email = str(first["email"]).lower()
        await erase_person(hub, boss, Wanted(email, email))
        await undo(hub, run_id, by="test")
        titles = {
            each["id"]: (
                await mirror.select("select job_title from contacts where id = %(id)s", id=each["id"])
            )
            for each in (first, second)
        }
        assert titles[first["id"]] == [{"job_title": "Wrong"}]
        assert titles[second["id"]] == [{"job_title": second["job_title"]}]
