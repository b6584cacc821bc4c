"""A CRM kept in Postgres for the contract's tests: a small company's tables in a database of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

import psycopg
from imitated import SECRET, Crm, Failure, Imitation, Way
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

import small_crm
from syncline.clock import now, to_ms
from syncline.connectors.base import Connector
from syncline.connectors.postgres.platform import POSTGRES
from syncline.connectors.postgres.transport import PostgresTransport
from syncline.connectors.transport import Token
from syncline.connectors.webhooks import Delivery

_CROWDED, _NUMBERED, _BARE = "crowded", "numbered", "bare"
_COLUMN = {"companies": "name", "deals": "name", "contacts": "first_name", "users": "email"}
#: With a key that counts, and a column that may hold what jsonb cannot.
_PARCELS = """
create table parcels (id bigint primary key, label text, extra json, updated_at timestamptz default now())
"""
_LOOSE = """
alter table contacts disable trigger user; alter table deals disable trigger user;
alter table activities disable trigger user;
update contacts set company_id = null; update deals set contact_id = null, company_id = null;
update activities set contact_id = null, deal_id = null;
alter table contacts enable trigger user; alter table deals enable trigger user;
alter table activities enable trigger user;
"""


class SmallPostgres(Crm):
    platform = POSTGRES
    crowded = "contacts"
    crowd = 1100
    ways = (
        Way("", "contacts", "serial"),
        Way(_CROWDED, "contacts", "serial"),
        Way(_NUMBERED, "parcels", "list"),
        Way("", "users", "serial"),
    )
    failures = ("unavailable", "token", "forbidden")
    emptied: ClassVar[Mapping[str, str]] = {
        "companies": "website",
        "contacts": "phone",
        "deals": "close_date",
        "activities": "body",
    }
    lists_ended = frozenset({"companies"})
    bare = _BARE
    lacks: ClassVar[Mapping[str, frozenset[str]]] = {
        "contacts": frozenset({"job_title"}),
        "companies": frozenset({"phone", "owner_id"}),
        "deals": frozenset({"currency"}),
    }

    def __init__(self, made: small_crm.Crm) -> None:
        self.made = made
        super().__init__(made.transport, made.token)

    async def living(self, object_name: str) -> set[str]:
        marked = " where deleted_at is null" if object_name == "companies" else ""
        rows = await self.made.run(
            sql.SQL("select id::text as id from {}" + marked).format(sql.Identifier(object_name))
        )
        return {row["id"] for row in rows}

    def unknown_id(self, object_name: str) -> str:
        return "7" if object_name == "parcels" else "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"

    async def add(self, object_name: str, count: int = 1) -> list[str]:
        column, kind = _COLUMN.get(object_name, "subject"), ""
        if object_name == "activities":
            kind = ", type"
        statement = sql.SQL(
            "insert into {} ({}"
            + kind
            + ") select 'Added ' || n || '@' || gen_random_uuid()"
            + (", 'call'" if kind else "")
            + " from generate_series(1, {}) n returning id::text as id"
        ).format(sql.Identifier(object_name), sql.Identifier(column), sql.Literal(count))
        return [row["id"] for row in await self.made.run(statement)]

    async def touch(self, object_name: str, remote_ids: Sequence[str]) -> None:
        statement = sql.SQL("update {} set updated_at = now() where id = any({}::uuid[])")
        await self.made.run(statement.format(sql.Identifier(object_name), sql.Literal(list(remote_ids))))

    async def end(self, object_name: str, remote_id: str) -> None:
        what = "update {} set deleted_at = now()" if object_name == "companies" else "delete from {}"
        statement = sql.SQL(what + " where id = {}").format(
            sql.Identifier(object_name), sql.Literal(remote_id)
        )
        await self.made.run(statement)

    async def bring_back(self, object_name: str, remote_id: str) -> bool:
        if object_name != "companies":
            return False
        await self.made.run("update companies set deleted_at = null where id = %s", remote_id)
        return True

    async def plant(self, object_name: str, text: str) -> str | None:
        del object_name
        await self.made.run(_PARCELS)
        await self.made.run("insert into parcels (id, extra) values (1, %s::json)", json.dumps({"t": text}))
        return "1"

    def spoiled(self, object_name: str, word: str) -> Mapping[str, str]:
        return {"owner_id": word} if object_name != "companies" else {"employee_count": word}

    @asynccontextmanager
    async def meeting(self, failure: Failure, word: str) -> AsyncGenerator[Connector]:
        async with aclosing(PostgresTransport(self.made.base_url)) as transport:
            before = self.transport, self.token
            self.transport, self.token = transport, Token(word) if failure == "token" else self.token
            if failure == "unavailable":
                await self._administer("alter database {} with connection limit 0")
            elif failure == "forbidden":
                await self._administer("revoke all on all tables in schema public from {role}")
            yield self.fresh()
            self.transport, self.token = before
            if failure == "unavailable":
                await self._administer("alter database {} with connection limit -1")
            elif failure == "forbidden":
                await self._administer("grant all on all tables in schema public to {role}")

    async def deliveries(self, work: Callable[[], Awaitable[None]], count: int) -> list[Delivery]:
        """Call as a webhook of Supabase's would: its trigger tells the row before and after."""
        before = await self._contacts()
        await work()
        after = await self._contacts()
        told: list[Delivery] = []
        for key in before.keys() | after.keys():
            old, new = before.get(key), after.get(key)
            if old == new:
                continue
            kind = "DELETE" if new is None else "INSERT" if old is None else "UPDATE"
            body = {"type": kind, "table": "contacts", "schema": "public", "record": new, "old_record": old}
            headers = {"content-type": "application/json", "x-syncline-secret": SECRET}
            url = "https://hub.example.com/api/v1/webhooks/postgres/own"
            told.append(Delivery("POST", url, headers, json.dumps(body).encode(), to_ms(now())))
        return told[:count]

    async def _contacts(self) -> dict[str, Any]:
        rows = await self.made.run("select id::text as id, to_jsonb(contacts) as row from contacts")
        return {row["id"]: row["row"] for row in rows}

    async def _administer(self, statement: str) -> None:
        parts = conninfo_to_dict(self.made.urls.admin)
        database, role = (sql.Identifier(str(parts[each])) for each in ("dbname", "user"))
        async with await psycopg.AsyncConnection.connect(self.made.urls.superuser, autocommit=True) as conn:
            await conn.execute(sql.SQL(statement).format(database, role=role))  # type: ignore[arg-type]


@asynccontextmanager
async def open_postgres(server: Any, variant: str) -> AsyncGenerator[Crm]:
    contacts = SmallPostgres.crowd if variant == _CROWDED else 8
    async with small_crm.small_crm(server, companies=5, contacts=contacts, deals=6, activities=4) as made:
        # Nothing refers to anything, so that any row may be deleted.
        await made.run(_LOOSE)
        if variant == _NUMBERED:
            await made.run(_PARCELS)
            # With gaps, and more than a page.
            await made.run(
                "insert into parcels (id, label) select n * 3, 'P' from generate_series(1, 2100) n"
            )
        if variant == _BARE:
            await made.run("drop table activities; drop table users cascade")
        yield SmallPostgres(made)


IMITATION = Imitation(SmallPostgres, open_postgres)
