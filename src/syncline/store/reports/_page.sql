-- Behind the records of any number: one page of them, the latest first.
select f.record_type, f.id, f.name, f.at, f.amount, f.currency, f.value, f.counted, f.label
from facts f
where (%(after_at)s::timestamptz is null or (f.at, f.id) < (%(after_at)s::timestamptz, %(after_id)s::uuid))
  and (%(label)s::text is null or f.label = %(label)s)
  and (not %(counted)s::boolean or f.counted)
order by f.at desc, f.id desc
limit %(limit)s
