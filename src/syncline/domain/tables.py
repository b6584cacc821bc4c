"""Tables as people hand them in and take them away: CSV read and written, columns guessed, words made values.

Knows fields and texts; must not know where records are stored, nor whether one is there already.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from syncline.domain.record_fields import Field, RecordFields
from syncline.domain.records import CUSTOM
from syncline.domain.values import Unreadable
from syncline.errors import Invalid

MAX_ROWS = 50_000
MAX_COLUMNS = 200
MAX_CELL = 100_000
_MARKS = re.compile(r"[^a-z0-9]+")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: What begins like a formula, and is a number of some kind all the same.
_NUMBER = re.compile(r"[+-]?[\d\s().,/-]*\d[\d\s().,/-]*")
#: A number as people write amounts: a currency or a percent sign on either side, spaces, apostrophes between.
_AMOUNT = re.compile(
    r"(?P<sign>[-+\u2212]?)\s*(?:[A-Za-z]{3}|[^\w\s.,()+-]{1,3})?\s*(?P<inner>[-+\u2212]?)\s*"
    r"(?P<number>\d[\d.,\s'\u2019_]*|[.,]\d+)\s*(?:[A-Za-z]{3}|[^\w\s.,()+-]{1,3})?"
)
_SCIENTIFIC = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d{1,3}")
_BETWEEN = re.compile(r"[\s'\u2019_]")
_GROUPED = re.compile(r"\d{1,3}(?:[\s'\u2019_]\d{3})+(?:[.,]\d*)?")
#: How people call fields, beside their names and labels.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "email": ("email address", "e mail", "mail", "work email"),
    "first_name": ("firstname", "given name", "forename"),
    "last_name": ("lastname", "surname", "family name"),
    "phone": ("phone number", "telephone", "mobile", "mobile phone", "tel"),
    "job_title": ("title", "position", "role", "jobtitle"),
    "owner_id": ("owner", "contact owner", "company owner", "deal owner", "account owner", "assigned to"),
    "company_id": ("company", "company name", "organization", "organisation", "account", "account name"),
    "contact_id": ("contact", "contact email", "person"),
    "deal_id": ("deal",),
    "domain": ("company domain name", "company domain", "website domain"),
    "website": ("url", "website url", "web site", "homepage"),
    "zip": ("zip code", "postal code", "postcode"),
    "state": ("region", "state region", "province"),
    "address": ("street", "street address"),
    "employee_count": ("employees", "number of employees", "headcount"),
    "annual_revenue": ("revenue",),
    "amount": ("value", "deal value", "deal amount"),
    "name": ("company name", "deal name", "deal", "dealname", "organization", "account name"),
    "stage": ("deal stage", "dealstage"),
    "expected_close_date": ("close date", "closedate", "expected close"),
    "lead_source": ("source", "lead origin"),
    "subject": ("title", "task", "task name"),
    "due_at": ("due", "due date", "deadline"),
    "occurred_at": ("date", "time", "timestamp"),
    "body": ("note", "notes", "description", "text"),
}


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds."""

    columns: list[str]
    #: (line where it begins, where the heading is 1; cells, one for each column).
    rows: list[tuple[int, list[str]]]


def read_table(data: bytes) -> Table:
    """Read CSV of any usual delimiter and encoding. Raises `Invalid`, saying what is wrong with the file."""
    text = _decode(data)
    if "\x00" in text:
        raise _fault("It holds the character NUL; is it a table at all? Save it as CSV.")
    delimiter = _find_delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    csv.field_size_limit(MAX_CELL)
    rows: list[tuple[int, list[str]]] = []
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            begins, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _read_heading(cells)
                continue
            if len(rows) >= MAX_ROWS:
                raise _fault(f"It has more than {MAX_ROWS:,} rows. Split it.")
            rows.append((begins, (cells + [""] * len(columns))[: len(columns)]))
    except csv.Error as error:
        raise _fault(f"Line {line} cannot be read: {error}.") from None
    if text.count('"') % 2 and _ends_in_quotes(text, delimiter):
        raise _fault("A quotation mark is opened and never closed, so that the rest would be one cell.")
    if columns is None or not rows:
        raise _fault("It has no rows; the first line names the columns, the others are records.")
    return Table(columns, rows)


def _ends_in_quotes(text: str, delimiter: str) -> bool:
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _fault(reason: str) -> Invalid:
    return Invalid(f"That file cannot be imported. {reason}", fields={"file": reason})


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _fault("Its characters cannot be read. Save it as UTF-8.")


def _find_delimiter(text: str) -> str:
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return max((",", ";", "\t", "|"), key=heading.count)


def _read_heading(cells: Sequence[str]) -> list[str]:
    columns = [cell.strip()[:200] or f"Column {number}" for number, cell in enumerate(cells, 1)]
    if len(columns) > MAX_COLUMNS:
        raise _fault(f"It has more than {MAX_COLUMNS} columns.")
    doubled = sorted({each for each in columns if columns.count(each) > 1})
    if doubled:
        raise _fault(f"Several columns are called {doubled[0]!r}. Rename all but one.")
    return columns


def guess_mapping(fields: RecordFields, columns: Iterable[str]) -> dict[str, str | None]:
    """Return column → the field it seems to be; None for one that none is like. `id` is a record's own."""
    names: dict[str, str] = {"id": "id", "record id": "id", f"{fields.name} id": "id"}
    writable = [each for each in fields.fields.values() if each.writable]
    for each in writable:
        for text in _SYNONYMS.get(each.name, ()):
            names.setdefault(text, each.name)
    for each in writable:
        names[_fold(each.name)] = names[_fold(each.label)] = each.name
    taken: set[str] = set()
    mapping: dict[str, str | None] = {}
    for column in columns:
        found = column if column.startswith(CUSTOM) and fields.find(column) else names.get(_fold(column))
        mapping[column] = found if found is not None and found not in taken else None
        if found is not None:
            taken.add(found)
    return mapping


def _fold(text: str) -> str:
    return _MARKS.sub(" ", text.lower()).strip()


@dataclass(frozen=True, slots=True)
class Manner:
    """How words of a file are to be read."""

    #: Where times without a zone are.
    zone: str = "UTC"
    #: The order of day and month in dates like 03/04/2026: `dmy` or `mdy`; else only 2026-04-03 is read.
    dates: str = "iso"
    #: True: an empty cell empties the field; else it says nothing.
    clears: bool = False


def read_cell(each: Field, text: str, manner: Manner) -> Any:
    """Return a cell in a form that `record_values` reads. Raises `Unreadable`."""
    text = text.strip()
    if len(text) > 1 and text[0] == "'" and text[1] in "=+-@":
        text = text[1:]  # as `write_cell` made it
    if not text or each.type == "text":
        return text
    if each.type == "number":
        return _read_number(text)
    if each.type == "date":
        return _read_day(text, manner.dates) or text
    if each.type == "time":
        return _read_moment(text, manner)
    return text


def _read_number(text: str) -> str:
    """Return a number with a point and nothing else in it; what is no amount is returned as it came."""
    if _SCIENTIFIC.fullmatch(text):
        return text
    is_negative = text.startswith("(") and text.endswith(")")
    found = _AMOUNT.fullmatch(text[1:-1].strip() if is_negative else text)
    signs = "" if found is None else found["sign"] + found["inner"] + "-" * is_negative
    if found is None or len(signs) > 1:
        return text
    number = found["number"].strip()
    if _BETWEEN.search(number) and not _GROUPED.fullmatch(number):
        return text
    plain = _BETWEEN.sub("", number)
    if "," in plain and "." in plain:
        decimal = max(plain.rfind(","), plain.rfind("."))
        mark = plain[decimal]
        plain = plain.replace("," if mark == "." else ".", "")
    if plain.count(",") == 1 and not re.fullmatch(r"\d{1,3},\d{3}", plain):
        plain = plain.replace(",", ".")
    return ("" if signs in ("", "+") else "-") + plain.replace(",", "")


def _read_day(text: str, order: str) -> str | None:
    match = re.fullmatch(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})", text)
    if match is None:
        return None
    first, second, year = match.groups()
    if order not in ("dmy", "mdy"):
        raise Unreadable("Say whether the day or the month comes first, or write 2026-12-31.")
    day, month = (first, second) if order == "dmy" else (second, first)
    return f"{year}-{int(month):02}-{int(day):02}"


def _read_moment(text: str, manner: Manner) -> str:
    day, _, rest = text.partition(" ")
    found = _read_day(day, manner.dates)
    if found is not None:
        text = f"{found} {rest}".strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(manner.zone))
    return moment.isoformat()


def write_cell(value: Any) -> str:
    """Write a value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    text = str(value)
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def write_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as CSV (RFC 4180)."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerows([write_cell(value) for value in row] for row in rows)
    return buffer.getvalue()
