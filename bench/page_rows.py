"""What pages show beside records: payloads of a CRM, three months of runs, and a month of changes."""

from __future__ import annotations

from typing import Any

import psycopg

from metric_rows import TENANT, Size

#: Every five minutes contacts, every fifteen deals, the rest hourly: for ninety days.
RUNS = """
insert into sync.runs (tenant_id, id, connection_id, object, mode, status, requested_by, requested_at,
  started_at, completed_at, records_read, records_updated, api_calls, updated_at)
select %(t)s, gen_random_uuid(), c.id, o.name, 'incremental',
  case when hashint8(n) %% 97 = 0 then 'failed' else 'success' end, 'schedule', x.at, x.at,
  x.at + make_interval(secs => 0.3 + (abs(hashint8(n)) %% 100) / 50.0), abs(hashint8(n)) %% 40,
  abs(hashint8(n)) %% 12, 2, x.at
from sync.connections c
cross join (values ('contacts', 5), ('deals', 15), ('companies', 60), ('calls', 60), ('emails', 60),
  ('meetings', 60), ('notes', 60), ('tasks', 60), ('owners', 1440), ('associations', 60),
  ('history', 60)) as o (name, minutes)
cross join lateral generate_series(1, 129600 / o.minutes) n
cross join lateral (select now() - make_interval(mins => n * o.minutes) as at) x
where c.tenant_id = %(t)s
"""
SCHEDULES = """
insert into sync.schedules (tenant_id, connection_id, object, mode, cron, next_at)
select %(t)s, c.id, o.name, 'incremental', o.cron, now() + interval '5 minutes'
from sync.connections c
cross join (values ('contacts', '*/5 * * * *'), ('deals', '*/15 * * * *'), ('companies', '0 * * * *'),
  ('calls', '0 * * * *')) as o (name, cron)
where c.tenant_id = %(t)s
"""
PAYLOADS = """
insert into raw.hubspot_contacts (tenant_id, connection_id, remote_id, raw, payload_hash, requested_at,
  synced_at)
select %(t)s, c.id, n::text, jsonb_build_object('id', n::text, 'properties', jsonb_build_object(
  'email', 'person' || n || '@example.com', 'firstname', 'First' || n, 'lastname', 'Last' || n)),
  '\\x00', now(), now()
from sync.connections c cross join generate_series(%(a)s::bigint, %(b)s::bigint) n
where c.tenant_id = %(t)s
"""
CHANGES = """
insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source, actor)
select %(t)s, gen_random_uuid(), now() - make_interval(secs => n * 5), 'contact', c.id, 'updated',
  jsonb_build_object('job_title', jsonb_build_array('Buyer', 'Head of buying')), 'web', 'rep1@example.com'
from (select k.id, row_number() over () as n from crm.contacts k where k.tenant_id = %(t)s limit 300000) c
"""
MEETINGS = """
insert into crm.activities (tenant_id, id, type, subject, occurred_at, owner_id, contact_id, created_at,
  updated_at)
select %(t)s, gen_random_uuid(), 'meeting', 'Demonstration', now() + make_interval(mins => n), c.owner_id,
  c.id, now(), now()
from (select k.id, k.owner_id, (row_number() over ())::int as n
      from crm.contacts k where k.tenant_id = %(t)s limit 500) c
"""
COMPANIES = """
insert into crm.companies (tenant_id, id, name, domain, created_at, updated_at)
select %(t)s, ('00000008-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Company ' || n,
  'c' || n || '.example', now() - make_interval(mins => n::int), now() - make_interval(mins => n::int)
from generate_series(1, %(b)s::bigint) n;
update crm.deals set company_id = ('00000008-0000-7000-8000-'
  || lpad(to_hex(1 + abs(hashtext(id::text)) %% %(b)s), 12, '0'))::uuid where tenant_id = %(t)s
"""
_AT_ONCE = 50_000


async def fill_pages(superuser: str, size: Size) -> None:
    """Fill a database that `metric_rows.fill` has filled."""
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as conn:
        for statement in (*COMPANIES.split(";"), SCHEDULES, RUNS, CHANGES, MEETINGS):
            await _run(conn, statement, b=max(1, size.contacts // 10))
        for start in range(1, size.contacts + 1, _AT_ONCE):
            await _run(conn, PAYLOADS, a=start, b=min(start + _AT_ONCE - 1, size.contacts))
        await conn.execute("vacuum (analyze)")


async def _run(conn: psycopg.AsyncConnection[Any], statement: str, **values: int) -> None:
    async with conn.transaction():
        await conn.execute("set local app.bulk = 'on'")
        await conn.execute(statement.encode(), {"t": TENANT, **values})
