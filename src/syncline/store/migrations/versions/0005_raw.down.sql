drop function app.refresh_statistics(text[]);
do $$
declare t record;
begin
  -- Tables of custom objects were made later, by the application.
  for t in select tablename from pg_catalog.pg_tables where schemaname = 'raw' loop
    execute format('drop table raw.%I cascade', t.tablename);
  end loop;
end $$;
drop function raw.add_object(text, text);
drop function raw.create_table(text, text, text);
drop function raw.to_time(text);
drop function raw.to_bool(text);
drop function raw.to_number(text);
drop function raw.to_text(text);
