"""What must not come back: hashed identifiers of persons who were erased. Knows neither key nor person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import scalar_row

from syncline.domain.identifiers import Kind
from syncline.store.db import Conn


class Hashed(NamedTuple):
    kind: Kind
    hash: bytes


PASS_GATE = "select sync.pass_gate(%(tenant_id)s)"  # noqa: S105 - no password


async def pass_gate(conn: Conn, *, tenant_id: UUID) -> bytes | None:
    """Return the sealed key that identifiers are hashed with; None where nobody has been erased.

    Until the transaction ends no erasure is carried out that was asked for after this.
    """
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(PASS_GATE, {"tenant_id": tenant_id})
        return await cursor.fetchone()


CLOSE_GATE = "select sync.close_gate(%(tenant_id)s)"


async def close_gate(conn: Conn, *, tenant_id: UUID) -> None:
    """Wait for everybody who has passed the gate before what is committed by now."""
    await conn.execute(CLOSE_GATE, {"tenant_id": tenant_id})


ENSURE_KEY = """
insert into sync.erasure_keys (tenant_id, sealed, made_at) values (%(tenant_id)s, %(sealed)s, %(now)s)
on conflict (tenant_id) do nothing
"""
FIND_KEY = "select k.sealed from sync.erasure_keys k where k.tenant_id = %(tenant_id)s"


async def ensure_key(conn: Conn, sealed: bytes, *, tenant_id: UUID, now: datetime) -> bytes:
    """Return the tenant's sealed key, which is the given one where there was none."""
    await conn.execute(ENSURE_KEY, {"tenant_id": tenant_id, "sealed": sealed, "now": now})
    return await find_key(conn, tenant_id=tenant_id) or sealed


async def find_key(conn: Conn, *, tenant_id: UUID) -> bytes | None:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(FIND_KEY, {"tenant_id": tenant_id})
        return await cursor.fetchone()


BAR = """
insert into sync.erased_identities (tenant_id, kind, hash, erasure_id, erased_at)
select %(tenant_id)s, s.kind, s.hash, %(erasure_id)s, %(now)s
from unnest(%(kinds)s::text[], %(hashes)s::bytea[]) as s (kind, hash)
order by s.kind, s.hash
on conflict (tenant_id, kind, hash) do update
  set erasure_id = excluded.erasure_id, erased_at = excluded.erased_at
"""


async def bar(
    conn: Conn, identities: Sequence[Hashed], *, tenant_id: UUID, erasure_id: UUID, now: datetime
) -> None:
    """Keep identifiers out from now on. May be repeated."""
    await conn.execute(
        BAR, {**_arrays(set(identities)), "tenant_id": tenant_id, "erasure_id": erasure_id, "now": now}
    )


LIST_BARRED = """
select i.kind, i.hash from sync.erased_identities i
where i.tenant_id = %(tenant_id)s
  and (i.kind, i.hash) in (select s.kind, s.hash
                           from unnest(%(kinds)s::text[], %(hashes)s::bytea[]) as s (kind, hash))
"""


async def list_barred(conn: Conn, identities: Sequence[Hashed], *, tenant_id: UUID) -> set[Hashed]:
    """Return those of `identities` that must not come back."""
    cursor = await conn.execute(LIST_BARRED, {**_arrays(identities), "tenant_id": tenant_id}, prepare=False)
    return {Hashed(row[0], bytes(row[1])) for row in await cursor.fetchall()}


NOTE_SEEN = """
update sync.erased_identities i set seen_at = %(now)s, seen_connection = %(connection_id)s
where i.tenant_id = %(tenant_id)s
  and (i.kind, i.hash) in (select s.kind, s.hash
                           from unnest(%(kinds)s::text[], %(hashes)s::bytea[]) as s (kind, hash))
  and (i.seen_at is null or i.seen_at < %(now)s::timestamptz - interval '1 hour')
"""


async def note_seen(
    conn: Conn, identities: Sequence[Hashed], *, tenant_id: UUID, connection_id: UUID | None, now: datetime
) -> None:
    """Note that identifiers were kept out just now, at most once an hour each."""
    await conn.execute(
        NOTE_SEEN,
        {**_arrays(identities), "tenant_id": tenant_id, "connection_id": connection_id, "now": now},
        prepare=False,
    )


LIST_ERASURES = """
select distinct i.erasure_id from sync.erased_identities i
where i.tenant_id = %(tenant_id)s
  and (i.kind, i.hash) in (select s.kind, s.hash
                           from unnest(%(kinds)s::text[], %(hashes)s::bytea[]) as s (kind, hash))
"""


async def list_erasures(conn: Conn, identities: Sequence[Hashed], *, tenant_id: UUID) -> list[UUID]:
    """Return the erasures that keep one of `identities` out."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_ERASURES, {**_arrays(identities), "tenant_id": tenant_id})
        return await cursor.fetchall()


LIFT = """
delete from sync.erased_identities i
where i.tenant_id = %(tenant_id)s and i.erasure_id = any(%(erasure_ids)s::uuid[])
returning i.kind, i.hash
"""


async def lift(conn: Conn, erasure_ids: Sequence[UUID], *, tenant_id: UUID) -> set[Hashed]:
    """Let in again what erasures keep out; returns what that was."""
    cursor = await conn.execute(LIFT, {"tenant_id": tenant_id, "erasure_ids": list(erasure_ids)})
    return {Hashed(row[0], bytes(row[1])) for row in await cursor.fetchall()}


LIST_TOMBSTONES = """
select t.connection_id, t.object, t.remote_id, c.platform || ':' || coalesce(c.account_id, c.id::text)
from sync.tombstones t
join sync.connections c on c.tenant_id = %(tenant_id)s and c.id = t.connection_id
where t.tenant_id = %(tenant_id)s and t.reason = 'erased'
"""


async def list_tombstones(conn: Conn, *, tenant_id: UUID) -> list[tuple[UUID, str, str, str]]:
    """Return connection, object, id and account of the remote records that were erased."""
    cursor = await conn.execute(LIST_TOMBSTONES, {"tenant_id": tenant_id})
    return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


UNBURY = """
delete from sync.tombstones t
where t.tenant_id = %(tenant_id)s and t.reason = 'erased'
  and (t.connection_id, t.object, t.remote_id) in (
    select s.connection_id, s.object, s.remote_id
    from unnest(%(connection_ids)s::uuid[], %(objects)s::text[], %(remote_ids)s::text[])
      as s (connection_id, object, remote_id))
"""


async def unbury(conn: Conn, refs: Sequence[tuple[UUID, str, str]], *, tenant_id: UUID) -> None:
    """Let remote records come back that were erased."""
    await conn.execute(
        UNBURY,
        {
            "tenant_id": tenant_id,
            "connection_ids": [each[0] for each in refs],
            "objects": [each[1] for each in refs],
            "remote_ids": [each[2] for each in refs],
        },
    )


def _arrays(identities: Sequence[Hashed] | set[Hashed]) -> dict[str, list[str] | list[bytes]]:
    listed = sorted(identities)
    return {"kinds": [each.kind for each in listed], "hashes": [each.hash for each in listed]}
