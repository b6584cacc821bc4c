"""Governing two-way sync as a person types it, against a simulated CRM."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from programs import Program, connect

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.server import in_thread


@pytest.fixture
def world() -> World:
    made = World(5)
    made.populate(
        contacts=12, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0, owners=2,
        archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    return made


@pytest.fixture
def crm_url(world: World) -> Generator[str]:
    with in_thread(world) as url:
        yield url


@pytest.fixture
def synced(program: Program, crm_url: str) -> Program:
    """The program with one connection, read whole, whose conflicts go to a person."""
    connect(program, crm_url, "owners", "contacts", read=True)
    execute(program, """update sync.connections set mapping = '{"version": 1, "policy": "review"}'""")
    return program


def execute(program: Program, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(program.environment["SYNCLINE_ADMIN_DATABASE_URL"], autocommit=True) as conn:
        cursor = conn.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def answer(program: Program, *words: str, code: int = 0) -> Any:
    done = program(*words, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def dispute(program: Program, world: World, remote_id: int) -> dict[str, Any]:
    """Let both sides change one contact's first name, and return the conflict."""
    execute(
        program,
        "update crm.contacts c set first_name = 'Here' from sync.links l"
        f" where l.record_id = c.id and l.remote_id = '{remote_id}' and l.object = 'contacts'",
    )
    world.update("contacts", remote_id, {"firstname": "There"})
    assert program("sync", "--object", "contacts").returncode == 0
    [conflict] = answer(program, "conflicts", "list")["conflicts"]
    return conflict


def test_a_conflict_is_listed_shown_and_decided(synced: Program, world: World):
    remote_id = world.store("contacts").living[0]
    conflict = dispute(synced, world, remote_id)
    assert (conflict["field"], conflict["ours"], conflict["theirs"]) == ("first_name", "Here", "There")
    assert "first_name" in synced("conflicts", "list").stdout
    shown = synced("conflicts", "show", conflict["id"])
    assert "Here" in shown.stdout
    assert "There" in shown.stdout
    assert "review" in shown.stdout
    [outcome] = answer(synced, "conflicts", "resolve", conflict["id"], "--theirs")
    assert (outcome["resolution"], outcome["value"]) == ("theirs", "There")
    again = synced("conflicts", "resolve", conflict["id"], "--ours")
    assert again.returncode == 2
    assert "no longer open" in again.stdout
    assert synced("conflicts", "list").stdout.strip() == "No conflict is open."
    # Nothing is in dispute any more for whoever reads next, either.
    world.update("contacts", remote_id, {"lastname": "Else"})
    assert synced("sync", "--object", "contacts").returncode == 0
    assert answer(synced, "conflicts", "list")["conflicts"] == []
    assert execute(synced, "select count(*) from crm.contacts where first_name = 'There'") == [(1,)]


def test_many_conflicts_are_decided_after_asking(synced: Program, world: World):
    conflict = dispute(synced, world, world.store("contacts").living[1])
    refused = synced("conflicts", "resolve", "--all", "--ours")
    assert refused.returncode == 1
    assert answer(synced, "conflicts", "list")["conflicts"]
    assert len(answer(synced, "conflicts", "resolve", "--all", "--ours", "--yes")) == 1
    assert answer(synced, "conflicts", "resolve", "--all", "--ours", "--yes") == []
    record = conflict["record_id"]
    done = synced("conflicts", "resolve", "--record", record, "--field", "phone=ours")
    assert done.returncode == 2


def test_what_makes_no_sense_is_a_callers_mistake(program: Program):
    for words in (
        ("conflicts", "resolve", "--ours"),
        ("conflicts", "resolve", "x", "--ours"),
        ("conflicts", "resolve", "x", "--ours", "--theirs"),
        ("queue", "list", "--state", "sideways"),
        ("queue", "drop", "--yes"),
        ("decisions", "x", "--undo", "x"),
        ("writing", "show", "nobody"),
    ):
        done = program(*words)
        assert done.returncode == 2, words
        assert done.stderr.startswith("syncline: ")


def test_writing_is_allowed_after_it_was_shown_and_stopped_at_once(synced: Program):
    assert "only read" in synced("writing", "show", "acme").stdout
    asked = synced("writing", "allow", "acme", "--object", "contacts", "--field", "first_name")
    assert asked.returncode == 1
    assert "firstname" in asked.stdout
    assert answer(synced, "writing", "show", "acme")["permissions"] == []
    words = ("writing", "allow", "acme", "--object", "contacts", "--field", "first_name", "--yes")
    assert synced(*words).returncode == 0
    state = answer(synced, "writing", "show", "acme")
    assert (state["sending"], state["stop"]) == (True, None)
    assert [each["field"] for each in state["permissions"]] == ["first_name"]
    assert "stopped" in synced("writing", "stop").stdout
    stopped = answer(synced, "writing", "show", "acme")
    assert stopped["sending"] is False
    assert stopped["stop"]
    execute(
        synced,
        "update crm.contacts set first_name = 'Here'"
        " where id in (select min(id::text)::uuid from crm.contacts)",
    )
    listed = synced("queue", "list")
    assert "first_name" in listed.stdout
    assert "stopped" in listed.stdout
    [row] = answer(synced, "queue", "list")["waiting"]
    assert "first_name" in synced("queue", "show", row["record_id"]).stdout
    assert "goes on" in synced("writing", "resume").stdout
    execute(synced, "update sync.queue set state = 'parked', last_error = 'INVALID_VALUE'")
    assert "INVALID_VALUE" in synced("queue", "list", "--state", "parked").stdout
    assert answer(synced, "queue", "retry", "--reason", "invalid_value") == {"retried": 1}
    assert answer(synced, "queue", "drop", "--connection", "acme", "--yes") == {"dropped": 1}
    assert answer(synced, "writing", "forbid", "acme", "--object", "contacts")["removed"] == 1


def test_properties_are_planned_and_created_once(synced: Program, world: World):
    planned = answer(synced, "properties", "plan", "acme", "--set", "forge")
    assert {each["plan"]["state"] for each in planned} == {"create"}
    assert "syncline_record_id" not in world.store("contacts").definitions
    done = synced("properties", "apply", "acme", "--set", "forge")
    assert done.returncode == 0
    assert "created" in done.stdout
    assert "syncline_record_id" in world.store("contacts").definitions
    again = answer(synced, "properties", "apply", "acme", "--set", "forge")
    assert {each["plan"]["state"] for each in again} == {"exists"}
    create = ("writing", "allow", "acme", "--object", "contacts", "--create", "--yes")
    assert synced(*create).returncode == 0


def test_a_value_that_was_overruled_is_listed_and_put_back(synced: Program, world: World):
    execute(synced, """update sync.connections set mapping = '{"version": 1, "policy": "newest"}'""")
    execute(synced, "update crm.contacts set first_name = 'Here'")
    world.update("contacts", world.store("contacts").living[2], {"firstname": "There"})
    assert synced("sync", "--object", "contacts").returncode == 0
    [decision] = answer(synced, "decisions")["decisions"]
    assert (decision["losing"], decision["value"]) == ("Here", "There")
    assert "There" in synced("decisions", decision["record_id"]).stdout
    [undone] = answer(synced, "decisions", "--undo", decision["id"])
    assert (undone["done"], undone["value"]) == (True, "Here")
    assert synced("decisions", "--undo", decision["id"]).returncode == 2
