"""A CRM in a Supabase project, through pgbouncer in transaction mode: synced, kept up, asked about."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import errors
from supabase_project import Synced

from syncline.store.roles import APP, READER

TENANT = "00000000-0000-7000-8000-000000000001"
OBJECTS = ["contacts", "companies", "deals", "calls", "meetings", "emails", "notes", "tasks"]


def look(synced: Synced, statement: str) -> list[tuple[Any, ...]]:
    """Ask as a superuser, whom no policy holds back."""
    with psycopg.connect(synced.project.superuser, autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()


def sync(synced: Synced, *arguments: str) -> dict[str, Any]:
    done = synced.project.run("sync", "acme", "--json", *arguments)
    assert (done.code, done.err) == (0, ""), done.out
    return {item["object"]: item for item in json.loads(done.out)["items"]}


def test_a_full_sync_brings_every_record(synced: Synced):
    items = {item["object"]: item for item in json.loads(synced.first.out)["items"]}
    assert {item["outcome"] for item in items.values()} == {"success"}
    for name in OBJECTS:
        here = look(synced, f"select remote_id from raw.hubspot_{name} where archived_at is null")
        assert sorted(row[0] for row in here) == sorted(synced.crm.records(name)), name
    owners = look(synced, "select count(*) from raw.hubspot_owners")
    assert owners == [(synced.crm.ask("stats")["owners"],)]


def test_an_incremental_sync_brings_what_changed_and_nothing_else(synced: Synced):
    sync(synced)
    remote_id = min(synced.crm.records("contacts"))
    synced.crm.tell("update", object="contacts", id=remote_id, properties={"firstname": "Pgbouncer"})
    items = sync(synced, "--object", "contacts")
    assert items["contacts"]["run"]["mode"] == "incremental"
    assert items["contacts"]["run"]["records_updated"] == 1
    assert look(
        synced,
        "select r.firstname, c.first_name from raw.hubspot_contacts r join sync.links l"
        " on l.connection_id = r.connection_id and l.object = 'contacts' and l.remote_id = r.remote_id"
        f" join crm.contacts c on c.id = l.record_id where r.remote_id = '{remote_id}'",
    ) == [("Pgbouncer", "Pgbouncer")]
    logged = look(
        synced,
        "select g.changes -> 'first_name' ->> 1, g.source from crm.change_log g join sync.links l"
        f" on l.record_id = g.record_id and l.object = 'contacts' where l.remote_id = '{remote_id}'"
        " and g.action = 'updated' order by g.changed_at desc limit 1",
    )
    assert logged == [("Pgbouncer", "pull")]


def test_reading_everything_again_rewrites_nothing(synced: Synced):
    items = sync(synced)
    before = look(synced, "select remote_id, xmin::text from raw.hubspot_deals order by 1")
    items = sync(synced, "--full", "--object", "deals")
    assert items["deals"]["run"]["records_unchanged"] == 30
    assert look(synced, "select remote_id, xmin::text from raw.hubspot_deals order by 1") == before


def test_status_and_doctor_work_through_the_pooler(synced: Synced):
    status = synced.project.run("status", "--json", "--source")
    assert (status.code, status.err) == (0, "")
    (connection,) = json.loads(status.out)["connections"]
    counts = {one["object"]: (one["count_here"], one["count_there"]) for one in connection["objects"]}
    assert counts["contacts"] == (300, 300)
    assert all(here == there for name, (here, there) in counts.items() if name in OBJECTS)

    doctor = synced.project.run("doctor", "--json")
    findings = {each["id"]: each for each in json.loads(doctor.out)}
    for check in ("database-reachable", "database-role", "schema", "row-level-security", "change-capture"):
        assert findings[check]["level"] == "ok", findings[check]
    assert {
        name for name in findings if name.startswith("crm-") and findings[name]["level"] == "fail"
    } == set()


def test_psql_shows_the_documented_names_and_can_ask_for_a_sync(synced: Synced):
    def psql(statement: str) -> str:
        answer = synced.project.run("psql", "--", "-Atqc", statement)
        assert (answer.code, answer.err) == (0, "")
        return answer.out.strip()

    assert psql("select count(*) from hubspot_contacts_raw") == "300"
    assert psql("select current_user") == READER
    run_id = psql("begin read write; select trigger_hubspot_sync('notes'); rollback")
    assert len(run_id) == 36


def test_psql_through_a_pooler_says_that_it_needs_a_direct_address(synced: Synced):
    project = synced.project
    for port, suffix in ((project.transaction_port, "?pool_mode=transaction"), (project.session_port, "")):
        refused = project.run(
            "psql", "--", "-c", "select 1", reader_database_url=project.url(READER, port=port) + suffix
        )
        assert refused.code != 0
        assert "SYNCLINE_READER_DATABASE_URL" in refused.err
        assert len(refused.err.splitlines()) == 1


def test_the_reader_sees_one_tenant_no_credentials_and_changes_nothing(synced: Synced):
    with psycopg.connect(synced.project.url(READER), autocommit=True) as conn:
        assert conn.execute("select count(*) from crm.contacts").fetchone() == (0,)
        with conn.transaction():
            conn.execute("select app.set_tenant(%s)", [TENANT])
            assert conn.execute("select count(*) from compat.contacts").fetchone() == (300,)
        with conn.transaction():
            conn.execute("select app.set_tenant(gen_random_uuid())")
            assert conn.execute("select count(*) from crm.contacts").fetchone() == (0,)
        for statement in ("select credentials from sync.connections", "select * from sync.connections"):
            try:
                conn.execute(statement.encode())
            except errors.InsufficientPrivilege:
                continue
            raise AssertionError(statement)


def test_the_pooler_keeps_nothing_of_one_transaction_for_the_next(synced: Synced):
    url = synced.project.url(APP, port=synced.project.transaction_port)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        for _ in range(12):
            with conn.transaction():
                conn.execute("select app.set_tenant(%s)", [TENANT])
                assert conn.execute("select count(*) from raw.hubspot_deals").fetchone() == (30,)
            row = conn.execute(
                "select coalesce(current_setting('app.current_tenant_id', true), ''),"
                " coalesce(current_setting('app.bulk', true), ''), current_setting('enable_seqscan'),"
                " (select count(*) from crm.contacts), (select count(*) from pg_prepared_statements),"
                " (select count(*) from pg_class where relpersistence = 't')"
            ).fetchone()
            assert row == ("", "", "on", 0, 0, 0)
