"""Records set aside with the reason: never lost, never in the way of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Parked:
    """A record set aside. `original` is its JSON as received, where `raw` could not keep it so."""

    remote_id: str
    kind: str
    reason: str
    problems: dict[str, str]
    original: str | None = None


PARK = """
insert into sync.parked as p (tenant_id, connection_id, object, remote_id, kind, reason, problems, original,
  run_id, first_seen_at, last_seen_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, s.remote_id, s.kind, s.reason, s.problems, s.original,
  %(run_id)s, %(now)s, %(now)s
from unnest(%(remote_ids)s::text[], %(kinds)s::text[], %(reasons)s::text[], %(problems)s::jsonb[],
            %(originals)s::text[]) as s (remote_id, kind, reason, problems, original)
on conflict (tenant_id, connection_id, object, remote_id) do update
  set kind = excluded.kind, reason = excluded.reason, problems = excluded.problems,
      original = excluded.original, run_id = excluded.run_id, last_seen_at = excluded.last_seen_at
where (p.kind, p.reason, p.problems, p.original)
      is distinct from (excluded.kind, excluded.reason, excluded.problems, excluded.original)
"""


async def park(
    conn: Conn,
    records: Sequence[Parked],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    run_id: UUID,
    now: datetime,
) -> None:
    """Set records aside; one that already is gets the new reason and keeps when it was first seen.

    One that is set aside for the same reason stays as it is.
    """
    await conn.execute(
        PARK,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "run_id": run_id,
            "now": now,
            "remote_ids": [each.remote_id for each in records],
            "kinds": [each.kind for each in records],
            "reasons": [each.reason for each in records],
            "problems": [Jsonb(each.problems) for each in records],
            "originals": [each.original for each in records],
        },
    )


RELEASE = """
delete from sync.parked
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""


async def release(
    conn: Conn, remote_ids: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> None:
    """Forget that records were parked: they have been read whole since."""
    await conn.execute(
        RELEASE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
        },
    )


COUNT_BY_OBJECT = """
select connection_id, object, count(*) as count from sync.parked
where tenant_id = %(tenant_id)s group by connection_id, object
"""


@dataclass(frozen=True, slots=True)
class ParkedCount:
    connection_id: UUID
    object: str
    count: int


async def list_counts(conn: Conn, *, tenant_id: UUID) -> list[ParkedCount]:
    async with conn.cursor(row_factory=class_row(ParkedCount)) as cursor:
        await cursor.execute(COUNT_BY_OBJECT, {"tenant_id": tenant_id})
        return await cursor.fetchall()


COUNT = """
select count(*) from sync.parked
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
"""


async def count(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str) -> int:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            COUNT, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchone() or 0


LIST_IDS = """
select remote_id from sync.parked
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
"""


async def list_ids(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str) -> list[str]:
    """Return the ids of all parked records of an object, without what they hold."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_IDS, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchall()


LIST_PARKED = """
select remote_id, kind, reason, problems, original from sync.parked
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
order by last_seen_at desc, remote_id limit %(limit)s
"""


async def list_parked(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str, limit: int = 100
) -> list[Parked]:
    """Return parked records, latest seen first."""
    async with conn.cursor(row_factory=class_row(Parked)) as cursor:
        await cursor.execute(
            LIST_PARKED,
            {
                "tenant_id": tenant_id,
                "connection_id": connection_id,
                "object": object_name,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
