"""Merges at a CRM, followed here: the survivor keeps the first record, the others are merged into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from uuid import UUID

from syncline.domain.records import RecordType
from syncline.errors import Unavailable
from syncline.store import merge_requests, payloads, sent
from syncline.store.absorbing import Cause, absorb, lock_rows
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.payloads import Table

LIST_LINKS = """
select l.remote_id, l.record_id, l.is_primary from sync.links l
where l.tenant_id = %(tenant_id)s and l.connection_id = %(connection_id)s and l.object = %(object)s
  and l.remote_id = any(%(remote_ids)s::text[])
"""

# Old ids keep meaning the record, but are never written to again.
DEMOTE = """
update sync.links set record_id = %(record_id)s, is_primary = false
where tenant_id = %(tenant_id)s and connection_id = %(connection_id)s and object = %(object)s
  and remote_id = any(%(remote_ids)s::text[])
"""

# What was agreed with the heir is what was agreed with the survivor, and what was on its way to it may have
# arrived there.
ADOPT = """
insert into sync.links as l (tenant_id, connection_id, object, remote_id, record_type, record_id, base,
  sent, linked_at)
select %(tenant_id)s, %(connection_id)s, %(object)s, %(survivor)s, %(record_type)s, %(record_id)s, heir.base,
  heir.sent, %(now)s
from sync.links heir
where heir.tenant_id = %(tenant_id)s and heir.connection_id = %(connection_id)s
  and heir.object = %(object)s and heir.remote_id = %(heir)s
on conflict (tenant_id, connection_id, object, remote_id) do update
  set record_id = excluded.record_id, is_primary = true
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
    survives here; children of the others are re-pointed to it, each with a line in the change log.
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
    found = await (await conn.execute(LIST_LINKS, values | {"remote_ids": [survivor_id, *gone]})).fetchall()
    links: dict[str, UUID] = {str(row[0]): row[1] for row in found}
    if not any(remote_id in links for remote_id in gone):
        return
    await merge_requests.settle_made(conn, gone, **keys, object_name=object_name, now=now)
    # In a chain of merges the latest survivor knows best what was agreed: it is the one that is primary.
    primary = {str(row[0]) for row in found if row[2]}
    if survivor_id in links and survivor_id not in primary:
        return  # Merged into yet another since this was read.
    heir = min((survivor_id, *gone), key=lambda each: (each not in links, each not in primary))
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
