"""Whatever table something of a person stands in, it is found, exported and removed: a row in each."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from traces_of import Admin, where

from syncline.actions.erase import Wanted, carry_out, erase_person, preview_erasure
from syncline.actions.export_person import export_person
from syncline.actions.hub import Hub
from syncline.clock import new_id, now
from syncline.domain.callers import Caller
from syncline.store.personal import PLACES, raw_place

pytestmark = pytest.mark.anyio

EMAIL, PHONE = "petra@people.example", "+14155552671"
OTHER = UUID("00000000-0000-7000-8000-000000000002")


class Rows:
    """Rows about Petra, put into every table."""

    def __init__(self, admin: Admin, tenant_id: UUID) -> None:
        self._admin = admin
        self.tenant_id = tenant_id
        self.petra, self.somebody, self.call, self.task, self.deal, self.company = (
            new_id() for _ in range(6)
        )
        self.connection, self.run = new_id(), new_id()
        self.tables: set[str] = set()

    async def put(self, table: str, **values: Any) -> None:
        """Insert a row. The tenant is added; documents are dictionaries and lists."""
        values = {"tenant_id": self.tenant_id, **values}
        cells: list[Any] = [
            Jsonb(each) if isinstance(each, dict | list) and name != "fields" else each
            for name, each in values.items()
        ]
        await self._admin.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(*table.split(".")),
                sql.SQL(", ").join(sql.Identifier(each) for each in values),
                sql.SQL(", ").join(sql.SQL("%s") for _ in values),
            ),
            cells,
        )
        self.tables.add(table)

    async def put_records(self) -> None:
        at = now()
        await self._admin.execute(
            "insert into sync.connections (tenant_id, id, platform, name, base_url, account_id, created_at,"
            " updated_at) values (%s, %s, 'hubspot', 'acme', 'https://crm.example', '1', now(), now())",
            [self.tenant_id, self.connection],
        )
        told = f"Petra wrote from {EMAIL}\nand {PHONE}."
        await self.put("crm.contacts", id=self.petra, email=EMAIL.title(), phone=PHONE, phone_e164=PHONE)
        await self.put(
            "crm.contacts", id=self.somebody, email="other@people.example", custom_fields={"asks": told}
        )
        await self.put("crm.companies", id=self.company, name="Acme", description=told)
        await self.put(
            "crm.deals", id=self.deal, name=told, contact_id=self.petra, phone=PHONE, phone_e164=PHONE
        )
        await self.put(
            "crm.activities",
            id=self.call,
            type="call",
            subject=told,
            body=told,
            to_number=PHONE,
            phone_e164=PHONE,
            contact_id=self.petra,
            contact_link="phone",
        )
        await self.put("crm.activities", id=new_id(), type="note", body=told, company_id=self.company)
        await self.put("crm.tasks", id=self.task, subject=told, contact_id=self.petra)
        await self.put(
            "crm.deal_contacts", deal_id=self.deal, contact_id=self.petra, connection_id=self.connection
        )
        await self.put(
            "crm.field_history",
            record_type="contact",
            record_id=self.petra,
            field="owner_id",
            valid_from=at,
            value=EMAIL,
            source="pull",
        )
        await self.put(
            "crm.notifications",
            id=new_id(),
            notification_type="email",
            recipient="manager",
            subject=told,
            body=told,
            record_type="company",
            record_id=self.company,
            created_at=at,
        )
        self.tables.add("crm.change_log")  # by the triggers

    async def put_machinery(self) -> None:
        at, keys = now(), {"connection_id": self.connection, "object": "contacts", "remote_id": "7"}
        mine = {"record_type": "contact", "record_id": self.petra}
        base = {"email": [EMAIL], "phone": [PHONE]}
        await self._admin.execute("delete from sync.queue")
        await self.put("sync.links", **keys, **mine, base=base, sent=base, linked_at=at)
        await self.put(
            "sync.queue", connection_id=self.connection, **mine, fields=["email"], queued_at=at,
            not_before=at, last_error=f"{EMAIL} is taken",
        )  # fmt: skip
        await self.put(
            "sync.parked", **{**keys, "remote_id": "8"}, kind="payload", reason=f"No {EMAIL}", problems=base,
            original=json.dumps({"email": EMAIL}), first_seen_at=at, last_seen_at=at,
        )  # fmt: skip
        halves = {"base": EMAIL, "ours": EMAIL, "theirs": PHONE, "read": PHONE}
        await self.put(
            "sync.conflicts", id=new_id(), **keys, **mine, field="email", seen=base, our_record=base,
            their_record=base, found_at=at, seen_at=at, **{name: [each] for name, each in halves.items()},
        )  # fmt: skip
        await self.put(
            "sync.decisions", id=new_id(), decided_at=at, connection_id=self.connection, **mine,
            field="email", rule="newest", winner="theirs", value=[EMAIL], losing=[PHONE], ours=[EMAIL],
            theirs=[EMAIL], read=[EMAIL], reason=f"{EMAIL} is newer",
        )  # fmt: skip
        await self.put(
            "sync.drift", **keys, field="email", **mine, state="open", cause="unread", ours=[EMAIL],
            theirs=[PHONE], base=[EMAIL], found_at=at, run_id=self.run, checked_at=at,
        )  # fmt: skip
        await self.put(
            "sync.remote_changes", id=new_id(), run_id=self.run, **keys, **mine, action="updated",
            changes={"email": [None, EMAIL]}, kept=base, state="refused", reason=EMAIL, sent_at=at,
        )  # fmt: skip
        await self.put(
            "sync.merges", id=new_id(), connection_id=self.connection, object="contacts",
            record_type="contact", record_id=self.petra, merged_record=new_id(), survivor_id="7",
            merged_id="9", state="here", reason=EMAIL, wanted_at=at, not_before=at,
        )  # fmt: skip
        first, second = sorted((self.petra, self.somebody))
        await self.put(
            "sync.not_duplicates", record_type="contact", first_id=first, second_id=second, said_at=at,
            said_by="anna",
        )  # fmt: skip
        await self.put(
            "sync.inbox", id=new_id(), connection_id=self.connection, received_at=at,
            body=json.dumps([{"value": EMAIL}]), events=1, state="failed", last_error=EMAIL, not_before=at,
            ended_at=at,
        )  # fmt: skip
        await self.put(
            "sync.runs", id=self.run, connection_id=self.connection, object="contacts", mode="push",
            status="failed", requested_by="cli", requested_at=at, started_at=at, completed_at=at,
            updated_at=at, error_details={"error": EMAIL},
        )  # fmt: skip

    async def put_mirrors_and_doors(self) -> None:
        at, payload = now(), {"properties": {"email": EMAIL, "phone": PHONE, "about": f"x\n{EMAIL}"}}
        for table, remote_id in (("hubspot_contacts", "7"), ("hubspot_companies", "5")):
            await self.put(
                f"raw.{table}", connection_id=self.connection, remote_id=remote_id, raw=payload,
                payload_hash=b"1", requested_at=at, synced_at=at,
            )  # fmt: skip
        await self.put(
            "raw.associations", connection_id=self.connection, from_object="companies", from_id="5",
            to_object="contacts", to_id="7", type_id=1, type="company_to_contact", category="",
            synced_at=at,
        )  # fmt: skip
        await self.put(
            "app.audit_log", id=new_id(), at=at, actor="anna", source="cli", action="record.looked_up",
            subject=EMAIL, details={"who": EMAIL},
        )  # fmt: skip
        await self.put(
            "app.idempotency", caller="user:1", key="k", request_hash=b"1", state="done", status=200,
            body=json.dumps({"email": EMAIL}).encode(), created_at=at, expires_at=at,
        )  # fmt: skip
        batch = new_id()
        await self.put(
            "app.batches", id=batch, kind="import", record_type="contact", terms={"filter": EMAIL},
            source="cli", planned_by="anna", planned_at=at,
        )  # fmt: skip
        await self.put(
            "app.batch_rows", batch_id=batch, position=2, record_id=self.petra, action="change",
            values={"email": EMAIL}, reasons={"email": EMAIL},
        )  # fmt: skip
        await self.put(
            "app.batch_rows", batch_id=batch, position=3, action="create",
            values={"values": {"email": EMAIL}, "read": {"E-mail": EMAIL}},
        )  # fmt: skip
        await self.put(
            "app.saved_views", id=new_id(), page="contacts", name=f"Of {EMAIL}", query={"email": EMAIL},
            created_by="anna", created_at=at, updated_at=at,
        )  # fmt: skip
        subscription = new_id()
        await self._admin.execute(
            "insert into sync.subscriptions (tenant_id, id, name, url, secret, created_by, created_at,"
            " updated_at, told_since)"
            " values (%s, %s, 's', 'https://x.example', '', 'anna', now(), now(), now())",
            [self.tenant_id, subscription],
        )
        await self.put(
            "sync.deliveries", id=new_id(), subscription_id=subscription, event="run.ended",
            event_id=new_id(), happened_at=at, body={"error": EMAIL}, state="dead", not_before=at,
            tries=[{"error": EMAIL}], reason=EMAIL, created_at=at, ended_at=at,
        )  # fmt: skip


@pytest.fixture
async def rows(hub: Hub, admin: Admin) -> Rows:
    made = Rows(admin, hub.tenant_id)
    await made.put_records()
    await made.put_machinery()
    await made.put_mirrors_and_doors()
    return made


def admin_of(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "anna@example.com", "cli")


async def test_it_is_found_and_removed_wherever_it_stands(hub: Hub, admin: Admin, rows: Rows) -> None:
    places = {each.name for each in PLACES} | {
        raw_place(name).name for name in ("hubspot_contacts", "hubspot_companies")
    }
    assert rows.tables == places, "a table that is searched has no row here, or the other way round"
    found = {"crm.change_log" if "change_log" in each else each for each in await where(admin, EMAIL)}
    silent = {"crm.deal_contacts", "sync.not_duplicates", "raw.associations"}
    # As text a stored answer is hexadecimal digits.
    assert places - found - silent == {"app.idempotency"}

    preview = await preview_erasure(hub, EMAIL)
    assert {each.table for each in preview.here} == places
    told = b"".join([part async for part in export_person(hub, admin_of(hub), EMAIL)])
    known = json.loads(told)["known"]
    assert set(known) == places - {"raw.hubspot_companies"}
    assert all(each["title"] != name and (each["rows"] or each["mentions"]) for name, each in known.items())

    erasure_id = await erase_person(hub, admin_of(hub), Wanted(EMAIL, EMAIL, only_here=True))
    assert await carry_out(hub, erasure_id)
    for text in (EMAIL, EMAIL.encode().hex(), PHONE, PHONE.lstrip("+")):
        assert await where(admin, text) == [], text
    ids = await where(admin, str(rows.petra))
    # Where something was, that it was, and never what.
    blank = ["app.batch_rows", "sync.remote_changes", "sync.tombstones"]
    assert [each for each in ids if "change_log" not in each] == blank
    planned = await admin.execute(
        "select r.action, r.values, r.reasons, b.state from app.batch_rows r"
        " join app.batches b on b.id = r.batch_id"
    )
    told = {"": "It held somebody who was erased."}
    assert await planned.fetchall() == [("invalid", None, told, "cancelled")] * 2


async def test_other_peoples_rows_stay_as_they_are_but_for_the_address(
    hub: Hub, admin: Admin, rows: Rows
) -> None:
    erasure_id = await erase_person(hub, admin_of(hub), Wanted(EMAIL, EMAIL, only_here=True))
    assert await carry_out(hub, erasure_id)
    row = await (
        await admin.execute(
            "select c.email, c.custom_fields ->> 'asks', (select count(*) from crm.contacts)"
            " from crm.contacts c"
        )
    ).fetchone()
    assert row == ("other@people.example", "Petra wrote from [erased]\nand [erased].", 1)
    deal = await (await admin.execute("select name, contact_id, phone from crm.deals")).fetchone()
    assert deal == ("Petra wrote from [erased]\nand [erased].", None, None)
    kept = await (
        await admin.execute("select (select count(*) from crm.activities), (select count(*) from crm.tasks)")
    ).fetchone()
    assert kept == (2, 1)
    del rows


async def test_the_same_rows_of_another_tenant_stay_untouched(hub: Hub, admin: Admin, rows: Rows) -> None:
    del rows
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label) values (%s, 'other', 'Other')", [OTHER]
    )
    theirs = Rows(admin, OTHER)
    await theirs.put_records()
    before = await counted(admin)
    erasure_id = await erase_person(hub, admin_of(hub), Wanted(EMAIL, EMAIL, only_here=True))
    assert await carry_out(hub, erasure_id)
    assert await counted(admin) == before


async def counted(admin: Admin) -> list[Any]:
    """Return the other tenant's rows, as text."""
    found: list[Any] = []
    for table in ("contacts", "companies", "deals", "activities", "tasks", "change_log", "notifications"):
        cursor = await admin.execute(
            sql.SQL("select t::text from {} t where t.tenant_id = %s order by 1").format(
                sql.Identifier("crm", table)
            ),
            [OTHER],
        )
        found.append(await cursor.fetchall())
    assert all(found)
    return found
