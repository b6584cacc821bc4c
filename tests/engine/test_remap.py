"""A changed mapping is applied to what is here already: from what was read, without a call, and once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.connectors.registry import get_platform
from syncline.domain.mapping_file import load_mapping
from syncline.engine.foresee import Effects, preview
from syncline.engine.pull import Order, pull
from syncline.engine.remap import RemapOrder, list_pending, remap, store_mapping
from syncline.errors import Busy, RetryLater, SettingInvalid
from syncline.store import connections
from syncline.store.connections import Connection
from syncline.store.db import Database
from syncline.store.runs import Run
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

HUBSPOT = get_platform("hubspot")


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=30, deals=10, owners=2), db, settings, tenant_id) as made:
        await made.sync("contacts", "deals")
        made.forget_requests()
        yield made


def contacts(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "objects": {"contacts": {"fields": fields}}}


MOBILE = contacts(phone="mobilephone")


async def connection_of(mirror: Mirror) -> Connection:
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        return await connections.get(conn, mirror.connection_id, tenant_id=mirror.tenant_id)


async def put(mirror: Mirror, document: dict[str, Any] | None) -> Connection:
    connection = await connection_of(mirror)
    mapping = load_mapping(document, HUBSPOT.mapping, version=connection.mapping_version + 1)
    return await store_mapping(mirror.db, connection, HUBSPOT, document, mapping)


async def apply(
    mirror: Mirror,
    document: dict[str, Any] | None,
    *,
    chunk_rows: int = 2000,
    stop: asyncio.Event | None = None,
) -> dict[str, Run]:
    connection = await put(mirror, document)
    return await finish(mirror, connection, chunk_rows=chunk_rows, stop=stop)


async def finish(
    mirror: Mirror, connection: Connection, *, chunk_rows: int = 2000, stop: asyncio.Event | None = None
) -> dict[str, Run]:
    order = RemapOrder(mirror.settings.model_copy(update={"chunk_rows": chunk_rows}), "test", stop=stop)
    if stop is not None:
        order.on_progress = lambda _: stop.set()
    return {
        name: await remap(mirror.db, connection, HUBSPOT, name, order)
        for name in await list_pending(mirror.db, connection, HUBSPOT)
    }


async def foresee(mirror: Mirror, document: dict[str, Any] | None) -> dict[str, Effects]:
    mapping = load_mapping(document, HUBSPOT.mapping, version=2)
    return await preview(mirror.db, await connection_of(mirror), HUBSPOT, mapping)


async def log_of(mirror: Mirror, run: Run) -> list[dict[str, Any]]:
    rows = await mirror.select("select changes from crm.change_log where run_id = %(id)s", id=run.id)
    return [row["changes"] for row in rows]


def give_mobiles(mirror: Mirror) -> dict[str, str]:
    """Let every third contact have a mobile phone and no other, and return whose is which."""
    found: dict[str, str] = {}
    for place, remote_id in enumerate(sorted(mirror.world.store("contacts").living)):
        mobile = f"+1415555{place:04}" if place % 3 == 0 else ""
        mirror.world.update("contacts", remote_id, {"mobilephone": mobile})
        if mobile:
            found[str(remote_id)] = mobile
    return found


def at_crm(mirror: Mirror, remote_id: str, name: str) -> Any:
    return truth(mirror.world, "contacts")[remote_id][name]


async def test_another_property_is_taken_for_every_record_without_a_call(mirror: Mirror):
    mobiles = give_mobiles(mirror)
    await mirror.pull("contacts")
    before = await mirror.records("contacts", "contacts")
    mirror.forget_requests()
    effects = (await foresee(mirror, MOBILE))["contacts"]
    assert await mirror.records("contacts", "contacts") == before
    runs = await apply(mirror, MOBILE)
    assert mirror.requests() == 0
    after = await mirror.records("contacts", "contacts")
    assert {key: row["phone"] for key, row in after.items()} == {key: mobiles.get(key) for key in after}
    assert all(row["phone_e164"] == mobiles.get(key) for key, row in after.items())
    # What was foreseen is what happened, and it is written down.
    [run] = runs.values()
    changed = [key for key, row in after.items() if row["phone"] != before[key]["phone"]]
    assert effects.fields["phone"].changed == len(changed) == len(await log_of(mirror, run))
    assert effects.fields["phone"].emptied == sum(
        row["phone"] is not None and key not in mobiles for key, row in before.items()
    )
    assert (run.mode, run.status, run.records_read) == ("manual", "success", len(after))
    assert run.records_updated == effects.changed
    assert all(set(changes) == {"phone"} for changes in await log_of(mirror, run))


async def test_the_next_runs_find_nothing_to_do(mirror: Mirror):
    give_mobiles(mirror)
    await mirror.pull("contacts")
    await apply(mirror, MOBILE)
    after = await mirror.records("contacts", "contacts")
    run = await mirror.pull("contacts", full=True)
    assert (run.records_created, run.records_updated) == (0, 0)
    assert await mirror.records("contacts", "contacts") == after
    assert await foresee(mirror, MOBILE) == {}


async def test_a_later_change_at_the_crm_comes_by_the_new_property(mirror: Mirror):
    await apply(mirror, MOBILE)
    remote_id = mirror.world.store("contacts").living[0]
    mirror.world.update("contacts", remote_id, {"phone": "+14155550001"})
    await mirror.pull("contacts")
    assert (await mirror.records("contacts", "contacts"))[str(remote_id)]["phone"] is None
    mirror.world.update("contacts", remote_id, {"mobilephone": "+14155550002"})
    await mirror.pull("contacts")
    assert (await mirror.records("contacts", "contacts"))[str(remote_id)]["phone"] == "+14155550002"


async def test_a_field_that_is_mapped_now_is_filled_and_one_that_is_not_is_kept(mirror: Mirror):
    roles = {key: each["jobtitle"] for key, each in truth(mirror.world, "contacts").items()}
    assert any(roles.values())
    before = await mirror.records("contacts", "contacts")
    await apply(mirror, contacts(job_title="off"))
    rows = await mirror.records("contacts", "contacts")
    assert rows == before
    mirror.world.update("contacts", int(next(iter(rows))), {"jobtitle": "By the CRM"})
    await mirror.pull("contacts")
    after = await mirror.records("contacts", "contacts")
    assert {key: row["job_title"] for key, row in after.items()} == roles
    # and by default again.
    runs = await apply(mirror, None)
    assert runs["contacts"].records_updated == 1
    assert (await mirror.records("contacts", "contacts"))[next(iter(rows))]["job_title"] == "By the CRM"


async def test_an_edit_that_was_not_pushed_is_neither_lost_nor_held_for_theirs(mirror: Mirror):
    mobiles = give_mobiles(mirror)
    await mirror.pull("contacts")
    remote_id = next(iter(mobiles))
    row = (await mirror.records("contacts", "contacts"))[remote_id]
    await mirror.execute(
        "update crm.contacts set phone = '+16465550111', last_name = 'By hand' where id = %(id)s",
        id=row["id"],
    )
    effects = (await foresee(mirror, MOBILE))["contacts"]
    assert effects.fields["phone"].kept == 1
    await apply(mirror, MOBILE)
    found = (await mirror.records("contacts", "contacts"))[remote_id]
    assert (found["phone"], found["last_name"]) == ("+16465550111", "By hand")
    # Once writing is allowed, it goes to the new property, and the old one stays as it was.
    phone = at_crm(mirror, remote_id, "phone")
    await mirror.allow("contacts")
    await mirror.execute("update crm.contacts set job_title = 'By hand, too' where id = %(id)s", id=row["id"])
    await mirror.push()
    assert at_crm(mirror, remote_id, "mobilephone") == "+16465550111"
    assert at_crm(mirror, remote_id, "phone") == phone
    assert at_crm(mirror, remote_id, "lastname") == "By hand"


async def test_an_edit_is_queued_for_the_new_property_where_writing_is_on(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id, row = next(iter((await mirror.records("contacts", "contacts")).items()))
    await mirror.execute("update crm.contacts set phone = '+16465550111' where id = %(id)s", id=row["id"])
    effects = (await foresee(mirror, MOBILE))["contacts"]
    assert effects.fields["phone"].pushed == 1
    await apply(mirror, MOBILE)
    await mirror.push()
    assert at_crm(mirror, remote_id, "mobilephone") == "+16465550111"
    assert await mirror.select("select from sync.queue") == []


async def test_what_was_pushed_and_not_read_since_follows_with_its_next_reading(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id, row = next(iter((await mirror.records("contacts", "contacts")).items()))
    mirror.world.update("contacts", int(remote_id), {"mobilephone": "+14155550177"})
    await mirror.pull("contacts")
    await mirror.execute("update crm.contacts set first_name = 'Pushed' where id = %(id)s", id=row["id"])
    await mirror.push()
    assert (await foresee(mirror, MOBILE))["contacts"].later == 1
    await apply(mirror, MOBILE)
    found = (await mirror.records("contacts", "contacts"))[remote_id]
    assert (found["first_name"], found["phone"]) == ("Pushed", row["phone"])
    await mirror.pull("contacts")
    found = (await mirror.records("contacts", "contacts"))[remote_id]
    assert (found["first_name"], found["phone"]) == ("Pushed", "+14155550177")


async def test_a_value_the_converter_cannot_read_is_empty_and_parked_and_comes_back(mirror: Mirror):
    document = contacts(lead_score={"property": "jobtitle", "direction": "pull"}, job_title="off")
    titled = sum(bool(each["jobtitle"]) for each in truth(mirror.world, "contacts").values())
    effects = (await foresee(mirror, document))["contacts"]
    assert effects.fields["lead_score"].unreadable == titled > 0
    before = await mirror.records("contacts", "contacts")
    runs = await apply(mirror, document)
    assert runs["contacts"].status == "partial"
    assert runs["contacts"].records_failed == titled
    rows = await mirror.records("contacts", "contacts")
    assert {row["lead_score"] for row in rows.values()} == {None}
    assert len(await mirror.select("select from sync.parked")) == titled
    runs = await apply(mirror, None)
    assert runs["contacts"].status == "success"
    after = await mirror.records("contacts", "contacts")
    assert {key: row["lead_score"] for key, row in after.items()} == {
        key: row["lead_score"] for key, row in before.items()
    }
    assert await mirror.select("select from sync.parked") == []


async def test_only_objects_whose_mapping_changed_are_gone_through(mirror: Mirror):
    document = {"version": 1, "policy": "b2g", "objects": {"deals": {"fields": {"priority": "off"}}}}
    assert set(await foresee(mirror, document)) == {"deals"}
    runs = await apply(mirror, document)
    assert set(runs) == {"deals"}
    assert runs["deals"].records_updated == 0
    remote = await mirror.open()
    assert remote.policy.rule_for("deal", "match_score") == "ours"
    assert remote.connection.mapping_version == remote.mapping["deals"].version == 2


async def test_a_conflict_that_waits_goes_on_waiting(mirror: Mirror):
    await mirror.allow("contacts")
    await apply(mirror, {"version": 1, "policy": "review"})
    remote_id, row = next(iter((await mirror.records("contacts", "contacts")).items()))
    await mirror.execute("update crm.contacts set first_name = 'Ours' where id = %(id)s", id=row["id"])
    mirror.world.update("contacts", int(remote_id), {"firstname": "Theirs"})
    await mirror.pull("contacts")
    open_conflicts = (
        "select field, their_record ->> 'email' as email from sync.conflicts where status = 'open'"
    )
    before = await mirror.select(open_conflicts)
    assert [each["field"] for each in before] == ["first_name"]
    await apply(mirror, MOBILE | {"policy": "review"})
    assert await mirror.select(open_conflicts) == before


async def test_a_stop_leaves_behind_what_is_to_be_done(mirror: Mirror):
    mobiles = give_mobiles(mirror)
    await mirror.pull("contacts")
    with pytest.raises(RetryLater):
        await apply(mirror, MOBILE, chunk_rows=10, stop=asyncio.Event())
    connection = await connection_of(mirror)
    assert await list_pending(mirror.db, connection, HUBSPOT) == ["contacts"]
    [cursor] = await mirror.select("select state from sync.cursors where kind = 'remap'")
    assert cursor["state"]["after"] != ""
    runs = await finish(mirror, connection, chunk_rows=10)
    assert runs["contacts"].records_read == 20
    rows = await mirror.records("contacts", "contacts")
    assert {key: row["phone"] for key, row in rows.items()} == {key: mobiles.get(key) for key in rows}
    assert await list_pending(mirror.db, connection, HUBSPOT) == []


async def test_a_process_that_is_killed_leaves_behind_what_is_to_be_done(
    mirror: Mirror, database_urls: DatabaseUrls
):
    mobiles = give_mobiles(mirror)
    await mirror.pull("contacts")
    await put(mirror, MOBILE)
    ids = sorted(await mirror.raw("contacts"))
    asked = {
        "url": database_urls.app,
        "tenant": str(mirror.tenant_id),
        "connection": str(mirror.connection_id),
        "object": "contacts",
        "chunk_rows": 10,
    }
    # It comes as far as the second chunk, and no further.
    async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
        await conn.execute(
            "select from raw.hubspot_contacts where tenant_id = %(tenant)s and remote_id = %(id)s for update",
            {"tenant": mirror.tenant_id, "id": ids[15]},
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("remap_process.py")), stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        while not await mirror.select(
            "select from sync.cursors where kind = 'remap' and state ->> 'after' = %(id)s", id=ids[9]
        ):
            assert process.returncode is None
            await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
    runs = await finish(mirror, await connection_of(mirror))
    assert runs["contacts"].records_read == len(ids) - 10
    rows = await mirror.records("contacts", "contacts")
    assert {key: row["phone"] for key, row in rows.items()} == {key: mobiles.get(key) for key in rows}
    statuses = await mirror.select("select status from sync.runs where mode = 'manual' order by requested_at")
    assert [each["status"] for each in statuses] == ["failed", "success"]


async def test_two_cannot_change_a_mapping_at_once(mirror: Mirror):
    connection = await connection_of(mirror)
    mapping = load_mapping(MOBILE, HUBSPOT.mapping, version=2)
    await store_mapping(mirror.db, connection, HUBSPOT, MOBILE, mapping)
    with pytest.raises(Busy, match="Somebody else"):
        await store_mapping(mirror.db, connection, HUBSPOT, MOBILE, mapping)


async def test_who_writes_by_the_mapping_before_writes_nothing_any_more(mirror: Mirror):
    await put(mirror, MOBILE)
    with pytest.raises(RetryLater, match="mapping was changed"):
        async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
            await connections.require_mapping(conn, mirror.connection_id, 1, tenant_id=mirror.tenant_id)


async def test_a_run_that_was_prepared_by_the_mapping_before_does_not_begin(mirror: Mirror):
    remote = await mirror.open()
    await apply(mirror, MOBILE)
    before = await mirror.records("contacts", "contacts")
    with pytest.raises(RetryLater, match="mapping was changed"):
        await pull(mirror.db, remote, Order("contacts", full=True), mirror.settings)
    assert await mirror.records("contacts", "contacts") == before


async def test_the_next_run_finishes_what_was_left_of_applying_a_mapping(mirror: Mirror):
    mobiles = give_mobiles(mirror)
    await mirror.pull("contacts")
    connection = await put(mirror, MOBILE)
    run = await mirror.pull("contacts")
    assert await list_pending(mirror.db, connection, HUBSPOT) == []
    rows = await mirror.records("contacts", "contacts")
    assert {key: row["phone"] for key, row in rows.items()} == {key: mobiles.get(key) for key in rows}
    assert run.records_updated > 0


async def test_a_mapping_that_no_longer_parses_names_the_way_out_and_can_be_replaced(mirror: Mirror):
    await mirror.execute(
        """update sync.connections set mapping = '{"version": 1, "objects": {"cars": {}}}'
        where tenant_id = %(tenant_id)s"""
    )
    with pytest.raises(SettingInvalid, match="syncline mapping check main"):
        await mirror.open()
    await apply(mirror, MOBILE)
    rows = await mirror.records("contacts", "contacts")
    assert {key: row["phone"] for key, row in rows.items()} == {
        key: at_crm(mirror, key, "mobilephone") for key in rows
    }
    await mirror.open()
