alter table sync.connections drop column property_names;
alter table sync.properties drop column first_label;

create or replace function crm.content_of(record jsonb) returns jsonb
language sql immutable parallel safe
return record - array['tenant_id', 'id', 'version', 'updated_at', 'field_times', 'email_norm',
                      'domain_norm', 'full_name', 'phone_e164', 'contact_candidates'];

create or replace function crm.stamp_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz := clock_timestamp();
begin
  if tg_op = 'UPDATE' then
    new.version := old.version + 1;
    new.updated_at := at;
    new.field_times := coalesce(old.field_times, '{}') || coalesce((
      select jsonb_object_agg(n.key, (extract(epoch from at) * 1000)::bigint)
      from jsonb_each(crm.content_of(to_jsonb(new))) n
      where n.value is distinct from to_jsonb(old) -> n.key), '{}');
  end if;
  return new;
end $$;
