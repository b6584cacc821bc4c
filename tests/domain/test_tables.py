"""Files of any kind are read or refused, columns are guessed, and what is written is read again as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.record_fields import RECORD_FIELDS
from syncline.domain.tables import Manner, guess_mapping, read_cell, read_table, write_cell, write_lines
from syncline.domain.values import Unreadable
from syncline.errors import Invalid

CONTACT, DEAL = RECORD_FIELDS["contact"], RECORD_FIELDS["deal"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_refused_with_a_reason(data: bytes):
    table, faults = None, None
    try:
        table = read_table(data)
    except Invalid as error:
        faults = set(error.fields)
    assert (table is None) == (faults == {"file"})
    if table is not None:
        assert table.rows
        assert all(len(cells) == len(table.columns) for _, cells in table.rows)


@given(TEXTS)
def test_a_text_that_was_written_is_read_as_it_was_and_is_no_formula(text: str):
    cell = write_cell(text)
    [[read]] = csv.reader(io.StringIO(write_lines([[text]]), newline="")) or [[""]]
    assert read == cell or (cell, read) == ("", "")
    assert not cell.startswith(("=", "@", "\t", "\r"))
    if text.strip() == text and not text.startswith("'"):
        assert read_cell(CONTACT.fields["first_name"], cell, Manner()) == text


@pytest.mark.parametrize("text", ["-3", "+1 415 555 0142", "-1,234.50", "+49 (30) 123-45"])
def test_numbers_of_any_kind_stay_as_they_are(text: str):
    assert write_cell(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|x", "@SUM(A1)", "\t=1", "+1;=2"])
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(text: str):
    assert write_cell(text) == "'" + text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("$1,200", "1200"),
            ("12,5", "12.5"),
            ("-3", "-3"),
        ),
        *(("1,234", "1234"), ("1 234", "1234"), ("USD 7", "7"), ("much", "much"), ("1,234,567", "1234567")),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: str):
    assert read_cell(DEAL.fields["amount"], text, Manner()) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("(1,234)", "-1234"),
        ("-$5", "-5"),
        ("$ -5", "-5"),
        ("\u22125", "-5"),
        ("1.200,50 EUR", "1200.50"),
        ("1'234'567.8", "1234567.8"),
        ("1E+05", "1E+05"),
    ],
)
def test_signs_currencies_and_powers_of_ten_are_read_as_they_are_meant(text: str, number: str):
    assert read_cell(DEAL.fields["amount"], text, Manner()) == number


@pytest.mark.parametrize("text", ["12 apples", "3 of 4", "41 79", "(-5)", "--5", "2026-01", "1e5x", "5 / 6"])
def test_what_only_holds_digits_is_left_for_the_reader_to_refuse(text: str):
    assert read_cell(DEAL.fields["amount"], text, Manner()) == text


def test_a_quotation_mark_that_is_never_closed_swallows_no_rows():
    with pytest.raises(Invalid, match="never closed"):
        read_table(b'email,note\na@example.com,"begun\nb@example.com,x\n')
    assert len(read_table(b'email,note\na@example.com,5" pipe\nb@example.com,x\n').rows) == 2


def test_days_and_months_are_not_guessed():
    day = DEAL.fields["expected_close_date"]
    assert read_cell(day, "03/04/2026", Manner(dates="dmy")) == "2026-04-03"
    assert read_cell(day, "03.04.2026", Manner(dates="mdy")) == "2026-03-04"
    assert read_cell(day, "2026-04-03", Manner()) == "2026-04-03"
    with pytest.raises(Unreadable):
        read_cell(day, "03/04/2026", Manner())


def test_columns_are_guessed_by_name_label_and_habit_and_no_field_twice():
    columns = [
        "Record ID",
        "E-MAIL",
        "Email Address",
        "Surname",
        "custom_fields.tier",
        "Shoe size",
        "phone number",
    ]
    assert guess_mapping(CONTACT, columns) == {
        "Record ID": "id",
        "E-MAIL": "email",
        "Email Address": None,
        "Surname": "last_name",
        "custom_fields.tier": "custom_fields.tier",
        "Shoe size": None,
        "phone number": "phone",
    }


def test_a_row_has_the_line_where_it_begins_in_the_file():
    table = read_table(b'name,note\n"a\nb",x\n\nc,y,too many\n')
    assert table.rows == [(2, ["a\nb", "x"]), (5, ["c", "y"])]
