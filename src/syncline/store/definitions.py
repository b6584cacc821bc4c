"""Property definitions, pipelines and stages of a connection's CRM, and what references resolve to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import class_row, scalar_row

from syncline.clock import new_id
from syncline.errors import Unavailable
from syncline.store.db import Conn

_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class PropertyRow:
    name: str
    label: str
    type: str
    read_only: bool
    calculated: bool
    definition: dict[str, Any]


PUT_PROPERTIES = """
insert into sync.properties as p (tenant_id, connection_id, object, name, label, type, read_only, calculated,
  definition, first_seen_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, s.name, s.label, s.type, s.read_only, s.calculated,
  s.definition, %(now)s
from jsonb_to_recordset(%(rows)s::jsonb) as s (name text, label text, type text, read_only boolean,
  calculated boolean, definition jsonb)
on conflict (tenant_id, connection_id, object, name) do update
  set label = excluded.label, type = excluded.type, read_only = excluded.read_only,
      calculated = excluded.calculated, definition = excluded.definition, removed_at = null,
      first_label = coalesce(p.first_label, nullif(p.label, excluded.label))
where (p.definition, p.removed_at) is distinct from (excluded.definition, null)
"""

REMOVE_PROPERTIES = """
update sync.properties set removed_at = %(now)s
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and removed_at is null and name <> all(%(names)s::text[])
"""


async def put_properties(
    conn: Conn,
    rows: Sequence[PropertyRow],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Store an object's definitions as they are now; unchanged ones are not rewritten."""
    # One document: the driver writes arrays of hundreds of texts many times slower.
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "now": now,
        "names": [row.name for row in rows],
        "rows": _encode(rows).decode(),
    }
    await conn.execute(PUT_PROPERTIES, values)
    await conn.execute(REMOVE_PROPERTIES, values)


LIST_NAMES = """
select name from sync.properties
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and removed_at is null
order by name
"""


async def list_property_names(
    conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> list[str]:
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_NAMES, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchall()


LIST_SETTABLE = """
select p.name from sync.properties p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object)s
  and p.removed_at is null and not p.read_only and not p.calculated
"""


async def list_settable(conn: Conn, *, tenant_id: UUID, connection_id: UUID, object_name: str) -> list[str]:
    """Return the names of properties that the CRM lets be set."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            LIST_SETTABLE, {"tenant_id": tenant_id, "connection_id": connection_id, "object": object_name}
        )
        return await cursor.fetchall()


FIND_LABELLED = """
select l.label, min(p.name) as name from sync.properties p
cross join lateral (select lower(btrim(coalesce(p.first_label, p.label))) as label) l
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object)s
  and p.removed_at is null and l.label = any(%(labels)s::text[])
group by l.label having count(*) = 1
"""


async def find_labelled(
    conn: Conn, labels: Sequence[str], *, tenant_id: UUID, connection_id: UUID, object_name: str
) -> dict[str, str]:
    """Return label → property, by what each was called when it was first seen; those of two are left out."""
    values = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "object": object_name,
        "labels": list(labels),
    }
    cursor = await conn.execute(FIND_LABELLED, values)
    return {str(label): str(name) for label, name in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class ObjectProperty:
    object: str
    name: str
    type: str
    #: False where the CRM lets nobody set it.
    settable: bool
    definition: dict[str, Any]


LIST_PROPERTIES = """
select p.object, p.name, p.type, not p.read_only and not p.calculated as settable, p.definition
from sync.properties p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.removed_at is null
order by p.object, p.name
"""


async def list_properties(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[ObjectProperty]:
    """Return the properties of all of a connection's objects, as they were last read."""
    async with conn.cursor(row_factory=class_row(ObjectProperty)) as cursor:
        await cursor.execute(LIST_PROPERTIES, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


LIST_OBJECTS = """
select distinct p.object from sync.properties p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s
order by p.object
"""


async def list_objects(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[str]:
    """Return the objects of a connection whose definitions were read, custom ones too."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_OBJECTS, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


PUT_PIPELINE = """
with put as (
  insert into crm.pipelines as p (tenant_id, id, connection_id, remote_id, object, key, label, position,
    archived_at)
  values (%(tenant_id)s, %(id)s, %(connection_id)s, %(remote_id)s, %(object)s, %(remote_id)s, %(label)s,
    %(position)s, %(archived_at)s)
  on conflict (tenant_id, connection_id, object, remote_id) do update
    set label = excluded.label, position = excluded.position, archived_at = excluded.archived_at
    where (p.label, p.position, p.archived_at is null)
          is distinct from (excluded.label, excluded.position, excluded.archived_at is null)
  returning id
)
select id from put
union all
select p.id from crm.pipelines p
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s and p.object = %(object)s
  and p.remote_id = %(remote_id)s and not exists (select from put)
"""


async def put_pipeline(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    remote_id: str,
    label: str,
    position: int,
    archived_at: datetime | None,
) -> UUID:
    """Store a pipeline and return its id, the same at every call."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            PUT_PIPELINE,
            {
                "tenant_id": tenant_id,
                "id": new_id(),
                "connection_id": connection_id,
                "remote_id": remote_id,
                "object": object_name,
                "label": label,
                "position": position,
                "archived_at": archived_at,
            },
        )
        row = await cursor.fetchone()
    if row is None:
        raise Unavailable("A pipeline could not be stored.")
    return row


@dataclass(frozen=True, slots=True)
class StageRow:
    remote_id: str
    label: str
    position: int
    is_closed: bool
    is_won: bool
    probability: float | None


ARCHIVE_PIPELINES = """
update crm.pipelines set archived_at = %(now)s
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and archived_at is null and remote_id <> all(%(remote_ids)s::text[])
"""


async def archive_other_pipelines(
    conn: Conn,
    remote_ids: Sequence[str],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Archive the object's pipelines that are not among `remote_ids`; never deleted, for deals name them."""
    await conn.execute(
        ARCHIVE_PIPELINES,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "remote_ids": list(remote_ids),
            "now": now,
        },
    )


PUT_STAGES = """
insert into crm.stages as c (tenant_id, id, pipeline_id, remote_id, key, label, position, is_closed, is_won,
  probability)
select %(tenant_id)s, s.id, %(pipeline_id)s, s.remote_id, s.remote_id, s.label, s.position, s.is_closed,
  s.is_won, s.probability
from unnest(%(ids)s::uuid[], %(remote_ids)s::text[], %(labels)s::text[], %(positions)s::integer[],
            %(closed)s::boolean[], %(won)s::boolean[], %(probabilities)s::numeric[])
  as s (id, remote_id, label, position, is_closed, is_won, probability)
on conflict (tenant_id, pipeline_id, key) do update
  set label = excluded.label, position = excluded.position, is_closed = excluded.is_closed,
      is_won = excluded.is_won, probability = excluded.probability, archived_at = null
where (c.remote_id, c.label, c.position, c.is_closed, c.is_won, c.probability, c.archived_at)
      is distinct from (excluded.remote_id, excluded.label, excluded.position, excluded.is_closed,
        excluded.is_won, excluded.probability, null)
"""

ARCHIVE_STAGES = """
update crm.stages set archived_at = %(now)s
where tenant_id = %(tenant_id)s and pipeline_id = %(pipeline_id)s and archived_at is null
  and key <> all(%(remote_ids)s::text[])
"""


async def put_stages(
    conn: Conn, rows: Sequence[StageRow], *, tenant_id: UUID, pipeline_id: UUID, now: datetime
) -> None:
    """Store a pipeline's stages; those it no longer has are archived, never deleted: deals name them."""
    values = {
        "tenant_id": tenant_id,
        "pipeline_id": pipeline_id,
        "now": now,
        "ids": [new_id() for _ in rows],
        "remote_ids": [row.remote_id for row in rows],
        "labels": [row.label for row in rows],
        "positions": [row.position for row in rows],
        "closed": [row.is_closed for row in rows],
        "won": [row.is_won for row in rows],
        "probabilities": [row.probability for row in rows],
    }
    await conn.execute(PUT_STAGES, values)
    await conn.execute(ARCHIVE_STAGES, values)


@dataclass(frozen=True, slots=True)
class StageOf:
    pipeline: str
    stage: str
    pipeline_id: UUID
    stage_id: UUID
    is_closed: bool
    is_won: bool
    probability: Decimal | None


LIST_STAGES = """
select p.remote_id as pipeline, s.key as stage, p.id as pipeline_id, s.id as stage_id, s.is_closed, s.is_won,
  s.probability
from crm.pipelines p
join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = p.id
where p.tenant_id = %(tenant_id)s and p.connection_id = %(connection_id)s
"""


async def list_stages(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[StageOf]:
    """Return every stage of the connection's pipelines, archived ones too: old deals are in them."""
    async with conn.cursor(row_factory=class_row(StageOf)) as cursor:
        await cursor.execute(LIST_STAGES, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()


# The hub's own come last, so that they stand where several are called alike.
LIST_PLACES = """
select p.key as pipeline, s.key as stage, p.id as pipeline_id, s.id as stage_id, s.is_closed, s.is_won,
  s.probability
from crm.pipelines p
join crm.stages s on s.tenant_id = %(tenant_id)s and s.pipeline_id = p.id
where p.tenant_id = %(tenant_id)s and p.key || '/' || s.key = any(%(places)s::text[])
order by p.connection_id is null, s.archived_at is null, p.connection_id desc
"""


async def list_places(conn: Conn, places: Sequence[str], *, tenant_id: UUID) -> list[StageOf]:
    """Return the stages called `pipeline/stage` by anybody; of several called alike the last one is meant."""
    async with conn.cursor(row_factory=class_row(StageOf)) as cursor:
        await cursor.execute(LIST_PLACES, {"tenant_id": tenant_id, "places": list(places)})
        return await cursor.fetchall()


LIST_OWNERS = """
select l.remote_id, l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.record_type = 'owner'
"""


async def list_owner_links(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> dict[str, UUID]:
    """Return the CRM's owner id → our owner's id."""
    cursor = await conn.execute(LIST_OWNERS, {"tenant_id": tenant_id, "connection_id": connection_id})
    return {str(row[0]): row[1] for row in await cursor.fetchall()}


LIST_COLLEAGUES = """
select distinct l.record_id from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id <> %(connection_id)s and l.record_type = 'owner'
"""


async def list_colleagues(conn: Conn, *, tenant_id: UUID, connection_id: UUID) -> list[UUID]:
    """Return owners of ours that another connection's CRM has."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(LIST_COLLEAGUES, {"tenant_id": tenant_id, "connection_id": connection_id})
        return await cursor.fetchall()
