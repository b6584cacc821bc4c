"""One record brought up to date while a person waits, and what is said to have happened to its fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from two_way_rows import Rows

from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.permissions import Wish
from syncline.actions.resync import Resynced, resync
from syncline.actions.sync import sync
from syncline.actions.writing import allow
from syncline.errors import Invalid
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connection_id(hub: Hub, connect: Callable[..., Awaitable[Connected]]) -> UUID:
    connection = (await connect(objects=("owners", "contacts"))).connection
    await sync(hub, objects=["owners", "contacts"])
    return connection.id


@pytest.fixture
def rows(hub: Hub) -> Rows:
    return Rows(hub)


async def record_of(rows: Rows, remote_id: int) -> UUID:
    [link] = await rows.select(
        "select record_id from sync.links where remote_id = %(id)s and object = 'contacts'", id=str(remote_id)
    )
    return link["record_id"]


def told(item: Resynced) -> dict[str, str]:
    return {each.field: each.what for each in item.fields}


async def test_where_both_sides_agree_nothing_happens(
    hub: Hub, world: World, rows: Rows, connection_id: UUID
):
    record_id = await record_of(rows, world.store("contacts").living[0])
    before = await rows.row("contact", record_id)
    [item] = await resync(hub, str(record_id))
    assert (item.connection, item.object, item.outcome, item.fields) == ("acme", "contacts", "same", [])
    assert await rows.row("contact", record_id) == before
    [run] = await rows.select("select * from sync.runs where id = %(id)s", id=item.run_id)
    assert (run["mode"], run["status"], run["records_read"]) == ("manual", "success", 1)


async def test_what_changed_there_is_taken_and_what_changed_here_is_sent(
    hub: Hub, world: World, rows: Rows, connection_id: UUID
):
    remote_id = world.store("contacts").living[0]
    record_id = await record_of(rows, remote_id)
    await allow(hub, "acme", Wish("contacts", ("first_name",)), by="test")
    world.update("contacts", remote_id, {"lastname": "There"})
    # Past the queue, as drift is: a resync finds it all the same.
    async with hub.db.transaction(tenant_id=hub.tenant_id, bulk=True) as conn:
        await conn.execute(
            "update crm.contacts set first_name = 'Here', job_title = 'Kept' where id = %s", (record_id,)
        )
    [item] = await resync(hub, f"acme:{remote_id}")
    assert item.error is None
    assert item.outcome == "changed"
    assert told(item) == {"last_name": "taken", "first_name": "sent", "job_title": "kept"}
    assert (await rows.row("contact", record_id))["last_name"] == "There"
    store = world.store("contacts")
    properties = store.plan_once(store.definitions).properties(store.records[remote_id])
    assert (properties["firstname"], properties["lastname"]) == ("Here", "There")
    assert await rows.select("select 1 from sync.queue") == []
    drift = await rows.select("select field, state, cause from sync.drift")
    assert drift == [{"field": "job_title", "state": "kept", "cause": "unwritable"}]


async def test_what_may_not_be_sent_now_waits_and_says_why(
    hub: Hub, world: World, rows: Rows, connection_id: UUID
):
    remote_id = world.store("contacts").living[0]
    record_id = await record_of(rows, remote_id)
    await allow(hub, "acme", Wish("contacts", starts=False), by="test")
    await rows.execute("update crm.contacts set first_name = 'Here' where id = %(id)s", id=record_id)
    [item] = await resync(hub, str(record_id))
    [field] = item.fields
    assert (field.field, field.what, field.ours) == ("first_name", "waiting", "Here")
    assert field.reason == "Writing to this connection is switched off."


async def test_what_the_crm_refuses_is_told_in_its_words(
    hub: Hub, world: World, rows: Rows, connection_id: UUID
):
    record_id = await record_of(rows, world.store("contacts").living[0])
    await allow(hub, "acme", Wish("contacts"), by="test")
    await rows.execute("update crm.contacts set email = 'no address' where id = %(id)s", id=record_id)
    [item] = await resync(hub, str(record_id))
    [field] = item.fields
    assert (field.field, field.what) == ("email", "refused")
    assert field.reason


async def test_a_record_that_is_gone_there_is_not_archived_on_one_word(
    hub: Hub, world: World, rows: Rows, connection_id: UUID
):
    remote_id = world.store("contacts").living[0]
    record_id = await record_of(rows, remote_id)
    world.erase(remote_id)
    [item] = await resync(hub, str(record_id))
    assert item.outcome == "gone"
    assert item.note is not None
    assert "syncline reconcile acme --object contacts" in item.note
    assert (await rows.row("contact", record_id))["archived_at"] is None


async def test_a_record_that_was_never_read_is_brought_in(hub: Hub, world: World, connection_id: UUID):
    made = world.create("contacts", {"email": "new@x.example"}).id
    [item] = await resync(hub, f"acme:contacts:{made}")
    assert item.outcome == "new"
    [item] = await resync(hub, "new@x.example")
    assert item.outcome == "same"


async def test_a_record_that_no_crm_has_cannot_be_read_again(hub: Hub, rows: Rows, connection_id: UUID):
    record_id = await rows.insert("contact", email="only@here.example")
    with pytest.raises(Invalid, match="No CRM has this record"):
        await resync(hub, str(record_id))
