"""A CRM in Postgres as it is written: each record's own outcome, exactly one row for a create, references."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from small_crm import Crm, Server, small_crm
from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.objects import CAPABILITIES
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.transport import Request, Response, Token
from syncline.connectors.writes import RemoteLink, RemoteWrite, WantedProperty, WriteOutcome
from syncline.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    ParkRecord,
    RetryLater,
    ScopeMissing,
    SettingInvalid,
    SynclineError,
    Unavailable,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=5, contacts=12, deals=6, activities=3) as made:
        yield made


def change(remote_id: object, **properties: str | None) -> RemoteWrite:
    return RemoteWrite(str(uuid4()), str(remote_id), properties)


def create(properties: Mapping[str, str | None], external_id: str | None = None) -> RemoteWrite:
    return RemoteWrite(str(uuid4()), None, properties, external_id)


async def prepare(connector: Postgres, name: str = "contacts") -> None:
    wanted = connector.external_id_property(name)
    assert wanted is not None
    [applied] = await connector.apply_properties(name, [wanted])
    assert applied.state == "created"


async def test_changes_are_read_back_as_the_table_keeps_them(crm: Crm) -> None:
    company = crm.rows.companies[0]
    await crm.run("alter table companies add founded timestamp, add tags text[], add r text")
    wanted = {
        "name": "Ö & Co",
        "employee_count": "12.0",
        "annual_revenue": "1000.5",
        "founded": "2026-05-01T10:00:00.000Z",
        "tags": '["a","b c"]',
        "industry": None,
    }
    before = (await crm.connector().read_many("companies", [str(company)], ())).records[0]
    [outcome] = await crm.connector().write_many("companies", [change(company, **wanted)])
    assert outcome.failure is None
    assert outcome.record is not None
    told = outcome.record.properties
    assert {name: told[name] for name in wanted} == wanted | {
        "employee_count": "12",
        "annual_revenue": "1000.50",
        "founded": "2026-05-01T10:00:00+00:00",
    }
    assert (outcome.record.updated_ms or 0) > (before.updated_ms or 0)
    [row] = await crm.run("select tags, industry from companies where id = %s", company)
    assert row == {"tags": ["a", "b c"], "industry": None}


async def test_a_table_that_nobody_dates_is_dated_by_us(crm: Crm) -> None:
    await crm.run("drop trigger set_updated_at on contacts")
    [before] = await crm.run("select updated_at from contacts where id = %s", crm.rows.contacts[0])
    await crm.connector().write_many("contacts", [change(crm.rows.contacts[0], phone="1")])
    [after] = await crm.run("select updated_at from contacts where id = %s", crm.rows.contacts[0])
    assert after["updated_at"] > before["updated_at"]


async def test_one_bad_record_fails_alone_and_its_values_stay_unsaid(crm: Crm) -> None:
    [taken] = await crm.run("select email from contacts where id = %s", crm.rows.contacts[0])
    contacts = [str(each) for each in crm.rows.contacts]
    writes = [
        change(contacts[1], email=taken["email"]),
        change(contacts[2], first_name="Fine"),
        change(contacts[3], company_id=str(uuid4())),
        change(contacts[4], no_such="x"),
        change(uuid4(), first_name="Gone"),
        change(contacts[5], first_name="N\0L"),
        change("no uuid", first_name="Gone"),
        change(contacts[2], first_name="Finer"),
    ]
    outcomes = await crm.connector().write_many("contacts", writes)
    assert [each.key for each in outcomes] == [each.key for each in writes]
    kinds = [type(each.failure) for each in outcomes]
    assert kinds[0] is AlreadyExists
    assert outcomes[0].existing_id == contacts[0]
    assert [kinds[1], kinds[7]] == [type(None)] * 2
    assert all(isinstance(outcomes[number].failure, ParkRecord) for number in (2, 3, 5))
    assert [kinds[4], kinds[6]] == [NotFound] * 2
    [row] = await crm.run("select first_name from contacts where id = %s", contacts[2])
    assert row["first_name"] == "Finer"
    assert taken["email"] not in str(outcomes[0].failure)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("employee_count", "several", "employee_count: invalid input syntax for type integer"),
        ("employee_count", "-1", "companies_employee_count_check"),
        ("annual_revenue", "1e40", "annual_revenue: numeric field overflow"),
        ("name", None, "The column name must not be empty"),
    ],
)
async def test_what_a_column_does_not_take_is_told_by_its_name(
    crm: Crm, column: str, value: str | None, said: str
) -> None:
    writes = [change(crm.rows.companies[0], **{column: value}), change(crm.rows.companies[1], website="x")]
    refused, written = await crm.connector().write_many("companies", writes)
    assert isinstance(refused.failure, ParkRecord)
    assert refused.unwritten
    assert said in str(refused.failure)
    assert value is None or value not in str(refused.failure)
    assert written.failure is None


async def test_a_create_that_is_sent_again_makes_no_second_row(crm: Crm) -> None:
    connector = crm.connector()
    await prepare(connector)
    ours = str(uuid4())
    made = create({"email": "new@example.com", "first_name": "New", "phone": None}, ours)
    [first] = await connector.write_many("contacts", [made])
    [again] = await connector.write_many("contacts", [made])
    assert (first.created, again.created) == (True, False)
    assert first.remote_id == again.remote_id
    assert again.record is not None
    assert again.record.external_id == ours
    found = await connector.find_by_external_id("contacts", [ours, str(uuid4()), "none"])
    assert {name: each.remote_id for name, each in found.items()} == {ours: first.remote_id}


async def test_many_creates_go_in_one_call_with_their_own_outcomes(crm: Crm) -> None:
    connector = crm.connector()
    await prepare(connector)
    [taken] = await crm.run("select email from contacts where id = %s", crm.rows.contacts[0])
    writes = [create({"email": f"n{n}@example.com"}, str(uuid4())) for n in range(20)]
    writes.insert(7, create({"email": taken["email"]}, str(uuid4())))
    crm.sent.clear()
    outcomes = await connector.write_many("contacts", writes)
    assert [each.path for each in crm.sent] == ["/table", "/write"]
    assert [each.failure is None for each in outcomes] == [number != 7 for number in range(21)]
    assert outcomes[7].existing_id == str(crm.rows.contacts[0])
    for write, each in zip(writes, outcomes, strict=True):
        if each.record is not None:
            assert each.record.properties["email"] == write.properties["email"]
            assert each.record.external_id == write.external_id


async def test_the_one_that_is_taken_is_found_by_an_index_of_lower_case(crm: Crm) -> None:
    await crm.run("alter table contacts drop constraint contacts_email_key")
    await crm.run("create unique index contacts_email on contacts (lower(email))")
    [taken] = await crm.run("select upper(email) as email from contacts where id = %s", crm.rows.contacts[0])
    [outcome] = await crm.connector().write_many("contacts", [create({"email": taken["email"]})])
    assert isinstance(outcome.failure, AlreadyExists)
    assert outcome.existing_id == str(crm.rows.contacts[0])


async def test_a_create_whose_answer_is_lost_says_so_where_nothing_makes_it_unique(crm: Crm) -> None:
    async def lossy(request: Request) -> Response:
        answer = await crm.send(request)
        if request.path == "/write":
            assert not request.idempotent
            raise Unavailable("lost")
        return answer

    connector = Postgres(lossy, crm.connector()._places)
    writes = [create({"email": f"n{n}@example.com"}, str(uuid4())) for n in range(2)]
    outcomes = await connector.write_many("contacts", writes)
    assert [isinstance(each.failure, RetryLater) for each in outcomes] == [True, True]
    assert [each.unwritten for each in outcomes] == [False, True]
    with pytest.raises(SettingInvalid, match="no unique column syncline_record_id"):
        await connector.find_by_external_id("contacts", [str(uuid4())])


async def test_creates_stop_when_what_makes_them_unique_has_gone(crm: Crm) -> None:
    connector = crm.connector()
    await prepare(connector)
    made = create({"email": "new@example.com"}, str(uuid4()))
    await connector.write_many("contacts", [made])
    await crm.run("drop index contacts_syncline_record_id_key")
    with pytest.raises(SettingInvalid, match="no unique column syncline_record_id"):
        await connector.write_many("contacts", [made])
    [row] = await crm.run("select count(*) as n from contacts where email = 'new@example.com'")
    assert row["n"] == 1
    [applied] = await connector.apply_properties("contacts", [connector.external_id_property("contacts")])  # type: ignore[list-item]
    assert applied.state == "created"
    [again] = await connector.write_many("contacts", [made])
    assert again.created is False


async def test_deals_are_in_the_one_pipeline_and_say_so(crm: Crm) -> None:
    await crm.run("alter table deals add close_at timestamptz")
    writes = [
        change(
            crm.rows.deals[0], pipeline="deals", stage="closed_won", close_date="2026-05-01T00:00:00.000Z"
        ),
        change(crm.rows.deals[1], pipeline="other", stage="lead"),
    ]
    written, refused = await crm.connector().write_many("deals", writes)
    assert written.record is not None
    told = written.record.properties
    assert (told["pipeline"], told["stage"], told["close_date"]) == ("deals", "closed_won", "2026-05-01")
    assert isinstance(refused.failure, ParkRecord)


async def test_archiving_marks_where_it_can_and_deletes_where_not(crm: Crm) -> None:
    connector = crm.connector()
    await crm.run("update deals set contact_id = null")
    await crm.run("update deals set contact_id = %s where id = %s", crm.rows.contacts[1], crm.rows.deals[0])
    company, contact = str(crm.rows.companies[0]), str(crm.rows.contacts[0])
    for _ in range(2):
        [outcome] = await connector.archive_many("companies", [company])
        assert outcome.failure is None
    [row] = await crm.run("select deleted_at is not null as marked from companies where id = %s", company)
    assert row["marked"]
    held = str(crm.rows.contacts[1])
    ids = [contact, held, "none", str(uuid4())]
    outcomes = await connector.archive_many("contacts", ids)
    assert [each.key for each in outcomes] == ids
    assert [each.failure is None for each in outcomes] == [True, False, True, True]
    assert isinstance(outcomes[1].failure, ParkRecord)
    assert [
        each["id"]
        for each in await crm.run("select id::text from contacts where id = any(%s)", [contact, held])
    ] == [held]


async def company_of(crm: Crm, contact: str) -> str | None:
    [row] = await crm.run("select company_id::text from contacts where id = %s", contact)
    return row["company_id"]


async def test_references_are_set_and_taken_away_only_while_they_hold(crm: Crm) -> None:
    connector = crm.connector()
    contact = str(crm.rows.contacts[0])
    first, second = (str(each) for each in crm.rows.companies[:2])
    [made] = await connector.associate_many("contacts", "companies", [RemoteLink("a", contact, first)])
    assert made.failure is None
    [other] = await connector.associate_many("companies", "contacts", [RemoteLink("b", second, contact)])
    assert (other.failure, await company_of(crm, contact)) == (None, second)
    [kept] = await connector.dissociate_many("contacts", "companies", [RemoteLink("c", contact, first)])
    assert (kept.failure, await company_of(crm, contact)) == (None, second)
    [taken] = await connector.dissociate_many("contacts", "companies", [RemoteLink("d", contact, second)])
    assert (taken.failure, await company_of(crm, contact)) == (None, None)
    links = [
        RemoteLink("e", contact, str(uuid4())),
        RemoteLink("f", str(uuid4()), first),
        RemoteLink("g", contact, first),
    ]
    outcomes = await connector.associate_many("contacts", "companies", links)
    assert [type(each.failure) for each in outcomes][1:] == [NotFound, type(None)]
    assert isinstance(outcomes[0].failure, ParkRecord)
    assert await company_of(crm, contact) == first


async def test_a_crm_with_numbers_for_keys_is_written_alike(crm: Crm) -> None:
    await crm.run("create schema numbered")
    await crm.run(
        "create table numbered.companies (id integer generated always as identity primary key, name text);"
        "create table numbered.contacts (id bigserial primary key, email text unique, met timestamp,"
        " company_id integer references numbered.companies, updated_at timestamp)"
    )
    connector = crm.connector(schema="numbered")
    await prepare(connector)
    await prepare(connector, "companies")
    [company] = await connector.write_many("companies", [create({"name": "N"}, str(uuid4()))])
    made = create({"email": "n@example.com"}, str(uuid4()))
    [contact] = await connector.write_many("contacts", [made])
    assert (company.remote_id, contact.remote_id) == ("1", "1")
    [again] = await connector.write_many("contacts", [made])
    assert (again.remote_id, again.created) == ("1", False)
    [changed] = await connector.write_many("contacts", [change("1", met="2026-05-01T10:00:00.000Z")])
    assert changed.record is not None
    assert changed.record.properties["met"] == "2026-05-01T10:00:00+00:00"
    assert changed.record.updated_ms is not None
    [tied] = await connector.associate_many("contacts", "companies", [RemoteLink("a", "1", "1")])
    assert tied.failure is None
    found = await connector.read_associations("companies", "contacts", ["1", "2"])
    assert [(each.from_id, each.to_id) for each in found] == [("1", "1")]
    [gone] = await connector.archive_many("contacts", ["1"])
    assert (gone.failure, await connector.count("contacts")) == (None, 0)


async def test_the_columns_that_are_wanted_are_added_once(crm: Crm) -> None:
    connector = crm.connector()
    own = connector.external_id_property("deals")
    assert own is not None
    wanted = [
        own,
        WantedProperty("mrr", "MRR", "number", ("x", "X")),
        WantedProperty("stage", "Stage", "number", ("x", "X")),
    ]
    assert [each.state for each in await connector.plan_properties("deals", wanted)] == [
        "create",
        "create",
        "differs",
    ]
    states = [each.state for each in await connector.apply_properties("deals", wanted)]
    assert states == ["created", "created", "differs"]
    states = [each.state for each in await connector.apply_properties("deals", wanted)]
    assert states == ["exists", "exists", "differs"]
    [row] = await crm.run(
        "select data_type from information_schema.columns"
        " where table_name = 'deals' and column_name = 'syncline_record_id'"
    )
    assert row["data_type"] == "uuid"


@pytest.fixture
async def reader(crm: Crm) -> Token:
    """A role that may read and change the tables' rows, and nothing else."""
    name = f"limited_{uuid4().hex[:8]}"
    async with await psycopg.AsyncConnection.connect(crm.urls.superuser, autocommit=True) as conn:
        await conn.execute(sql.SQL("create role {} login password 'p:w@'").format(sql.Identifier(name)))
        await conn.execute(
            sql.SQL("grant select, update on all tables in schema public to {}").format(sql.Identifier(name))
        )
    parts = conninfo_to_dict(crm.urls.admin)
    crm.base_url = f"postgresql://{name}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    return Token("p:w@")


async def test_what_the_role_may_not_do_is_said_with_what_an_administrator_runs(
    crm: Crm, reader: Token
) -> None:
    async with aclosing(PostgresTransport(crm.base_url)) as transport:

        async def send(request: Request) -> Response:
            return await transport.send(request, reader)

        connector = Postgres(send, crm.connector()._places)
        assert await connector.count("contacts") == 12
        with pytest.raises(ScopeMissing, match="permission denied for table contacts"):
            await connector.write_many("contacts", [create({"email": "n@example.com"})])
        wanted = connector.external_id_property("contacts")
        assert wanted is not None
        with pytest.raises(ScopeMissing, match="create unique index concurrently"):
            await connector.apply_properties("contacts", [wanted])
        with pytest.raises(ScopeMissing, match="create or replace trigger"):
            await connector.ensure_webhooks("", "")
        # Hidden rows would look deleted.
        await crm.run("alter table contacts enable row level security")
        with pytest.raises(ScopeMissing, match="Row-level security"):
            await connector.count("contacts")


async def test_people_of_the_crm_are_not_written(crm: Crm) -> None:
    with pytest.raises(Invalid):
        await crm.connector().write_many("users", [change(crm.rows.users[0], email="x")])
    assert crm.connector().external_id_property("users") is None


async def test_batches_are_as_large_as_they_are_said_to_be(crm: Crm) -> None:
    connector = crm.connector()
    await prepare(connector)
    writes = [create({"email": f"n{n}@example.com"}, str(uuid4())) for n in range(CAPABILITIES.write_batch)]
    outcomes: list[WriteOutcome] = await connector.write_many("contacts", writes)
    failures: list[SynclineError] = [each.failure for each in outcomes if each.failure is not None]
    assert failures == []
    with pytest.raises(Invalid):
        await connector.write_many("contacts", [*writes, *writes[:1]])
