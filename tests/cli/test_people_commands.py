"""People, keys and tenants at the command line."""

from __future__ import annotations

import json
import subprocess

from programs import Program


def test_the_first_admin_gets_a_link_once_and_is_in_the_list(program: Program):
    done = program("init", "--admin-email", "ada@example.com")
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:8750/password/" in done.stdout
    listed = json.loads(program("user", "list", "--json").stdout)
    assert [(each["email"], each["role"], each["has_password"]) for each in listed] == [
        ("ada@example.com", "admin", False)
    ]
    spoken = subprocess.run(
        program.command(["init", "--admin-email", "ada@example.com", "--password-stdin"]),
        env=program.environment,
        input="four words of hers\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "ada@example.com can sign in." in spoken.stdout
    assert "four words" not in spoken.stdout + spoken.stderr


def test_people_are_taken_in_changed_and_kept_out(program: Program):
    assert program("user", "add", "boss@example.com", "--role", "admin", "--operator").returncode == 0
    added = program("user", "add", "ada@example.com", "--name", "Ada Example")
    assert "/password/" in added.stdout
    assert "is manager" in program("user", "role", "ada@example.com", "manager").stdout
    assert program("user", "deactivate", "ada@example.com").returncode == 0
    assert "off" in program("user", "list").stdout
    assert program("user", "activate", "ADA@example.com").returncode == 0
    assert "/password/" in program("user", "password", "ada@example.com").stdout
    last = program("user", "deactivate", "boss@example.com")
    assert (last.returncode, "only admin" in last.stderr) == (2, True)
    assert program("user", "add", "no address").returncode == 2
    assert program("user", "role", "nobody@example.com", "rep").returncode == 2


def test_a_key_is_printed_once_and_alone(program: Program):
    made = program("key", "create", "reports", "--role", "manager", "--scope", "records:read", "--days", "30")
    key = made.stdout.strip()
    assert key.startswith("syncline_")
    assert len(key.split()) == 1
    listed = program("key", "list").stdout
    assert "reports" in listed
    assert key[-43:] not in listed
    assert program("key", "create", "reports").returncode == 2
    assert program("key", "revoke", "reports").returncode == 0
    assert program("key", "revoke", "reports").returncode == 2
    assert program("key", "create", "x", "--scope", "everything").returncode == 2


def test_tenants_are_made_listed_and_suspended_beside_their_settings(program: Program):
    assert (
        program("tenant", "create", "acme", "--label", "Acme", "--time-zone", "Europe/Berlin").returncode == 0
    )
    assert json.loads(program("tenant", "--tenant", "acme", "--json").stdout)["time_zone"] == "Europe/Berlin"
    assert json.loads(program("tenant", "--currency", "EUR", "--json").stdout)["currency"] == "EUR"
    assert program("tenant", "suspend", "acme").returncode == 0
    assert "suspended" in program("tenant", "list").stdout
    assert program("tenant", "resume", "acme").returncode == 0
    assert program("tenant", "rename", "acme", "Acme Group").returncode == 0
    listed = json.loads(program("tenant", "list", "--json").stdout)
    assert [(each["slug"], each["label"], each["status"]) for each in listed] == [
        ("acme", "Acme Group", "active"),
        ("default", "Default", "active"),
    ]
    assert program("tenant", "create", "acme").returncode == 2
    assert program("tenant", "suspend", "nowhere").returncode == 2
