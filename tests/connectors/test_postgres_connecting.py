"""How a CRM's database is reached: its address, what stands in the way, poolers, and its own hub refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pooler import transaction_pooler
from small_crm import Crm, Server, address_of, small_crm
from syncline.connectors.postgres import sessions
from syncline.connectors.postgres.address import read_address
from syncline.connectors.postgres.connector import Postgres
from syncline.connectors.postgres.places import read_places
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.reads import SERIAL
from syncline.connectors.transport import Request, Response, Token
from syncline.connectors.writes import RemoteWrite
from syncline.errors import SettingInvalid, TokenRejected, Unavailable
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=4, contacts=30, deals=2, activities=0) as made:
        yield made


def test_an_address_is_taken_apart() -> None:
    found = read_address("postgresql://postgres.abc@db.example.com:6543/my%20crm?sslmode=require")
    assert (found.host, found.port, found.database, found.user) == (
        "db.example.com",
        6543,
        "my crm",
        "postgres.abc",
    )
    assert found.pooled
    assert read_address("postgresql://u@db.example.com/crm").parameters == {"sslmode": "require"}
    assert read_address("postgresql://u@localhost/crm").parameters == {}
    assert not read_address("postgresql://u@db.example.com/crm").pooled
    assert read_address("postgresql://u@db.example.com/crm?pool_mode=transaction").pooled


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://db.example.com",
        "postgresql://u:s3cr3t@db.example.com/crm",
        "postgresql://u@db.example.com/crm?password=s3cr3t",
        "postgresql://u@db.example.com/crm?sslmode=s3cr3t",
        "postgresql://u@db.example.com/crm?passfile=s3cr3t",
        "postgresql://u:s3@cr3t@db.example.com/crm",
        "postgresql://db.example.com/crm",
        "postgresql://u@db.example.com:s3cr3t/crm",
        "postgresql://u@db.example.com",
        "postgresql:///crm?host=s3cr3t",
    ],
)
def test_an_address_with_a_password_or_none_that_leads_anywhere_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingInvalid) as refusal:
        read_address(url)
    assert "s3cr3t" not in str(refusal.value)
    assert "cr3t" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"schema": "sync"},
        {"schema": "pg_catalog"},
        {"schema": "x" * 64},
        {"table_contacts": "people", "table_users": "people"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid):
        read_places(settings)


async def reach(base_url: str, token: Token | None) -> Response:
    async with aclosing(PostgresTransport(base_url)) as transport:
        places = read_places({})
        json = {"places": {"contacts": {"schema": "public", "table": places.tables["contacts"]}}}
        return await transport.send(Request("POST", "/server", json=json), token)


async def test_a_wrong_password_and_a_wrong_place_are_told_apart(crm: Crm) -> None:
    assert (await reach(crm.base_url, crm.token)).status == 200
    for token in (Token("wr0ng"), Token(""), None):
        with pytest.raises(TokenRejected) as refusal:
            await reach(crm.base_url, token)
        assert "wr0ng" not in str(refusal.value)
    elsewhere = crm.base_url.rpartition("/")[0] + "/no_such_database"
    with pytest.raises(SettingInvalid, match="no_such_database"):
        await reach(elsewhere, crm.token)
    with pytest.raises(SettingInvalid, match="SSL"):
        await reach(crm.base_url + "?sslmode=require", crm.token)


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with pytest.raises(Unavailable) as refusal:
        await reach("postgresql://u@127.0.0.1:1/crm", Token("p"))
    assert refusal.value.unsent


async def test_our_own_database_is_no_crm(database_urls: DatabaseUrls) -> None:
    base_url, token = address_of(database_urls.app)
    async with aclosing(PostgresTransport(base_url)) as transport:

        async def send(request: Request) -> Response:
            return await transport.send(request, token)

        with pytest.raises(SettingInvalid, match="Syncline's own database"):
            await Postgres(send, read_places({})).check()


async def test_connections_that_the_server_ended_are_replaced(crm: Crm) -> None:
    connector = crm.connector()
    assert await connector.count("contacts") == 30
    async with await psycopg.AsyncConnection.connect(crm.urls.superuser, autocommit=True) as conn:
        await conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'syncline'"
            " and datname = current_database()"
        )
    assert await connector.count("contacts") == 30


async def test_a_table_that_gained_a_column_is_read_with_it(crm: Crm) -> None:
    connector = crm.connector()
    await connector.count("contacts")
    await crm.run("alter table contacts drop column source, add title text default 'x'")
    [record, *_] = (await connector.walk_page("contacts", (), SERIAL, "", "")).records
    assert record.properties["title"] == "x"


async def test_a_lock_that_is_held_is_waited_for_no_longer_than_agreed(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = sessions._BEGIN_WRITING.as_string().replace("lock_timeout to '10s'", "lock_timeout to '50ms'")
    monkeypatch.setattr(sessions, "_BEGIN_WRITING", sql.SQL(quick))  # type: ignore[arg-type]
    contact = str(crm.rows.contacts[0])
    async with crm.conn.transaction():
        await crm.run("update contacts set phone = '1' where id = %s", contact)
        with pytest.raises(Unavailable):
            await crm.connector().write_many("contacts", [RemoteWrite("k", contact, {"phone": "2"})])


async def test_a_transaction_mode_pooler_is_enough(crm: Crm) -> None:
    async with transaction_pooler(crm.urls.admin, size=3) as (url, pooler):
        parts = conninfo_to_dict(url.partition("?")[0])
        base_url, token = address_of(
            crm.urls.admin, port=int(str(parts["port"])), query="?pool_mode=transaction"
        )
        async with aclosing(PostgresTransport(base_url)) as transport:

            async def send(request: Request) -> Response:
                return await transport.send(request, token)

            connector = Postgres(send, read_places({}))
            await connector.check()
            wanted = connector.external_id_property("contacts")
            assert wanted is not None
            await connector.apply_properties("contacts", [wanted])
            await connector.ensure_webhooks("", "")
            counts = await asyncio.gather(*(connector.count("contacts") for _ in range(12)))
            assert counts == [30] * 12
            events = connector.listen()
            await anext(events)
            made = RemoteWrite("k", None, {"email": "n@example.com"}, str(uuid4()))
            [outcome] = await connector.write_many("contacts", [made])
            async with asyncio.timeout(30):
                found = await anext(events)
            assert [(each.object, each.remote_id) for each in found] == [("contacts", outcome.remote_id)]
            assert pooler.transactions > 20
