"""Merges at a CRM, followed here: the survivor keeps the first record, the others are merged into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from syncline.domain.records import RecordType
from syncline.errors import Unavailable
from syncline.store import merge_requests, payloads, sent
from syncline.store.absorbing import Cause, absorb, lock_rows
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.payloads import Table

_encode = msgspec.json.Encoder(decimal_format="number").encode

LIST_LINKS = sql.SQL("""
select l.remote_id, l.record_id, l.is_primary, c.id is not null and c.archived_at is null as lives
from sync.links l
left join {table} c on c.tenant_id = %(tenant_id)s and c.id = l.record_id
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
""")

# Old ids keep meaning the record, but are never written to again.
DEMOTE = """
update sync.links set record_id = %(record_id)s, is_primary = false
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

# Which of the ids it was cannot be told where several are unknown; they mean the same by now.
LINK_MADE = """
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base, sent,
  linked_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, g.remote_id, %(record_type)s, %(record_id)s, '{}'::jsonb,
  %(sent)s::jsonb, %(now)s
from unnest(%(remote_ids)s::text[]) with ordinality as g (remote_id, position)
where not exists (
  select from sync.links l
  where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
    and l.remote_id = g.remote_id)
order by g.position limit 1
returning remote_id
"""

# What was agreed with the heir is what was agreed with the survivor, and what was on its way to the one comes
# back with the other.
ADOPT = """
insert into sync.links as l (tenant_id, connection_id, object, remote_id, record_type, record_id, base, sent,
  linked_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, %(survivor)s, %(record_type)s, %(record_id)s, heir.base,
  heir.sent, %(now)s
from sync.links heir
where heir.tenant_id = %(tenant_id)s and heir.connection_id = %(connection_id)s
  and heir.object = %(object)s and heir.remote_id = %(heir)s
on conflict (tenant_id, connection_id, object, remote_id) do update
  set record_id = excluded.record_id, is_primary = true, base = excluded.base, sent = excluded.sent
"""

# Also ids that were never seen here: an account may have merged long before it was connected.
REMEMBER = """
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, is_primary,
  base, linked_at)
select distinct on (s.gone) %(tenant_id)s::uuid, %(connection_id)s::uuid, %(object)s, s.gone,
  %(record_type)s, l.record_id, false, '{}'::jsonb, %(now)s::timestamptz
from unnest(%(survivors)s::text[], %(gone)s::text[]) as s (survivor, gone)
join sync.links l on l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s
  and l.object = %(object)s and l.remote_id = s.survivor and l.record_type = %(record_type)s
order by s.gone, s.survivor
on conflict (tenant_id, connection_id, object, remote_id) do nothing
"""


async def follow(
    conn: Conn,
    kind: RecordType,
    table: Table,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    survivor_id: str,
    merged_ids: Sequence[str],
    run_id: UUID,
    actor: str,
    now: datetime,
) -> None:
    """Make the merged remote records and their records one. Running it again changes nothing.

    The survivor may have a new id or one of the old ones. The record of the first merged id that has one
    survives here, a living one before an archived one; children of the others are re-pointed to it, each with
    a line in the change log.
    """
    keys: ConnectionKeys = {"tenant_id": tenant_id, "connection_id": connection_id}
    gone = [remote_id for remote_id in merged_ids if remote_id != survivor_id]
    await payloads.mark_gone(conn, table, gone, **keys, reason="merged", merged_into=survivor_id, now=now)
    values: dict[str, object] = {
        **keys,
        "object": object_name,
        "record_type": kind.name,
        "survivor": survivor_id,
        "now": now,
    }
    own = sql.Identifier("crm", kind.table)
    cursor = await conn.execute(LIST_LINKS.format(table=own), values | {"remote_ids": [survivor_id, *gone]})
    found = await cursor.fetchall()
    links: dict[str, UUID] = {str(row[0]): row[1] for row in found}
    if links.keys().isdisjoint(gone):
        return
    await merge_requests.settle_made(conn, gone, **keys, object_name=object_name, now=now)
    heir = _choose_heir(survivor_id, gone, found)
    if heir is None:
        return
    into = links[heir]
    others = set(links.values()) - {into}
    await _require_unmerged(conn, kind, others | {into}, tenant_id=tenant_id)
    if not others and survivor_id in links:
        return
    values |= {"record_id": into, "heir": heir, "remote_ids": gone}
    await conn.execute(DEMOTE, values)
    await conn.execute(ADOPT, values)
    await sent.clear(conn, gone, **keys, object_name=object_name)
    cause = Cause("pull", actor, connection_id, run_id)
    for other in sorted(others):
        await merge_requests.put(conn, kind, other, into, cause, tenant_id=tenant_id, now=now)
        await absorb(conn, kind, other, into, cause, tenant_id=tenant_id, now=now)


async def _require_unmerged(conn: Conn, kind: RecordType, ids: AbstractSet[UUID], *, tenant_id: UUID) -> None:
    """Lock records, and raise `Unavailable` where one went into another since its link was read."""
    rows = await lock_rows(conn, kind, list(ids), tenant_id=tenant_id)
    if any(row.get("merged_into") is not None for row in rows.values()):
        raise Unavailable("A record was merged into another meanwhile; it is looked at again.")


def _choose_heir(survivor_id: str, gone: Sequence[str], found: Sequence[tuple[Any, ...]]) -> str | None:
    """Return the id whose record survives, of rows as LIST_LINKS gives them; None when none is to."""
    linked = {str(row[0]) for row in found}
    # In a chain of merges the latest survivor knows best what was agreed: it is the one that is primary.
    primary = {str(row[0]) for row in found if row[2]}
    if linked.isdisjoint(gone):
        return None
    if survivor_id in linked and survivor_id not in primary:
        return None  # Merged into yet another since this was read.
    # Nobody archived the one that lives here: it does not go with the other, whose archive may still wait.
    living = {str(row[0]) for row in found if row[3]}
    return min(
        (survivor_id, *gone), key=lambda each: (each not in linked, each not in primary, each not in living)
    )


async def link_made(
    conn: Conn,
    record_id: UUID,
    merged_ids: Sequence[str],
    on_its_way: Mapping[str, Any],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    record_type: str,
    now: datetime,
) -> str | None:
    """Link a record to the first of `merged_ids` that has no link, and return it; None when all have one."""
    cursor = await conn.execute(
        LINK_MADE,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_type": record_type,
            "record_id": record_id,
            "remote_ids": list(merged_ids),
            "sent": _encode(on_its_way).decode(),
            "now": now,
        },
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def remember(
    conn: Conn,
    kind: RecordType,
    survivors: Mapping[str, Sequence[str]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
    object_name: str,
    now: datetime,
) -> None:
    """Let every id that was merged away (survivor → ids) lead to the survivor's record."""
    pairs = [(survivor, each) for survivor, ids in survivors.items() for each in ids if each != survivor]
    await conn.execute(
        REMEMBER,
        {
            "tenant_id": tenant_id,
            "connection_id": connection_id,
            "object": object_name,
            "record_type": kind.name,
            "survivors": [survivor for survivor, _ in pairs],
            "gone": [each for _, each in pairs],
            "now": now,
        },
    )
