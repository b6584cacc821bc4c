"""`syncline mapping` as a person types it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
from programs import Program

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_thread


@pytest.fixture
def connected(program: Program) -> Generator[Program]:
    world = World(5)
    world.populate(
        contacts=20, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0, owners=2,
        archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    with in_thread(world) as url:
        words = ("--name", "acme", "--base-url", url, "--object", "owners", "--object", "contacts")
        done = program("connect", "hubspot", *words, HUBSPOT_API_KEY=DEFAULT_TOKEN)
        assert done.returncode == 0, done.stderr
        done = program("sync", "--object", "contacts")
        assert done.returncode == 0, done.stderr
        yield program


def test_a_mapping_is_shown_changed_and_taken_back(connected: Program, tmp_path: Path) -> None:
    shown = connected("mapping", "show", "acme", "--yaml")
    assert shown.returncode == 0, shown.stderr
    assert "      # phone: phone\n" in shown.stdout
    mine = tmp_path / "mapping.yaml"
    mine.write_text(shown.stdout.replace("      # phone: phone\n", "      phone: mobilephone\n", 1))

    checked = connected("mapping", "check", "acme", str(mine))
    assert checked.returncode == 0, checked.stderr
    compared = connected("mapping", "diff", "acme", str(mine))
    assert compared.returncode == 0, compared.stderr
    assert "mobilephone" in compared.stdout
    assert "of 20 records would change" in compared.stdout
    # Nobody is there to be asked.
    asked = connected("mapping", "apply", "acme", str(mine))
    assert asked.returncode == 1
    assert json.loads(connected("mapping", "show", "acme", "--json").stdout)["version"] == 1

    done = connected("mapping", "apply", "acme", str(mine), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    [item] = json.loads(done.stdout)["items"]
    assert (item["object"], item["run"]["mode"], item["run"]["records_read"]) == ("contacts", "manual", 20)
    found = json.loads(connected("mapping", "show", "acme", "--json").stdout)
    assert found["document"]["objects"]["contacts"]["fields"] == {"phone": "mobilephone"}
    assert "own" in connected("mapping", "show", "acme").stdout
    found = json.loads(connected("mapping", "diff", "acme", str(mine), "--json").stdout)
    assert (found["fields"], found["policy"], found["records"]) == ([], None, {})

    done = connected("mapping", "reset", "acme", "--yes")
    assert done.returncode == 0, done.stderr
    assert "contacts" in done.stdout


def test_what_does_not_fit_is_told_with_its_exit_code(connected: Program, tmp_path: Path) -> None:
    mine = tmp_path / "mapping.yaml"
    mine.write_text("version: 1\nobjects: {contacts: {fields: {phone: fone}}}\n")
    checked = connected("mapping", "check", "acme", str(mine))
    assert checked.returncode == 2
    assert "The CRM has no such property." in checked.stdout
    refused = connected("mapping", "apply", "acme", str(mine), "--yes")
    assert refused.returncode == 2
    assert "was not applied" in refused.stderr
    mine.write_text("version: 1\nversion: 1\n")
    twice = connected("mapping", "diff", "acme", str(mine))
    assert twice.returncode == 2
    assert "Line 2" in twice.stderr
    missing = connected("mapping", "check", "acme", str(tmp_path / "none.yaml"))
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr
