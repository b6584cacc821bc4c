"""Two records of ours that are one person become one: here, and at the CRMs only where that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from simulated import Mirror, mirror_of, truth, world_of
from test_convergence import Killed, MortalDatabase

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.identity import United
from syncline.domain.records import RECORD_TYPES
from syncline.domain.sealing import Vault, new_key
from syncline.engine.keep_pushing import serve_push
from syncline.engine.pull import Order
from syncline.engine.reconcile import reconcile
from syncline.engine.unite import Wish, unite_records
from syncline.engine.unite_there import unite_there
from syncline.errors import Busy, Invalid, NotFound
from syncline.simulators.hubspot import World
from syncline.store import duplicates, merge_requests
from syncline.store.absorbing import Cause, absorb
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

MEG = {"email": "meg@harbour.example", "firstname": "Meg", "lastname": "Harbour"}
BY = Cause("cli", "ada")


@dataclass
class Two:
    """Two accounts of one tenant."""

    left: Mirror
    right: Mirror

    @property
    def both(self) -> tuple[Mirror, Mirror]:
        return self.left, self.right

    async def pull(self, *objects: str) -> None:
        for each in self.both:
            await each.sync(*(objects or ("contacts",)))

    async def settle(self) -> None:
        """Push and pull until nothing changes any more."""
        for _ in range(10):
            await self.left.let_time_pass()
            for each in self.both:
                await each.push()
                await each.pull("contacts")
            if not await self.left.select("select from sync.queue"):
                return
        raise AssertionError("The queue does not become empty.")

    async def contacts(self) -> list[dict[str, Any]]:
        return await self.left.select("select * from crm.contacts where merged_into is null order by id")

    async def links(self) -> dict[tuple[str, str], tuple[UUID, bool]]:
        rows = await self.left.select(
            "select n.name, l.remote_id, l.record_id, l.is_primary from sync.links l"
            " join sync.connections n on n.id = l.connection_id where l.record_type = 'contact'"
        )
        return {(r["name"], r["remote_id"]): (r["record_id"], r["is_primary"]) for r in rows}

    async def unite(self, survivor: UUID, merged: UUID, **more: Any) -> United:
        wish = Wish("contact", survivor, merged, **more)
        return await unite_records(self.left.db, wish, BY, tenant_id=self.left.tenant_id)

    async def requests(self) -> list[dict[str, Any]]:
        return await self.left.select("select * from sync.merges order by wanted_at, merged_id")


@pytest.fixture
async def two(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Two]:
    async with AsyncExitStack() as stack:
        vault = Vault([new_key()])
        mirrors = [
            await stack.enter_async_context(
                mirror_of(world_of(seed), db, settings, tenant_id, name=name, vault=vault)
            )
            for seed, name in ((3, "left"), (4, "right"))
        ]
        for each in mirrors:
            await each.pull("contacts")
        yield Two(*mirrors)


def create(mirror: Mirror, **properties: str) -> str:
    return str(mirror.world.create("contacts", {**MEG, **properties}).id)


def merges(world: World) -> list[Any]:
    return [each for each in world.events if each.kind == "contact.merge"]


async def record_of(two: Two, mirror: Mirror, remote_id: str) -> UUID:
    [name] = [each for each in ("left", "right") if mirror is getattr(two, each)]
    return (await two.links())[name, remote_id][0]


async def candidates(two: Two) -> list[tuple[UUID, UUID]]:
    async with two.left.db.transaction(tenant_id=two.left.tenant_id) as conn:
        found = await duplicates.list_pairs(conn, "contact", tenant_id=two.left.tenant_id, limit=100)
    return [(each.first_id, each.second_id) for each in found]


async def reconciled(mirror: Mirror) -> None:
    """Check that both sides are the same in every living, primary record."""
    theirs = truth(mirror.world, "contacts")
    for remote_id, row in (await mirror.records("contacts", "contacts")).items():
        if row["archived_at"] is None:
            found = theirs[remote_id]
            assert (row["first_name"], row["phone"], row["job_title"]) == (
                found["firstname"],
                found["phone"],
                found["jobtitle"],
            ), remote_id


async def test_one_person_in_two_accounts_becomes_one_contact(two: Two):
    here, there = create(two.left), create(two.right, email=" MEG@Harbour.example ")
    await two.pull()
    [meg] = await two.contacts()
    assert await two.links() == {("left", here): (meg["id"], True), ("right", there): (meg["id"], True)}
    assert await candidates(two) == []


async def test_a_person_whom_two_may_be_is_left_apart_and_listed(two: Two):
    # Two of the left account have her address: which of them the right one's is nobody can know.
    create(two.left, email="first@harbour.example")
    create(two.left, email="second@harbour.example")
    await two.left.pull("contacts")
    await two.left.execute("update crm.contacts set email = 'meg@harbour.example' where true")
    create(two.right)
    await two.right.pull("contacts")
    assert len(await two.contacts()) == 3
    assert len(await candidates(two)) == 3


async def apart(two: Two, left: dict[str, str], right: dict[str, str]) -> tuple[UUID, UUID]:
    """Make her twice, under addresses that do not tell, and return both records of ours."""
    here = create(two.left, **left)
    there = create(two.right, email="m.harbour@port.example", **right)
    await two.pull()
    return await record_of(two, two.left, here), await record_of(two, two.right, there)


async def allow(two: Two, *scopes: str) -> None:
    for each in two.both:
        await each.allow("contacts", *scopes)


async def test_merging_fills_gaps_keeps_the_survivors_values_and_writes_down_what_is_lost(two: Two):
    survivor, merged = await apart(two, {"jobtitle": "Captain"}, {"jobtitle": "Pilot", "phone": "+15550100"})
    united = await two.unite(survivor, merged)
    lost = {each.field: each.value for each in united.lost}
    assert lost == {"email": "m.harbour@port.example", "job_title": "Pilot"}
    [meg] = await two.contacts()
    assert meg["id"] == survivor
    assert (meg["job_title"], meg["phone"], meg["phone_e164"]) == ("Captain", "+15550100", "+15550100")
    [gone] = await two.left.select("select * from crm.contacts where merged_into is not null")
    assert (gone["merged_into"], gone["job_title"]) == (survivor, "Pilot")
    assert gone["archived_at"] is not None
    log = await two.left.select(
        "select record_id, action, changes, source, actor from crm.change_log where source = 'cli'"
        " order by action"
    )
    assert [(row["record_id"], row["action"], row["actor"]) for row in log] == [
        (merged, "merged", "ada"),
        (survivor, "updated", "ada"),
    ]
    assert log[1]["changes"]["phone"] == [None, "+15550100"]
    decisions = await two.left.select(
        "select field, value, losing, winner from sync.decisions order by field"
    )
    assert [(row["field"], row["losing"], row["winner"]) for row in decisions] == [
        ("email", "m.harbour@port.example", "ours"),
        ("job_title", "Pilot", "ours"),
    ]


async def test_the_survivor_reaches_the_account_that_had_only_the_other(two: Two):
    survivor, merged = await apart(two, {"jobtitle": "Captain"}, {"jobtitle": "Pilot", "phone": "+15550100"})
    await allow(two)
    await two.unite(survivor, merged)
    assert {record for record, _ in (await two.links()).values()} == {survivor}
    assert all(is_primary for _, is_primary in (await two.links()).values())
    await two.settle()
    for each in two.both:
        [meg] = truth(each.world, "contacts").values()
        assert (meg["email"], meg["jobtitle"], meg["phone"]) == (
            "meg@harbour.example",
            "Captain",
            "+15550100",
        )
        await reconciled(each)
    # An edit afterwards reaches both.
    await two.left.execute(
        "update crm.contacts set job_title = 'Harbour master' where id = %(id)s", id=survivor
    )
    await two.settle()
    assert [each["jobtitle"] for world in two.both for each in truth(world.world, "contacts").values()] == [
        "Harbour master"
    ] * 2


async def test_where_writing_is_off_each_account_keeps_its_own_and_nothing_is_queued(two: Two):
    survivor, merged = await apart(two, {"jobtitle": "Captain"}, {"jobtitle": "Pilot"})
    await two.unite(survivor, merged)
    assert await two.left.select("select * from sync.queue") == []
    await two.pull()
    [meg] = await two.contacts()
    assert meg["job_title"] == "Captain"
    [theirs] = truth(two.right.world, "contacts").values()
    assert theirs["jobtitle"] == "Pilot"


async def test_a_chosen_value_stands_and_goes_to_both(two: Two):
    survivor, merged = await apart(two, {"jobtitle": "Captain"}, {"jobtitle": "Pilot"})
    await allow(two)
    united = await two.unite(survivor, merged, taken=["job_title"])
    assert [(each.field, each.value) for each in united.lost if each.was_survivors] == [
        ("job_title", "Captain")
    ]
    await two.settle()
    assert [each["jobtitle"] for world in two.both for each in truth(world.world, "contacts").values()] == [
        "Pilot",
        "Pilot",
    ]


async def test_what_waited_for_the_one_that_goes_is_sent_of_the_survivor(two: Two):
    survivor, merged = await apart(two, {}, {})
    await allow(two)
    await two.left.execute("update crm.contacts set phone = '+15550199' where id = %(id)s", id=merged)
    await two.unite(survivor, merged)
    rows = await two.left.select("select record_id from sync.queue")
    assert {row["record_id"] for row in rows} == {survivor}
    await two.settle()
    for each in two.both:
        [meg] = truth(each.world, "contacts").values()
        assert meg["phone"] == "+15550199"
        await reconciled(each)


async def test_children_are_the_survivors_and_each_is_logged(two: Two):
    survivor, merged = await apart(two, {}, {})
    values = {"contact": merged, "deal": uuid4(), "task": uuid4(), "activity": uuid4()}
    await two.left.execute(
        "insert into crm.deals (tenant_id, id, name, contact_id)"
        " values (%(tenant_id)s, %(deal)s, 'Crane', %(contact)s)",
        **values,
    )
    await two.left.execute(
        "insert into crm.activities (tenant_id, id, type, contact_id)"
        " values (%(tenant_id)s, %(activity)s, 'call', %(contact)s)",
        **values,
    )
    await two.left.execute(
        "insert into crm.tasks (tenant_id, id, contact_id) values (%(tenant_id)s, %(task)s, %(contact)s)",
        **values,
    )
    await two.unite(survivor, merged)
    found = await two.left.select(
        "select contact_id from crm.deals union all select contact_id from crm.activities"
        " union all select contact_id from crm.tasks"
    )
    assert [row["contact_id"] for row in found] == [survivor] * 3
    log = await two.left.select(
        "select changes from crm.change_log where changes ? 'contact_id' and actor = 'ada'"
    )
    assert [row["changes"]["contact_id"] for row in log] == [[str(merged), str(survivor)]] * 3


async def test_a_persons_question_about_the_one_that_goes_is_asked_about_the_survivor(two: Two):
    survivor, merged = await apart(two, {"jobtitle": "Captain"}, {"jobtitle": "Pilot"})
    await two.right.execute(
        """update sync.connections set mapping = '{"version": 1, "policy": "review"}' where id = %(id)s""",
        id=two.right.connection_id,
    )
    await two.right.allow("contacts")
    await two.right.execute("update crm.contacts set job_title = 'Ours' where id = %(id)s", id=merged)
    [remote_id] = two.right.world.store("contacts").living
    two.right.world.update("contacts", remote_id, {"jobtitle": "Theirs"})
    await two.right.pull("contacts")
    [before] = await two.right.select("select * from sync.conflicts where status = 'open'")
    assert before["record_id"] == merged
    await two.unite(survivor, merged)
    [after] = await two.right.select("select * from sync.conflicts where status = 'open'")
    assert (after["record_id"], after["ours"], after["theirs"]) == (survivor, "Captain", "Theirs")


async def test_records_that_cannot_be_merged_are_refused(two: Two):
    survivor, merged = await apart(two, {}, {})
    with pytest.raises(Busy):
        await two.unite(survivor, merged, versions=(99, 1))
    await two.left.execute("update crm.contacts set archived_at = now() where id = %(id)s", id=merged)
    with pytest.raises(Invalid, match="archived"):
        await two.unite(survivor, merged)
    await two.left.execute("update crm.contacts set archived_at = null where id = %(id)s", id=merged)
    await two.unite(survivor, merged)
    with pytest.raises(Invalid, match="already"):
        await two.unite(survivor, merged)


async def twice_in(two: Two, mirror: Mirror) -> tuple[UUID, UUID, str, str]:
    """Make her twice in one account; returns both records and their ids there, the survivor's first."""
    first = create(mirror, jobtitle="Captain")
    second = create(mirror, email="m.harbour@port.example", phone="+15550100")
    await mirror.pull("contacts")
    ids = [await record_of(two, mirror, each) for each in (first, second)]
    return ids[0], ids[1], first, second


async def carry_out(mirror: Mirror) -> list[str]:
    found = await unite_there(mirror.db, await mirror.open(), mirror.settings)
    return [each.state for each in found]


async def test_a_merge_here_leaves_the_account_as_it_is_unless_somebody_asks(two: Two):
    survivor, merged, first, second = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged)
    assert await carry_out(two.left) == []
    assert merges(two.left.world) == []
    assert (await two.links())["left", first] == (survivor, True)
    assert (await two.links())["left", second] == (survivor, False)
    assert [row["state"] for row in await two.requests()] == ["here"]


async def test_asked_for_and_allowed_it_is_merged_at_the_account_once(two: Two):
    survivor, merged, first, second = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    assert await carry_out(two.left) == ["done"]
    assert await carry_out(two.left) == []
    [event] = merges(two.left.world)
    assert event.details["mergedObjectIds"] == [int(second)]
    [new] = truth(two.left.world, "contacts")
    links = await two.links()
    assert links["left", new] == (survivor, True)
    assert {links["left", each] for each in (first, second)} == {(survivor, False)}
    [change] = await two.left.select("select * from sync.remote_changes where action = 'merged'")
    assert (change["state"], change["remote_id"], change["record_id"]) == ("done", second, survivor)
    [run] = await two.left.select("select * from sync.runs where mode = 'push'")
    assert (run["id"], run["status"]) == (change["run_id"], "success")
    # Both sides agree, and a sync afterwards finds nothing.
    await two.settle()
    await reconciled(two.left)
    [meg] = await two.contacts()
    assert (meg["job_title"], meg["phone"]) == ("Captain", "+15550100")


async def test_without_the_permission_nothing_is_merged_there(two: Two):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    assert await carry_out(two.left) == ["review"]
    assert merges(two.left.world) == []
    assert await two.left.select("select * from sync.remote_changes") == []


async def test_an_answer_that_was_lost_is_looked_for_and_it_is_not_merged_twice(two: Two):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    [request] = await two.requests()
    # As a process leaves it that was killed between the CRM's merge and its answer:
    await two.left.execute("update sync.merges set state = 'sent' where tenant_id = %(tenant_id)s")
    two.left.world.merge("contacts", int(request["survivor_id"]), int(request["merged_id"]))
    assert await carry_out(two.left) == ["sent"]
    # The CRM shows neither id; the next sync reads what became of both.
    await two.left.pull("contacts")
    await two.left.execute("update sync.merges set not_before = now() where tenant_id = %(tenant_id)s")
    assert await carry_out(two.left) == ["done"]
    assert len(merges(two.left.world)) == 1
    [new] = truth(two.left.world, "contacts")
    assert (await two.links())["left", new] == (survivor, True)


async def test_an_answer_that_was_lost_is_found_at_once_where_the_account_leads_from_old_ids(two: Two):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    two.left.world.settings.batch_read_resolves_merged = True
    await two.unite(survivor, merged, there=[two.left.connection_id])
    [request] = await two.requests()
    await two.left.execute("update sync.merges set state = 'sent' where tenant_id = %(tenant_id)s")
    two.left.world.merge("contacts", int(request["survivor_id"]), int(request["merged_id"]))
    assert await carry_out(two.left) == ["done"]
    assert len(merges(two.left.world)) == 1


async def test_an_intent_that_never_left_is_sent(two: Two):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    await two.left.execute("update sync.merges set state = 'sent' where tenant_id = %(tenant_id)s")
    assert await carry_out(two.left) == ["done"]
    assert len(merges(two.left.world)) == 1


@pytest.mark.parametrize("resolves", [True, False])
@pytest.mark.parametrize("commits", range(1, 9))
async def test_killed_behind_any_commit_it_is_merged_once(two: Two, resolves: bool, commits: int):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    two.left.world.settings.batch_read_resolves_merged = resolves
    await two.unite(survivor, merged, there=[two.left.connection_id])
    mortal = MortalDatabase(two.left.db, commits)
    with suppress(Killed):
        await unite_there(mortal, await two.left.open(), two.left.settings)
    for _ in range(3):
        await two.left.execute(
            "update sync.leases set expires_at = now() - interval '1 second' where tenant_id = %(tenant_id)s"
        )
        await two.left.execute("update sync.merges set not_before = now() where tenant_id = %(tenant_id)s")
        await carry_out(two.left)
        await two.left.pull("contacts")
    assert [row["state"] for row in await two.requests()] == ["done"]
    assert len(merges(two.left.world)) == 1
    [new] = truth(two.left.world, "contacts")
    assert (await two.links())["left", new] == (survivor, True)
    [change] = await two.left.select("select * from sync.remote_changes")
    assert change["state"] == "done"
    await reconciled(two.left)


async def test_what_the_account_merges_by_itself_is_asked_no_more(two: Two):
    survivor, merged, first, second = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    two.left.world.merge("contacts", int(first), int(second))
    await two.left.pull("contacts")
    assert [row["state"] for row in await two.requests()] == ["done"]
    assert await carry_out(two.left) == []
    assert len(merges(two.left.world)) == 1


async def test_a_worker_carries_out_what_is_wanted(two: Two):
    survivor, merged, *_ = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_push(two.left.db, two.left.remotes, two.left.settings, stop))
    async with asyncio.timeout(30):
        while [row["state"] for row in await two.requests()] != ["done"]:
            await asyncio.sleep(0.02)
    stop.set()
    await serving
    assert len(merges(two.left.world)) == 1


async def test_an_edit_that_a_pull_reads_while_its_record_is_merged_is_the_survivors(
    two: Two, database_urls: DatabaseUrls
):
    survivor, merged = await apart(two, {}, {})
    [remote_id] = two.right.world.store("contacts").living
    two.right.world.update("contacts", remote_id, {"jobtitle": "Pilot"})
    kind, at, tenant_id = RECORD_TYPES["contact"], now(), two.left.tenant_id
    async with two.left.db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await absorb(conn, kind, merged, survivor, BY, tenant_id=tenant_id, now=at)
        # The pull has read that the remote record is the one that is going, and waits for it.
        pulling = asyncio.create_task(two.right.pull("contacts"))
        async with await psycopg.AsyncConnection.connect(database_urls.superuser, autocommit=True) as admin:
            async with asyncio.timeout(30):
                while True:
                    waiting = await admin.execute("select from pg_locks where not granted")
                    if waiting.rowcount or pulling.done():
                        break
                    await asyncio.sleep(0.01)
        assert not pulling.done()
    assert (await pulling).status == "success"
    [meg] = await two.contacts()
    assert (meg["id"], meg["job_title"]) == (survivor, "Pilot")


async def test_what_was_made_there_of_a_record_that_went_meanwhile_is_the_survivors(two: Two):
    survivor, merged = await apart(two, {}, {})
    await two.unite(survivor, merged)
    # As the answer to its making leaves it that came after the merge:
    await two.right.execute(
        "update sync.links set record_id = %(merged)s"
        " where connection_id = %(connection)s and record_type = 'contact'",
        merged=merged,
        connection=two.right.connection_id,
    )
    [remote_id] = two.right.world.store("contacts").living
    two.right.world.update("contacts", remote_id, {"jobtitle": "Pilot"})
    assert (await two.right.pull("contacts")).status == "success"
    [meg] = await two.contacts()
    assert (meg["id"], meg["job_title"]) == (survivor, "Pilot")
    assert (await two.links())["right", str(remote_id)] == (survivor, True)


async def test_after_a_merge_a_reconcile_finds_no_drift(two: Two):
    (one, other), _ = await in_both_twice(two)
    await allow(two, "merge")
    await follow(two.right, "everywhere")
    two.left.world.merge("contacts", int(one), int(other))
    await two.left.pull("contacts")
    assert await carry_out(two.right) == ["done"]
    await two.settle()
    for each in two.both:
        order = Order("contacts", requested_by="test")
        run = await reconcile(each.db, await each.open(), order, each.settings)
        assert run.status == "success"
    assert await two.left.select("select field, cause from sync.drift where state = 'open'") == []


async def test_what_the_account_refuses_is_said_and_not_tried_again(two: Two):
    survivor, merged, _, second = await twice_in(two, two.left)
    await two.left.allow("contacts", "merge")
    await two.unite(survivor, merged, there=[two.left.connection_id])
    two.left.world.archive("contacts", int(second))
    assert await carry_out(two.left) == ["refused"]
    assert await carry_out(two.left) == []
    [change] = await two.left.select("select * from sync.remote_changes")
    assert change["state"] == "refused"


async def in_both_twice(two: Two) -> tuple[tuple[str, str], tuple[str, str]]:
    """Make two people in both accounts; returns their ids, by account."""
    ids = [
        (create(each), create(each, email="other@harbour.example", firstname="Other")) for each in two.both
    ]
    await two.pull()
    assert len(await two.contacts()) == 2
    return ids[0], ids[1]


async def follow(mirror: Mirror, how: str) -> None:
    await mirror.execute(
        "update sync.connections set settings = settings || jsonb_build_object('merges', %(how)s::text)"
        " where id = %(id)s",
        how=how,
        id=mirror.connection_id,
    )


@pytest.mark.parametrize(
    ("how", "allowed", "state"),
    [("here", True, "here"), ("review", True, "review"), ("everywhere", False, "review")],
)
async def test_a_merge_in_one_account_follows_in_the_other_only_by_policy(
    two: Two, how: str, allowed: bool, state: str
):
    (one, other), _ = await in_both_twice(two)
    await follow(two.right, how)
    await two.right.allow("contacts", *(["merge"] if allowed else []))
    two.left.world.merge("contacts", int(one), int(other))
    await two.left.pull("contacts")
    assert len(await two.contacts()) == 1
    assert [row["state"] for row in await two.requests()] == [state]
    assert await carry_out(two.right) == []
    assert merges(two.right.world) == []


async def test_a_merge_in_one_account_is_made_in_the_other_where_policy_and_permission_say_so(two: Two):
    (one, other), _ = await in_both_twice(two)
    await allow(two, "merge")
    await follow(two.right, "everywhere")
    two.left.world.merge("contacts", int(one), int(other))
    await two.left.pull("contacts")
    [meg] = await two.contacts()
    assert await carry_out(two.right) == ["done"]
    [new] = truth(two.right.world, "contacts")
    assert (await two.links())["right", new] == (meg["id"], True)
    await two.settle()
    for each in two.both:
        await reconciled(each)
    # It does not go back and forth.
    assert [len(merges(each.world)) for each in two.both] == [1, 1]
    assert [await carry_out(each) for each in two.both] == [[], []]


async def test_more_merges_than_a_brake_allows_wait_for_a_person(two: Two):
    (one, other), _ = await in_both_twice(two)
    await allow(two, "merge")
    await follow(two.right, "everywhere")
    await two.right.execute(
        """update sync.connections set settings = settings || '{"brakes": {"delete": {"count": 0}}}'
        where id = %(id)s""",
        id=two.right.connection_id,
    )
    two.left.world.merge("contacts", int(one), int(other))
    await two.left.pull("contacts")
    assert await carry_out(two.right) == []
    assert [row["state"] for row in await two.requests()] == ["review"]
    assert merges(two.right.world) == []


async def test_a_merge_in_an_account_loses_no_value_that_only_the_other_one_had(two: Two):
    (one, other), (_, there) = await in_both_twice(two)
    await allow(two)
    # What the left account has no property of, or has not been told yet:
    two.right.world.update("contacts", int(there), {"phone": "+15550123"})
    await two.right.pull("contacts")
    await two.left.execute("delete from sync.queue where tenant_id = %(tenant_id)s")
    two.left.world.merge("contacts", int(one), int(other))
    await two.left.pull("contacts")
    await two.settle()
    [meg] = await two.contacts()
    assert meg["phone"] == "+15550123"
    [left] = truth(two.left.world, "contacts").values()
    assert left["phone"] == "+15550123"


async def test_a_record_of_another_tenant_cannot_be_merged_nor_listed(two: Two):
    survivor, merged = await apart(two, {}, {})
    stranger = uuid4()
    assert await candidates(two) == []
    async with two.left.db.transaction(tenant_id=stranger) as conn:
        assert await duplicates.list_pairs(conn, "contact", tenant_id=stranger, limit=10) == []
        assert await merge_requests.list_open(conn, tenant_id=stranger) == []
    with pytest.raises(NotFound):
        await unite_records(two.left.db, Wish("contact", survivor, merged), BY, tenant_id=stranger)
    assert len(await two.contacts()) == 2
