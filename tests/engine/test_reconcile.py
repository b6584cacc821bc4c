"""What was missed is found and mended, much of it only reported, and nothing is taken for gone too soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from random import Random
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from simulated import FEW, LIST, OBJECTS, TOKEN, Mirror, Watch, mirror_of, truth, world_of
from test_bad_records import serve
from test_kill import kill_often
from test_pull_tenants import other_tenant

from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.pull import Order
from syncline.engine.reconcile import reconcile
from syncline.errors import Busy, Invalid, RetryLater, ScopeMissing
from syncline.store import erasures, payloads
from syncline.store.db import Database
from syncline.store.runs import Run
from syncline.store.urls import DatabaseUrls

__all__ = ["other_tenant"]

pytestmark = pytest.mark.anyio

UNSEEN = "update crm.contacts set first_name = %(name)s where tenant_id = %(tenant_id)s and id = %(id)s"
FOLLOWING = (
    "select state ->> 'watermark_ms' as at from sync.cursors"
    " where kind = 'incremental' and object = 'contacts'"
)
AGREED = (
    "update sync.links set base = base || %(pair)s::jsonb"
    " where tenant_id = %(tenant_id)s and remote_id = %(remote_id)s"
)


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=120, companies=4), db, settings, tenant_id) as made:
        await made.sync("owners", "contacts")
        yield made


async def check(mirror: Mirror, object_name: str = "contacts", **how: Any) -> Run:
    order = Order(object_name, requested_by="test")
    return await reconcile(mirror.db, await mirror.open(), order, mirror.settings, **how)


async def behind(mirror: Mirror, statement: str, **values: Any) -> None:
    """Change something without anybody noticing: the row triggers are passed over."""
    async with mirror.db.transaction(tenant_id=mirror.tenant_id, bulk=True) as conn:
        await conn.execute(statement, {"tenant_id": mirror.tenant_id} | values)  # type: ignore[arg-type]


async def drift(mirror: Mirror, *states: str) -> list[tuple[str, str, str, str]]:
    rows = await mirror.select(
        "select remote_id, field, state, cause from sync.drift where state = any(%(states)s)"
        " order by remote_id, field",
        states=list(states or ("open", "healed", "kept")),
    )
    return [(row["remote_id"], row["field"], row["state"], row["cause"]) for row in rows]


async def contact_of(mirror: Mirror, remote_id: int | str) -> dict[str, Any]:
    return (await mirror.records("contacts", "contacts"))[str(remote_id)]


async def test_where_both_sides_agree_nothing_is_found_or_written(mirror: Mirror):
    run = await check(mirror)
    assert (run.mode, run.status, run.records_read) == ("reconcile", "success", 120)
    assert (run.records_created, run.records_updated, run.records_archived) == (0, 0, 0)
    assert run.error_details is None
    assert await drift(mirror) == []
    [counts] = await mirror.select("select * from sync.latest_source_counts")
    assert (counts["at_source"], counts["listed"], counts["mirrored"], counts["records"]) == (120,) * 4
    assert (counts["drifted"], counts["open"]) == (0, 0)
    assert await mirror.select("select 1 from sync.cursors where left(kind, 9) = 'reconcile'") == []


async def test_changes_that_no_run_noticed_are_taken_in(mirror: Mirror):
    world = mirror.world
    first, second, third = world.store("contacts").living[:3]
    world.update("contacts", first, {"lastname": "Missed"})
    # One of which what was read is lost, and one that came while nobody looked.
    await behind(mirror, "delete from raw.hubspot_contacts where remote_id = %(id)s", id=str(second))
    made = world.create("contacts", {"email": "new@x.example"}).id
    await mirror.execute(
        "update sync.cursors set state = state || '{\"watermark_ms\": 9999999999999}'"
        " where object = 'contacts' and kind in ('incremental', 'second_pass')"
    )
    assert (await mirror.pull("contacts")).records_updated == 0
    [before] = await mirror.select(FOLLOWING)
    run = await check(mirror)
    assert run.status == "success"
    assert (await contact_of(mirror, first))["last_name"] == "Missed"
    assert (await contact_of(mirror, made))["email"] == "new@x.example"
    assert str(second) in await mirror.raw("contacts")
    assert third  # untouched
    assert await drift(mirror, "open", "kept") == []
    # Where changes are followed from is as it was.
    assert await mirror.select(FOLLOWING) == [before]


async def test_a_missed_delete_is_noticed_although_the_counts_agree(mirror: Mirror):
    world = mirror.world
    gone, erased = world.store("contacts").living[5:7]
    records = {each: await contact_of(mirror, each) for each in (gone, erased)}
    world.archive("contacts", gone)
    world.erase(erased)
    for number in range(2):
        world.create("contacts", {"email": f"{number}@new.example"})
    run = await check(mirror)
    assert run.records_archived == 2
    for each, before in records.items():
        after = await contact_of(mirror, each)
        assert (after["id"], after["archived_at"] is None) == (before["id"], False)
    rows = await mirror.raw("contacts")
    assert [rows[str(each)]["archived_reason"] for each in (gone, erased)] == ["archived", "missing"]
    assert await drift(mirror) == [
        (str(each), "", "healed", "missing_there") for each in sorted((gone, erased), key=str)
    ]
    # By the next run what was mended is no news any more.
    await check(mirror)
    assert await drift(mirror) == []


async def test_a_list_that_breaks_off_is_no_deletion(mirror: Mirror):
    world = mirror.world
    world.erase(world.store("contacts").living[3])
    grant = world.auth.tokens[TOKEN]
    scopes, lists = grant.scopes, 0

    def refuse(route: str) -> None:
        nonlocal lists
        lists += route == LIST
        if lists == 1:
            grant.scopes = frozenset()

    Watch(world, refuse)
    with pytest.raises(ScopeMissing):
        await check(mirror)
    assert all(row["archived_at"] is None for row in (await mirror.raw("contacts")).values())
    assert await drift(mirror) == []
    grant.scopes = scopes
    lists = 9
    assert (await check(mirror)).records_archived == 1


async def test_an_edit_that_slipped_past_the_queue_is_queued_and_reaches_the_crm(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id = mirror.world.store("contacts").living[4]
    await behind(mirror, UNSEEN, id=(await contact_of(mirror, remote_id))["id"], name="By hand")
    assert (await mirror.push()).updated == 0
    run = await check(mirror)
    assert run.status == "success"
    assert await drift(mirror) == [(str(remote_id), "first_name", "healed", "unqueued")]
    assert (await mirror.push()).updated == 1
    assert truth(mirror.world, "contacts")[str(remote_id)]["firstname"] == "By hand"
    await check(mirror)
    assert await drift(mirror) == []


async def test_a_record_that_went_back_in_time_is_brought_forward_again(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[4]
    before = await contact_of(mirror, remote_id)
    await behind(mirror, UNSEEN, id=before["id"], name="Old")
    await behind(mirror, AGREED, remote_id=str(remote_id), pair='{"first_name": ["Old"]}')
    await mirror.pull("contacts", full=True)  # nothing is new about it
    assert (await contact_of(mirror, remote_id))["first_name"] == "Old"
    run = await check(mirror)
    assert await drift(mirror) == [(str(remote_id), "first_name", "healed", "unmerged")]
    [row] = await mirror.select("select * from sync.drift")
    assert (row["ours"], row["theirs"], row["base"]) == ("Old", before["first_name"], "Old")
    assert (row["record_id"], row["run_id"]) == (before["id"], run.id)
    assert (await contact_of(mirror, remote_id))["first_name"] == before["first_name"]


async def test_what_waits_in_the_queue_or_for_a_person_is_no_drift(mirror: Mirror):
    await mirror.allow("contacts", fields=["first_name", "job_title"])
    first, second, third = mirror.world.store("contacts").living[:3]
    await mirror.execute(
        "update crm.contacts set first_name = 'Queued' where id = %(id)s",
        id=(await contact_of(mirror, first))["id"],
    )
    # Asked of a person: both sides changed it
    await mirror.execute(
        "update sync.connections set mapping = %(mapping)s where id = %(id)s",
        id=mirror.connection_id,
        mapping=Jsonb({"version": 1, "policy": "review"}),
    )
    await mirror.execute(
        "update crm.contacts set job_title = 'Ours' where id = %(id)s",
        id=(await contact_of(mirror, second))["id"],
    )
    mirror.world.update("contacts", second, {"jobtitle": "Theirs"})
    await check(mirror)
    assert await drift(mirror) == []
    [conflict] = await mirror.select("select field, status from sync.conflicts")
    assert conflict == {"field": "job_title", "status": "open"}
    # Where it may not be written, ours is kept, and that is said.
    await mirror.execute(
        "update crm.contacts set last_name = 'Kept' where id = %(id)s",
        id=(await contact_of(mirror, third))["id"],
    )
    run = await check(mirror)
    assert await drift(mirror) == [(str(third), "last_name", "kept", "unwritable")]
    assert run.status == "success"
    assert (await contact_of(mirror, third))["last_name"] == "Kept"


async def test_much_drift_is_reported_and_nothing_changed_until_a_person_says_so(mirror: Mirror):
    await behind(mirror, "update crm.contacts set last_name = 'Wrong' where tenant_id = %(tenant_id)s")
    await behind(
        mirror,
        "update sync.links set base = base || '{\"last_name\": [\"Wrong\"]}' where object = 'contacts'"
        " and tenant_id = %(tenant_id)s",
    )
    run = await check(mirror)
    assert run.status == "partial"
    assert run.error_details is not None
    assert "120 of 120 contacts differ" in run.error_details["error"]
    assert run.error_details["drift"] == {"open": {"unmerged": 120}}
    assert {state for _, _, state, _ in await drift(mirror)} == {"open"}
    assert {row["last_name"] for row in (await mirror.records("contacts", "contacts")).values()} == {"Wrong"}
    [told] = await mirror.select("select template_name, body from crm.notifications")
    assert told["template_name"] == "drift"
    assert "--heal-all" in told["body"]
    # Since when stays.
    [first] = await mirror.select("select min(found_at) as at, min(run_id::text) as run from sync.drift")
    run = await check(mirror, heal_all=True)
    assert run.status == "success"
    assert {state for _, _, state, _ in await drift(mirror)} == {"healed"}
    [again] = await mirror.select("select min(found_at) as at, min(run_id::text) as run from sync.drift")
    assert again == first
    names = {i: row["last_name"] for i, row in (await mirror.records("contacts", "contacts")).items()}
    assert names == {i: each["lastname"] for i, each in truth(mirror.world, "contacts").items()}


async def test_the_limit_is_the_connections_own(mirror: Mirror):
    await mirror.execute(
        'update sync.connections set settings = settings || \'{"reconcile": {"count": 0, "share": 0}}\''
    )
    world = mirror.world
    gone = world.store("contacts").living[0]
    world.archive("contacts", gone)
    run = await check(mirror)
    assert (run.status, run.records_archived) == ("partial", 0)
    assert await drift(mirror) == [(str(gone), "", "open", "missing_there")]
    assert (await contact_of(mirror, gone))["archived_at"] is None


async def test_a_report_changes_nothing(mirror: Mirror):
    world = mirror.world
    changed, gone, lost = world.store("contacts").living[:3]
    world.update("contacts", changed, {"lastname": "Missed"})
    world.archive("contacts", gone)
    made = world.create("contacts", {"email": "new@x.example"}).id
    record = await contact_of(mirror, lost)
    await behind(mirror, "delete from crm.contacts where id = %(id)s", id=record["id"])
    before = await mirror.raw("contacts")
    run = await check(mirror, report_only=True)
    assert run.status == "success"
    assert (run.records_created, run.records_updated, run.records_archived) == (0, 0, 0)
    assert await mirror.raw("contacts") == before
    assert await drift(mirror) == sorted(
        [
            (str(changed), "last_name", "open", "unread"),
            (str(gone), "", "open", "missing_there"),
            (str(made), "", "open", "missing_here"),
            (str(lost), "", "open", "record_lost"),
        ]
    )
    [counts] = await mirror.select("select * from sync.latest_source_counts")
    assert (counts["at_source"], counts["listed"], counts["mirrored"], counts["records"]) == (
        120,
        120,
        120,
        119,
    )
    assert (counts["drifted"], counts["open"]) == (4, 4)
    # What it found is mended by the next that may.
    run = await check(mirror)
    assert run.status == "success"
    assert await drift(mirror, "open") == []
    assert (await contact_of(mirror, lost))["email"] == record["email"]
    assert (await contact_of(mirror, lost))["id"] != record["id"]
    assert (await contact_of(mirror, gone))["archived_at"] is not None
    assert (await contact_of(mirror, changed))["last_name"] == "Missed"


async def test_a_record_that_lives_on_here_is_archived_unless_somebody_brought_it_back(mirror: Mirror):
    world = mirror.world
    never_told, brought_back = world.store("contacts").living[:2]
    for each in (never_told, brought_back):
        world.archive("contacts", each)
    await mirror.pull("contacts")
    await behind(
        mirror,
        "update crm.contacts set archived_at = null where id = %(id)s",
        id=(await contact_of(mirror, never_told))["id"],
    )
    await behind(mirror, AGREED, remote_id=str(never_told), pair='{"archived_at": [null]}')
    await mirror.execute(
        "update crm.contacts set archived_at = null where id = %(id)s",
        id=(await contact_of(mirror, brought_back))["id"],
    )
    await check(mirror)
    assert (await contact_of(mirror, never_told))["archived_at"] is not None
    assert (await contact_of(mirror, brought_back))["archived_at"] is None
    assert await drift(mirror) == sorted(
        [
            (str(never_told), "archived_at", "healed", "archived_there"),
            (str(brought_back), "archived_at", "kept", "restored_here"),
        ]
    )


async def test_a_pull_and_a_reconcile_of_one_object_go_on_beside_each_other(mirror: Mirror):
    mirror.world.update("contacts", mirror.world.store("contacts").living[0], {"lastname": "New"})
    compared, pulled = await asyncio.gather(check(mirror), mirror.pull("contacts", full=True))
    assert (compared.status, pulled.status) == ("success", "success")
    assert await drift(mirror, "open") == []
    # and two of one kind do not.
    first = asyncio.create_task(check(mirror))
    with pytest.raises(Busy):
        await asyncio.gather(first, check(mirror))
    await asyncio.wait([first])


async def test_what_was_not_read_yet_is_not_compared(mirror: Mirror):
    with pytest.raises(Invalid, match="has not been read"):
        await check(mirror, "companies")
    assert await mirror.select("select 1 from sync.runs where mode = 'reconcile'") == []


async def test_a_worker_that_is_to_end_stops_behind_a_chunk_and_the_next_goes_on(mirror: Mirror):
    stop = asyncio.Event()
    stop.set()
    settings = mirror.settings.model_copy(update={"chunk_rows": 50, "writers": 1})
    mirror.world.erase(mirror.world.store("contacts").living[1])
    with pytest.raises(RetryLater):
        await reconcile(mirror.db, await mirror.open(), Order("contacts", stop=stop), settings)
    [parts] = await mirror.select("select count(*) from sync.cursors where left(kind, 9) = 'reconcile'")
    assert parts["count"] >= 2
    mirror.forget_requests()
    run = await check(mirror)
    assert run.status == "success"
    assert run.records_archived == 1
    [first, second] = await mirror.select(
        "select status, records_read from sync.runs where mode = 'reconcile' order by requested_at"
    )
    assert first["status"] == "cancelled"
    assert second["records_read"] < 119
    assert first["records_read"] + second["records_read"] >= 119


async def test_one_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls
):
    world, key, rng = world_of(contacts=1500), new_key(), Random()
    async with mirror_of(world, db, settings, tenant_id, vault=Vault([key])) as mirror:
        await mirror.pull("contacts")
        living = list(world.store("contacts").living)
        for each in living[10:20]:
            world.archive("contacts", each)
        stale = living[100:110]
        for each in stale:
            await behind(mirror, UNSEEN, id=(await contact_of(mirror, each))["id"], name="Old")
            await behind(mirror, AGREED, remote_id=str(each), pair='{"first_name": ["Old"]}')
        killed = await kill_often(
            mirror, database_urls.app, key, rng, kills=3, pages=8, chunk_rows=100, mode="reconcile"
        )
        assert killed == 3
        assert await drift(mirror, "open", "kept") == []
        expected = truth(world, "contacts")
        records = await mirror.records("contacts", "contacts")
        assert {i for i, row in records.items() if row["archived_at"] is None} == expected.keys()
        assert {records[str(i)]["first_name"] for i in stale} == {
            expected[str(i)]["firstname"] for i in stale
        }
        runs = await mirror.select(
            "select status from sync.runs where mode = 'reconcile' order by requested_at"
        )
        assert runs[-1]["status"] == "success"
        # One may have been killed when it had just ended.
        assert {run["status"] for run in runs[:-1]} <= {"failed", "success"}
        assert await mirror.select("select 1 from sync.cursors where left(kind, 9) = 'reconcile'") == []


async def test_two_tenants_know_nothing_of_each_others_drift(
    db: Database, settings: Settings, tenant_id: UUID, other_tenant: UUID
):
    world = world_of(contacts=20)
    async with (
        mirror_of(world, db, settings, tenant_id) as one,
        mirror_of(world, db, settings, other_tenant) as other,
    ):
        for each in (one, other):
            await each.sync("owners", "contacts")
        await behind(one, "update crm.contacts set first_name = 'Wrong' where tenant_id = %(tenant_id)s")
        await check(one)
        await check(other)
        assert len(await drift(one)) == 20
        assert await drift(other) == []
        assert await other.select("select 1 from crm.contacts where first_name = 'Wrong'") == []


async def test_every_kind_of_object_agrees_with_itself(db: Database, settings: Settings, tenant_id: UUID):
    async with mirror_of(world_of(archived_contacts=6, **FEW), db, settings, tenant_id) as mirror:
        await mirror.sync()
        await mirror.pull("cars")
        for name in (*OBJECTS, "cars"):
            if name != "cars":
                await mirror.allow(name)
            run = await check(mirror, name)
            assert (run.status, run.records_updated, run.error_details) == ("success", 0, None), name
        assert await drift(mirror) == []
        for row in await mirror.select("select * from sync.latest_source_counts"):
            assert row["listed"] == row["mirrored"], row
            assert row["records"] == (None if row["object"] == "cars" else row["mirrored"]), row
            assert row["at_source"] in (None, row["mirrored"]), row
        # What is mirrored only is looked after as well.
        gone = mirror.world.store("cars").living[0]
        mirror.world.archive("cars", gone)
        await check(mirror, "cars")
        assert (await mirror.raw("cars"))[str(gone)]["archived_reason"] == "archived"
        assert await drift(mirror) == [(str(gone), "", "healed", "missing_there")]


async def test_a_record_that_was_deleted_here_does_not_come_back(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, remote_id)
    await mirror.execute("delete from crm.contacts where id = %(id)s", id=record["id"])
    for report_only in (True, False):
        await check(mirror, report_only=report_only)
        assert await drift(mirror) == []
    assert str(remote_id) not in await mirror.records("contacts", "contacts")


async def test_what_is_sent_while_it_is_compared_is_no_drift(mirror: Mirror):
    await mirror.allow("contacts")
    ids = [row["id"] for row in (await mirror.records("contacts", "contacts")).values()]

    async def edit() -> None:
        for number, record_id in enumerate(ids[:60]):
            await mirror.execute(
                "update crm.contacts set job_title = %(title)s where id = %(id)s",
                title=f"Title {number}",
                id=record_id,
            )
            if number % 10 == 0:
                await mirror.push()
        await mirror.push()

    editing = asyncio.create_task(edit())
    while not editing.done():
        await check(mirror)
        assert await drift(mirror) == []
    await editing
    titles = {each["jobtitle"] for each in truth(mirror.world, "contacts").values()}
    assert {f"Title {number}" for number in range(60)} <= titles


@pytest.mark.parametrize("payload", [b'{"id":"%d","properties":17}', b'["no record"]'])
async def test_a_record_that_cannot_be_read_any_more_is_not_taken_for_gone(mirror: Mirror, payload: bytes):
    bad, gone = mirror.world.store("contacts").living[20:22]
    serve(mirror.world, bad, payload.replace(b"%d", str(bad).encode()))
    run = await check(mirror)
    assert run.status == "partial"
    assert (await contact_of(mirror, bad))["archived_at"] is None
    assert await drift(mirror) == []
    # One that is asked for in one breath with it is.
    mirror.world.erase(gone)
    await check(mirror)
    assert (await contact_of(mirror, bad))["archived_at"] is None
    assert (await contact_of(mirror, gone))["archived_at"] is not None
    assert await drift(mirror) == [(str(gone), "", "healed", "missing_there")]


async def test_a_walk_that_only_reported_is_not_gone_on_with_by_one_that_mends(mirror: Mirror):
    stop = asyncio.Event()
    stop.set()
    settings = mirror.settings.model_copy(update={"chunk_rows": 50, "writers": 1})
    for each in mirror.world.store("contacts").living[:3]:
        mirror.world.update("contacts", each, {"lastname": "Missed"})
    with pytest.raises(RetryLater):
        await reconcile(
            mirror.db, await mirror.open(), Order("contacts", stop=stop), settings, report_only=True
        )
    run = await check(mirror)
    assert (run.records_read, run.records_updated) == (120, 3)
    assert await drift(mirror, "open") == []


async def test_what_a_person_had_erased_is_erased_from_the_drift_as_well(mirror: Mirror):
    remote_id = mirror.world.store("contacts").living[2]
    await behind(mirror, UNSEEN, id=(await contact_of(mirror, remote_id))["id"], name="Ann")
    await check(mirror)
    assert await drift(mirror) == [(str(remote_id), "first_name", "kept", "unwritable")]
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        await erasures.erase(
            conn,
            payloads.table_of("hubspot", "contacts"),
            [str(remote_id)],
            tenant_id=mirror.tenant_id,
            connection_id=mirror.connection_id,
            object_name="contacts",
            record_type="contact",
            now=now(),
        )
    assert await drift(mirror) == []
    # It stays away, however often everything is compared.
    await check(mirror)
    assert await drift(mirror) == []
    assert str(remote_id) not in await mirror.raw("contacts")
