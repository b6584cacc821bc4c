"""Fills a database with three years of a company, set-based and the same each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

Conn = psycopg.AsyncConnection[Any]

TENANT = UUID("00000000-0000-7000-8000-000000000001")


@dataclass(frozen=True, slots=True)
class Size:
    contacts: int
    deals: int
    calls: int


#: The sizes that the bars name.
SMALL = Size(29_000, 1_000, 2_000)
LARGE = Size(1_000_000, 100_000, 1_000_000)

# A share of 0 to 1 that looks random and is the same for the same number and purpose.
_CHANCE = """
create function pg_temp.chance(n bigint, purpose integer) returns double precision
language sql immutable parallel safe
return (hashint8extended(n, purpose) & 1073741823)::double precision / 1073741824
"""
_ID = """
create function pg_temp.id(kind integer, n bigint) returns uuid
language sql immutable parallel safe
return (lpad(to_hex(kind), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
"""
_GROUND = """
insert into sync.connections (tenant_id, id, platform, name, base_url, created_at, updated_at)
values (%(tenant_id)s, pg_temp.id(1, 1), 'hubspot', 'main', 'https://crm.example', now(), now());
insert into crm.owners (tenant_id, id, email, first_name, last_name)
select %(tenant_id)s, pg_temp.id(2, n), 'rep' || n || '@example.com', 'Rep', n::text
from generate_series(1, 24) n;
insert into crm.pipelines (tenant_id, id, connection_id, remote_id, key, label, position)
values (%(tenant_id)s, pg_temp.id(3, 1), pg_temp.id(1, 1), 'default', 'default', 'Sales', 0);
insert into crm.stages (tenant_id, id, pipeline_id, remote_id, key, label, position, is_closed, is_won,
  probability)
select %(tenant_id)s, pg_temp.id(4, n), pg_temp.id(3, 1), 'stage' || n, 'stage' || n, 'Stage ' || n, n,
  n > 5, n = 6, case when n > 5 then case n when 6 then 100 else 0 end else n * 15 end
from generate_series(1, 7) n;
insert into crm.exchange_rates (tenant_id, from_currency, to_currency, valid_on, rate, given_at, given_by)
select %(tenant_id)s, 'EUR', 'USD', d, 1.05 + 0.1 * pg_temp.chance(d - date '2020-01-01', 1), now(), 'bench'
from generate_series(0, 1100) n cross join lateral (select %(today)s::date - n as d) x
"""
_CONTACTS = """
insert into crm.contacts (tenant_id, id, email, first_name, last_name, owner_id, vsl_watched,
  sales_script_version, lifecycle_stage, created_at, updated_at)
select %(tenant_id)s, pg_temp.id(5, n), 'person' || n || '@example.com', 'First' || n, 'Last' || n,
  case when pg_temp.chance(n, 1) < 0.9 then pg_temp.id(2, 1 + (pg_temp.chance(n, 2) * 24)::int %% 24) end,
  case when pg_temp.chance(n, 3) < 0.6 then pg_temp.chance(n, 4) < 0.5 end,
  (array['A', 'B', 'C', 'v2.1', null])[1 + (pg_temp.chance(n, 5) * 5)::int %% 5],
  (array['subscriber', 'lead', 'opportunity', 'customer'])[1 + n %% 4], x.at, x.at
from generate_series(1, %(contacts)s) n
cross join lateral (
  select %(today)s::timestamptz - make_interval(secs => 94608000 * pg_temp.chance(n, 6)) as at) x
"""
_DEALS = """
insert into crm.deals (tenant_id, id, name, amount, currency, pipeline, stage, pipeline_id, stage_id, status,
  probability, expected_close_date, closed_at, owner_id, contact_id, qualified_status, trial_status,
  payment_status, installments, custom_fields, created_at, updated_at)
select %(tenant_id)s, pg_temp.id(6, n), 'Deal ' || n,
  case when pg_temp.chance(n, 1) < 0.95 then round((500 + 20000 * pg_temp.chance(n, 2))::numeric, 2) end,
  (array['USD', 'USD', 'USD', 'USD', 'EUR', 'GBP'])[1 + (pg_temp.chance(n, 3) * 6)::int %% 6],
  'default', 'stage' || s.place, pg_temp.id(3, 1), pg_temp.id(4, s.place),
  case s.place when 6 then 'won' when 7 then 'lost' else 'open' end,
  case s.place when 6 then 100 when 7 then 0 else s.place * 15 end,
  (x.created_at + make_interval(days => 30 + (150 * pg_temp.chance(n, 4))::int))::date,
  case when s.place > 5 then x.closed_at end,
  pg_temp.id(2, 1 + (pg_temp.chance(n, 5) * 24)::int %% 24),
  pg_temp.id(5, 1 + (pg_temp.chance(n, 6) * %(contacts)s)::bigint %% %(contacts)s),
  (array['yes', 'no', 'pending'])[1 + (pg_temp.chance(n, 7) * 3)::int %% 3],
  (array['none', 'active', 'converted', null])[1 + (pg_temp.chance(n, 8) * 4)::int %% 4],
  (array['active', 'completed', 'cancelled', 'refunded', null])[1 + (pg_temp.chance(n, 9) * 5)::int %% 5],
  case when pg_temp.chance(n, 10) < 0.5 then 1 + (11 * pg_temp.chance(n, 11))::int end,
  jsonb_build_object('source', (array['newsletter', 'webinar', 'referral'])[1 + n %% 3], 'region', 'north',
    'campaign', 'autumn ' || n %% 900, 'competitor', 'none known',
    'next_step', 'call again after the demonstration'),
  x.created_at, x.created_at
from generate_series(1, %(deals)s) n
cross join lateral (select %(today)s::timestamptz
  - make_interval(secs => 94608000 * pg_temp.chance(n, 12)) as created_at) c
cross join lateral (select c.created_at,
  c.created_at + make_interval(days => 5 + (120 * pg_temp.chance(n, 13))::int) as closed_at) x
cross join lateral (select case when x.closed_at > %(today)s or pg_temp.chance(n, 14) < 0.05
  then 1 + (pg_temp.chance(n, 15) * 5)::int %% 5
  when pg_temp.chance(n, 16) < 0.4 then 6 else 7 end as place) s
"""
# Beside the deal's own contact, which is not among them.
_PEOPLE = """
insert into crm.deal_contacts (tenant_id, deal_id, contact_id, connection_id)
select %(tenant_id)s, pg_temp.id(6, n),
  pg_temp.id(5, 1 + (pg_temp.chance(n, 17) * %(contacts)s)::bigint %% %(contacts)s), pg_temp.id(1, 1)
from generate_series(1, %(deals)s, 2) n
on conflict do nothing
"""
# Each deal went through its stages in equal steps until it was closed, or until now.
_HISTORY = """
insert into crm.field_history (tenant_id, record_type, record_id, field, valid_from, valid_to, value, source)
select d.tenant_id, 'deal', d.id, 'stage', d.created_at + w.step * (n - 1),
  case when n < p.place then d.created_at + w.step * n end,
  'stage' || case when n = p.place then right(d.stage, 1)::int else n end, 'crm'
from crm.deals d
cross join lateral (select least(right(d.stage, 1)::int, 6) as place) p
cross join lateral (select (coalesce(d.closed_at, %(today)s::timestamptz) - d.created_at)
  / greatest(1, p.place - 1) as step) w
cross join generate_series(1, p.place) n
where d.tenant_id = %(tenant_id)s;
insert into crm.field_history (tenant_id, record_type, record_id, field, valid_from, valid_to, value, source)
select d.tenant_id, 'deal', d.id, 'amount', d.created_at + interval '2 days' * (n - 1),
  case when n = 1 then d.created_at + interval '2 days' end,
  case when n = 1 then round(d.amount / 2) else d.amount end::text, 'crm'
from crm.deals d cross join generate_series(1, 2) n
where d.tenant_id = %(tenant_id)s and d.amount is not null
"""
_CALLS = """
insert into crm.activities (tenant_id, id, type, subject, occurred_at, duration_ms, direction, owner_id,
  contact_id, contact_link, created_at, updated_at)
select %(tenant_id)s, pg_temp.id(7, n), 'call', 'Call ' || n, x.at,
  case when pg_temp.chance(n, 1) < 0.8 then (900000 * pg_temp.chance(n, 2) ^ 2)::int else 0 end,
  case when pg_temp.chance(n, 3) < 0.7 then 'outbound' else 'inbound' end,
  pg_temp.id(2, 1 + (pg_temp.chance(n, 4) * 24)::int %% 24),
  pg_temp.id(5, 1 + (pg_temp.chance(n, 5) * %(contacts)s)::bigint %% %(contacts)s), 'phone', x.at, x.at
from generate_series(1, %(calls)s) n
cross join lateral (
  select %(today)s::timestamptz - make_interval(secs => 94608000 * pg_temp.chance(n, 6)) as at) x
"""
_LINKS = """
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base, linked_at)
select %(tenant_id)s, pg_temp.id(1, 1), 'contacts', n::text, 'contact', pg_temp.id(5, n), '{}', now()
from generate_series(1, %(contacts)s) n;
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base, linked_at)
select %(tenant_id)s, pg_temp.id(1, 1), 'deals', n::text, 'deal', pg_temp.id(6, n), '{}', now()
from generate_series(1, %(deals)s) n;
insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id, base, linked_at)
select %(tenant_id)s, pg_temp.id(1, 1), 'calls', n::text, 'activity', pg_temp.id(7, n), '{}', now()
from generate_series(1, %(calls)s) n
"""


async def fill(superuser: str, tenant_id: str, size: Size, today: str) -> None:
    """Fill an empty, migrated database; then everything is vacuumed, as autovacuum would in time."""
    values = {
        "tenant_id": tenant_id,
        "today": today,
        "contacts": size.contacts,
        "deals": size.deals,
        "calls": size.calls,
    }
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
        for statement in (_CHANCE, _ID):
            await conn.execute(statement)
        for part in (_GROUND, _CONTACTS, _DEALS, _PEOPLE, _HISTORY, _CALLS, _LINKS):
            async with conn.transaction():
                await conn.execute("set local app.bulk = 'on'")
                for statement in part.split(";"):
                    await conn.execute(statement.encode(), values)
        await conn.execute("vacuum (analyze) crm.contacts, crm.deals, crm.activities, crm.deal_contacts")
        await conn.execute("vacuum (analyze) crm.field_history, crm.stages, crm.exchange_rates, sync.links")
