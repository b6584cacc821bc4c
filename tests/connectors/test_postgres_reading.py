"""A CRM in Postgres as it is read: pages by key and by modified time, payloads, what is marked as deleted."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from small_crm import Crm, Server, ids_of, small_crm
from syncline.connectors.postgres import connector as connecting
from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.decode import recall
from syncline.connectors.reads import SERIAL, Page, Walk
from syncline.connectors.records import RemoteRecord
from syncline.errors import NotFound, SettingInvalid

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=7, contacts=25, deals=9, activities=6) as made:
        yield made


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "PAGE_ROWS", 4)
    monkeypatch.setattr(connecting, "PAGE_IDS", 4)


async def walk(connector: Postgres, name: str, kind: Walk = SERIAL) -> list[RemoteRecord]:
    found: list[RemoteRecord] = []
    after = ""
    while True:
        page = await connector.walk_page(name, (), kind, after, "")
        found += page.records
        if page.after is None:
            return found
        after = page.after


async def changes(
    connector: Postgres, name: str, since_ms: int = 0, until_ms: int | None = None
) -> list[Page]:
    return [page async for page in connector.changed_pages(name, (), since_ms, until_ms)]


async def test_it_says_who_it_is(crm: Crm) -> None:
    account = await crm.connector().check()
    assert account.account_id.endswith("/public")
    assert account.name == crm.base_url.rpartition("/")[2]
    assert abs(account.clock_skew_seconds) < 5


async def test_a_schema_without_such_tables_is_told_at_once(crm: Crm) -> None:
    with pytest.raises(SettingInvalid, match="has no table of companies, contacts or deals"):
        await crm.connector(schema="elsewhere").check()


async def test_a_walk_reads_every_row_once_whatever_the_pages(crm: Crm, small_pages: None) -> None:
    connector = crm.connector()
    plan = await connector.plan_walk("contacts")
    assert (plan.kind, plan.total) == ("serial", 25)
    found = await walk(connector, "contacts")
    assert sorted(ids_of(found)) == sorted(str(each) for each in crm.rows.contacts)


async def test_integer_keys_are_walked_in_ranges(crm: Crm, small_pages: None) -> None:
    await crm.run("create table invoices (id bigint primary key, total numeric, updated_at timestamptz)")
    await crm.run("insert into invoices select n * 10, n from generate_series(1, 40) n")
    connector = crm.connector()
    plan = await connector.plan_walk("invoices")
    assert (plan.kind, plan.first, plan.last, plan.total) == ("list", 10, 400, 40)
    bounds = [each async for each in connector.find_bounds("invoices", plan, 4)]
    assert bounds == [100, 200, 300]
    page = await connector.walk_page("invoices", (), plan, "380", "390")
    assert (ids_of(page.records), page.after) == (["390"], None)
    assert ids_of(await walk(connector, "invoices", plan)) == [str(n * 10) for n in range(1, 41)]
    read = await connector.read_many("invoices", ["20", "21", "x", "9" * 30, "-1", "020"], ())
    assert ids_of(read.records) == ["20"]


async def test_text_keys_and_keys_of_another_name_serve(crm: Crm, small_pages: None) -> None:
    await crm.run("create table invoices (number text primary key, total numeric)")
    await crm.run("insert into invoices select 'R-' || n, n from generate_series(1, 9) n")
    found = await walk(crm.connector(), "invoices")
    assert sorted(ids_of(found)) == [f"R-{n}" for n in range(1, 10)]


async def test_a_key_of_several_columns_is_refused_in_words(crm: Crm) -> None:
    await crm.run("create table invoices (year int, number int, primary key (year, number))")
    with pytest.raises(SettingInvalid, match="has 2 columns"):
        await crm.connector().get_object("invoices")


async def test_a_table_that_is_not_there_never_looks_empty(crm: Crm) -> None:
    await crm.run("drop table activities")
    connector = crm.connector()
    for call in (connector.get_object, connector.describe, connector.count):
        with pytest.raises(NotFound, match="has no table activities"):
            await call("activities")


async def test_nobody_is_asked_about_ties_to_a_table_that_is_not_there(crm: Crm) -> None:
    connector = crm.connector()
    assert (await connector.get_object("contacts")).associates_with == ("deals", "activities")
    await crm.run("drop table activities")
    crm.transport._tables.forget()
    assert (await connector.get_object("contacts")).associates_with == ("deals",)


async def test_a_payload_is_the_row_with_its_digits_and_can_be_recalled(crm: Crm) -> None:
    [made] = await crm.run(
        "insert into companies (name, annual_revenue, employee_count, created_at) values"
        " ('Köln \"Süd\" \u2028', 12345678901.10, 7, '2026-05-01 10:00:00.123456+02') returning id::text"
    )
    [record] = (await crm.connector().read_many("companies", [made["id"]], ())).records
    assert record.properties["annual_revenue"] == "12345678901.10"
    assert record.properties["employee_count"] == "7"
    assert record.properties["created_at"] == "2026-05-01T08:00:00.123456+00:00"
    assert record.properties["domain"] is None
    payload = json.loads(record.payload)
    assert payload["name"] == 'Köln "Süd" \u2028'
    assert payload["_syncline"]["id"] == made["id"]
    # As the hub's own jsonb writes it.
    [stored] = await crm.run("select %s::jsonb::text as raw", record.payload.decode())
    recalled = recall("companies", stored["raw"].encode())
    assert recalled.properties == record.properties
    assert (recalled.remote_id, recalled.updated_ms, recalled.archived_ms) == (
        record.remote_id,
        record.updated_ms,
        None,
    )


async def test_odd_types_are_read_as_text_or_left_out(crm: Crm) -> None:
    await crm.run("alter table contacts add tags text[], add extra jsonb, add secret bytea, add vip boolean")
    await crm.run("alter table contacts add met timestamp, add rate double precision, add price money")
    [row] = await crm.run(
        "insert into contacts (email, tags, extra, secret, vip, met, rate, price) values ('a@example.com',"
        " '{x,\"y z\"}', '{\"b\": 1.50, \"a\": [true]}', 'x', true, '2026-05-01 10:00', 'NaN', 12.5)"
        " returning id::text"
    )
    [record] = (await crm.connector().read_many("contacts", [row["id"]], ())).records
    found = {name: record.properties.get(name) for name in ("tags", "extra", "vip", "met", "rate", "price")}
    assert found == {
        "tags": '["x","y z"]',
        "extra": '{"a":[true],"b":1.50}',
        "vip": "true",
        "met": "2026-05-01T10:00:00+00:00",
        "rate": "NaN",
        "price": "12.50",
    }
    assert "secret" not in record.properties


async def test_text_that_jsonb_cannot_hold_costs_only_itself(crm: Crm) -> None:
    await crm.run("alter table contacts add extra json")
    raw = r'{"nul": "a\u0000b", "half": "\ud83d", "pair": "\ud83d\ude00", "plain": "\\u0000"}'
    [row] = await crm.run("insert into contacts (extra) values (%s::json) returning id::text", raw)
    [record] = (await crm.connector().read_many("contacts", [row["id"]], ())).records
    assert record.defect is not None
    [stored] = await crm.run("select %s::jsonb -> 'extra' as extra", record.payload.decode())
    assert stored["extra"] == {"nul": "a\ufffdb", "half": "\ufffd", "pair": "😀", "plain": "\\u0000"}


async def test_changes_come_in_the_order_of_their_time_with_many_at_once(crm: Crm, small_pages: None) -> None:
    await crm.run("alter table contacts disable trigger set_updated_at")
    await crm.run("update contacts set updated_at = '2026-01-01' where phone like '%%3' is not true")
    await crm.run("update contacts set updated_at = '2026-01-01 00:00:00.0005' where phone like '%%3'")
    pages = await changes(crm.connector(), "contacts", 1_767_225_600_000)
    found = [each for page in pages for each in page.records]
    assert sorted(ids_of(found)) == sorted(str(each) for each in crm.rows.contacts)
    assert [each.updated_ms for each in found] == [1_767_225_600_000] * 25
    last = pages[-1].complete_to_ms
    assert last is not None
    assert last > 1_767_225_600_000


async def test_changes_keep_to_the_window_with_its_ends(crm: Crm) -> None:
    await crm.run("alter table deals disable trigger set_updated_at")
    for number, at in enumerate(("09:59:59.999", "10:00:00", "10:00:01.000999", "10:00:01.001")):
        await crm.run(
            "update deals set updated_at = %s::timestamptz where id = %s",
            f"2026-12-01 {at}+00",
            crm.rows.deals[number],
        )
    [page] = await changes(crm.connector(), "deals", 1_796_119_200_000, 1_796_119_201_000)
    assert ids_of(page.records) == [str(each) for each in crm.rows.deals[1:3]]
    assert page.complete_to_ms is not None


async def test_modified_times_without_a_zone_are_utc(crm: Crm) -> None:
    await crm.run("alter role syncline_owner set timezone to 'Asia/Seoul'")
    await crm.run("create table invoices (id int primary key, updated_at timestamp)")
    await crm.run("insert into invoices values (1, '2026-05-01 10:00'), (2, '2026-05-01 10:01')")
    [page] = await changes(crm.connector(), "invoices", 1_777_629_660_000)
    [record] = page.records
    assert (record.remote_id, record.updated_ms) == ("2", 1_777_629_660_000)
    await crm.run("alter role syncline_owner reset timezone")


async def test_a_table_without_a_modified_time_is_listed_each_time(crm: Crm) -> None:
    await crm.run("alter table deals drop column updated_at")
    connector = crm.connector()
    assert (await connector.get_object("contacts")).incremental
    assert not (await connector.get_object("deals")).incremental
    assert {each.updated_ms for each in await walk(connector, "deals")} == {None}


async def test_rows_marked_as_deleted_are_archived_and_not_living(crm: Crm) -> None:
    gone = str(crm.rows.companies[0])
    await crm.run("update companies set deleted_at = '2026-05-01 10:00+00' where id = %s", gone)
    connector = crm.connector()
    assert await connector.count("companies") == 6
    assert gone not in ids_of(await walk(connector, "companies"))
    assert gone not in (await connector.list_ids("companies", "", ""))[0]
    [archived] = (await connector.archived_page("companies", (), "")).records
    assert (archived.remote_id, archived.archived_ms) == (gone, 1_777_629_600_000)
    changed = [each for page in await changes(connector, "companies") for each in page.records]
    assert next(each for each in changed if each.remote_id == gone).archived_ms == 1_777_629_600_000
    assert (await connector.archived_page("contacts", (), "")).records == []


async def test_a_flag_marks_as_well_and_may_be_named(crm: Crm) -> None:
    await crm.run("alter table contacts add hidden boolean")
    await crm.run("update contacts set hidden = true where id = %s", crm.rows.contacts[0])
    assert await crm.connector().count("contacts") == 25
    connector = crm.connector(archived_column="hidden")
    await connector.check()
    assert await connector.count("contacts") == 24
    assert await connector.count("deals") == 9
    with pytest.raises(SettingInvalid, match="None of the tables has the column hiden"):
        await crm.connector(archived_column="hiden").check()
    with pytest.raises(SettingInvalid, match="neither times nor yes and no"):
        await crm.connector(archived_column="phone").count("contacts")


async def test_ids_that_are_gone_or_none_are_absent(crm: Crm) -> None:
    there = str(crm.rows.contacts[0])
    await crm.run("delete from activities where contact_id = %s", crm.rows.contacts[1])
    await crm.run("update deals set contact_id = null where contact_id = %s", crm.rows.contacts[1])
    await crm.run("delete from contacts where id = %s", crm.rows.contacts[1])
    page = await crm.connector().read_many("contacts", [there, str(crm.rows.contacts[1]), "no uuid", ""], ())
    assert ids_of(page.records) == [there]


async def test_references_are_read_from_both_sides(crm: Crm) -> None:
    rows = await crm.run("select id::text, company_id::text from contacts where company_id is not null")
    pairs = {(row["id"], row["company_id"]) for row in rows}
    connector = crm.connector()
    forward = await connector.read_associations("contacts", "companies", [row["id"] for row in rows])
    backward = await connector.read_associations("companies", "contacts", [c for _, c in pairs])
    assert {(each.from_id, each.to_id) for each in forward} == pairs
    assert {(each.to_id, each.from_id) for each in backward} == pairs
    assert await connector.read_associations("contacts", "users", [row["id"] for row in rows]) == []


async def test_a_view_with_an_id_serves_as_a_table(crm: Crm) -> None:
    await crm.run("create view people as select id, email, updated_at from contacts")
    connector = crm.connector(table_contacts="people")
    assert len(await walk(connector, "contacts")) == 25


async def test_properties_are_the_columns_as_the_catalogue_has_them(crm: Crm) -> None:
    await crm.run("alter table deals add weighted numeric generated always as (amount * probability) stored")
    await crm.run("create type size as enum ('small', 'large')")
    await crm.run("alter table deals add size size")
    found = {each.name: each for each in await crm.connector().describe("deals")}
    assert found["id"].read_only
    assert found["updated_at"].read_only
    assert found["weighted"].calculated
    assert found["amount"].type == "numeric(14,2)"
    assert found["contact_id"].definition["references"] == {
        "schema": "public",
        "table": "contacts",
        "column": "id",
    }
    assert found["size"].definition["options"] == ["small", "large"]
    # Every deal is in the one pipeline there is, and may be written so.
    assert not found["pipeline"].read_only


async def test_owners_are_set_only_where_users_are_known(crm: Crm) -> None:
    found = {each.name: each for each in await crm.connector().describe("deals")}
    assert not found["owner_id"].read_only
    await crm.run("drop table users cascade")
    crm.transport._tables.forget()
    found = {each.name: each for each in await crm.connector().describe("deals")}
    assert found["owner_id"].read_only


async def test_the_stages_are_those_that_deals_are_in(crm: Crm) -> None:
    await crm.run("update deals set stage = 'closed_won' where id = %s", crm.rows.deals[0])
    await crm.run("update deals set stage = 'Closed-Lost' where id = %s", crm.rows.deals[1])
    await crm.run("update deals set stage = 'lead' where id = %s", crm.rows.deals[2])
    [pipeline] = await crm.connector().list_pipelines("deals")
    stages: dict[str, Any] = {each.remote_id: (each.is_closed, each.probability) for each in pipeline.stages}
    assert pipeline.remote_id == "deals"
    assert stages["closed_won"] == (True, 100)
    assert stages["Closed-Lost"] == (True, 0)
    assert stages["lead"] == (False, None)
    ordered = await crm.connector(stages="fresh, lead").list_pipelines("deals")
    assert [each.remote_id for each in ordered[0].stages][:2] == ["fresh", "lead"]


async def test_a_large_row_ends_a_page(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    await crm.run("update contacts set source = repeat('x', 1500000) where phone < '+12125550006'")
    connector = crm.connector()
    page = await connector.walk_page("contacts", (), SERIAL, "", "")
    assert page.after is not None
    assert sum(len(each.payload) for each in page.records) < 7_000_000
    assert len(await walk(connector, "contacts")) == 25
