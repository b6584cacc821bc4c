"""The page about metrics and the files that count them say the same."""

from __future__ import annotations

import re

import pytest
from sources import ROOT

from syncline.actions.overview import TABLES
from syncline.domain.metrics import COLUMNS, SHAPES
from syncline.store.metrics import SETTING_NAMES
from syncline.store.reports import ALLOWED, FOLDER, NEEDED, REPORTS, expand, parse

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_has_its_row_and_every_row_its_metric() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| .+ \| ([\w%]+) \|$", PAGE, re.MULTILINE)
    units = {"percent": "%"}
    assert [(int(number), name, unit) for number, name, unit in rows] == [
        (report.number, report.name, units.get(report.unit, report.unit))
        for report in REPORTS.values()
        if report.number is not None
    ]
    assert len(rows) == 22


def test_every_table_has_its_row_and_every_row_its_table() -> None:
    section = PAGE.partition("## Tables beside the metrics")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(TABLES)
    assert set(TABLES) == {report.name for report in REPORTS.values() if report.number is None}


def test_every_setting_is_explained() -> None:
    assert [name for name in SETTING_NAMES if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("report", REPORTS.values(), ids=lambda report: report.name)
def test_a_report_says_what_it_is(report: object) -> None:
    assert report == parse((FOLDER / f"{report.name}.sql").read_text(encoding="utf-8"))  # type: ignore[attr-defined]


def test_every_header_is_complete_and_true() -> None:
    for path in sorted(FOLDER.glob("[a-z]*.sql")):
        text = path.read_text(encoding="utf-8")
        report = parse(text)
        assert report.name == path.stem
        told = re.search(r"^-- parameters: (.+(?:\n--   .+)*)", text, re.MULTILINE)
        assert told is not None, path.name
        names = {each.strip() for each in told[1].replace("\n--", "").split(",")}
        assert names == set(re.findall(r"%\((\w+)\)s", expand(text))), path.name
        if report.number is not None:
            assert report.shape in SHAPES, path.name
            assert report.listing, path.name
            assert (report.unit == "table") == (report.shape in COLUMNS), path.name


def test_every_part_is_there_and_said_by_several() -> None:
    """What one report alone says stands in its own file; `_page.sql` follows each of them."""
    parts = {path.name for path in FOLDER.glob("_*.sql")} - {"_page.sql"}
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.glob("*.sql")]
    included = [name for text in texts for name in re.findall(r"-- Include (\S+)", text)]
    assert set(included) == parts
    assert [name for name in parts if included.count(name) < 2] == []
    with pytest.raises(ValueError, match=r"_nobody\.sql"):
        expand("select 1\n-- Include _nobody.sql\n")


def test_no_fifteen_lines_stand_in_two_reports() -> None:
    said: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.sql")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for start in range(len(lines) - 14):
            block = "\n".join(lines[start : start + 15])
            assert said.setdefault(block, path.name) == path.name, f"{path.name}:\n{block}"


def test_a_file_without_a_header_is_no_report() -> None:
    with pytest.raises(ValueError, match="header"):
        parse("select 1\n")
    assert NEEDED < ALLOWED
