"""Bad records inside a good page: set aside with the reason, never lost, never in the way of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from simulated import Mirror, mirror_of, truth, world_of

from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.planting import DEFECTS
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

LONG = "x" * 70_000


async def parked_of(mirror: Mirror) -> dict[str, dict[str, Any]]:
    rows = await mirror.select("select * from sync.parked where object = 'contacts'")
    return {row["remote_id"]: row for row in rows}


async def test_what_was_set_aside_of_a_record_goes_with_the_record(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=20)
    erased, merged = world.plant_defect("nul"), world.plant_defect("bad_date")
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        assert len(await parked_of(mirror)) == 2
        world.erase(erased.id)
        world.merge("contacts", world.store("contacts").living[0], merged.id)
        await mirror.pull("contacts")
        assert await parked_of(mirror) == {}


async def assert_good_ones_arrived(mirror: Mirror, bad: set[str]) -> None:
    rows = await mirror.raw("contacts")
    records = await mirror.records("contacts", "contacts")
    for remote_id, properties in truth(mirror.world, "contacts").items():
        if remote_id not in bad:
            assert rows[remote_id]["raw"]["properties"] == properties
            assert records[remote_id]["first_name"] == properties["firstname"]


def serve(world: World, record_id: int, payload: bytes) -> None:
    """Let the account answer these bytes for a record whenever all its properties are asked for."""
    store = world.store("contacts")
    plan = store.plan([*store.definitions])
    plan.cache[record_id] = payload


async def test_every_defect_is_parked_with_its_reason_and_a_clean_version_releases_it(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=220)
    planted = world.plant_all_defects()
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("contacts")
        # The run is partial and says why; what can be stored whole is no fault.
        assert run.status == "partial"
        ids = {name: str(record.id) for name, record in planted.items()}
        parked = await parked_of(mirror)
        stored_whole = {"long_text", "literal_nul", "unknown_type", "not_strings"}
        assert parked.keys() == {i for name, i in ids.items() if name not in stored_whole}
        assert run.records_failed == len(parked)
        assert run.error_details is not None
        assert {each["remote_id"] for each in run.error_details["parked"]} == parked.keys()
        await assert_good_ones_arrived(mirror, set(parked))
        # Each is here all the same, as far as Postgres can hold it, and the original is kept.
        rows, records = await mirror.raw("contacts"), await mirror.records("contacts", "contacts")
        assert rows.keys() >= set(ids.values())
        assert parked[ids["bad_date"]]["problems"] == {"created_at": "not a time"}
        assert parked[ids["bad_number"]]["problems"] == {"lead_score": "not a number"}
        assert records[ids["bad_number"]]["lead_score"] is None
        assert rows[ids["bad_number"]]["raw"]["properties"]["hubspotscore"] == "1,5 or so"
        for name in ("nul", "lone_surrogate"):
            row = parked[ids[name]]
            assert row["kind"] == "payload"
            assert "cannot be stored" in row["reason"]
            assert json.loads(row["original"])["properties"]["message"] == DEFECTS[name]["message"]
            kept = rows[ids[name]]["raw"]["properties"]["message"]
            assert kept == "before\ufffdafter"
            assert records[ids[name]]["email"] == f"{name}@planted.example"
        assert rows[ids["literal_nul"]]["raw"]["properties"]["message"] == r"before\u0000after"
        assert len(rows[ids["long_text"]]["raw"]["properties"]["message"]) >= 70_000
        assert rows[ids["unknown_type"]]["raw"]["properties"]["planted_unknown"] == '{"lat": 1}'
        assert rows[ids["not_strings"]]["raw"]["properties"]["num_notes"] == 7
        # The same again changes nothing of what is parked,
        before = await mirror.select("select xmin, * from sync.parked order by remote_id")
        run = await mirror.pull("contacts", full=True)
        assert run.status == "partial"
        assert before == await mirror.select("select xmin, * from sync.parked order by remote_id")
        # and clean versions release them.
        for name, record in planted.items():
            clean = dict.fromkeys(DEFECTS[name]) | {"createdate": "2026-01-01T00:00:00.000Z"}
            world.update("contacts", record.id, clean)
        run = await mirror.pull("contacts")
        assert run.status == "success"
        assert await parked_of(mirror) == {}
        await assert_good_ones_arrived(mirror, set())


@pytest.mark.parametrize("name", ["email", "phone", "firstname", "jobtitle", "hs_lead_status"])
async def test_70_kb_in_any_field_stops_nothing(db: Database, settings: Settings, tenant_id: UUID, name: str):
    world = world_of(contacts=30)
    record = world.create("contacts", {"email": "long@x.example", "firstname": "Long"} | {name: LONG})
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("contacts")
        row = (await mirror.raw("contacts"))[str(record.id)]
        assert row["raw"]["properties"][name] == LONG
        parked = await parked_of(mirror)
        indexed = name in ("email", "phone")
        assert (run.status, bool(parked)) == (("partial", True) if indexed else ("success", False))
        # also when somebody edits it
        world.update("contacts", record.id, {name: LONG + "y"})
        await mirror.pull("contacts")
        await assert_good_ones_arrived(mirror, {str(record.id)} if indexed else set())
        if indexed:
            assert "longer than" in str(parked[str(record.id)]["problems"])


PAYLOADS: dict[str, tuple[bytes, bool]] = {
    # payload with %d for the id → whether it can be stored at all
    "without id": (b'{"properties":{"email":"noid@x.example"},"archived":false}', False),
    "with an empty id": (b'{"id":"","properties":{},"archived":false}', False),
    "with an endless id": (b'{"id":"' + b"9" * 70_000 + b'","properties":{},"archived":false}', False),
    "that is no object": (b'"a record, they said"', False),
    "that is null": (b"null", False),
    "whose properties are a list": (b'{"id":"%d","properties":["a"],"archived":false}', False),
    "with a number beyond all numbers": (b'{"id":"%d","properties":{"num_notes":1e999}}', False),
    "with a number of 400 digits": (b'{"id":"%d","properties":{"num_notes":' + b"7" * 400 + b"}}", True),
    "with NaN": (b'{"id":"%d","properties":{"num_notes":NaN}}', True),
    "that is no UTF-8": (b'{"id":"%d","properties":{"firstname":"\xff\xfe"},"archived":false}', True),
    "with NUL in a name": (b'{"id":"%d","properties":{"a\\u0000b":"c"},"archived":false}', True),
    "with a time of another kind": (
        b'{"id":"%d","properties":{"createdate":"2022-W07-4T18:54:22.300Z"},"updatedAt":17}',
        False,
    ),
    "archived at no time": (b'{"id":"%d","properties":{},"archived":true,"archivedAt":"soon"}', True),
    "with a nested value": (b'{"id":"%d","properties":{"email":{"a":[1,{"b":"\\ud800"}]}}}', True),
}


@pytest.mark.parametrize("what", PAYLOADS)
async def test_a_record_of_no_proper_form_is_parked_and_costs_nothing_but_itself(
    db: Database, settings: Settings, tenant_id: UUID, what: str
):
    world = world_of(contacts=230)
    bad = world.store("contacts").living[120]
    payload, storable = PAYLOADS[what]
    serve(world, bad, payload.replace(b"%d", str(bad).encode()))
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        run = await mirror.pull("contacts")
        assert run.status in ("partial", "success")
        await assert_good_ones_arrived(mirror, {str(bad)})
        parked = await parked_of(mirror)
        if not storable:
            assert run.status == "partial"
            [row] = parked.values()
            assert row["remote_id"] == str(bad) or row["remote_id"].startswith("unknown:")
            assert row["original"]


VALUES: Mapping[str, str] = {
    "week date": "2022-W07-4T18:54:22.300Z",
    "comma": "2022-02-17T18:54:22,300Z",
    "basic form": "2022-02-17T185422.12345Z",
    "beyond the calendar": "0001-01-01T00:00:00+14:00",
    "year 10000": "10000-01-01T00:00:00.000Z",
    "far epoch": "99999999999999",
    "ancient epoch": "-99999999999999",
    "leap second": "2016-12-31T23:59:60.000Z",
    "24 o'clock": "2016-12-31T24:00:00.000Z",
    "30 February": "2016-02-30T10:00:00.000Z",
    "nonsense of the usual length": "2016-02-30T10:xx:00.000Z",
    "other digits": "2022-02-17T18:54:22.300Z".translate({48 + n: 0x660 + n for n in range(10)}),
    "1e99": "1e99",
    "40 digits": "9" * 40,
    "tiny": "1e-99",
    "huge": "1e999999",
    "infinity": "Infinity",
    "hex": "0x1F",
    "underscores": "1_000",
    "spaces": "  12  ",
    "percent": "50 %",
    "true": "TRUE",
    "maybe": "maybe",
    "backslash": "a\\b\\N\\.",
    "copy's end": "\\.",
    "tab and newline": "a\tb\nc\rd",
    "emoji": "\U0001f600",
    "no character": "\uffff\ufdd0",
    "quotes": "'\"$$;--",
    "blank": "   ",
}


async def test_no_text_in_any_typed_field_can_stop_a_chunk(db: Database, settings: Settings, tenant_id: UUID):
    world = world_of(contacts=20)
    names = ("createdate", "hubspotscore", "vsl_watched", "email", "phone", "firstname", "hubspot_owner_id")
    for value in VALUES.values():
        for name in names:
            world.create("contacts", {"email": None, "firstname": "Odd"} | {name: value})
        world.create(
            "deals",
            {"dealname": value, "amount": value, "closedate": value, "deal_currency_code": value}
            | {"hs_deal_stage_probability": value, "pipeline": value, "dealstage": value},
        )
        world.create(
            "calls",
            {"hs_timestamp": value, "hs_call_duration": value, "hs_call_direction": value}
            | {"hs_call_to_number": value, "hs_call_from_number": value},
        )
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        for name, table in (("contacts", "contacts"), ("deals", "deals"), ("calls", "activities")):
            run = await mirror.pull(name)
            assert run.status == "partial"
            rows = await mirror.raw(name)
            assert {i: row["raw"]["properties"] for i, row in rows.items()} == truth(world, name)
            assert len(await mirror.records(name, table)) == len(rows)
            # A second time they are known.
            run = await mirror.pull(name, full=True)
            assert run.records_created + run.records_updated == 0
