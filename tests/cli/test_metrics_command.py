"""Numbers and rates at the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from programs import Program


def test_numbers_are_shown_for_people_programs_and_spreadsheets(program: Program):
    shown = program("metrics")
    assert shown.returncode == 0, shown.stderr
    assert "sales_script_performance" in shown.stdout
    readings = json.loads(program("metrics", "--json", "--period", "2026-Q1").stdout)
    assert [each["metric"]["number"] for each in readings] == list(range(1, 23))
    assert readings[0]["period"] == {"name": "custom", "from_on": "2026-01-01", "to_on": "2026-04-01"}
    one = json.loads(
        program("metrics", "win_rate", "--from", "2026-01-01", "--to", "2026-01-08", "--json").stdout
    )
    assert (one["value"], len(one["series"])) == (None, 7)
    rows = list(csv.reader(io.StringIO(program("metrics", "new_contacts", "--csv").stdout)))
    assert rows[0] == ["part", "from", "to", "value"]
    assert "Contacts" in program("metrics", "weekly_activity").stdout
    assert "Committed" in program("metrics", "revenue_forecast", "--limit", "2").stdout
    assert program("metrics", "deals_won", "--records").returncode == 0


def test_what_is_no_number_is_refused_in_words(program: Program):
    for arguments, said in (
        (("metrics", "no_such"), "There is no metric"),
        (("metrics", "--period", "soon"), "is no period"),
        (("metrics", "--owner", "nobody"), "There is no owner"),
        (("metrics", "--records"), "Name the metric"),
        (("metrics", "--set", "qualified"), "sets nothing"),
    ):
        done = program(*arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr, arguments


def test_words_that_count_and_rates_are_set(program: Program, home: Path):
    assert "hot, yes" in program("metrics", "--set", "qualified=Hot,yes").stdout
    assert json.loads(program("metrics", "--settings", "--json").stdout)["qualified"] == ["hot", "yes"]
    assert "Given." in program("rates", "set", "EUR", "USD", "2026-01-01", "1.1").stdout
    home.mkdir(exist_ok=True)
    file = home / "rates.csv"
    file.write_text("currency,date,rate\nEUR,2026-01-02,1.2\nEUR,2026-01-01,1.1\n")
    assert "1 are new" in program("rates", "import", str(file)).stdout
    listed = json.loads(program("rates", "list", "--json").stdout)
    assert [(each["valid_on"], each["rate"]) for each in listed] == [("2026-01-02", 1.2), ("2026-01-01", 1.1)]
    assert program("rates", "remove", "EUR", "USD", "2026-01-02").returncode == 0
    assert program("rates", "remove", "EUR", "USD", "2026-01-02").returncode == 2
    assert program("rates", "set", "EUR", "USD", "2026-01-02", "much").returncode == 2
    assert "1.1" in program("rates", "list").stdout
