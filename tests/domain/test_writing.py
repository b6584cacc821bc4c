"""What a value of ours becomes at a CRM, and that it comes back as what it was."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.domain.mapping import FieldMap, Lookups, Mapper, ObjectMap, StageFact
from syncline.domain.values import write_moment
from syncline.domain.writing import Writer

ANN = "11111111-1111-7111-8111-111111111111"
BEA = "22222222-2222-7222-8222-222222222222"
CONTACTS = ObjectMap(
    object="contacts",
    record_type="contact",
    fields=(
        FieldMap("email", "email"),
        FieldMap("first_name", "firstname"),
        FieldMap("lead_score", "score", "number"),
        FieldMap("vsl_watched", "watched", "boolean"),
        FieldMap("owner_id", "owner", "owner"),
        FieldMap("created_at", "createdate", "time"),
    ),
)
DEALS = ObjectMap(
    object="deals",
    record_type="deal",
    fields=(
        FieldMap("name", "dealname"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "dealstage"),
        FieldMap("probability", "probability", "percent"),
        FieldMap("close_date", "closedate", "time"),
    ),
)
CALLS = ObjectMap(
    object="calls",
    record_type="activity",
    constants={"type": "call"},
    fields=(
        FieldMap(
            "direction", "direction", "choice", {"OUT": "outbound", "IN": "inbound", "FORWARDED": "inbound"}
        ),
        FieldMap("subject", "title"),
    ),
)
LOOKUPS = Lookups(
    owners={"9": ANN, "7": ANN, "8": BEA},
    stages={
        ("default", "open"): StageFact("p", "s1", False, False, 20),
        ("default", "won"): StageFact("p", "s2", True, True, 100),
    },
)
#: Every converter on a field of its own, whatever the columns are called.
EVERYTHING = ObjectMap(
    object="anything",
    record_type="task",
    fields=(
        FieldMap("text", "a"),
        FieldMap("number", "b", "number"),
        FieldMap("percent", "c", "percent"),
        FieldMap("boolean", "d", "boolean"),
        FieldMap("time", "e", "time"),
        FieldMap("date", "f", "date"),
        FieldMap("owner", "g", "owner"),
        FieldMap("choice", "h", "choice", {"ONE": "one", "TWO": "two", "OTHER": "two", "NONE": None}),
    ),
)


def written(mapping: ObjectMap, values: dict[str, Any], record: dict[str, Any] | None = None):
    return Writer(mapping, LOOKUPS).write(values, record)


def _whole_ms(moment: datetime) -> str:
    return write_moment(moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC))


def _numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    return st.integers(low, high) | st.decimals(low, high, allow_nan=False, allow_infinity=False, places=6)


MOMENTS = st.datetimes(
    datetime(1000, 1, 1),  # noqa: DTZ001 -- the strategy takes bounds without a zone
    datetime(9999, 1, 1),  # noqa: DTZ001
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "text": st.none() | st.text(min_size=1),
        "number": st.none() | _numbers(-(10**17), 10**17),
        "percent": st.none() | _numbers(0, 100),
        "boolean": st.none() | st.booleans(),
        "time": st.none() | MOMENTS.map(_whole_ms),
        "date": st.none() | st.dates(date(1000, 1, 1), date(9999, 1, 1)).map(date.isoformat),
        "owner": st.sampled_from([None, ANN, BEA]),
        "choice": st.sampled_from([None, "one", "two"]),
    },
)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back_as_what_it_was(values: dict[str, Any]) -> None:
    result = written(EVERYTHING, values)
    assert result.unwritable == {}
    mapped = Mapper(EVERYTHING, LOOKUPS).map(result.properties)
    assert mapped.problems == {}
    assert mapped.values == values


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([each.field for each in EVERYTHING.fields]), st.none() | st.text()))
def test_no_text_whatever_is_written_in_a_form_that_cannot_be_read(values: dict[str, Any]) -> None:
    result = written(EVERYTHING, values)
    assert Mapper(EVERYTHING, LOOKUPS).map(result.properties).problems == {}
    written_fields = {each.field for each in EVERYTHING.fields if each.property in result.properties}
    assert written_fields | set(result.unwritable) == set(values)
    assert not written_fields & set(result.unwritable)


def test_none_and_an_empty_text_empty_the_property() -> None:
    result = written(CONTACTS, {"email": None, "first_name": "", "owner_id": None, "lead_score": None})
    assert result.properties == {"email": None, "firstname": None, "owner": None, "score": None}


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (Decimal("1E+5"), "100000"), (Decimal("0.10"), "0.10"), (1.5, "1.5"), (Decimal(-2), "-2")],
)
def test_numbers_are_written_without_an_exponent(value: Any, text: str) -> None:
    assert written(CONTACTS, {"lead_score": value}).properties == {"score": text}


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00"), (20, "0.20"), (Decimal("33.3"), "0.333"), (100, "1.00")]
)
def test_a_percent_is_written_as_a_share(value: Any, text: str) -> None:
    assert written(DEALS, {"probability": value}).properties == {"probability": text}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lead_score", "seven"),
        ("lead_score", True),
        ("lead_score", Decimal("NaN")),
        ("lead_score", Decimal("1E+90")),
        ("vsl_watched", "maybe"),
        ("created_at", "2026-01-01T00:00:00"),
        ("created_at", datetime(2026, 1, 1)),  # noqa: DTZ001 -- that is what is refused
        ("owner_id", "33333333-3333-7333-8333-333333333333"),
        ("email", 5),
        ("status", "new"),
    ],
)
def test_what_cannot_be_written_is_named_and_left_out(field: str, value: Any) -> None:
    result = written(CONTACTS, {field: value, "first_name": "Ann"})
    assert list(result.unwritable) == [field]
    assert str(value) not in result.unwritable[field]
    assert result.properties == {"firstname": "Ann"}


def test_a_percent_beyond_a_hundred_is_not_written() -> None:
    assert list(written(DEALS, {"probability": 120}).unwritable) == ["probability"]


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    for value in ("2026-03-01T12:30:00.123456+02:00", datetime(2026, 3, 1, 10, 30, 0, 123456, UTC)):
        assert written(CONTACTS, {"created_at": value}).properties == {
            "createdate": "2026-03-01T10:30:00.123Z"
        }


def test_of_several_owners_and_choices_that_are_one_of_ours_it_is_always_the_same() -> None:
    assert written(CONTACTS, {"owner_id": ANN}).properties == {"owner": "7"}
    assert written(CALLS, {"direction": "inbound"}).properties == {"direction": "IN"}


def test_a_property_that_cannot_be_set_is_named() -> None:
    writer = Writer(CONTACTS, LOOKUPS, {"email", "firstname"})
    result = writer.write({"email": "a@b.example", "created_at": "2026-01-01T00:00:00+00:00"})
    assert result.properties == {"email": "a@b.example"}
    assert "createdate" in result.unwritable["created_at"]


def test_what_follows_from_other_fields_is_passed_over() -> None:
    values = {"phone_e164": "+14155550100", "archived_at": None, "first_name": "Ann"}
    result = written(CONTACTS, values)
    assert (result.properties, result.unwritable) == ({"firstname": "Ann"}, {})


def test_a_constant_is_not_written_and_cannot_be_another() -> None:
    assert written(CALLS, {"type": "call", "subject": "A"}).properties == {"title": "A"}
    assert list(written(CALLS, {"type": "note"}).unwritable) == ["type"]


def test_an_open_deal_has_the_expected_date_and_a_closed_one_the_real_one() -> None:
    open_deal = written(DEALS, {"expected_close_date": "2026-05-01", "closed_at": None}, {"status": "open"})
    assert open_deal.properties == {"closedate": "2026-05-01T00:00:00.000Z"}
    closed = written(DEALS, {"closed_at": "2026-05-02T10:00:00+00:00"}, {"status": "won"})
    assert closed.properties == {"closedate": "2026-05-02T10:00:00.000Z"}
    emptied = written(DEALS, {"expected_close_date": None}, {"status": "open"})
    assert emptied.properties == {"closedate": None}


def test_the_date_a_deal_cannot_have_in_its_state_is_named() -> None:
    result = written(DEALS, {"closed_at": "2026-05-02T10:00:00+00:00"}, {"status": "open"})
    assert (result.properties, list(result.unwritable)) == ({}, ["closed_at"])
    result = written(DEALS, {"expected_close_date": "2026-05-02"}, {"status": "lost"})
    assert (result.properties, list(result.unwritable)) == ({}, ["expected_close_date"])


def test_a_deal_is_placed_by_the_words_of_its_stage_or_else_by_our_stage() -> None:
    moved = {"stage": "won", "stage_id": "s2", "pipeline_id": "p", "status": "won"}
    assert written(DEALS, moved).properties == {"dealstage": "won"}
    by_id = written(DEALS, {"stage_id": "s2", "status": "won"})
    assert by_id.properties == {"pipeline": "default", "dealstage": "won"}
    assert by_id.unwritable == {}
    assert list(written(DEALS, {"stage_id": "s9"}).unwritable) == ["stage_id"]
    assert list(written(DEALS, {"status": "won"}).unwritable) == ["status"]


def test_a_written_deal_is_read_back_as_the_same_deal() -> None:
    for stage in ("open", "won"):
        deal = Mapper(DEALS, LOOKUPS).map(
            {
                "dealname": "A",
                "pipeline": "default",
                "dealstage": stage,
                "closedate": "2026-05-01",
                "probability": "0.2",
            }
        )
        result = written(DEALS, deal.values)
        again = Mapper(DEALS, LOOKUPS).map(result.properties)
        assert again.values == deal.values
