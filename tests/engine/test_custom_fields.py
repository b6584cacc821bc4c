"""Custom fields are pulled, logged, merged, allowed and pushed key by key; labels mean what they meant."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, truth, world_of
from test_remap import apply, connection_of, put

from syncline.config import Settings
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

#: Two fields of ours that are no columns, one a text and one a number.
MAPPED = {
    "version": 1,
    "objects": {
        "contacts": {
            "fields": {
                "custom_fields.fax": "fax",
                "custom_fields.children": {"property": "num_notes", "convert": "number", "direction": "pull"},
                "custom_fields.town": "city",
            }
        }
    },
}


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    async with mirror_of(world_of(contacts=12, deals=6, owners=2), db, settings, tenant_id) as made:
        await put(made, MAPPED)
        await made.sync("owners", "contacts")
        yield made


async def someone(mirror: Mirror) -> tuple[int, dict[str, Any]]:
    remote_id = mirror.world.store("contacts").living[0]
    return remote_id, (await mirror.records("contacts", "contacts"))[str(remote_id)]


async def edit(mirror: Mirror, record: dict[str, Any], key: str, value: str) -> None:
    await mirror.execute(
        "update crm.contacts set custom_fields ="
        " custom_fields || jsonb_build_object(%(key)s::text, %(value)s::text)"
        " where id = %(id)s",
        key=key,
        value=value,
        id=record["id"],
    )


async def test_what_is_mapped_to_custom_fields_is_read_into_them(mirror: Mirror):
    records = await mirror.records("contacts", "contacts")
    theirs = truth(mirror.world, "contacts")
    assert records.keys() == theirs.keys()
    for remote_id, record in records.items():
        read = theirs[remote_id]
        assert record["custom_fields"].get("town") == (read["city"] or None)
        assert record["custom_fields"].get("fax") == (read["fax"] or None)
    [logged] = await mirror.select(
        "select changes from crm.change_log where record_id = %(id)s and action = 'created'",
        id=next(each["id"] for each in records.values() if each["custom_fields"].get("town")),
    )
    assert logged["changes"]["custom_fields.town"][0] is None


async def test_an_edit_of_one_key_is_logged_alone_and_reaches_the_crm_alone(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id, before = await someone(mirror)
    await edit(mirror, before, "town", "Bath")
    [queued] = await mirror.select("select fields from sync.queue")
    assert queued["fields"] == ["custom_fields.town"]
    mirror.world.events.clear()
    await mirror.push()
    assert truth(mirror.world, "contacts")[str(remote_id)]["city"] == "Bath"
    told = [event for event in mirror.world.events if event.kind.endswith(".propertyChange")]
    assert [event.details["propertyName"] for event in told] == ["city"]
    run = await mirror.pull("contacts")
    assert (run.records_created, run.records_updated) == (0, 0)
    [logged] = await mirror.select(
        "select changes from crm.change_log where record_id = %(id)s and source = 'sql'", id=before["id"]
    )
    assert logged["changes"] == {"custom_fields.town": [before["custom_fields"].get("town"), "Bath"]}


async def test_a_key_that_no_property_is_mapped_to_is_left_alone(mirror: Mirror):
    remote_id, before = await someone(mirror)
    await edit(mirror, before, "ours_only", "kept")
    mirror.world.update("contacts", remote_id, {"city": "Wells"})
    await mirror.pull("contacts")
    _, after = await someone(mirror)
    assert after["custom_fields"] == {**before["custom_fields"], "ours_only": "kept", "town": "Wells"}


async def test_a_custom_field_that_the_crm_empties_is_gone(mirror: Mirror):
    remote_id, before = await someone(mirror)
    mirror.world.update("contacts", remote_id, {"city": "Wells"})
    await mirror.pull("contacts")
    mirror.world.update("contacts", remote_id, {"city": ""})
    await mirror.pull("contacts")
    _, after = await someone(mirror)
    assert "town" not in after["custom_fields"]
    assert after["version"] == before["version"] + 2


async def test_permission_for_one_custom_field_sends_that_one(mirror: Mirror):
    await mirror.allow("contacts", fields=("custom_fields.town",))
    remote_id, before = await someone(mirror)
    fax = truth(mirror.world, "contacts")[str(remote_id)]["fax"]
    await edit(mirror, before, "fax", "123")
    assert await mirror.select("select 1 from sync.queue") == []
    await edit(mirror, before, "town", "Bath")
    await mirror.push()
    theirs = truth(mirror.world, "contacts")[str(remote_id)]
    assert (theirs["city"], theirs["fax"]) == ("Bath", fax)


async def test_both_sides_of_different_custom_fields_stand(mirror: Mirror):
    await mirror.allow("contacts")
    remote_id, before = await someone(mirror)
    await edit(mirror, before, "fax", "123")
    mirror.world.update("contacts", remote_id, {"city": "Wells"})
    await mirror.push()
    theirs = truth(mirror.world, "contacts")[str(remote_id)]
    _, after = await someone(mirror)
    assert (theirs["fax"], theirs["city"]) == ("123", "Wells")
    assert (after["custom_fields"]["fax"], after["custom_fields"]["town"]) == ("123", "Wells")


async def test_mapping_a_custom_field_later_fills_it_from_what_was_read(mirror: Mirror):
    document = {
        "version": 1,
        "objects": {"contacts": {"fields": {"custom_fields.zip": "zip", "custom_fields.town": "city"}}},
    }
    mirror.forget_requests()
    await apply(mirror, document)
    theirs = truth(mirror.world, "contacts")
    for remote_id, record in (await mirror.records("contacts", "contacts")).items():
        assert record["custom_fields"].get("zip") == (theirs[remote_id]["zip"] or None)
    assert mirror.requests() == 0


def labelled(label: str) -> dict[str, Any]:
    return {
        "version": 1,
        "objects": {"contacts": {"fields": {"custom_fields.place": f"custom:{label}"}}},
    }


async def test_a_label_means_the_property_that_was_called_so_also_after_it_was_renamed(mirror: Mirror):
    [city] = await mirror.select(
        "select label from sync.properties where object = 'contacts' and name = 'city'"
    )
    label: str = city["label"]
    await put(mirror, labelled("  " + label.upper() + " "))
    await mirror.pull("contacts", full=True)
    known = (await connection_of(mirror)).property_names
    assert known == {"contacts": {f"custom:{label.lower()}": "city"}}
    await mirror.execute(
        "update sync.properties set first_label = label, label = 'Somewhere else'"
        " where tenant_id = %(tenant_id)s and object = 'contacts' and name = 'city'"
    )
    remote_id, _ = await someone(mirror)
    mirror.world.update("contacts", remote_id, {"city": "Wells"})
    await mirror.pull("contacts")
    _, after = await someone(mirror)
    assert after["custom_fields"]["place"] == "Wells"


async def test_a_label_that_no_property_has_reads_nothing_and_stops_nothing(mirror: Mirror):
    await put(mirror, labelled("Nobody has this"))
    run = await mirror.pull("contacts", full=True)
    assert run.status == "success"
    _, after = await someone(mirror)
    assert "place" not in after["custom_fields"]
