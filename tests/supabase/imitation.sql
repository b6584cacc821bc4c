-- What a Supabase project looks like to whoever brings a program of his own, as far as it concerns
-- roles, schemas and defaults. Run by a superuser in an empty database; `postgres` has no password yet.

create role postgres login nosuperuser createdb createrole replication bypassrls;
create role supabase_admin login superuser createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role dashboard_user nologin createdb createrole replication;
create role supabase_auth_admin login noinherit createrole;
create role supabase_storage_admin login noinherit createrole;
create role supabase_read_only_user login bypassrls;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;
grant pg_read_all_data to supabase_read_only_user;

do $$ begin
  execute format('alter database %I owner to postgres', current_database());
  execute format('grant all on database %I to dashboard_user', current_database());
  -- The ceiling that a hosted project has for every statement.
  execute format('alter database %I set statement_timeout = ''2min''', current_database());
end $$;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';

create schema extensions;
create schema auth authorization supabase_auth_admin;
create schema storage authorization supabase_storage_admin;
create schema realtime authorization supabase_admin;
create schema vault authorization supabase_admin;
create schema graphql_public authorization supabase_admin;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
create table auth.users (id uuid primary key, email text);
alter table auth.users owner to supabase_auth_admin;
grant usage on schema auth, extensions to postgres, anon, authenticated, service_role;

-- Whatever postgres or supabase_admin make in public is open to the API's roles at once.
grant usage on schema public to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;

-- PostgREST is told of every change of the schema, in the transaction that makes it.
create function extensions.tell_postgrest() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c
             where c.command_tag ~ '^(CREATE|ALTER) (SCHEMA|TABLE|VIEW|FUNCTION|TYPE)'
               and coalesce(c.schema_name, '') <> 'pg_temp') then
    notify pgrst, 'reload schema';
  end if;
end $$;
create event trigger tell_postgrest on ddl_command_end execute function extensions.tell_postgrest();
