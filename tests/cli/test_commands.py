"""The commands as a person types them, against a simulated CRM."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from programs import Program, connect

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import ALL_SCOPES, CLIENT_ID, CLIENT_SECRET, DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_thread
from syncline.store.urls import DatabaseUrls

SUCCESSES = """
select count(distinct object) from sync.runs
where status = 'success' and object in ('owners', 'contacts', 'companies')
"""
OBJECTS = ("--object", "owners", "--object", "contacts", "--object", "companies")


@pytest.fixture
def world() -> World:
    made = World(5)
    made.populate(
        contacts=30, companies=5, deals=2, calls=2, meetings=1, emails=1, notes=1, tasks=1, owners=2,
        archived_owners=0, cars=0, archived_contacts=1,
    )  # fmt: skip
    return made


@pytest.fixture
def crm_url(world: World) -> Generator[str]:
    with in_thread(world) as url:
        yield url


@pytest.fixture
def connected(program: Program, crm_url: str) -> Program:
    """The program with one connection of three objects."""
    return connect(program, crm_url, "owners", "contacts", "companies")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ask(program: Program, statement: str) -> Any:
    """Ask the database itself; a process of our own for each look would be slow."""
    with psycopg.connect(program.environment["SYNCLINE_ADMIN_DATABASE_URL"]) as conn:
        row = conn.execute(statement).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


def read_status(program: Program) -> dict[str, Any]:
    return json.loads(program("status", "--json").stdout)


def test_connect_and_sync_bring_everything_and_say_so_to_programs(program: Program, crm_url: str):
    made = program(
        "connect", "hubspot", "--name", "acme", "--base-url", crm_url, *OBJECTS, HUBSPOT_API_KEY=DEFAULT_TOKEN
    )
    assert made.returncode == 0, made.stderr
    assert "acme is connected" in made.stdout
    assert DEFAULT_TOKEN not in made.stdout + made.stderr
    done = program("sync", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    created = {item["object"]: item["run"]["records_created"] for item in answer["items"]}
    assert (created["contacts"], created["companies"], created["owners"]) == (31, 5, 2)
    [connection] = read_status(program)["connections"]
    states = {each["object"]: (each["state"], each["count_here"]) for each in connection["objects"]}
    assert states["contacts"] == ("fresh", 30)


def test_sync_shows_plain_lines_where_there_is_no_terminal(connected: Program):
    done = connected("sync", "acme", "--object", "companies")
    assert done.returncode == 0
    assert "companies: success 5 records" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    [row] = [line for line in done.stdout.splitlines() if line.startswith("companies")]
    assert row.split()[:4] == ["companies", "success", "5", "5"]


def test_sync_ends_with_the_code_of_what_went_wrong(connected: Program, world: World):
    world.auth.add_token(DEFAULT_TOKEN, ALL_SCOPES - {"crm.objects.companies.read"})
    done = connected("sync", "--object", "contacts", "--object", "companies")
    assert done.returncode == 4
    assert "crm.objects.companies.read" in done.stderr
    assert "Traceback" not in done.stderr


def test_sync_with_parked_records_has_a_code_of_its_own_and_parked_lists_them(
    connected: Program, world: World
):
    world.plant_all_defects()
    assert connected("sync", "--object", "contacts").returncode == 5
    listed = connected("parked", "acme")
    assert listed.returncode == 0
    assert "contacts" in listed.stdout
    records = json.loads(connected("parked", "--json").stdout)
    assert all(each["record"]["reason"] for each in records)


def test_sync_of_an_unknown_object_or_connection_is_a_callers_mistake(connected: Program):
    assert connected("sync", "--object", "unicorns").returncode == 2
    done = connected("sync", "acne")
    assert done.returncode == 2
    assert "acme" in done.stderr


def test_check_tells_what_a_token_may_not_read(connected: Program, world: World):
    assert connected("check").returncode == 0
    world.auth.add_token(DEFAULT_TOKEN, ALL_SCOPES - {"crm.objects.companies.read"})
    done = connected("check", "acme", "--json")
    assert done.returncode == 4
    [answer] = json.loads(done.stdout)
    readable = {each["object"]: each["readable"] for each in answer["objects"]}
    assert readable == {"owners": True, "contacts": True, "companies": False}


def test_a_wrong_token_connects_nothing(program: Program, crm_url: str, tmp_path: Path):
    (tmp_path / "token").write_text("pat-na1-wrong-one\n")
    done = program(
        "connect", "hubspot", "--name", "acme", "--base-url", crm_url, "--token-file", str(tmp_path / "token")
    )
    assert done.returncode == 4
    assert "pat-na1" not in done.stderr
    assert read_status(program)["connections"] == []


def test_consent_in_the_browser_connects(program: Program, world: World, crm_url: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    connecting = program.start(
        "connect", "hubspot", "--name", "acme", "--base-url", crm_url, "--oauth", "--client-id", CLIENT_ID,
        "--redirect-port", str(port), "--object", "companies",
        OAUTH_CLIENT_SECRET=CLIENT_SECRET,
    )  # fmt: skip
    try:
        assert connecting.stdout is not None
        address = next(line for line in connecting.stdout if line.startswith("https://"))
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address.strip()).query).items()}
        code = world.auth.issue_code(redirect_uri=asked["redirect_uri"])
        with socket.create_connection(("127.0.0.1", port)) as browser:
            target = f"{urlsplit(asked['redirect_uri']).path}?code={code}&state={asked['state']}"
            browser.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b"Access was granted" in browser.recv(4096)
        output, _ = connecting.communicate(timeout=30)
    finally:
        connecting.kill()
    assert connecting.returncode == 0, output
    assert "acme is connected" in output
    assert CLIENT_SECRET not in output
    assert program("sync", "--object", "companies").returncode == 0


def test_psql_sees_the_tenants_data_and_changes_none_of_it(connected: Program):
    assert connected("sync", *OBJECTS).returncode == 0
    count = connected("psql", "--", "-Atc", "select count(*) from hubspot_contacts_raw")
    assert (count.returncode, count.stdout.strip()) == (0, "30")
    refused = connected("psql", "--", "-c", "delete from crm.contacts")
    assert refused.returncode != 0
    owner = connected("psql", "--admin", "--", "-Atc", "select current_user")
    assert owner.stdout.strip() == "syncline_owner"


def test_disconnect_shows_first_and_asks(connected: Program):
    assert connected("sync", *OBJECTS).returncode == 0
    unasked = connected("disconnect", "acme", "--yes")
    assert unasked.returncode == 2
    assert "contact" in unasked.stdout
    assert len(read_status(connected)["connections"]) == 1
    gone = connected("disconnect", "acme", "--remove-data", "--yes")
    assert gone.returncode == 0
    assert read_status(connected)["connections"] == []
    left = connected("psql", "--", "-Atc", "select count(*) from crm.contacts")
    assert left.stdout.strip() == "0" or left.stdout.strip() == ""


def test_doctor_ends_with_failure_while_something_is_broken(connected: Program, tmp_path: Path):
    assert connected("doctor").returncode == 0
    connected("psql", "--admin", "--", "-c", "alter table crm.deals disable row level security")
    done = connected("doctor", "--offline", "--bundle", str(tmp_path / "bundle.zip"))
    assert done.returncode == 1
    assert "alter table crm.deals enable row level security" in done.stdout
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert "doctor.json" in archive.namelist()


def test_the_worker_serves_until_it_is_told_to_stop(connected: Program):
    worker = connected.start("worker")
    try:
        wait_until(lambda: ask(connected, SUCCESSES) == 3)
        assert any(each["is_alive"] for each in read_status(connected)["workers"])
        worker.send_signal(signal.SIGTERM)
        output, _ = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert worker.returncode == 0
    events = [json.loads(line) for line in output.splitlines()]
    assert {"worker_started", "run_ended", "worker_ended"} <= {each["event"] for each in events}
    assert DEFAULT_TOKEN not in output


def test_serve_says_where_it_listens_and_ends_cleanly(connected: Program):
    server = connected.start("serve", "--port", "0")
    try:
        assert server.stdout is not None
        first = json.loads(server.stdout.readline())
        while first["event"] != "listening":
            first = json.loads(server.stdout.readline())
        wait_until(lambda: ask(connected, "select count(*) from sync.workers") == 1)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0


def test_ctrl_c_ends_a_sync_cleanly_and_the_next_goes_on(connected: Program, world: World):
    # So slow that the sync is far from its end, however late the signal comes.
    world.settings.latency_ms = 3000
    world.stats.clear()  # connecting has made calls, too: the signal is for a sync that is under way
    syncing = subprocess.Popen(
        Program.command(["sync"]),
        env=dict(connected.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: sum(world.stats.values()) > 2)
        syncing.send_signal(signal.SIGINT)
        _, errors = syncing.communicate(timeout=30)
    finally:
        syncing.kill()
    assert syncing.returncode == 130
    assert "Traceback" not in errors
    world.settings.latency_ms = 0
    assert connected("sync", *OBJECTS).returncode == 0
    assert {
        each["object"]: each["count_here"] for each in read_status(connected)["connections"][0]["objects"]
    }["contacts"] == 30


def test_a_backup_comes_back(connected: Program, empty_database: DatabaseUrls, tmp_path: Path):
    assert connected("sync", "--object", "companies").returncode == 0
    file = tmp_path / "everything.backup"
    assert connected("backup", str(file)).returncode == 0
    elsewhere = {
        "SYNCLINE_DATABASE_URL": empty_database.app,
        "SYNCLINE_ADMIN_DATABASE_URL": empty_database.admin,
        "SYNCLINE_READER_DATABASE_URL": empty_database.reader,
    }
    done = connected("restore", str(file), **elsewhere)
    assert done.returncode == 0, done.stderr
    count = connected("psql", "--", "-Atc", "select count(*) from crm.companies", **elsewhere)
    assert count.stdout.strip() == "5"
    again = connected("restore", str(file), **elsewhere)
    assert again.returncode == 2


def test_init_prints_what_a_dba_needs(bare: Program):
    done = bare("init", "--sql")
    assert done.returncode == 0
    assert 'create role "syncline_owner"' in done.stdout
    done = bare("migrate", "--sql")
    assert "create schema crm" in done.stdout


def test_the_embedded_postgres_is_set_up_by_init_and_stopped_by_hand(bare: Program, home: Path):
    done = bare("init")
    assert done.returncode == 0, done.stderr
    assert oct((home / "secret.key").stat().st_mode & 0o777) == "0o600"
    assert bare("status").returncode == 0
    assert "Stopped" in bare("db", "stop").stdout
    assert "not running" in bare("db", "stop").stdout


def test_a_simulator_can_be_run_by_name(bare: Program):
    process = bare.start("simulate", "hubspot", "--port", "0", "--contacts", "1", "--guided")
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert json.loads(process.stdout.readline())["token"] == DEFAULT_TOKEN
        process.stdin.close()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert bare("simulate", "filemaker").returncode == 2


def test_version_is_the_packages(bare: Program):
    assert bare("version").stdout.strip() == "0.1.0"
