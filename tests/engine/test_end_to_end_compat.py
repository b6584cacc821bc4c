"""After a real sync, each view under the names existing queries use shows what the account holds."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from mapped import moment
from simulated import Mirror, mirror, truth

__all__ = ["mirror"]

pytestmark = pytest.mark.anyio

#: View → how many rows it must have, from (living records by object, runs).
NAMES = ("contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks")


async def count(mirror: Mirror, view: str) -> int:
    rows = await mirror.select(f"select count(*) as n from {view}")  # type: ignore[arg-type]
    return rows[0]["n"]


def linked(mirror: Mirror, source: str, target: str) -> dict[str, list[str]]:
    """Return the living records of a kind that each living record is associated with, ids ascending."""
    here, there = mirror.world.store(source), mirror.world.store(target)
    return {
        str(i): [
            str(to)
            for to in sorted(mirror.world.graph.targets(here.kind.type_id, i, there.kind.type_id))
            if there.find_living(to)
        ]
        for i in here.living
    }


async def test_every_view_has_what_the_account_has(mirror: Mirror):
    runs = await mirror.sync()
    world = mirror.world
    there = {name: len(world.store(name).living) for name in NAMES}
    activities = sum(there[name] for name in ("calls", "meetings", "emails", "notes"))
    for name in ("contacts", "deals", "calls"):
        assert await count(mirror, f"hubspot_{name}_raw") == there[name]
        rows = await mirror.select(f"select hubspot_id, raw_json from hubspot_{name}_raw")  # type: ignore[arg-type]
        for row in rows:
            properties = truth(world, name)[row["hubspot_id"]]
            assert row["raw_json"]["properties"] == properties
            assert {key: row["raw_json"][key] for key in properties if key != "id"} == properties
    open_deals = [p for p in truth(world, "deals").values() if p["hs_is_closed"] != "true"]
    expected = {
        "deals_with_contacts": there["deals"],
        "contacts": there["contacts"],
        "crm_contacts": there["contacts"],
        "companies": there["companies"],
        "crm_companies": there["companies"],
        "v_company_engagement": there["companies"],
        "deals": there["deals"],
        "crm_deals": there["deals"],
        "v_active_deals": len(open_deals),
        "activities": activities,
        "crm_activities": activities,
        "crm_daily_pipeline_snapshot": len({p["dealstage"] for p in open_deals}),
        "sync_logs": len(runs),
        "sync_queue": 0,
    }
    assert {view: await count(mirror, view) for view in expected} == expected
    views = await mirror.select(
        "select table_name as name from information_schema.views where table_schema = 'compat'"
    )
    for view in views:
        assert await count(mirror, f"compat.{view['name']}") >= 0
    latest = await mirror.select("select * from compat.get_latest_sync_status()")
    assert {row["status"] for row in latest} == {"success"}
    audit = Counter(row["action"] for row in await mirror.select("select action from crm_audit_log"))
    assert audit["created"] == sum(there.values()) + len(world.store("contacts").archived) + len(world.owners)


async def test_a_dashboards_queries_give_what_the_account_says(mirror: Mirror):
    await mirror.sync("owners", "contacts", "companies", "deals", "calls", "associations")
    world = mirror.world
    contacts, deals, calls = (truth(world, name) for name in ("contacts", "deals", "calls"))
    deal_contacts, contact_calls = linked(mirror, "deals", "contacts"), linked(mirror, "contacts", "calls")
    # Which contact a deal is with, and which calls a contact had, out of the payload's own copy
    rows = await mirror.select(
        "SELECT hubspot_id, raw_json->'associations'->'contacts'->'results'->0->>'id' as contact_id "
        "FROM hubspot_deals_raw"
    )
    found = {row["hubspot_id"]: row["contact_id"] for row in rows}
    assert found == {deal: next(iter(ids), None) for deal, ids in deal_contacts.items()}
    rows = await mirror.select(
        "SELECT hubspot_id, "
        "jsonb_array_elements(raw_json->'associations'->'calls'->'results')->>'id' as call_id "
        "FROM hubspot_contacts_raw"
    )
    pairs = {(row["hubspot_id"], row["call_id"]) for row in rows}
    assert pairs == {(contact, call) for contact, ids in contact_calls.items() for call in ids}
    # Calls and contacts by number, calls and deals through them, as plain text comparison has it
    rows = await mirror.select(
        "SELECT ca.hubspot_id as call_id, ca.call_duration, c.hubspot_id as contact_id, c.email, c.firstname "
        "FROM hubspot_calls_raw ca JOIN hubspot_contacts_raw c "
        "ON REPLACE(ca.call_to_number, '+', '') = REPLACE(c.phone, '+', '')"
    )

    def plain(number: str | None) -> str | None:
        return None if number is None else number.replace("+", "")

    by_phone = [
        (call, int(p["hs_call_duration"]), contact, c["email"], c["firstname"])
        for call, p in calls.items()
        for contact, c in contacts.items()
        if plain(c["phone"]) is not None and plain(p["hs_call_to_number"]) == plain(c["phone"])
    ]
    assert by_phone
    assert Counter(tuple(row.values()) for row in rows) == Counter(by_phone)
    rows = await mirror.select(
        "SELECT d.hubspot_id as deal_id, d.amount, ca.hubspot_id as call_id, ca.call_duration, c.email "
        "FROM hubspot_deals_raw d JOIN hubspot_contacts_raw c "
        "ON c.hubspot_id = d.raw_json->'associations'->'contacts'->'results'->0->>'id' "
        "JOIN hubspot_calls_raw ca ON REPLACE(ca.call_to_number, '+', '') = REPLACE(c.phone, '+', '')"
    )
    through: list[tuple[Any, ...]] = [
        (deal, None if p["amount"] is None else Decimal(p["amount"]), call, seconds, email)
        for deal, p in deals.items()
        for call, seconds, contact, email, _ in by_phone
        if deal_contacts[deal][:1] == [contact]
    ]
    assert Counter(tuple(row.values()) for row in rows) == Counter(through)
    # Averages, counts and groups
    rows = await mirror.select(
        "SELECT AVG(amount) as mean FROM hubspot_deals_raw "
        "WHERE dealstage = 'closedwon' AND closedate >= '2024-01-01'"
    )
    amounts = [
        Decimal(p["amount"])
        for p in deals.values()
        if p["dealstage"] == "closedwon" and p["amount"] and (p["closedate"] or "") >= "2024-01-01"
    ]
    assert amounts
    assert abs(rows[0]["mean"] - sum(amounts) / len(amounts)) < Decimal("0.0001")
    rows = await mirror.select(
        "SELECT COUNT(*) as n FROM hubspot_calls_raw WHERE call_duration >= 300000  -- 5 minutes"
    )
    assert rows[0]["n"] == sum(int(p["hs_call_duration"]) >= 300_000 for p in calls.values())
    rows = await mirror.select(
        "SELECT hubspot_id, raw_json->>'payment_method' as payment_method, COUNT(*) FROM hubspot_deals_raw "
        "WHERE raw_json->>'payment_method' IS NOT NULL GROUP BY hubspot_id, payment_method"
    )
    assert {row["hubspot_id"]: row["payment_method"] for row in rows} == {
        deal: p["payment_method"] for deal, p in deals.items() if p["payment_method"]
    }
    rows = await mirror.select("SELECT * FROM deals_with_contacts WHERE dealstage = 'closedwon'")
    assert {(row["deal_id"], row["dealname"], row["contact_id"]) for row in rows} == {
        (deal, p["dealname"], next(iter(deal_contacts[deal]), None))
        for deal, p in deals.items()
        if p["dealstage"] == "closedwon"
    }
    rows = await mirror.select("SELECT hubspot_id, createdate FROM hubspot_contacts_raw")
    for row in rows:
        created = moment(contacts[row["hubspot_id"]]["createdate"])
        assert created is not None
        assert row["createdate"] == created.replace(tzinfo=None)
