"""What is exported of a person holds of others only what stands in one line with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from test_erase_everywhere import EMAIL, PHONE, Rows, admin_of
from traces_of import Admin

from syncline.actions.export_person import export_person
from syncline.actions.hub import Hub
from syncline.clock import new_id, now

pytestmark = pytest.mark.anyio

OTTO, LINE, SECRET = "otto@people.example", "+4915112345678", "Otto is in debt"
COLLEAGUE = "anna@example.com"
TOLD = f"{SECRET}\nAsk {EMAIL}, {OTTO} or {LINE}.\n{SECRET}"
ALONE = "Ask petra@people.example, […] or […]."
#: About Otto, with Petra named in one place of it.
ABOUT_OTTO: Mapping[str, Any] = {"name": "Otto", "email": OTTO, "phone": LINE, "note": TOLD}


async def put_rows_of_otto(rows: Rows, admin: Admin) -> None:
    """Put rows that are somebody else's and mention Petra into every kind of table."""
    at, otto, batch, subscription = now(), new_id(), new_id(), new_id()
    about = {"record_type": "contact", "record_id": otto}
    there = {"connection_id": rows.connection, "object": "contacts", "remote_id": "99"}
    await rows.put("crm.companies", id=new_id(), name=SECRET, description=TOLD, phone=LINE)
    await rows.put("crm.activities", id=new_id(), type="note", subject=SECRET, body=TOLD)
    await rows.put("crm.tasks", id=new_id(), subject=SECRET, body=TOLD)
    await rows.put("crm.deals", id=new_id(), name=f"For {EMAIL}", custom_fields={"why": SECRET}, phone=LINE)
    await rows.put(
        "crm.notifications", id=new_id(), notification_type="email", recipient=COLLEAGUE, subject=SECRET,
        body=TOLD, **about, created_at=at,
    )  # fmt: skip
    await rows.put("sync.links", **there, **about, base=ABOUT_OTTO, linked_at=at)
    await rows.put(
        "sync.parked", **there, kind="payload", reason=SECRET, original=json.dumps(ABOUT_OTTO),
        first_seen_at=at, last_seen_at=at,
    )  # fmt: skip
    await rows.put(
        "sync.conflicts", id=new_id(), **there, **about, field="note", base=[SECRET], ours=[TOLD],
        theirs=[SECRET], read=[SECRET], seen=ABOUT_OTTO, our_record=ABOUT_OTTO, their_record=ABOUT_OTTO,
        found_at=at, seen_at=at,
    )  # fmt: skip
    events = [{"objectId": 7, "value": EMAIL}, {"objectId": 99, "value": OTTO}, {"value": SECRET}]
    await rows.put(
        "sync.inbox", id=new_id(), connection_id=rows.connection, received_at=at, body=json.dumps(events),
        events=3, state="failed", not_before=at, ended_at=at,
    )  # fmt: skip
    await rows.put(
        "sync.runs", id=new_id(), connection_id=rows.connection, object="contacts", mode="push",
        status="failed", requested_by=COLLEAGUE, requested_at=at, started_at=at, completed_at=at,
        updated_at=at, error_details={OTTO: SECRET, "errors": [SECRET, TOLD]},
    )  # fmt: skip
    await rows.put(
        "app.audit_log", id=new_id(), at=at, actor=COLLEAGUE, source="web", address="192.0.2.7",
        action="contacts.merged", details={"of": [EMAIL, OTTO]},
    )  # fmt: skip
    await rows.put(
        "app.idempotency", caller="user:" + SECRET, key=SECRET, request_hash=b"1", state="done", status=200,
        location=f"/{OTTO}", body=json.dumps([EMAIL, OTTO]).encode(), created_at=at, expires_at=at,
    )  # fmt: skip
    await rows.put(
        "app.batches", id=batch, kind="import", record_type="contact", source="web", planned_by=COLLEAGUE,
        planned_at=at, terms={"file": SECRET, "filter": f"{EMAIL};{OTTO}"},
    )  # fmt: skip
    planned = {"cells": ["Otto", OTTO, LINE, TOLD], "given": ABOUT_OTTO, "values": ABOUT_OTTO, "by": "email"}
    await rows.put("app.batch_rows", batch_id=batch, position=2, action="create", values=planned)
    hers = {"cells": ["Petra", EMAIL.upper()], "given": {"email": EMAIL.upper(), "job_title": "Cook"}}
    await rows.put("app.batch_rows", batch_id=batch, position=3, action="create", values=hers)
    await rows.put(
        "app.saved_views", id=new_id(), page="contacts", name=SECRET, created_by=COLLEAGUE, created_at=at,
        updated_at=at, query={"email": [OTTO, EMAIL], "phone": LINE},
    )  # fmt: skip
    await admin.execute(
        "insert into sync.subscriptions (tenant_id, id, name, url, secret, created_by, created_at,"
        " updated_at, told_since)"
        " values (%s, %s, 'o', 'https://x.example', '', 'anna', now(), now(), now())",
        [rows.tenant_id, subscription],
    )
    await rows.put(
        "sync.deliveries", id=new_id(), subscription_id=subscription, event="run.ended", event_id=new_id(),
        happened_at=at, body={"people": [{"email": EMAIL}, ABOUT_OTTO]}, state="dead", not_before=at,
        tries=[{"error": SECRET}], reason=SECRET, created_at=at, ended_at=at,
    )  # fmt: skip


@pytest.fixture
async def told(hub: Hub, admin: Admin) -> str:
    """What is exported of Petra when Otto's rows mention her."""
    rows = Rows(admin, hub.tenant_id)
    await rows.put_records()
    await put_rows_of_otto(rows, admin)
    await admin.execute("update crm.change_log set actor = %s where record_id = %s", [COLLEAGUE, rows.petra])
    parts = [part async for part in export_person(hub, admin_of(hub), EMAIL)]
    return b"".join(parts).decode()


async def test_of_other_peoples_rows_nothing_is_given_but_the_line_that_mentions_the_person(
    told: str,
) -> None:
    for secret in (SECRET, OTTO, LINE, LINE.lstrip("+"), COLLEAGUE, "192.0.2.7"):
        assert secret not in told
    known = json.loads(told)["known"]
    mentioned = {name: each["mentions"] for name, each in known.items() if each["mentions"]}
    assert set(mentioned) >= {
        "crm.companies", "crm.activities", "crm.tasks", "crm.deals", "crm.notifications", "sync.links",
        "sync.parked", "sync.conflicts", "sync.inbox", "sync.runs", "app.audit_log", "app.batches",
        "app.batch_rows", "app.saved_views", "sync.deliveries", "crm.change_log",
    }  # fmt: skip
    found = {name: [each["found"] for each in rows] for name, rows in mentioned.items()}
    assert {"body": [ALONE]} in found["crm.activities"]
    assert found["crm.tasks"] == [{"body": [ALONE]}]
    assert found["sync.links"] == [{"base.note": [ALONE]}]
    assert found["sync.parked"] == [{"original.note": [ALONE]}]
    assert found["sync.inbox"] == [{"body.0.value": [EMAIL]}]
    assert found["sync.runs"] == [{"error_details.errors.1": [ALONE]}]
    assert found["app.batches"] == [{"terms.filter": [f"{EMAIL};[…]"]}]
    assert found["app.saved_views"] == [{"query.email.1": [EMAIL]}]
    assert found["sync.deliveries"] == [{"body.people.0.email": [EMAIL], "body.people.1.note": [ALONE]}]


async def test_an_imports_row_that_is_the_person_is_given_whole_and_anothers_is_not(told: str) -> None:
    of_batches = json.loads(told)["known"]["app.batch_rows"]
    [row] = of_batches["rows"]
    assert row["position"] == 3
    assert row["values"]["given"]["job_title"] == "Cook"
    [mention] = of_batches["mentions"]
    assert mention["found"] == {
        "values.cells.3": [ALONE], "values.given.note": [ALONE], "values.values.note": [ALONE],
    }  # fmt: skip


async def test_the_persons_own_rows_are_given_whole_but_for_who_of_the_colleagues_wrote_them(
    told: str,
) -> None:
    known = json.loads(told)["known"]
    [petra] = known["crm.contacts"]["rows"]
    assert (petra["email"].lower(), petra["phone"]) == (EMAIL, PHONE)
    assert known["crm.change_log"]["rows"]
    assert all("actor" not in each for each in known["crm.change_log"]["rows"])
