"""`syncline webhooks` as a person types it."""

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
    with in_thread(World(5)) as url:
        done = program(
            *("connect", "hubspot", "--name", "acme", "--base-url", url, "--object", "owners"),
            HUBSPOT_API_KEY=DEFAULT_TOKEN,
        )
        assert done.returncode == 0, done.stderr
        yield program


def test_a_secret_is_stored_and_never_shown(connected: Program, tmp_path: Path):
    public = {"SYNCLINE_PUBLIC_URL": "https://hub.example.com/"}
    address = "https://hub.example.com/api/v1/webhooks/hubspot/acme"
    done = connected("webhooks", "secret", "acme", WEBHOOK_SECRET="hush hush", **public)
    assert done.returncode == 0, done.stderr
    assert address in done.stdout
    assert "hush" not in done.stdout + done.stderr
    shown = connected("webhooks", "show", **public)
    assert address in shown.stdout
    assert "waits for the first delivery" in shown.stdout
    found = json.loads(connected("webhooks", "show", "--json").stdout)
    assert [(each["connection"], each["secret"]) for each in found["webhooks"]] == [("acme", "own")]
    # From a file as well; and what is missing is named.
    file = tmp_path / "secret"
    file.write_text("another\n")
    assert connected("webhooks", "secret", "acme", "--secret-file", str(file)).returncode == 0
    missing = connected("webhooks", "secret", "acme", "--secret-env", "NOT_THERE")
    assert (missing.returncode, "NOT_THERE" in missing.stderr) == (3, True)
    assert connected("webhooks", "secret", "nobody", WEBHOOK_SECRET="s").returncode == 2
