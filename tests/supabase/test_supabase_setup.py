"""Setting up as an administrator who is no superuser: what is made, who may see it, what is refused."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from supabase_project import DATABASE, Project

from syncline.store.roles import APP, OWNER, READER

OURS = ["app", "compat", "crm", "jobs", "raw", "sync"]
#: Whoever comes through Supabase's own doors.
API_ROLES = ["anon", "authenticated", "service_role", "authenticator"]


def ask(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(statement.encode(), parameters or None).fetchall()


def test_init_can_be_repeated_and_changes_nothing(project: Project):
    again = project.run("init")
    assert (again.code, again.err) == (0, "")
    assert "up to date" in again.out
    assert "Roles made" not in again.out


def test_migrate_finds_nothing_to_do_after_init(project: Project):
    done = project.run("migrate")
    assert (done.code, done.err) == (0, "")
    assert "nothing to do" in done.out


def test_everything_of_ours_belongs_to_the_owner_and_nothing_else_does(project: Project):
    owned = ask(
        project.superuser,
        "select distinct n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where pg_get_userbyid(c.relowner) = %s and n.nspname !~ '^pg_' order by 1",
        OWNER,
    )
    assert [name for (name,) in owned] == OURS
    strangers = ask(
        project.superuser,
        "select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any (%s) and pg_get_userbyid(c.relowner) <> %s",
        OURS,
        OWNER,
    )
    assert strangers == []


def test_nothing_is_left_in_public_and_in_the_schemas_of_the_project(project: Project):
    made = ask(
        project.superuser,
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('public', 'extensions', 'auth', 'storage', 'realtime', 'vault')"
        " and c.relkind = 'r'",
    )
    assert made == [("auth.users",)]


@pytest.mark.parametrize("role", API_ROLES)
def test_a_role_of_the_api_may_enter_no_schema_of_ours(project: Project, role: str):
    entered = ask(
        project.superuser,
        "select name from unnest(%s::text[]) name"
        " where has_schema_privilege(%s, name, 'usage') or has_schema_privilege(%s, name, 'create')",
        OURS,
        role,
        role,
    )
    assert entered == []


@pytest.mark.parametrize("role", API_ROLES)
def test_a_role_of_the_api_has_no_right_on_anything_of_ours(project: Project, role: str):
    # Also where somebody opened a schema to it by mistake, there is nothing behind the door.
    readable = ask(
        project.superuser,
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'S')"
        " and (case when c.relkind = 'S' then has_sequence_privilege(%s, c.oid, 'usage')"
        "      else has_any_column_privilege(%s, c.oid, 'select, insert, update') end)",
        OURS,
        role,
        role,
    )
    assert readable == []
    callable_as_owner = ask(
        project.superuser,
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = any (%s) and p.prosecdef and has_function_privilege(%s, p.oid, 'execute')",
        OURS,
        role,
    )
    assert callable_as_owner == []


@pytest.mark.parametrize(
    "statement",
    [
        "select * from crm.contacts",
        "select * from raw.hubspot_contacts",
        "select * from compat.hubspot_contacts_raw",
        "select credentials from sync.connections",
        "select compat.trigger_hubspot_sync('deals')",
        "select * from app.list_tenants()",
        "insert into sync.queue default values",
    ],
)
@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_what_the_api_may_not_see_it_cannot_ask_for(project: Project, role: str, statement: str):
    with psycopg.connect(project.url("authenticator"), autocommit=True) as conn:
        conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute(statement.encode())


def test_the_roles_are_held_by_row_level_security_though_their_maker_is_not(project: Project):
    found = ask(
        project.superuser,
        "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication,"
        " rolcanlogin, (select count(*) from pg_auth_members m where m.member = r.oid)"
        " from pg_roles r where rolname = any (%s) order by 1",
        [APP, OWNER, READER],
    )
    assert found == [(APP, False, True, 0), (OWNER, False, False, 0), (READER, False, True, 0)]


def test_the_application_owns_nothing_and_makes_nothing(project: Project):
    owned = ask(project.superuser, "select count(*) from pg_shdepend d join pg_roles r on r.oid = d.refobjid"
                " where r.rolname = any (%s) and d.deptype = 'o'", [APP, READER])  # fmt: skip
    assert owned == [(0,)]
    with psycopg.connect(project.url(APP), autocommit=True) as conn:
        for schema in [*OURS, "public"]:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(sql.SQL("create table {} ()").format(sql.Identifier(schema, "mine")))
        for statement in (
            "create schema mine",
            "alter table crm.contacts disable row level security",
            "drop table crm.contacts",
            "truncate crm.contacts",
            "alter table crm.contacts disable trigger capture_change",
            "set role syncline_owner",
            "update crm.change_log set actor = 'nobody'",
            "delete from crm.change_log",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(statement.encode())


def test_migrations_are_refused_through_the_pooler_in_transaction_mode(project: Project):
    url = project.url("postgres", port=project.transaction_port) + "?pool_mode=transaction"
    for command in ("init", "migrate"):
        refused = project.run(command, admin_database_url=url)
        assert refused.code != 0
        assert "transaction-mode pooler" in refused.err
        assert "SYNCLINE_ADMIN_DATABASE_URL" in refused.err
        assert len(refused.err.splitlines()) == 1


def test_an_administrator_who_may_not_pass_on_the_database_is_told_so(project: Project):
    name = "not_mine"
    with psycopg.connect(project.superuser, autocommit=True) as conn:
        conn.execute(f"create database {name} owner supabase_admin".encode())
        try:
            conn.execute(f"grant all on database {name} to postgres".encode())
            refused = project.run(
                "init",
                admin_database_url=project.url("postgres", database=name),
                database_url=project.url(APP, database=name),
            )
        finally:
            conn.execute(f"drop database {name} (force)".encode())
    assert refused.code != 0
    assert "the database's owner with CREATEROLE" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_the_application_is_refused_as_the_administrator(project: Project):
    refused = project.run("status", database_url=project.url("postgres"))
    assert refused.code != 0
    assert "BYPASSRLS" in refused.err
    assert DATABASE not in refused.out
