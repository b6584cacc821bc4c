"""The past of deals: as the CRM tells it, and from the change log from then on."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from mapped import moment
from simulated import Mirror, mirror_of, world_of

from syncline.clock import from_ms
from syncline.config import Settings
from syncline.errors import RetryLater
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.account import first_entries
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

PROPERTIES = {
    "dealstage": "stage",
    "amount": "amount",
    "closedate": "close_date",
    "hubspot_owner_id": "owner_id",
}
Past = dict[tuple[str, str], list[tuple[datetime, Any]]]


def meaning(field: str, value: Any, owners: dict[str, str]) -> Any:
    if value in (None, ""):
        return None
    if field == "owner_id":
        return owners[value]
    if field == "amount":
        return Decimal(value)
    if field == "close_date":
        at = moment(value)
        assert at is not None
        return at.date().isoformat()
    return value


def past_of(world: World, owners: dict[str, str]) -> Past:
    """Return (deal, field) → what it was from when on, oldest first."""
    found: Past = {}
    for record in world.store("deals").list_living():
        for name, field in PROPERTIES.items():
            entries = (record.history or {}).get(name) or first_entries(record, name)
            # What a value was replaced by within the same millisecond is what counts.
            values = {from_ms(ms): meaning(field, value, owners) for value, ms, *_ in reversed(entries)}
            if values:
                found[str(record.id), field] = sorted(values.items(), key=lambda each: each[0])
    return found


async def stored_past(mirror: Mirror) -> Past:
    rows = await mirror.select(
        "select l.remote_id, h.* from crm.field_history h join sync.links l on l.record_id = h.record_id"
        " and l.is_primary order by h.valid_from"
    )
    found: Past = {}
    for row in rows:
        value = row["value"]
        if row["field"] == "amount" and value is not None:
            value = Decimal(value)
        found.setdefault((row["remote_id"], row["field"]), []).append((row["valid_from"], value))
    by_key: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_key.setdefault((row["remote_id"], row["field"]), []).append(row)
    for spans in by_key.values():
        assert all(one["valid_to"] == other["valid_from"] for one, other in pairwise(spans))
        assert spans[-1]["valid_to"] is None
    return found


async def owners_of(mirror: Mirror) -> dict[str, str]:
    return {i: str(row["id"]) for i, row in (await mirror.records("owners", "owners")).items()}


async def test_history_is_the_accounts_also_for_deals_that_changed_after_they_were_read(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=20, deals=130)
    first = world.store("deals").living[0]
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("owners", "deals")
        # Given changes between the first sync and the reading of the past
        world.update("deals", first, {"dealstage": "closedlost", "amount": "77.70", "closedate": None})
        late = world.create(
            "deals", {"dealname": "Late", "pipeline": "default", "dealstage": "contractsent", "amount": "9"}
        )
        world.update("deals", late.id, {"closedate": "2026-05-01T10:00:00Z"})
        await mirror.sync("deals")
        run = await mirror.pull("history")
        assert run.records_read == 131
        owners = await owners_of(mirror)
        assert await stored_past(mirror) == past_of(world, owners)
        # A second reading costs no call and writes nothing.
        before = await mirror.select(
            "select xmin, * from crm.field_history order by record_id, field, valid_from"
        )
        run = await mirror.pull("history")
        assert run.api_calls == 0
        assert before == await mirror.select(
            "select xmin, * from crm.field_history order by record_id, field, valid_from"
        )
        # New deals are read with their past, changes are taken from the change log, by anybody.
        newest = world.create(
            "deals", {"dealname": "Newest", "pipeline": "default", "dealstage": "qualifiedtobuy"}
        )
        world.update("deals", newest.id, {"dealstage": "contractsent"})
        world.update("deals", first, {"amount": "88.80"})
        await mirror.pull("deals")
        await mirror.execute(
            "update crm.deals set stage = 'by hand' where id ="
            " (select record_id from sync.links where object = 'deals' and remote_id = %(id)s)",
            id=str(late.id),
        )
        run = await mirror.pull("history")
        stored, expected = await stored_past(mirror), past_of(world, owners)
        assert stored[str(newest.id), "stage"] == expected[str(newest.id), "stage"]
        assert [v for _, v in stored[str(first), "amount"]] == [v for _, v in expected[str(first), "amount"]]
        assert [v for _, v in stored[str(late.id), "stage"]] == ["contractsent", "by hand"]
        # Everything else is as it was.
        changed = {(str(first), "amount"), (str(late.id), "stage")}
        assert {k: v for k, v in stored.items() if k not in changed} == {
            k: v for k, v in expected.items() if k not in changed
        }


async def test_reading_the_past_goes_on_where_it_was_stopped(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(deals=120)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.sync("owners", "deals")
        stop = asyncio.Event()
        stop.set()
        with pytest.raises(RetryLater):
            await mirror.pull("history", stop=stop)
        run = await mirror.pull("history")
        assert run.records_read == 70
        assert await stored_past(mirror) == past_of(world, await owners_of(mirror))
