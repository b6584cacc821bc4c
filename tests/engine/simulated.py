"""A simulated HubSpot account and a mirror of it: what the tests of the pull engine stand on.

The account is served from the test's own loop, so that a test may change it and read its truth directly.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import httpx2
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from syncline.clock import new_id, now
from syncline.config import Settings
from syncline.connectors.hubspot.connector import HubSpot
from syncline.connectors.hubspot.objects import OBJECTS as OBJECTS_KNOWN
from syncline.domain.sealing import Vault, new_key
from syncline.engine.pull import READINGS, Order, pull
from syncline.engine.push import Drained, drain
from syncline.engine.remotes import Credentials, Remote, Remotes, seal_credentials
from syncline.engine.write import Target
from syncline.simulators.hubspot import Settings as Simulated
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.server import in_loop
from syncline.store import connections
from syncline.store.db import Database
from syncline.store.runs import Run
from unlimited import lift_limits

TOKEN = "pat-na1-simulated"
#: In the order in which they are first read: owners before what refers to them.
OBJECTS = ("owners", "contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks")
FEW = {
    "contacts": 320,
    "companies": 60,
    "deals": 70,
    "calls": 90,
    "meetings": 15,
    "emails": 25,
    "notes": 15,
    "tasks": 15,
    "cars": 12,
}


LIST, BATCH = "GET /crm/objects/*", "POST /crm/objects/*/batch/read"
SEARCH = "POST /crm/objects/*/search"


class Watch(Counter[tuple[str, int]]):
    """Calls `seen` with the route of each request that an account has answered, before the answer leaves."""

    def __init__(self, world: World, seen: Callable[[str], None]) -> None:
        super().__init__()
        self._seen = seen
        world.stats = self

    def __setitem__(self, key: tuple[str, int], count: int) -> None:
        super().__setitem__(key, count)
        self._seen(key[0])


def world_of(seed: int = 7, settings: Simulated | None = None, **counts: int) -> World:
    """Make an account with these many records, and none of the other kinds."""
    none = dict.fromkeys((*FEW, "archived_contacts"), 0)
    world = World(seed, settings or Simulated())
    world.populate(**(none | counts))
    return world


@dataclass
class Mirror:
    """One connection of a tenant to a simulated account, and the database it is pulled into."""

    db: Database
    settings: Settings
    world: World
    url: str
    tenant_id: UUID
    connection_id: UUID
    vault: Vault
    remotes: Remotes
    #: Replaces what the connector says of itself, such as how far it looks back.
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: How long a call is tried again when the account does not answer.
    give_up_after_seconds: float = 60

    async def open(self) -> Remote:
        """Open the connection for one run."""
        async with self.db.transaction(tenant_id=self.tenant_id) as conn:
            connection = await connections.get(conn, self.connection_id, tenant_id=self.tenant_id)
        remote = self.remotes.open(
            connection, lane="person", give_up_after_seconds=self.give_up_after_seconds
        )
        if not self.capabilities:
            return remote
        assert isinstance(remote.connector, HubSpot)
        connector = remote.connector
        connector.capabilities = replace(connector.capabilities, **self.capabilities)
        return replace(remote, connector=connector)

    async def pull(
        self,
        object_name: str,
        *,
        full: bool = False,
        stop: asyncio.Event | None = None,
        chunk_rows: int | None = None,
        lease_seconds: int | None = None,
        on_progress: Callable[[Target], None] | None = None,
    ) -> Run:
        settings = self.settings.model_copy(
            update={
                key: value
                for key, value in (("chunk_rows", chunk_rows), ("lease_seconds", lease_seconds))
                if value is not None
            }
        )
        order = Order(object_name, full=full, requested_by="test", stop=stop, on_progress=on_progress)
        return await pull(self.db, await self.open(), order, settings)

    async def sync(self, *objects: str, full: bool = False) -> dict[str, Run]:
        """Pull objects one after another, all with their associations and history when none is named."""
        return {name: await self.pull(name, full=full) for name in objects or (*OBJECTS, *READINGS)}

    async def allow(
        self, object_name: str, *scopes: str, fields: Sequence[str] = ("",), kind: str | None = None
    ) -> None:
        """Let an object's fields be written, all unless some are named, and what `scopes` name besides."""
        record_type = kind or next(each.record_type for each in OBJECTS_KNOWN if each.name == object_name)
        wanted = [("field", each) for each in fields] + [(scope, "") for scope in scopes]
        for scope, field_name in wanted:
            await self.execute(
                "insert into sync.writing (tenant_id, connection_id, object, record_type, scope, field,"
                " allowed_at, allowed_by) values (%(tenant_id)s, %(connection_id)s, %(object)s, %(kind)s,"
                " %(scope)s, %(field)s, now(), 'test')",
                connection_id=self.connection_id,
                object=object_name,
                kind=record_type,
                scope=scope,
                field=field_name,
            )
        await self.execute(
            "update sync.connections set writes_enabled = true"
            " where tenant_id = %(tenant_id)s and id = %(connection_id)s",
            connection_id=self.connection_id,
        )

    async def make_unique(self, *objects: str) -> None:
        """Give objects the property that creates are made unique by, as a person would."""
        connector = (await self.open()).connector
        for name in objects:
            wanted = connector.external_id_property(name)
            assert wanted is not None
            await connector.apply_properties(name, [wanted])

    async def push(self) -> Drained:
        """Send what is due."""
        return await drain(self.db, await self.open(), self.settings)

    async def fail_next(self, kinds: Sequence[str]) -> None:
        """Let the next requests go wrong, each in the way named, and none that was to before."""
        async with httpx2.AsyncClient(verify=False) as client:  # the certificates take 30 ms to load
            body = {"kinds": list(kinds), "replace": True}
            answer = await client.post(f"{self.url}/_simulator/faults", json=body)
            answer.raise_for_status()

    async def settle(self) -> None:
        """Send until nothing waits any more, as a worker does; what is parked stays."""
        for _ in range(20):
            await self.let_time_pass()
            await self.push()
            rows = await self.select("select 1 from sync.queue where state = 'pending'")
            if not rows:
                return
        raise AssertionError("The queue does not become empty.")

    async def let_time_pass(self) -> None:
        """Let what waits be due, and what was sent have arrived by now, or never."""
        await self.execute("update sync.queue set not_before = queued_at where tenant_id = %(tenant_id)s")
        sent = "select 1 from sync.remote_changes where action = 'created' and state = 'sent'"
        if not await self.select(sent):
            return
        for older in (
            "update sync.remote_changes set sent_at = sent_at - interval '1 minute'",
            "update sync.links set linked_at = linked_at - interval '1 minute'",
            "update sync.tombstones set buried_at = buried_at - interval '1 minute'",
        ):
            await self.execute(older)

    async def select(self, query: LiteralString | sql.Composed, **values: Any) -> list[dict[str, Any]]:
        async with self.db.transaction(tenant_id=self.tenant_id) as conn:
            await conn.execute("set local search_path = compat, crm, raw, sync, public")
            async with conn.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(query, {"tenant_id": self.tenant_id} | values)
                return await cursor.fetchall()

    async def execute(self, query: LiteralString, **values: Any) -> None:
        """Do what a person does in psql: the row triggers see it."""
        async with self.db.transaction(tenant_id=self.tenant_id) as conn:
            await conn.execute(query, {"tenant_id": self.tenant_id} | values)

    async def raw(self, object_name: str) -> dict[str, dict[str, Any]]:
        """Return every row of an object's raw table by remote id."""
        table = sql.Identifier("raw", f"hubspot_{object_name}")
        query = sql.SQL("select * from {} where connection_id = %(connection_id)s").format(table)
        return {row["remote_id"]: row for row in await self.select(query, connection_id=self.connection_id)}

    async def records(self, object_name: str, table: str) -> dict[str, dict[str, Any]]:
        """Return records of ours by the remote id they are primary for."""
        query = sql.SQL(
            "select l.remote_id, c.* from sync.links l join {} c on c.id = l.record_id "
            "where l.connection_id = %(connection_id)s and l.object = %(object)s and l.is_primary"
        ).format(sql.Identifier("crm", table))
        rows = await self.select(query, connection_id=self.connection_id, object=object_name)
        found = {row["remote_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def requests(self) -> int:
        """Return how many requests the account has answered since `forget_requests`."""
        return sum(self.world.stats.values())

    def forget_requests(self) -> None:
        self.world.stats.clear()


async def insert_connection(
    db: Database,
    vault: Vault,
    url: str,
    *,
    tenant_id: UUID,
    name: str = "main",
    credentials: Credentials | None = None,
    account_id: str | None = None,
) -> UUID:
    connection_id = new_id()
    if account_id is None:
        account_id = str(connection_id)
        await lift_limits(db, account_id)
    async with db.transaction(tenant_id=tenant_id) as conn:
        await connections.insert(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            platform="hubspot",
            name=name,
            base_url=url,
            account_id=account_id,
            account_name="Simulated",
            account_url=None,
            credentials=seal_credentials(vault, credentials or Credentials(TOKEN)),
            settings={"currency": "USD"},
            now=now(),
        )
    return connection_id


@asynccontextmanager
async def mirror_of(
    world: World,
    db: Database,
    settings: Settings,
    tenant_id: UUID,
    *,
    name: str = "main",
    credentials: Credentials | None = None,
    vault: Vault | None = None,
    overlap: timedelta | None = None,
    second_pass_after: timedelta | None = None,
) -> AsyncGenerator[Mirror]:
    """Serve the account and connect it, for the length of the block."""
    vault = vault or Vault([new_key()])
    times = {"overlap": overlap, "second_pass_after": second_pass_after}
    async with in_loop(world) as url, Remotes(db, vault) as remotes:
        connection_id = await insert_connection(
            db, vault, url, tenant_id=tenant_id, name=name, credentials=credentials
        )
        yield Mirror(
            db,
            settings,
            world,
            url,
            tenant_id,
            connection_id,
            vault,
            remotes,
            {key: value for key, value in times.items() if value is not None},
        )


@pytest.fixture
async def mirror(db: Database, settings: Settings, tenant_id: UUID) -> AsyncGenerator[Mirror]:
    """A small account with everything in it, connected and not yet read."""
    async with mirror_of(world_of(archived_contacts=6, **FEW), db, settings, tenant_id) as made:
        yield made


def truth(world: World, object_name: str) -> dict[str, dict[str, Any]]:
    """Return living records of the account: id → every property, None where empty."""
    store = world.store(object_name)
    plan = store.plan_once(store.definitions)
    return {str(i): plan.properties(store.records[i]) for i in store.living}


async def assert_mirrors(mirror: Mirror, object_name: str) -> None:
    """Compare every property of every living record, and who lives here with who lives there."""
    expected = truth(mirror.world, object_name)
    rows = await mirror.raw(object_name)
    living = {remote_id for remote_id, row in rows.items() if row["archived_at"] is None}
    assert living == expected.keys()
    for remote_id, properties in expected.items():
        assert rows[remote_id]["raw"]["properties"] == properties, (object_name, remote_id)


@asynccontextmanager
async def reopened(mirror: Mirror, url: str) -> AsyncGenerator[Mirror]:
    """Go on with a mirror as another process would, with connections of its own that end with the block."""
    async with (
        Database.open(url, application_name="another", max_size=6) as db,
        Remotes(db, mirror.vault) as remotes,
    ):
        yield replace(mirror, db=db, remotes=remotes)


async def count_writes(superuser_url: str) -> dict[str, int]:
    """Return how many rows were ever inserted, updated or deleted, by table of ours.

    Counts of connections named "another" are complete: a backend reports what it did when it ends.
    """
    async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as conn:
        while True:
            left = await conn.execute(
                "select from pg_stat_activity where datname = current_database()"
                " and application_name = 'another'"
            )
            if left.rowcount == 0:
                break
            await asyncio.sleep(0.02)
        rows = await conn.execute(
            "select schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables"
            " where schemaname in ('crm', 'raw', 'sync')"
        )
        return {str(row[0]): int(row[1]) for row in await rows.fetchall()}
