"""Reconcile, drift, explain and resync as a person types them."""

from __future__ import annotations

import json
from collections.abc import Generator

import psycopg
import pytest
from programs import Program

from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_thread
from syncline.store.urls import DatabaseUrls

OBJECTS = ("--object", "owners", "--object", "contacts")


@pytest.fixture
def world() -> World:
    made = World(5)
    made.populate(
        contacts=60, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0, owners=2,
        archived_owners=0, cars=0, archived_contacts=1,
    )  # fmt: skip
    return made


@pytest.fixture
def synced(program: Program, world: World) -> Generator[Program]:
    with in_thread(world) as url:
        done = program(
            "connect", "hubspot", "--name", "acme", "--base-url", url, *OBJECTS, HUBSPOT_API_KEY=DEFAULT_TOKEN
        )
        assert done.returncode == 0, done.stderr
        yield program


def test_drift_is_found_reported_explained_and_mended(
    synced: Program, world: World, database_urls: DatabaseUrls
) -> None:
    done = synced("reconcile")
    assert (done.returncode, "Nothing has been read yet" in done.stdout) == (0, True), done.stderr
    assert synced("reconcile", "--object", "contacts").returncode == 2
    assert "Nothing has been reconciled" in synced("drift").stdout
    assert synced("sync").returncode == 0
    done = synced("reconcile")
    assert done.returncode == 0, done.stderr
    assert "contacts" in done.stdout
    assert "Nothing differs." in synced("drift").stdout

    # All of them go wrong at once: that is no matter for a machine.
    with psycopg.connect(database_urls.superuser) as conn:
        conn.execute("set app.bulk = 'on'")
        conn.execute("update crm.contacts set last_name = 'Wrong'")
        conn.execute('update sync.links set base = base || \'{"last_name": ["Wrong"]}\'')
        row = conn.execute("select email, id from crm.contacts where email is not null limit 1").fetchone()
    assert row is not None
    done = synced("reconcile", "acme")
    assert done.returncode == 5
    assert "60 of 60 contacts differ, more than 50 and 1%" in done.stderr
    found = json.loads(synced("drift", "acme", "--object", "contacts", "--json").stdout)
    assert {(each["field"], each["cause"], each["ours"]) for each in found["drift"]} == {
        ("last_name", "unmerged", "Wrong")
    }
    assert found["counts"][0]["open"] == 60
    assert "unmerged" in synced("drift", "--state", "all").stdout
    assert synced("drift", "--state", "odd").returncode == 2

    done = synced("explain", row[0])
    assert done.returncode == 0, done.stderr
    assert "Reconcile found drift" in done.stdout
    assert f"What to do: syncline resync {row[1]} --connection acme" in done.stdout
    done = synced("resync", str(row[1]), "--connection", "acme")
    assert done.returncode == 0, done.stderr
    assert "taken" in done.stdout
    explained = json.loads(synced("explain", row[0], "--json").stdout)
    assert explained["reasons"] == []
    assert explained["conclusion"].startswith("Nothing stands in its way")

    done = synced("reconcile", "--report-only", "--json")
    reported = {each["object"]: each for each in json.loads(done.stdout)}
    assert reported["contacts"]["counts"]["open"] == 59
    done = synced("reconcile", "--object", "contacts", "--heal-all")
    assert done.returncode == 0, done.stderr
    assert "Nothing differs." in synced("drift").stdout
