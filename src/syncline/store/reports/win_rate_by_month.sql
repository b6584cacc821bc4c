-- name: win_rate_by_month
-- label: Win rate by month
-- unit: table
-- shape: table
-- meaning: Deals won and lost, month by month, and the share that was won.
-- parameters: connection, edges, from_at, owners, pipeline, seen, tenant_id, to_at
select width_bucket(d.closed_at, %(edges)s::timestamptz[]) as slot,
  count(*) filter (where d.status = 'won') as won, count(*) filter (where d.status = 'lost') as lost
from crm.deals d
where d.tenant_id = %(tenant_id)s and d.status in ('won', 'lost')
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    -- Include _deals_counted.sql
group by 1
