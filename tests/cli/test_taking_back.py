"""Planning, sending and taking back as a person types it, against a simulated CRM."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from programs import Program, connect

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.server import in_thread


@pytest.fixture(params=[12])
def world(request: pytest.FixtureRequest) -> World:
    made = World(5)
    made.populate(
        contacts=request.param, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0,
        owners=2, archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    return made


@pytest.fixture
def crm_url(world: World) -> Generator[str]:
    with in_thread(world) as url:
        yield url


@pytest.fixture
def connected(program: Program, crm_url: str) -> Program:
    """The program with contacts that have been read and may be written."""
    connect(program, crm_url, "owners", "contacts", read=True)
    done = program("writing", "allow", "acme", "--object", "contacts", "--yes")
    assert done.returncode == 0, done.stderr
    return program


def execute(program: Program, statement: str) -> None:
    with psycopg.connect(program.environment["SYNCLINE_ADMIN_DATABASE_URL"]) as conn:
        conn.execute(statement)  # type: ignore[arg-type]


def titles(world: World) -> list[Any]:
    store = world.store("contacts")
    plan = store.plan_once(store.definitions)
    return [plan.properties(store.records[each])["jobtitle"] for each in store.living]


def test_a_plan_is_kept_carried_out_and_taken_back(connected: Program, world: World, tmp_path: Path):
    before = titles(world)
    execute(connected, "update crm.contacts set job_title = 'Wrong'")
    shown = connected("plan", "acme", "--object", "contacts", "--limit", "3")
    assert shown.returncode == 0, shown.stderr
    assert "12 contact updated" in shown.stdout
    assert "and 9 more" in shown.stdout
    kept = connected("plan", "acme", "--object", "contacts", "--json")
    assert kept.stderr == ""
    path = tmp_path / "plan.json"
    path.write_text(kept.stdout)
    assert titles(world) == before

    done = connected("push", "--plan", str(path), "--strict", "--json")
    assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout)
    assert (answer["was_sent"], answer["differences"]) == (True, [])
    assert set(titles(world)) == {"Wrong"}

    listed = json.loads(connected("runs", "acme", "--mode", "push", "--changed", "--json").stdout)
    [run] = [each for each in listed if each["records_updated"]]
    assert run["records_updated"] == 12
    seen = connected("undo", run["id"], "--dry-run")
    assert "at acme: 12 contact updated" in seen.stdout
    assert set(titles(world)) == {"Wrong"}
    taken = connected("undo", run["id"], "--yes")
    assert taken.returncode == 0, taken.stderr
    assert titles(world) == before
    assert "undo of" in connected("runs", "--limit", "5").stdout
    assert "nothing to take back" in connected("undo", run["id"], "--yes").stdout


def test_what_is_not_what_was_planned_is_not_sent_strictly(connected: Program, world: World, tmp_path: Path):
    before = titles(world)
    path = tmp_path / "plan.json"
    path.write_text(connected("plan", "acme", "--object", "contacts", "--json").stdout)
    execute(connected, "update crm.contacts set job_title = 'Not planned'")
    done = connected("push", "acme", "--plan", str(path), "--strict")
    assert done.returncode == 1
    assert "not what was planned" in done.stdout
    assert titles(world) == before
    done = connected("push", "acme", "--plan", str(path))
    assert done.returncode == 0
    assert "otherwise than planned" in done.stdout
    assert set(titles(world)) == {"Not planned"}


def test_a_brake_holds_until_somebody_says_otherwise(connected: Program, world: World):
    execute(
        connected,
        "update sync.connections set settings = settings || "
        '\'{"brakes": {"change": {"count": 3, "share": 0.1}}}\'',
    )
    execute(connected, "update crm.contacts set job_title = 'Everybody'")
    done = connected("push", "acme")
    assert done.returncode == 5
    assert "12 of 12 contact records" in done.stdout
    refused = connected("push", "acme", "--past-brake")
    assert refused.returncode == 1
    assert "Everybody" not in titles(world)
    done = connected("push", "acme", "--past-brake", "--record-type", "contact", "--yes")
    assert done.returncode == 0, done.stderr
    assert set(titles(world)) == {"Everybody"}
    assert "No brake holds" in connected("push", "acme", "--past-brake", "--yes").stderr


def test_mistakes_are_said(connected: Program, tmp_path: Path):
    assert connected("undo", "no-id").returncode == 2
    assert connected("undo", "0192f0c8-0000-7000-8000-000000000001", "--yes").returncode == 2
    asked = connected("undo", "0192f0c8-0000-7000-8000-000000000001", "--json")
    assert "--dry-run" in asked.stderr
    assert connected("push", "acme", "--strict").returncode == 2
    assert connected("push", "--past-brake").returncode == 2
    assert connected("push", "acme", "--past-brake", "--record-type", "unicorn").returncode == 2
    assert connected("push", "acme", "--plan", str(tmp_path / "none.json")).returncode == 2
    assert connected("plan", "nobody").returncode == 2


def ask(program: Program, statement: str) -> Any:
    with psycopg.connect(program.environment["SYNCLINE_ADMIN_DATABASE_URL"]) as conn:
        row = conn.execute(statement).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


UNDONE = "select count(*) from crm.change_log where source = 'undo'"
SENT = """
select count(*) from sync.remote_changes where state = 'done' and changes -> 'job_title' ->> 0 = 'Wrong'
"""


@pytest.mark.parametrize("world", [450], indirect=True)
def test_an_undo_killed_again_and_again_ends_as_if_it_had_not_been(connected: Program, world: World):
    before = titles(world)
    execute(
        connected,
        'update sync.connections set settings = settings || \'{"brakes": {"change": {"count": 1000}}}\'',
    )
    execute(connected, "update crm.contacts set job_title = 'Wrong'")
    assert connected("push", "acme", "--limit", "0").returncode == 0
    run_id = ask(connected, "select id from sync.runs where mode = 'push' and records_updated > 0")
    world.settings.latency_ms = 40
    killed = 0
    for seen, enough in ((UNDONE, 1), (UNDONE, 201), (SENT, 1), (SENT, 201)):
        running = connected.start("undo", str(run_id), "--yes", SYNCLINE_LEASE_SECONDS="1")
        deadline = time.monotonic() + 60
        while ask(connected, seen) < enough and running.poll() is None:
            assert time.monotonic() < deadline
        killed += running.poll() is None
        running.kill()
        running.communicate()
        while ask(
            connected, "select count(*) from sync.leases where expires_at > now() and holder is not null"
        ):
            assert time.monotonic() < deadline
    assert killed >= 2
    done = connected("undo", str(run_id), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert connected("push", "acme").returncode == 0
    assert titles(world) == before
    assert ask(connected, UNDONE) == len(before)
    # Whatever came of the attempts, it is one run.
    assert ask(connected, "select count(*) from sync.runs where mode = 'undo'") == 1
    assert ask(connected, "select count(*) from sync.queue") == 0
