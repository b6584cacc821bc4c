"""Of somebody else's row a person is given the lines that hold an address or a number of theirs."""

from __future__ import annotations

import json

import pytest

from syncline.domain.excerpts import LEFT_OUT, Excerpts
from syncline.domain.identifiers import needles

EMAIL, PHONE = "ann@people.example", "+14155552671"
OTHER = "bob@people.example"
OF_ANN = Excerpts(needles([EMAIL], [PHONE]))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Nobody is named.", []),
        (f"Bob pays late.\r\nAsk {EMAIL.upper()}.\nBob again.", [f"Ask {EMAIL.upper()}.\r"[:-1]]),
        (f"{EMAIL};{OTHER}", [f"{EMAIL};{LEFT_OUT}"]),
        (f"{OTHER}/{EMAIL}/{OTHER}", [f"{LEFT_OUT}{EMAIL}{LEFT_OUT}"]),
        (f"On 2026-11-22 {PHONE} rang +49 (151) 123-4567.", [f"On 2026-11-22 {PHONE} rang {LEFT_OUT}."]),
        (f"{EMAIL}\nBob\n{PHONE}", [EMAIL, PHONE]),
        (f"Room 101, {EMAIL}", [f"Room 101, {EMAIL}"]),
    ],
)
def test_a_line_is_given_without_the_addresses_and_numbers_of_others(text: str, lines: list[str]) -> None:
    assert [each.strip() for each in OF_ANN.of_text(text)] == [each.strip() for each in lines]


def test_of_a_long_line_only_the_words_about_it_are_given() -> None:
    [line] = OF_ANN.of_text(
        f"Bob owes money. {'word ' * 40}bef0re {EMAIL} beh1nd {'word ' * 40}Bob's secret."
    )
    assert "bef0re ann@people.example beh1nd" in line
    assert "Bob" not in line
    assert len(line) < 300


def test_no_half_of_another_address_is_given_where_a_long_line_is_cut() -> None:
    other = "b" * 300
    for text in (f"{other}@x.example {EMAIL} {other}@x.example", f"{other}{' ' * 3}{EMAIL},{other}"):
        assert "bb" not in "".join(OF_ANN.of_text(text))


def test_in_a_document_only_what_holds_it_is_given_and_where_it_stands() -> None:
    row = {
        "name": "Bob",
        "changes": {"note": ["Bob's", f"Bob's\n{EMAIL}"], "age": [None, 30], "ok": True},
        "body": json.dumps([{"email": OTHER}, {"email": EMAIL}]),
        "by": {EMAIL: 1, f"{OTHER} and {EMAIL}": {"more": [PHONE, 14155552671]}},
        "broken": "{" + EMAIL,
    }
    assert OF_ANN.of_row(row) == {
        "changes.note.1": [EMAIL],
        "body.1.email": [EMAIL],
        "by": [EMAIL, f"{LEFT_OUT} and {EMAIL}"],
        f"by.{LEFT_OUT} and {EMAIL}.more.0": [PHONE],
        f"by.{LEFT_OUT} and {EMAIL}.more.1": ["14155552671"],
        "broken": ["{" + EMAIL],
    }


def test_a_long_text_that_names_them_again_and_again_is_read() -> None:
    text = f"{EMAIL} " * 20_000
    assert "".join(OF_ANN.of_text(text)).count(EMAIL) == 20_000
    assert OF_ANN.of_text("[" * 100_000 + EMAIL) != []
