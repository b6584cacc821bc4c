"""The reports in `reports/*.sql`: read once from their files, each with what its header says, and run.

A file is a header and a statement. In most of them `-- Number` stands between the records that a number rests
on and the number itself, so that both come from one definition; where it takes another road to the records,
they stand behind `-- Records`. What several of them say stands once, in a file whose name begins with `_`; a
line `-- Include` names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from syncline.store.db import Conn

FOLDER = Path(__file__).parent / "reports"
_HEADING = re.compile(r"-- (\w+): (.+)")
_MORE = re.compile(r"--   (\S.*)")
_PARAMETER = re.compile(r"%\((\w+)\)s")
_INCLUDE = re.compile(r"^ *-- Include (_\w+\.sql)\n", re.MULTILINE)
_NUMBER, _RECORDS = "-- Number\n", "-- Records\n"
#: What every header says, and what it may say besides.
NEEDED = frozenset({"name", "label", "unit", "shape", "meaning", "parameters"})
ALLOWED = NEEDED | {"number", "records", "undated"}

#: Follows the records of each report that has some.
_page = (FOLDER / "_page.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Report:
    """One report, as its file says."""

    name: str
    #: Its place in the list of metrics, from 1; None for what is no metric.
    number: int | None
    label: str
    #: 'money', 'count', 'percent', 'days', 'minutes', 'seconds', 'hours', 'months', or 'table'.
    unit: str
    #: How a number is made of the rows: `domain.metrics` knows.
    shape: str
    meaning: str
    #: What its records are; None where there are none to show.
    records: str | None
    #: 'won', 'closed' or 'calls' where records without a time are in no period.
    undated: str | None
    parameters: frozenset[str]
    statement: str
    #: Lists the records behind it, a page at a time; "" where there are none.
    listing: str
    listing_parameters: frozenset[str]


def expand(text: str) -> str:
    """Put in the parts that a text includes, and theirs. Raises `ValueError` for one that is missing."""
    while found := _INCLUDE.search(text):
        path = FOLDER / found[1]
        if not path.is_file():
            raise ValueError(f"There is no {found[1]} to include.")
        text = text[: found.start()] + path.read_text(encoding="utf-8") + text[found.end() :]
    return text


def parse(text: str) -> Report:
    """Read a report. Raises `ValueError` for a file that is none."""
    text = expand(text)
    head: dict[str, str] = {}
    last, start = "", 0
    lines = text.splitlines(keepends=True)
    for line in lines:
        if found := _HEADING.fullmatch(line.rstrip()):
            last = found[1]
            head[last] = found[2]
        elif last and (more := _MORE.fullmatch(line.rstrip())):
            head[last] += " " + more[1]
        else:
            break
        start += 1
    if NEEDED - head.keys() or head.keys() - ALLOWED:
        raise ValueError(f"The header names {sorted(head)}.")
    body = "".join(lines[start:])
    statement, _, own = body.partition(_RECORDS)
    before, numbered, _ = statement.partition(_NUMBER)
    listing = (own or (before if numbered else "")).rstrip()
    listing = f"{listing}\n{_page}" if listing else ""
    if (head.get("records") is None) != (not listing):
        raise ValueError("A report says what its records are, if and only if it has some.")
    return Report(
        name=head["name"],
        number=int(head["number"]) if "number" in head else None,
        label=head["label"],
        unit=head["unit"],
        shape=head["shape"],
        meaning=head["meaning"],
        records=head.get("records"),
        undated=head.get("undated"),
        parameters=frozenset(_PARAMETER.findall(statement)),
        statement=statement,
        listing=listing,
        listing_parameters=frozenset(_PARAMETER.findall(listing)),
    )


def _load() -> dict[str, Report]:
    found = [parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("[a-z]*.sql"))]
    found.sort(key=lambda report: (report.number or 1000, report.name))
    return {report.name: report for report in found}


#: Name → report: the metrics by their number, then the others by name.
REPORTS: Mapping[str, Report] = _load()


async def run_report(conn: Conn, report: Report, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a report, by column. `values` holds at least its parameters, the tenant among them.

    Planned for its own values each time: with and without a filter it takes another road.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            report.statement.encode(), {name: values[name] for name in report.parameters}, prepare=False
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Fact:
    """One record that a number rests on."""

    record_type: str
    id: UUID
    name: str | None
    at: datetime
    #: In its own currency.
    amount: Decimal | None
    currency: str | None
    #: What it adds, in the number's unit; None where it adds nothing or cannot be converted.
    value: Decimal | None
    #: Of a share: whether it is among those that count.
    counted: bool
    label: str | None


async def list_facts(
    conn: Conn,
    report: Report,
    values: Mapping[str, Any],
    *,
    after: tuple[datetime, UUID] | None,
    label: str | None,
    counted: bool,
    limit: int,
) -> list[Fact]:
    """Return a page of the records behind a report, the latest first; `counted`: only those that do."""
    after_at, after_id = after or (None, None)
    more = {"after_at": after_at, "after_id": after_id, "label": label, "counted": counted, "limit": limit}
    given = {**values, **more}
    async with conn.cursor(row_factory=class_row(Fact)) as cursor:
        await cursor.execute(
            report.listing.encode(), {name: given[name] for name in report.listing_parameters}, prepare=False
        )
        return await cursor.fetchall()
