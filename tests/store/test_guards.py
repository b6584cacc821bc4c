"""What the migrated schema guarantees by its catalogue: who is kept apart from whom, and by what."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncline.store.db import Database, connect
from syncline.store.roles import APP, OWNER, READER
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

SCHEMAS = ["app", "compat", "crm", "jobs", "raw", "sync"]
#: Tables that belong to no tenant, as the design allows: users and what is theirs, accounts' quotas, workers,
#: what was refused at the door, the queue, Alembic's.
OF_NO_TENANT = {
    "app.alembic_version",
    "app.attempts",
    "app.password_links",
    "app.request_counts",
    "app.sessions",
    "app.users",
    "jobs.pgqueuer",
    "jobs.pgqueuer_log",
    "jobs.pgqueuer_schedules",
    "jobs.pgqueuer_statistics",
    "sync.quota_answers",
    "sync.quota_buckets",
    "sync.quota_days",
    "sync.quota_holders",
    "sync.quota_marks",
    "sync.quota_refusals",
    "sync.refused_webhooks",
    "sync.workers",
}
#: What runs with its owner's rights, and whom it serves.
DEFINERS = {
    "app.count_request(uuid,uuid)": {APP},
    "app.add_tenant(uuid,text,text,text,text,text,timestamp with time zone)": {APP},
    "app.left_batches(interval)": {APP},
    "app.list_tenants()": {APP},
    "app.memberships_of(uuid)": {APP},
    "app.note_change()": set[str](),
    "app.note_for_account(text,text,text,text,timestamp with time zone)": {APP},
    "app.read_request_count(uuid)": {APP},
    "app.refresh_statistics(text[])": {APP},
    "compat.trigger_hubspot_sync(text)": {APP, READER},
    "crm.capture_change()": set[str](),
    "crm.ensure_change_log_partitions(date,integer)": {APP},
    "crm.find_by_words(uuid,text,text[],uuid[],boolean,integer)": {APP},
    "crm.follow_merge()": set[str](),
    "crm.notified_tenants(timestamp with time zone)": {APP},
    "crm.stamp_change()": set[str](),
    "raw.add_object(text,text)": {APP},
    "sync.due_pushes(timestamp with time zone)": {APP},
    "sync.due_tenants(timestamp with time zone)": {APP},
    "sync.enqueue_push(uuid,text,uuid,text[],boolean,boolean,uuid,timestamp with time zone)": set[str](),
    "sync.find_receivers(text,text,text,text)": {APP},
    "sync.outgoing_tenants()": {APP},
    "sync.open_erasures(timestamp with time zone)": {APP},
    "sync.waiting_inboxes()": {APP},
}
#: They tell and change nothing that a setting of one's own session does not.
FOR_EVERYBODY = {"app.current_tenant()", "app.in_bulk()", "app.set_tenant(uuid)"}
APPEND_ONLY = {"crm.change_log", "app.audit_log"}
#: Foreign keys to a user: of tables that lie beside theirs on one node.
OF_USERS = {"sessions_user", "password_links_user"}


async def ask(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    async with await connect(url) as conn:
        # So that names come with their schema.
        await conn.execute("set search_path = pg_catalog")
        return await (await conn.execute(statement.encode(), parameters or None)).fetchall()


TABLES = """
select c.oid::regclass::text, exists (select from pg_attribute a where a.attrelid = c.oid
  and a.attname = 'tenant_id' and a.attnotnull and not a.attisdropped)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and c.relkind in ('r', 'p') and not c.relispartition
"""


async def test_every_table_belongs_to_tenants_unless_it_is_known_not_to(database_urls: DatabaseUrls):
    found = dict(await ask(database_urls.superuser, TABLES, SCHEMAS))
    assert {name for name, has_tenant in found.items() if not has_tenant} == OF_NO_TENANT
    assert len(found) > len(OF_NO_TENANT) + 20


async def test_row_level_security_is_enabled_and_not_forced_on_every_table_of_tenants(
    database_urls: DatabaseUrls,
):
    rows = await ask(
        database_urls.superuser,
        "select c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity,"
        " c.relkind = 'p' or c.relpersistence = 'p'"
        " from pg_class c where c.oid::regclass::text in"
        " (select name from (" + TABLES + ") t (name, has) where has)",
        SCHEMAS,
    )
    assert {row[1:] for row in rows} == {(True, False, True)}, rows


async def test_every_table_of_tenants_has_the_one_policy_that_compares_the_tenant(
    database_urls: DatabaseUrls,
):
    rows = await ask(
        database_urls.superuser,
        "select t.name, p.polname, p.polcmd = '*' and p.polpermissive and p.polroles = '{0}',"
        " pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)"
        " from (" + TABLES + ") t (name, has) left join pg_policy p on p.polrelid = t.name::regclass"
        " where t.has",
        SCHEMAS,
    )
    setting = "NULLIF(current_setting('app.current_tenant_id'::text, true), ''::text))::uuid"
    for name, policy, is_plain, using, check in rows:
        assert (policy, is_plain) == ("tenant_isolation", True), name
        assert using.startswith("(tenant_id = ( SELECT ("), name
        assert setting in using, name
        # Where nothing is said, what holds for reading holds for writing.
        assert check is None or check == f"(tenant_id = ({setting})", (name, check)
    assert len(rows) == len({name for name, *_ in rows})


async def test_partitions_are_reached_through_their_parent_only(database_urls: DatabaseUrls, db: Database):
    async with db.transaction(tenant_id=None) as conn:
        await conn.execute("select crm.ensure_change_log_partitions('2031-01-01', 2)")
    rows = await ask(
        database_urls.superuser,
        "select c.oid::regclass::text from pg_class c where c.relispartition and c.relkind = 'r'"
        " and coalesce(c.relacl::text, '') ~ %s",
        f"({APP}|{READER}|[{{,]=)",
    )
    assert rows == []
    async with db.transaction(tenant_id=None) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("select from crm.change_log_2031_01")


async def test_every_view_reads_with_the_rights_of_whoever_asks(database_urls: DatabaseUrls):
    rows = await ask(
        database_urls.superuser,
        "select c.oid::regclass::text, c.relkind::text, 'security_invoker=true' = any (c.reloptions)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any (%s) and c.relkind in ('v', 'm')",
        SCHEMAS,
    )
    assert len(rows) > 20
    assert {row[1:] for row in rows} == {("v", True)}, rows


async def test_functions_with_their_owners_rights_are_known_closed_and_pinned(database_urls: DatabaseUrls):
    rows = await ask(
        database_urls.superuser,
        "select p.oid::regprocedure::text, pg_get_userbyid(p.proowner),"
        " 'search_path=pg_catalog, pg_temp' = any (p.proconfig),"
        " array(select pg_get_userbyid(a.grantee) from aclexplode(p.proacl) a"
        "       where a.grantee <> p.proowner order by 1)::text[]"
        " from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where p.prosecdef and n.nspname = any (%s)",
        SCHEMAS,
    )
    assert {name: set(served) for name, _, _, served in rows} == DEFINERS
    assert {(owner, pinned) for _, owner, pinned, _ in rows} == {(OWNER, True)}


async def test_nobody_but_our_roles_may_call_our_functions(database_urls: DatabaseUrls):
    rows = await ask(
        database_urls.superuser,
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = any (%s) and exists (select from"
        " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0)",
        SCHEMAS,
    )
    assert {name for (name,) in rows} == FOR_EVERYBODY


async def test_nobody_but_our_roles_has_any_right_and_none_of_them_more_than_it_needs(
    database_urls: DatabaseUrls,
):
    rows = await ask(
        database_urls.superuser,
        "select c.oid::regclass::text, case when a.grantee = 0 then 'everybody'"
        "   else pg_get_userbyid(a.grantee) end, a.privilege_type, a.is_grantable"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a"
        " where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v') and a.grantee <> c.relowner",
        SCHEMAS,
    )
    assert {(role, grantable) for _, role, _, grantable in rows} == {(APP, False), (READER, False)}
    assert {right for _, role, right, _ in rows if role == READER} == {"SELECT"}
    assert {right for _, role, right, _ in rows if role == APP} == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    for table in APPEND_ONLY:
        assert {right for name, role, right, _ in rows if (name, role) == (table, APP)} == {
            "SELECT",
            "INSERT",
        }
    schemas = await ask(
        database_urls.superuser,
        "select distinct pg_get_userbyid(a.grantee)::text, a.privilege_type"
        " from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = any (%s) and a.grantee <> n.nspowner",
        SCHEMAS,
    )
    assert set(schemas) == {(APP, "USAGE"), (READER, "USAGE")}


KEYS = """
select c.oid::regclass::text, i.indexrelid::regclass::text,
  (select a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum = i.indkey[0]) = 'tenant_id'
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where i.indisunique and n.nspname = any (%s) and not c.relispartition
"""


async def test_the_tenant_leads_every_key_and_every_unique_index(database_urls: DatabaseUrls):
    rows = await ask(database_urls.superuser, KEYS, SCHEMAS)
    assert {name for name, _, leads in rows if not leads} <= OF_NO_TENANT
    keyed = await ask(
        database_urls.superuser,
        "select conrelid::regclass::text from pg_constraint where contype = 'p'",
    )
    tables = dict(await ask(database_urls.superuser, TABLES, SCHEMAS))
    assert set(tables) - {name for (name,) in keyed} == set()


async def test_the_tenant_leads_every_foreign_key_and_none_sets_null(database_urls: DatabaseUrls):
    rows = await ask(
        database_urls.superuser,
        "select conname, confdeltype::text, confupdtype::text,"
        " (select attname from pg_attribute where attrelid = conrelid and attnum = conkey[1])::text,"
        " (select attname from pg_attribute where attrelid = confrelid and attnum = confkey[1])::text"
        " from pg_constraint c join pg_namespace n on n.oid = c.connamespace"
        " where contype = 'f' and n.nspname = any (%s) and conparentid = 0",
        SCHEMAS,
    )
    assert len(rows) > 20
    assert {row[2:] for row in rows if row[0] not in OF_USERS} == {("a", "tenant_id", "tenant_id")}
    assert {row[1] for row in rows} <= {"a", "c"}


async def test_triggers_are_for_each_row(database_urls: DatabaseUrls):
    rows = await ask(
        database_urls.superuser,
        "select t.tgrelid::regclass::text, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any (%s) and not t.tgisinternal and t.tgtype & 1 = 0",
        SCHEMAS,
    )
    # PgQueuer's own, on a table that belongs to no tenant.
    assert rows == [("jobs.pgqueuer", "tg_pgqueuer_changed")]


REACHING_OVER = (
    "insert into crm.contacts (tenant_id, id) values (%(theirs)s, gen_random_uuid())",
    "insert into crm.contacts (tenant_id, id, owner_id) values (%(mine)s, gen_random_uuid(), %(owner)s)",
    "insert into crm.owners (tenant_id, id) values (%(theirs)s, %(owner)s) on conflict do nothing",
    """insert into crm.change_log (tenant_id, id, changed_at, record_type, record_id, action, changes, source)
    values (%(theirs)s, gen_random_uuid(), now(), 'contact', %(owner)s, 'created', '{}', 'sql')""",
)


async def test_a_row_of_another_tenant_can_be_neither_written_nor_referred_to(
    db: Database, database_urls: DatabaseUrls
):
    mine, theirs = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"
    owner = "00000000-0000-7000-8000-00000000000a"
    async with await connect(database_urls.superuser) as conn:
        await conn.execute(
            "insert into app.tenants (tenant_id, slug, label) values (%s, 'theirs', 'Theirs')", [theirs]
        )
        await conn.execute("insert into crm.owners (tenant_id, id) values (%s, %s)", [theirs, owner])
    async with db.transaction(tenant_id=None) as conn:
        await conn.execute("select app.set_tenant(%s)", [mine])
        assert await (await conn.execute("select from crm.owners")).fetchall() == []
        for statement in REACHING_OVER:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation)):
                async with conn.transaction():
                    await conn.execute(statement.encode(), {"mine": mine, "theirs": theirs, "owner": owner})
        changed = await conn.execute("update crm.owners set first_name = 'x' where id = %s", [owner])
        assert changed.rowcount == 0
