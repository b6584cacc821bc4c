"""Alerts, their rules and channels at the command line."""

from __future__ import annotations

import json
from pathlib import Path

from programs import Program

RULES = "alerts:\n  - {name: mine, condition: sync_failures_24h > 3, notify: role:admin}\n"


def test_rules_are_shown_tried_set_and_reset(program: Program, home: Path):
    shown = program("alerts", "rules", "show")
    assert "low_success_rate" in shown.stdout, shown.stderr
    home.mkdir(exist_ok=True)
    file = home / "rules.yaml"
    file.write_text(shown.stdout)
    tried = json.loads(program("alerts", "rules", "check", str(file), "--json").stdout)
    assert "contacts_stale" in [each["rule"] for each in tried]
    assert all(each["firing"] == [] for each in tried)
    file.write_text(RULES)
    assert "These rules hold now." in program("alerts", "rules", "set", str(file)).stdout
    assert json.loads(program("alerts", "rules", "show", "--json").stdout)["document"] == RULES
    assert "mine" in program("alerts", "rules", "check").stdout
    file.write_text(RULES.replace("3", "many"))
    refused = program("alerts", "rules", "set", str(file))
    assert refused.returncode == 2
    assert "mine.condition" in refused.stderr
    assert "shipped rules hold" in program("alerts", "rules", "reset").stdout


def test_a_channel_is_added_without_its_address_on_the_command_line(program: Program):
    adding = program.start("alerts", "channels", "add", "webhook:ops")
    told, _ = adding.communicate("https://hooks.example.com/secret-path\n", timeout=60)
    assert adding.returncode == 0, told
    assert "whsec_" in told
    listed = program("alerts", "channels", "list").stdout
    assert "webhook:ops" in listed
    assert "secret-path" not in listed + program("alerts", "channels", "list", "--json").stdout
    assert program("alerts", "channels", "remove", "webhook:ops").returncode == 0
    assert program("alerts", "channels", "test", "webhook:ops").returncode == 2


def test_nothing_open_is_said_in_words(program: Program):
    assert "No alert is open." in program("alerts", "list").stdout
    assert json.loads(program("alerts", "list", "--state", "all", "--json").stdout)["alerts"] == []
    unknown = program("alerts", "acknowledge", "0198c1f2-6a00-7c3e-8f00-000000000001")
    assert unknown.returncode == 2
    assert program("alerts", "list", "--state", "loud").returncode == 2
