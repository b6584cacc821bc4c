"""Reading a CRM's text as values of ours."""

from __future__ import annotations

from decimal import Decimal

import pytest

from syncline.domain.phones import to_e164
from syncline.domain.values import (
    Unreadable,
    as_boolean,
    as_date,
    as_number,
    as_percent,
    as_text,
    as_time,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2022-02-17T18:54:22.300Z", "2022-02-17T18:54:22.3+00:00"),
        ("2022-02-17T18:54:22.000Z", "2022-02-17T18:54:22+00:00"),
        ("2022-02-17T18:54:22Z", "2022-02-17T18:54:22+00:00"),
        ("2022-02-17T20:54:22.123456+02:00", "2022-02-17T18:54:22.123456+00:00"),
        ("1645124062300", "2022-02-17T18:54:22.3+00:00"),
        ("2022-02-17", "2022-02-17T00:00:00+00:00"),
    ],
)
def test_times_are_written_as_postgres_writes_them_into_json(text: str, value: str) -> None:
    assert as_time(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2022-02-30T10:00:00.000Z",
        "2022-13-01T10:00:00Z",
        "0000-01-01T00:00:00.000Z",
        "2022-02-17T18:54:22",
        "99999999999999999",
        "-",
        "2022-02-17T18:54:22.30xZ",
    ],
)
def test_a_text_that_is_no_moment_is_unreadable_not_guessed(text: str) -> None:
    with pytest.raises(Unreadable):
        as_time(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1500.50", Decimal("1500.50")),
        (" 7 ", 7),
        ("1e3", Decimal(1000)),
        ("123456789012345678901234567890", Decimal(123456789012345678901234567890)),
        (5, 5),
    ],
)
def test_numbers_are_read_exactly(text: object, value: object) -> None:
    assert as_number(text) == value


@pytest.mark.parametrize("text", ["", "1,500", "12 EUR", "NaN", "Infinity", "0x10", "1e999", "--1"])
def test_what_only_looks_like_a_number_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        as_number(text)


def test_a_share_becomes_a_percentage_without_rounding() -> None:
    assert as_percent("0.2") == 20
    assert as_percent("0.333") == Decimal("33.3")
    with pytest.raises(Unreadable):
        as_percent("1.5")


def test_yes_and_no_have_a_few_spellings_and_no_others() -> None:
    assert as_boolean("true") is True
    assert as_boolean("No") is False
    assert as_boolean(True) is True
    with pytest.raises(Unreadable):
        as_boolean("perhaps")


def test_dates_are_taken_from_dates_and_from_the_utc_day_of_times() -> None:
    assert as_date("2024-02-29") == "2024-02-29"
    assert as_date("2024-02-29T23:30:00-05:00") == "2024-03-01"
    with pytest.raises(Unreadable):
        as_date("2023-02-29")


def test_numbers_and_booleans_where_text_is_expected_are_written_out() -> None:
    assert as_text(7) == "7"
    assert as_text(True) == "true"
    with pytest.raises(Unreadable):
        as_text({"a": 1})


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("+1 (415) 555-2671", "US", "+14155552671"),
        ("415.555.2671", "US", "+14155552671"),
        ("1-415-555-2671", "US", "+14155552671"),
        ("+14155552671", "DE", "+14155552671"),
        ("+33 6 12 34 56 78", "US", "+33612345678"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("+44 (0)20 7946 0958", "US", "+442079460958"),
        ("(415) 555-2671 ext. 12", "US", "+14155552671"),
    ],
)
def test_phone_numbers_of_one_line_become_one_text(text: str, region: str, e164: str) -> None:
    assert to_e164(text, region) == e164


@pytest.mark.parametrize("text", ["", "12", "call me", "+" + "9" * 30, "1" * 500])
def test_what_is_no_phone_number_is_none(text: str) -> None:
    assert to_e164(text, "US") is None


def test_the_quick_road_agrees_with_the_library() -> None:
    import phonenumbers

    for area in range(200, 1000, 7):
        text = f"({area}) 5{area % 90 + 10}-0{area}"
        number = phonenumbers.parse(text, "US")
        expected = (
            phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            if phonenumbers.is_possible_number(number)
            else None
        )
        assert to_e164(text, "US") == expected
