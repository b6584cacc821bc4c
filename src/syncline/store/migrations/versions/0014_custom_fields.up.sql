-- Custom fields count one by one: in the change log, in what is queued, and in when each changed.

-- Keys of a row that are bookkeeping, not content. Each custom field is a key of its own.
create or replace function crm.content_of(record jsonb) returns jsonb
language sql immutable parallel safe
return (record - array['tenant_id', 'id', 'version', 'updated_at', 'field_times', 'email_norm',
                       'domain_norm', 'full_name', 'phone_e164', 'contact_candidates', 'custom_fields'])
  || coalesce((select jsonb_object_agg('custom_fields.' || f.key, f.value)
               from jsonb_each(case when jsonb_typeof(record -> 'custom_fields') = 'object'
                                    then record -> 'custom_fields' end) f), '{}');

create or replace function crm.stamp_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  at timestamptz := clock_timestamp();
begin
  if tg_op = 'UPDATE' then
    new.version := old.version + 1;
    new.updated_at := at;
    new.field_times := coalesce(old.field_times, '{}') || coalesce((
      select jsonb_object_agg(key, (extract(epoch from at) * 1000)::bigint)
      from jsonb_each(crm.content_of(to_jsonb(old))) o
      full join jsonb_each(crm.content_of(to_jsonb(new))) n using (key)
      where n.value is distinct from o.value), '{}');
  end if;
  return new;
end $$;

-- What a property was called when it was first seen, null where that is its label: mappings that name it by
-- its label go on meaning it after somebody has called it something else.
alter table sync.properties add column first_label text;

-- {object: {label as a mapping names it: property}}, for the labels that the connection's mapping names.
alter table sync.connections add column property_names jsonb not null default '{}';
grant select (property_names) on sync.connections to syncline_reader;
