"""Every column that holds a sealed secret, so that none is forgotten when the key is changed. Opens none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class SealedColumn:
    table: tuple[str, str]
    column: str
    #: Names a row of its tenant.
    key: str

    @property
    def name(self) -> str:
        return f"{'.'.join(self.table)}.{self.column}"


SEALED: tuple[SealedColumn, ...] = (
    SealedColumn(("sync", "connections"), "credentials", "id"),
    SealedColumn(("sync", "subscriptions"), "secret", "id"),
    SealedColumn(("app", "channels"), "url", "id"),
    SealedColumn(("app", "channels"), "secret", "id"),
    SealedColumn(("sync", "erasure_keys"), "sealed", "tenant_id"),
    SealedColumn(("sync", "erasures"), "subject", "id"),
)
#: Other columns of bytes, and what they are. A test compares both lists with the schema.
NOT_SEALED: Mapping[str, str] = {
    "app.api_keys.secret_hash": "a hash of a key with 32 random bytes",
    "app.attempts.account": "a hash",
    "app.idempotency.body": "an answer; answers with secrets are not kept",
    "app.idempotency.request_hash": "a hash",
    "app.invitations.token_hash": "a hash of 32 random bytes",
    "app.password_links.token_hash": "a hash of 32 random bytes",
    "app.sessions.token_hash": "a hash of 32 random bytes",
    "sync.erased_identities.hash": "a keyed hash",
}

LOCK_KEYS = "select pg_catalog.pg_advisory_xact_lock(7263023, 0)"


async def lock_keys(conn: Conn) -> None:
    """Be the only one of the installation who changes which keys there are, until the transaction ends."""
    await conn.execute(LOCK_KEYS)


LIST = sql.SQL("""
select t.{key}, t.{column} from {table} t
where t.tenant_id = %(tenant_id)s and t.{column} is not null
order by t.{key}
""")


async def list_values(conn: Conn, column: SealedColumn, *, tenant_id: UUID) -> list[tuple[UUID, bytes]]:
    """Return (row, sealed value) of a tenant."""
    cursor = await conn.execute(_format(LIST, column), {"tenant_id": tenant_id}, prepare=False)
    return [(row[0], bytes(row[1])) for row in await cursor.fetchall()]


REPLACE = sql.SQL("""
update {table} t set {column} = %(new)s
where t.tenant_id = %(tenant_id)s and t.{key} = %(row)s and t.{column} = %(old)s
""")


async def replace(
    conn: Conn, column: SealedColumn, row: UUID, old: bytes, new: bytes, *, tenant_id: UUID
) -> bool:
    """Put a value sealed anew in place of the old one; False where somebody wrote another meanwhile."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "row": row, "old": old, "new": new}
    cursor = await conn.execute(_format(REPLACE, column), values, prepare=False)
    return cursor.rowcount == 1


def _format(statement: sql.SQL, column: SealedColumn) -> sql.Composed:
    return statement.format(
        table=sql.Identifier(*column.table),
        column=sql.Identifier(column.column),
        key=sql.Identifier(column.key),
    )
