-- name: cancellation_rate
-- number: 15
-- label: Cancellation rate
-- unit: percent
-- shape: rate
-- meaning: Deals that are cancelled, refunded, or failed to pay, among those won in the period that
--   have a payment status. Which values say so is a setting.
-- records: Deals won with a payment status, by their close time; those meant count.
-- undated: won
-- parameters: cancelled, connection, edges, from_at, owners, pipeline, retained, seen, tenant_id,
--   to_at
with facts as (
  select 'deal' as record_type, d.id, d.name, d.closed_at as at, null::numeric as amount, null as currency,
    null::numeric as value,
    k.status = any (%(cancelled)s::text[]) as counted,
    case when k.status <> all (%(retained)s::text[] || %(cancelled)s::text[]) then k.status end as label
  from crm.deals d
  cross join lateral (select nullif(lower(btrim(d.payment_status)), '') as status) k
  where d.tenant_id = %(tenant_id)s and d.status = 'won' and k.status is not null
    and d.closed_at >= %(from_at)s and d.closed_at < %(to_at)s
    and d.archived_at is null and d.merged_into is null
    and (%(seen)s::uuid[] is null or d.owner_id is null or d.owner_id = any(%(seen)s::uuid[]))
    and (%(owners)s::uuid[] is null or d.owner_id = any(%(owners)s::uuid[]))
    and (%(pipeline)s::uuid is null or d.pipeline_id = %(pipeline)s::uuid)
    and (%(connection)s::uuid is null or exists (
      select from sync.links l
      where l.tenant_id = %(tenant_id)s and l.record_id = d.id and l.connection_id = %(connection)s::uuid
        and l.record_type = 'deal' and l.is_primary))
)
-- Number
select width_bucket(f.at, %(edges)s::timestamptz[]) as slot, f.label,
  count(*) filter (where f.counted) as part, count(*) as whole
from facts f
group by 1, 2
