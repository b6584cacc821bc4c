"""Records of ours that may be one: pairs that share a key, and those that a person said are not the same.

Which keys there are and how much each says is `domain.identity`'s; these statements make the same keys, a
test compares them. A key that many share says nothing about two of them: it is listed as a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from syncline.store.db import Conn
from syncline.store.labels import LABEL, OF_PAGE

#: A key that more records share is a group: n records would be n² / 2 pairs.
MOST_OF_A_KEY = 20

# Names are folded once a row: without the OFFSET they would be for each key.
_CONTACT_KEYS = """
  select c.id, k.reason, k.rank, k.key
  from crm.contacts c
  cross join lateral (select crm.fold_name(c.full_name) as name offset 0) n
  cross join lateral (values
    ('email', 0, nullif(c.email_norm, '')),
    ('name_company', 1, n.name || ' ' || c.company_id),
    ('name_phone', 1, n.name || ' ' || c.phone_e164),
    ('phone', 2, c.phone_e164),
    ('name_host', 2, n.name || ' ' || nullif(split_part(c.email_norm, '@', 2), ''))) k (reason, rank, key)
  where c.tenant_id = %(tenant_id)s and c.archived_at is null and c.merged_into is null
    and k.key is not null
"""
_COMPANY_KEYS = """
  select c.id, k.reason, k.rank, k.key
  from crm.companies c
  cross join lateral (
    select crm.fold_name(c.name) as name,
      crm.host_of(coalesce(nullif(btrim(c.domain), ''), c.website)) as host
    offset 0) n
  cross join lateral (values
    ('domain', 0, n.host),
    ('name_phone', 1, n.name || ' ' || c.phone_e164),
    ('name_city', 1, n.name || ' ' || crm.fold_name(c.city)),
    ('name', 2, n.name),
    ('phone', 2, c.phone_e164)) k (reason, rank, key)
  where c.tenant_id = %(tenant_id)s and c.archived_at is null and c.merged_into is null
    and k.key is not null
"""
_PAIRS = """
), shared as materialized (
  select k.reason, k.rank, array_agg(k.id) as ids
  from keyed k
  group by k.reason, k.rank, k.key
  having count(*) between 2 and %(most)s
), pairs as (
  select a.id as first_id, b.id as second_id, min(s.rank) as rank, array_agg(s.reason) as reasons
  from shared s
  cross join lateral unnest(s.ids) a (id)
  cross join lateral unnest(s.ids) b (id)
  where a.id < b.id
  group by a.id, b.id
)
select p.first_id, p.second_id, p.rank, p.reasons
from pairs p
where not exists (
    select from sync.not_duplicates d
    where d.tenant_id = %(tenant_id)s and d.record_type = %(record_type)s
      and d.first_id = p.first_id and d.second_id = p.second_id)
  and (%(after_rank)s::integer is null
       or (p.rank, p.first_id, p.second_id)
          > (%(after_rank)s::integer, %(after_first)s::uuid, %(after_second)s::uuid))
order by p.rank, p.first_id, p.second_id
limit %(limit)s
"""
LIST_CONTACT_PAIRS = "with keyed as (" + _CONTACT_KEYS + _PAIRS
LIST_COMPANY_PAIRS = "with keyed as (" + _COMPANY_KEYS + _PAIRS

_LIST_PAIRS: Mapping[str, str] = {"contact": LIST_CONTACT_PAIRS, "company": LIST_COMPANY_PAIRS}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records that share a key. The smaller id comes first."""

    first_id: UUID
    second_id: UUID
    #: Of the strongest reason; 0 says most.
    rank: int
    #: Which keys they share, in alphabetical order.
    reasons: list[str]


async def list_pairs(
    conn: Conn,
    record_type: str,
    *,
    tenant_id: UUID,
    limit: int,
    after: tuple[int, UUID, UUID] | None = None,
) -> list[Pair]:
    """Return pairs of living records that share a key and that nobody dismissed, the surest first.

    Reads every record of the kind once. `after` is (rank, first, second) of the last one seen.
    """
    async with conn.cursor(row_factory=class_row(Pair)) as cursor:
        await cursor.execute(
            _LIST_PAIRS[record_type],  # pyright: ignore[reportArgumentType] - one of the constants above
            {
                "tenant_id": tenant_id,
                "record_type": record_type,
                "most": MOST_OF_A_KEY,
                "after_rank": None if after is None else after[0],
                "after_first": None if after is None else after[1],
                "after_second": None if after is None else after[2],
                "limit": limit,
            },
            prepare=False,
        )
        return await cursor.fetchall()


_GROUPS = """
)
select k.reason, k.key, count(*) as count, (array_agg(k.id order by k.id))[1:3] as examples
from keyed k
group by k.reason, k.rank, k.key
having count(*) > %(most)s
order by k.rank, count(*) desc, k.reason, k.key
limit %(limit)s
"""
LIST_CONTACT_GROUPS = "with keyed as (" + _CONTACT_KEYS + _GROUPS
LIST_COMPANY_GROUPS = "with keyed as (" + _COMPANY_KEYS + _GROUPS

_LIST_GROUPS: Mapping[str, str] = {"contact": LIST_CONTACT_GROUPS, "company": LIST_COMPANY_GROUPS}


@dataclass(frozen=True, slots=True)
class Group:
    """A key that too many records share to be compared two by two. Holds a value of theirs."""

    reason: str
    key: str
    count: int
    #: Three of them.
    examples: list[UUID]


async def list_groups(conn: Conn, record_type: str, *, tenant_id: UUID, limit: int) -> list[Group]:
    """Return the keys that more than `MOST_OF_A_KEY` records share."""
    async with conn.cursor(row_factory=class_row(Group)) as cursor:
        await cursor.execute(
            _LIST_GROUPS[record_type],  # pyright: ignore[reportArgumentType] - one of the constants above
            {"tenant_id": tenant_id, "most": MOST_OF_A_KEY, "limit": limit},
            prepare=False,
        )
        return await cursor.fetchall()


DISMISS = """
insert into sync.not_duplicates (tenant_id, record_type, first_id, second_id, said_at, said_by)
values (%(tenant_id)s, %(record_type)s, least(%(one)s::uuid, %(other)s::uuid),
  greatest(%(one)s::uuid, %(other)s::uuid), %(now)s, %(by)s)
on conflict (tenant_id, record_type, first_id, second_id) do nothing
"""


async def dismiss(
    conn: Conn, record_type: str, one: UUID, other: UUID, *, tenant_id: UUID, by: str, now: datetime
) -> bool:
    """Remember that two records are not the same; False where that is known already."""
    values = {"tenant_id": tenant_id, "record_type": record_type, "one": one, "other": other}
    cursor = await conn.execute(DISMISS, {**values, "by": by, "now": now})
    return cursor.rowcount == 1


RESTORE = """
delete from sync.not_duplicates d
where d.tenant_id = %(tenant_id)s and d.record_type = %(record_type)s
  and d.first_id = least(%(one)s::uuid, %(other)s::uuid)
  and d.second_id = greatest(%(one)s::uuid, %(other)s::uuid)
"""


async def restore(conn: Conn, record_type: str, one: UUID, other: UUID, *, tenant_id: UUID) -> bool:
    """Forget that two records are not the same; False where nobody had said so."""
    cursor = await conn.execute(
        RESTORE, {"tenant_id": tenant_id, "record_type": record_type, "one": one, "other": other}
    )
    return cursor.rowcount == 1


IS_DISMISSED = """
select exists (
  select from sync.not_duplicates d
  where d.tenant_id = %(tenant_id)s and d.record_type = %(record_type)s
    and d.first_id = least(%(one)s::uuid, %(other)s::uuid)
    and d.second_id = greatest(%(one)s::uuid, %(other)s::uuid))
"""


async def is_dismissed(conn: Conn, record_type: str, one: UUID, other: UUID, *, tenant_id: UUID) -> bool:
    """Tell whether a person said that two records are not the same."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            IS_DISMISSED, {"tenant_id": tenant_id, "record_type": record_type, "one": one, "other": other}
        )
        return bool(await cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Link:
    """What a record is called at a CRM."""

    record_id: UUID
    connection_id: UUID
    #: The connection's name, and its platform.
    connection: str
    platform: str
    object: str
    remote_id: str
    is_primary: bool


LIST_LINKS = """
select l.record_id, l.connection_id, n.name as connection, n.platform, l.object, l.remote_id, l.is_primary
from sync.links l
join sync.connections n on n.tenant_id = %(tenant_id)s and n.id = l.connection_id
where l.tenant_id = %(tenant_id)s and l.record_type = %(record_type)s
  and (l.record_id = any(%(record_ids)s::uuid[]) and l.is_primary
       or l.record_id = any(%(record_ids)s::uuid[]) and not l.is_primary)
order by n.name, l.record_id, l.is_primary desc, l.remote_id
"""


async def list_links(
    conn: Conn, record_type: str, record_ids: Sequence[UUID], *, tenant_id: UUID
) -> list[Link]:
    """Return what records are at the CRMs, by connection; primary ones first."""
    async with conn.cursor(row_factory=class_row(Link)) as cursor:
        await cursor.execute(
            LIST_LINKS,
            {"tenant_id": tenant_id, "record_type": record_type, "record_ids": list(record_ids)},
        )
        return await cursor.fetchall()


LIST_LABELS = (
    """
with p as (
  select %(record_type)s::text as record_type, i.record_id
  from unnest(%(record_ids)s::uuid[]) i (record_id)
)
select p.record_id, """
    + LABEL
    + " from p"
    + OF_PAGE
    + "where %(tenant_id)s::uuid is not null"
)


async def list_labels(
    conn: Conn, record_type: str, record_ids: Sequence[UUID], *, tenant_id: UUID
) -> dict[UUID, str]:
    """Return what people call records; empty text for those without a name."""
    cursor = await conn.execute(
        LIST_LABELS,
        {"tenant_id": tenant_id, "record_type": record_type, "record_ids": list(record_ids)},
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}
