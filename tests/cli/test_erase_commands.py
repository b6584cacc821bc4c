"""Erasing, exporting, retention and keys as a person types it, against a simulated CRM."""

from __future__ import annotations

import json
import stat
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from programs import Program, connect

from syncline.domain.sealing import new_key
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.server import in_thread


@pytest.fixture
def world() -> World:
    made = World(5)
    made.populate(
        contacts=8, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0,
        owners=2, archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    return made


@pytest.fixture
def crm_url(world: World) -> Generator[str]:
    with in_thread(world) as url:
        yield url


@pytest.fixture
def connected(program: Program, crm_url: str) -> Program:
    return connect(program, crm_url, "owners", "contacts", read=True)


def somebody(program: Program) -> str:
    with psycopg.connect(program.environment["SYNCLINE_ADMIN_DATABASE_URL"]) as conn:
        row = conn.execute(
            "select email_norm from crm.contacts where email is not null order by id"
        ).fetchone()
    assert row is not None
    return str(row[0])


def test_a_person_is_shown_erased_after_typing_the_address_and_proven(
    connected: Program, world: World, tmp_path: Path
) -> None:
    email = somebody(connected)
    shown = connected("erase", "person", email, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "crm.contacts" in shown.stdout
    assert "30 days" in shown.stdout
    wrong = connected("erase", "person", email, "--confirm", "yes")
    assert wrong.returncode == 2
    assert "Nobody was erased" in wrong.stderr
    assert not world.store("contacts").erased

    done = connected("erase", "person", email, "--confirm", email, "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert (receipt["state"], [each["state"] for each in receipt["crms"]]) == ("done", ["done"])
    assert len(world.store("contacts").erased) == 1
    assert email not in done.stdout

    listed = connected("erase", "list")
    assert receipt["id"] in listed.stdout
    [found] = json.loads(connected("erase", "find", email, "--json").stdout)
    assert found["id"] == receipt["id"]
    path = tmp_path / "receipt.json"
    assert connected("erase", "show", receipt["id"], "--out", str(path)).returncode == 0
    assert json.loads(path.read_text())["id"] == receipt["id"]
    assert "crm.contacts" in connected("erase", "show", receipt["id"]).stdout
    assert connected("erase", "follow", "acme", "everywhere").stdout.strip() == "acme: everywhere"
    allowed = connected("erase", "allow", email)
    assert allowed.returncode == 0, allowed.stderr
    assert connected("erase", "allow", email).returncode == 2


def test_an_export_is_a_file_that_only_its_owner_can_read(connected: Program, tmp_path: Path) -> None:
    email = somebody(connected)
    path = tmp_path / "person.html"
    done = connected("export", "person", email, "--out", str(path))
    assert done.returncode == 0, done.stderr
    assert email in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(connected("export", "person", email).stdout)
    assert told["about"]["emails"] == [email]
    nobody = tmp_path / "nobody.json"
    missing = connected("export", "person", "nobody@example.com", "--out", str(nobody))
    assert missing.returncode == 2
    assert not nobody.exists()


def test_retention_is_shown_set_and_tried(program: Program) -> None:
    assert "change_log" in program("retention", "show").stdout
    done = program("retention", "set", "runs", "30", "--json")
    kept = {each["subject"]: each["keep_days"] for each in json.loads(done.stdout)["kept"]}
    assert kept["runs"] == 30
    assert program("retention", "set", "runs", "soon").returncode == 2
    assert program("retention", "set", "runs", "default").returncode == 0
    tried = json.loads(program("retention", "run", "--dry-run", "--json").stdout)
    assert tried["removed"]["runs"] == 0
    assert program("retention", "run").returncode == 0


def test_the_key_is_changed_and_nothing_needs_the_old_one(connected: Program) -> None:
    old, new = connected.environment["SYNCLINE_SECRET_KEY"], new_key()
    assert connected("secret", "rotate").returncode == 2
    status = json.loads(connected("secret", "status", "--json", SYNCLINE_SECRET_KEY=f"{new},{old}").stdout)
    assert status["old"] == {"sync.connections.credentials": 1}
    rotated = connected("secret", "rotate", SYNCLINE_SECRET_KEY=f"{new},{old}")
    assert rotated.returncode == 0, rotated.stderr
    assert "Nothing needs the old key" in rotated.stdout
    assert connected("sync", "acme", "--object", "contacts", SYNCLINE_SECRET_KEY=new).returncode == 0
    assert connected("secret", "rotate", SYNCLINE_SECRET_KEY=f"{new_key()},{new_key()}").returncode == 3
    assert len(connected("secret", "new").stdout.strip()) == len(new)
