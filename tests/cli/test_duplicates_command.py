"""Finding and merging duplicates as a person types it, against a simulated CRM."""

from __future__ import annotations

import pytest
from programs import Program
from test_two_way import answer, crm_url, execute, synced

from syncline.simulators.hubspot import World

__all__ = ["crm_url", "synced"]


@pytest.fixture
def world() -> World:
    made = World(5)
    made.populate(
        contacts=0, companies=0, deals=0, calls=0, meetings=0, emails=0, notes=0, tasks=0, owners=1,
        archived_owners=0, cars=0, archived_contacts=0,
    )  # fmt: skip
    for title, email in (("Captain", "meg@harbour.example"), ("Pilot", "m@port.example")):
        names = {"firstname": "Meg", "lastname": "Harbour", "phone": "+15550100"}
        made.create("contacts", {**names, "email": email, "jobtitle": title})
    return made


def test_two_that_are_one_are_found_looked_at_and_merged_here_and_at_the_crm(synced: Program, world: World):
    [found] = answer(synced, "duplicates", "list")["candidates"]
    ids = found["one"]["record_id"], found["other"]["record_id"]
    assert found["strength"] == "likely"
    shown = synced("duplicates", "show", *ids)
    assert shown.returncode == 0, shown.stderr
    for words in ("Captain", "Pilot", "the same name and telephone number", "cannot be undone", "--merge"):
        assert words in shown.stdout
    # Said to be two, they are not listed; taken back, they are.
    assert answer(synced, "duplicates", "dismiss", *ids)["changed"] is True
    assert "No two records" in synced("duplicates", "list").stdout
    assert answer(synced, "duplicates", "restore", *ids)["changed"] is True
    # It asks first, and goes to the CRM only where that is allowed.
    assert synced("duplicates", "merge", *ids).returncode != 0
    refused = synced("duplicates", "merge", *ids, "--in-crm", "--yes")
    assert refused.returncode == 2
    assert "--merge" in refused.stderr
    allowed = answer(synced, "writing", "allow", "acme", "--object", "contacts", "--merge", "--yes")
    assert allowed["plan"]["scopes"] == ["merge"]
    chosen = ("--set", "job_title=B", "--survivor", ids[0])
    done = answer(synced, "duplicates", "merge", *ids, *chosen, "--in-crm", "--yes")
    assert (done["survivor"], done["merged"]) == ids
    assert [each["state"] for each in done["there"]] == ["done"]
    assert len(world.store("contacts").living) == 1
    rows = execute(synced, "select id::text, job_title from crm.contacts where merged_into is null")
    titles = {"one": found["one"], "other": found["other"]}
    assert [row[0] for row in rows] == [titles["one"]["record_id"]]
    again = synced("duplicates", "merge", *ids, "--yes")
    assert again.returncode == 2
    assert "already" in again.stderr


def test_a_push_merges_at_the_crm_what_is_to_follow_there_as_a_worker_does(synced: Program, world: World):
    [found] = answer(synced, "duplicates", "list")["candidates"]
    ids = found["one"]["record_id"], found["other"]["record_id"]
    answer(synced, "writing", "allow", "acme", "--object", "contacts", "--merge", "--yes")
    answer(synced, "duplicates", "merge", *ids, "--yes")
    assert len(world.store("contacts").living) == 2
    execute(synced, "update sync.merges set state = 'wanted', not_before = now()")
    [pushed] = answer(synced, "push", "acme")
    assert [each["state"] for each in pushed["merges"]] == ["done"]
    assert len(world.store("contacts").living) == 1
    [pushed] = answer(synced, "push", "acme")
    assert pushed["merges"] == []


def test_what_a_connection_does_about_merges_elsewhere_is_shown_and_set(synced: Program):
    assert answer(synced, "duplicates", "follow", "acme")["following"] == "here"
    assert answer(synced, "duplicates", "follow", "acme", "everywhere")["following"] == "everywhere"
    assert "merged there as well" in synced("duplicates", "follow", "acme").stdout
    assert synced("duplicates", "follow", "acme", "never").returncode == 2
