"""The views over what HubSpot said, asked as a metrics dashboard asks and compared with plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from compat_rows import connect_accounts, insert, insert_world, open_compat, select
from compat_world import MAIN, SYNCED_AT, Remote, World, living, make_world
from psycopg.types.json import Jsonb

from syncline.store.db import Conn, Database

pytestmark = pytest.mark.anyio

SEED = 20_261_121


@pytest.fixture
def world() -> World:
    return make_world(SEED, datetime(2026, 11, 21, 9, 30, tzinfo=UTC))


@pytest.fixture
async def conn(db: Database, tenant_id: UUID, world: World) -> AsyncGenerator[Conn]:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as writer:
        await insert_world(writer, tenant_id, world)
    async with open_compat(db, tenant_id) as reader:
        yield reader


def digits(number: str | None) -> str | None:
    return number.replace("+", "") if number is not None else None


def first_contact(deal: Remote) -> str | None:
    return next(iter(deal.associations.get("contacts", [])), None)


async def test_contacts_show_their_typed_columns(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT hubspot_id, email, phone, firstname, lastname, createdate, lifecyclestage, vsl_watched, "
        "sales_script_version, synced_at, updated_at FROM hubspot_contacts_raw",
    )
    names = ("email", "phone", "firstname", "lastname", "createdate", "lifecyclestage", "vsl_watched")
    synced = SYNCED_AT.replace(tzinfo=None)
    expected = {
        (c.id, *(c.typed[n] for n in (*names, "sales_script_version")), synced, synced)
        for c in living(world.raw_contacts)
    }
    assert len(rows) == len(expected)
    assert set(rows) == expected


async def test_deals_show_their_typed_columns(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT hubspot_id, amount, dealstage, createdate, closedate, qualified_status, trial_status, "
        "payment_status, number_of_installments__months FROM hubspot_deals_raw",
    )
    names = ("amount", "dealstage", "createdate", "closedate", "qualified_status", "trial_status")
    names += ("payment_status", "number_of_installments__months")
    expected = {(d.id, *(d.typed[n] for n in names)) for d in living(world.raw_deals)}
    assert len(rows) == len(expected)
    assert set(rows) == expected


async def test_calls_show_their_typed_columns(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT hubspot_id, call_duration, call_direction, call_to_number, call_from_number, call_timestamp "
        "FROM hubspot_calls_raw",
    )
    names = ("call_duration", "call_direction", "call_to_number", "call_from_number", "call_timestamp")
    expected = {(c.id, *(c.typed[n] for n in names)) for c in living(world.raw_calls)}
    assert len(rows) == len(expected)
    assert set(rows) == expected


async def test_columns_have_the_types_that_queries_count_on(conn: Conn):
    rows = await select(
        conn,
        "select table_name || '.' || column_name, data_type from information_schema.columns "
        "where table_schema = 'compat' and table_name like 'hubspot\\_%\\_raw'",
    )
    types = dict(rows)
    plain = {name for name, kind in rows if kind == "timestamp without time zone"}
    raw = "hubspot_{}_raw.{}"
    assert plain == {
        *(raw.format(o, c) for o in ("contacts", "deals", "calls") for c in ("synced_at", "updated_at")),
        raw.format("contacts", "createdate"),
        raw.format("deals", "createdate"),
        raw.format("deals", "closedate"),
        raw.format("calls", "call_timestamp"),
    }
    assert types["hubspot_deals_raw.amount"] == "numeric"
    assert types["hubspot_deals_raw.number_of_installments__months"] == "integer"
    assert types["hubspot_calls_raw.call_duration"] == "integer"
    assert types["hubspot_contacts_raw.vsl_watched"] == "boolean"
    assert types["hubspot_contacts_raw.raw_json"] == "jsonb"


async def test_raw_json_has_properties_at_the_top_and_below_and_the_records_own_keys_win(
    conn: Conn, world: World
):
    rows = await select(conn, "SELECT hubspot_id, raw_json FROM hubspot_contacts_raw")
    assert dict(rows) == {c.id: {**c.properties, **c.payload} for c in living(world.raw_contacts)}


@pytest.mark.parametrize("properties", [None, "text", [1]])
async def test_a_payload_of_odd_shape_breaks_no_query(db: Database, tenant_id: UUID, properties: object):
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connect_accounts(conn, tenant_id)
        row = {"tenant_id": tenant_id, "connection_id": MAIN, "remote_id": "1", "payload_hash": b""}
        row |= {"raw": Jsonb({"id": "1", "properties": properties})}
        await insert(
            conn, "raw", "hubspot_deals", [row | {"requested_at": SYNCED_AT, "synced_at": SYNCED_AT}]
        )
    async with open_compat(db, tenant_id) as conn:
        rows = await select(conn, "SELECT hubspot_id, amount, raw_json ->> 'dealname' FROM hubspot_deals_raw")
    assert rows == [("1", None, None)]


async def test_the_contact_of_a_deal_is_found_through_its_associations(conn: Conn, world: World):
    for deal in living(world.raw_deals):
        rows = await select(
            conn,
            "SELECT hubspot_id, raw_json->'associations'->'contacts'->'results'->0->>'id' as contact_id "
            "FROM hubspot_deals_raw WHERE hubspot_id = %(id)s",
            {"id": deal.id},
        )
        assert rows == [(deal.id, first_contact(deal))]


async def test_all_calls_of_a_contact_are_found_through_its_associations(conn: Conn, world: World):
    for contact in living(world.raw_contacts):
        rows = await select(
            conn,
            "SELECT hubspot_id, jsonb_array_elements(raw_json->'associations'->'calls'->'results')->>'id' "
            "as call_id FROM hubspot_contacts_raw WHERE hubspot_id = %(id)s",
            {"id": contact.id},
        )
        assert rows == [(contact.id, call) for call in contact.associations.get("calls", [])]


async def test_calls_meet_contacts_by_phone_whether_or_not_a_plus_is_written(conn: Conn, world: World):
    rows = await select(
        conn,
        """
        SELECT
          ca.hubspot_id as call_id,
          ca.call_duration,
          c.hubspot_id as contact_id,
          c.email,
          c.firstname
        FROM hubspot_calls_raw ca
        JOIN hubspot_contacts_raw c
          ON REPLACE(ca.call_to_number, '+', '') =
             REPLACE(c.phone, '+', '')
        """,
    )
    expected = [
        (call.id, call.typed["call_duration"], c.id, c.typed["email"], c.typed["firstname"])
        for call in living(world.raw_calls)
        for c in living(world.raw_contacts)
        if digits(call.typed["call_to_number"]) == digits(c.typed["phone"]) is not None
    ]
    assert expected
    assert Counter(rows) == Counter(expected)


async def test_calls_meet_deals_by_the_phone_of_the_deals_contact(conn: Conn, world: World):
    rows = await select(
        conn,
        """
        SELECT
          d.hubspot_id as deal_id,
          d.amount,
          ca.hubspot_id as call_id,
          ca.call_duration,
          c.email
        FROM hubspot_deals_raw d
        JOIN hubspot_contacts_raw c
          ON c.hubspot_id = d.raw_json->'associations'->'contacts'->'results'->0->>'id'
        JOIN hubspot_calls_raw ca
          ON REPLACE(ca.call_to_number, '+', '') = REPLACE(c.phone, '+', '')
        """,
    )
    contacts = {c.id: c for c in living(world.raw_contacts)}
    expected = [
        (deal.id, deal.typed["amount"], call.id, call.typed["call_duration"], contact.typed["email"])
        for deal in living(world.raw_deals)
        if (contact := contacts.get(first_contact(deal) or "")) is not None
        for call in living(world.raw_calls)
        if digits(call.typed["call_to_number"]) == digits(contact.typed["phone"]) is not None
    ]
    assert expected
    assert Counter(rows) == Counter(expected)


async def test_the_average_of_won_deals_since_a_day(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT AVG(amount) FROM hubspot_deals_raw "
        "WHERE dealstage = 'closedwon' AND closedate >= '2024-01-01'",
    )
    amounts: list[Decimal] = [
        d.typed["amount"]
        for d in living(world.raw_deals)
        if d.typed["dealstage"] == "closedwon"
        and d.typed["closedate"] is not None
        and d.typed["closedate"].year >= 2024
        and d.typed["amount"] is not None
    ]
    assert amounts
    assert round(rows[0][0], 6) == round(sum(amounts, Decimal()) / len(amounts), 6)


async def test_calls_of_five_minutes_and_more_are_counted(conn: Conn, world: World):
    rows = await select(conn, "SELECT COUNT(*) FROM hubspot_calls_raw WHERE call_duration >= 300000")
    durations = [c.typed["call_duration"] for c in living(world.raw_calls)]
    assert rows == [(sum(d is not None and d >= 300_000 for d in durations),)]


async def test_a_property_without_a_column_can_be_grouped_by(conn: Conn, world: World):
    rows = await select(
        conn,
        """
        SELECT
          hubspot_id,
          raw_json->>'payment_method' as payment_method,
          COUNT(*)
        FROM hubspot_deals_raw
        WHERE raw_json->>'payment_method' IS NOT NULL
        GROUP BY hubspot_id, payment_method
        """,
    )
    methods = {d.id: d.properties.get("payment_method") for d in living(world.raw_deals)}
    assert Counter(rows) == Counter((i, method, 1) for i, method in methods.items() if method is not None)


async def test_deals_with_contacts_names_the_first_contact_and_the_deal(conn: Conn, world: World):
    rows = await select(
        conn,
        "SELECT deal_id, amount, dealstage, closedate, contact_id, dealname FROM deals_with_contacts "
        "WHERE dealstage = 'closedwon'",
    )
    expected = [
        (d.id, d.typed["amount"], "closedwon", d.typed["closedate"], first_contact(d), d.typed["dealname"])
        for d in living(world.raw_deals)
        if d.typed["dealstage"] == "closedwon"
    ]
    assert expected
    assert Counter(rows) == Counter(expected)


async def test_times_are_utc_whatever_the_zone_of_the_session(conn: Conn, world: World):
    await conn.execute("set local time zone 'Pacific/Auckland'")
    rows = await select(conn, "SELECT hubspot_id, createdate FROM hubspot_contacts_raw")
    assert dict(rows) == {c.id: c.typed["createdate"] for c in living(world.raw_contacts)}
