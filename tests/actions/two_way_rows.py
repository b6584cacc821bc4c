"""Rows of two-way sync, made by the statements that make them in earnest: connections, links, conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from syncline.actions.hub import Hub
from syncline.clock import new_id, now
from syncline.domain.agreement import brief, pair
from syncline.domain.records import RECORD_TYPES
from syncline.engine.remotes import Credentials, seal_credentials
from syncline.store import connections, merging, writing

RUN = UUID("00000000-0000-7000-8000-0000000000aa")


@dataclass
class Rows:
    """What a test does to the database of one hub."""

    hub: Hub

    async def select(self, query: LiteralString, **values: Any) -> list[dict[str, Any]]:
        async with (
            self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn,
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query, {"tenant_id": self.hub.tenant_id} | values)
            return await cursor.fetchall()

    async def execute(self, query: LiteralString, **values: Any) -> None:
        """Do what a person does in psql."""
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await conn.execute(query, {"tenant_id": self.hub.tenant_id} | values)

    async def connect(self, name: str = "main") -> UUID:
        connection_id = new_id()
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await connections.insert(
                conn,
                tenant_id=self.hub.tenant_id,
                connection_id=connection_id,
                platform="hubspot",
                name=name,
                base_url="http://127.0.0.1:9",
                account_id=name,
                account_name=name,
                account_url=None,
                credentials=seal_credentials(self.hub.vault(), Credentials("none")),
                settings={},
                now=now(),
            )
        return connection_id

    async def allow(
        self, connection_id: UUID, *fields: str, object_name: str = "contacts", kind: str = "contact"
    ) -> None:
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await writing.allow(
                conn,
                [("field", each) for each in fields],
                keys={
                    "tenant_id": self.hub.tenant_id,
                    "connection_id": connection_id,
                    "object_name": object_name,
                },
                record_type=kind,
                by="test",
                now=now(),
            )

    async def insert(self, kind: str, **values: Any) -> UUID:
        """Make a record of ours, without a word in the queue."""
        record_id = new_id()
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id, bulk=True) as conn:
            names = ["tenant_id", "id", *values]
            marks = ", ".join(f"%({name})s" for name in names)
            table = RECORD_TYPES[kind].table
            await conn.execute(
                f"insert into crm.{table} ({', '.join(names)}) values ({marks})",  # type: ignore[arg-type]
                {"tenant_id": self.hub.tenant_id, "id": record_id, **values},
            )
        return record_id

    async def link(
        self,
        connection_id: UUID,
        kind: str,
        record_id: UUID,
        remote_id: str,
        base: dict[str, Any],
        *,
        object_name: str = "contacts",
    ) -> None:
        pairs = {name: pair(brief(value), brief(value)) for name, value in base.items()}
        await self.execute(
            "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id,"
            " base, linked_at) values (%(tenant_id)s, %(connection)s, %(object)s, %(remote)s, %(kind)s,"
            " %(record)s, %(base)s, now())",
            connection=connection_id,
            object=object_name,
            remote=remote_id,
            kind=kind,
            record=record_id,
            base=Jsonb(pairs),
        )

    async def dispute(
        self,
        connection_id: UUID,
        kind: str,
        record_id: UUID,
        remote_id: str,
        fields: dict[str, tuple[Any, Any, Any]],
        *,
        object_name: str = "contacts",
        theirs: dict[str, Any] | None = None,
    ) -> dict[str, UUID]:
        """Write conflicts down as a merge does; `fields` are base, ours, theirs. Returns ids by field."""
        [row] = await self.select(
            f"select to_jsonb(c) as row from crm.{RECORD_TYPES[kind].table} c where id = %(id)s",  # type: ignore[arg-type]
            id=record_id,
        )
        ours = {name: row["row"].get(name) for name in RECORD_TYPES[kind].content}
        their_record = ours | {name: each[2] for name, each in fields.items()} | (theirs or {})
        ids = {name: new_id() for name in fields}
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await merging.put_conflicts(
                conn,
                [
                    {
                        "id": ids[name],
                        "remote_id": remote_id,
                        "record_id": record_id,
                        "field": name,
                        "base": base,
                        "ours": mine,
                        "theirs": other,
                        "read": other,
                        "seen": pair(other, other),
                        "our_record": ours,
                        "their_record": their_record,
                        "ours_at": now(),
                    }
                    for name, (base, mine, other) in fields.items()
                ],
                tenant_id=self.hub.tenant_id,
                connection_id=connection_id,
                object_name=object_name,
                record_type=kind,
                run_id=RUN,
                now=now(),
            )
        return ids

    async def queue(self) -> list[tuple[str, str, list[str], int]]:
        """Return the queue as (connection, state, fields, revision)."""
        found = await self.select(
            "select n.name, q.state, q.fields, q.revision from sync.queue q"
            " join sync.connections n on n.id = q.connection_id order by n.name, q.record_id"
        )
        return [(row["name"], row["state"], row["fields"], row["revision"]) for row in found]

    async def base(self, connection_id: UUID, remote_id: str) -> dict[str, Any]:
        [row] = await self.select(
            "select base from sync.links where connection_id = %(connection)s and remote_id = %(remote)s",
            connection=connection_id,
            remote=remote_id,
        )
        return row["base"]

    async def row(self, kind: str, record_id: UUID) -> dict[str, Any]:
        [row] = await self.select(
            f"select * from crm.{RECORD_TYPES[kind].table} where id = %(id)s",  # type: ignore[arg-type]
            id=record_id,
        )
        return row

    async def log(self, record_id: UUID) -> list[dict[str, Any]]:
        return await self.select(
            "select action, changes, source, actor, connection_id from crm.change_log"
            " where record_id = %(id)s order by changed_at",
            id=record_id,
        )
