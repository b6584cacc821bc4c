"""Never back in time: an older state read later changes nothing; of equal times the later request wins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from made_rows import make_connection
from simulated import assert_mirrors, mirror_of, truth, world_of

from syncline.clock import to_ms
from syncline.config import Settings
from syncline.engine.prepare import Prepared, is_news, latest_of
from syncline.store import payloads
from syncline.store.db import Database
from syncline.store.payloads import KnownPayload, NewPayload

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def test_a_search_that_lags_does_not_take_back_what_the_list_told(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=20)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        contact = world.store("contacts").living[4]
        world.update("contacts", contact, {"firstname": "Older"})
        world.settings.index_lag = 3600
        world.update("contacts", contact, {"firstname": "Newer"})
        await mirror.pull("contacts", full=True)
        await assert_mirrors(mirror, "contacts")
        # When a search tells the older state
        run = await mirror.pull("contacts")
        assert run.records_read >= 1
        assert run.records_updated == 0
        await assert_mirrors(mirror, "contacts")
        record = (await mirror.records("contacts", "contacts"))[str(contact)]
        assert record["first_name"] == "Newer"


async def test_of_two_states_with_one_modified_time_the_one_asked_for_later_counts(
    db: Database, settings: Settings, tenant_id: UUID
):
    world = world_of(contacts=5)
    async with mirror_of(world, db, settings, tenant_id) as mirror:
        await mirror.pull("contacts")
        for contact in world.store("contacts").living:
            world.recalculate("contacts", contact, {"firstname": "Recalculated"})
        run = await mirror.pull("contacts", full=True)
        assert run.records_updated == 5
        await assert_mirrors(mirror, "contacts")
        records = await mirror.records("contacts", "contacts")
        assert {r["first_name"] for r in records.values()} == {"Recalculated"}
        assert len(truth(world, "contacts")) == 5


@dataclass(frozen=True)
class Case:
    updated: timedelta
    requested: timedelta
    is_news: bool


CASES = {
    "newer": Case(SECOND, SECOND, True),
    "newer, though asked for earlier": Case(SECOND, -SECOND, True),
    "older": Case(-SECOND, SECOND, False),
    "same time, asked for later": Case(timedelta(0), SECOND, True),
    "same time, asked for at once": Case(timedelta(0), timedelta(0), True),
    "same time, asked for earlier": Case(timedelta(0), -SECOND, False),
}


def prepared(case: Case, payload: bytes = b'{"id":"7"}') -> Prepared:
    return Prepared(
        remote_id="7",
        payload=payload,
        payload_hash=payload,
        updated_ms=to_ms(NOON + case.updated),
        requested_ms=to_ms(NOON + case.requested),
        archived_ms=None,
        merged_ids=(),
        mapped=None,
        parked=None,
    )


def known(payload: bytes, *, reason: str | None = None) -> KnownPayload:
    return KnownPayload("7", payload, None, NOON, NOON, NOON if reason else None, reason)


@pytest.mark.parametrize("name", CASES)
async def test_the_law_of_time_holds_for_the_look_and_for_the_write(db: Database, tenant_id: UUID, name: str):
    case = CASES[name]
    record = prepared(case)
    assert is_news(record, known(b"other")) == case.is_news
    assert is_news(record, None)
    # The statement holds it by itself, should somebody have written between the look and the write.
    connection_id = await make_connection(db, tenant_id)
    table = payloads.table_of("hubspot", "contacts")
    keys = {"tenant_id": tenant_id, "connection_id": connection_id}

    def row(at: Case, text: str) -> NewPayload:
        return NewPayload("7", text, b"h", None, NOON + at.updated, NOON + at.requested, None, None)

    standing = Case(timedelta(0), timedelta(0), is_news=True)
    for at, text in ((standing, '{"is":"standing"}'), (case, '{"is":"new"}')):
        async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
            await payloads.upsert(conn, table, [row(at, text)], now=NOON, **keys)
    async with db.transaction(tenant_id=tenant_id) as conn:
        found = await conn.execute("select raw ->> 'is' from raw.hubspot_contacts")
        assert await found.fetchone() == ("new" if case.is_news else "standing",)


async def test_what_was_merged_away_is_never_news_and_what_is_equal_only_if_it_came_back() -> None:
    later = prepared(CASES["newer"])
    assert not is_news(later, known(b"other", reason="merged"))
    assert not is_news(later, known(later.payload_hash))
    assert is_news(later, known(later.payload_hash, reason="missing"))


async def test_of_one_record_twice_in_a_batch_the_latest_counts() -> None:
    older, newer = prepared(CASES["older"]), prepared(CASES["newer"])
    asked_later = msgspec.structs.replace(newer, requested_ms=newer.requested_ms + 1)
    assert latest_of([newer, older])["7"] is newer
    assert latest_of([asked_later, older, newer])["7"] is asked_later
