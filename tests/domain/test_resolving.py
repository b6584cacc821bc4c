"""What follows from a person's choice, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.domain.records import RECORD_TYPES
from syncline.domain.resolving import (
    Choice,
    Disputed,
    is_as_found,
    list_together,
    read_value,
    settle,
    to_columns,
    value_of,
)
from syncline.errors import Invalid

CONTACT, DEAL, ACTIVITY = (RECORD_TYPES[name] for name in ("contact", "deal", "activity"))
PHONE = Disputed("phone", "1", "2", ["2", "two"])


@pytest.mark.parametrize(
    ("choice", "taken", "given", "push"),
    [
        (Choice("ours"), {}, {}, ["phone"]),
        (Choice("theirs"), {"phone": "2"}, {}, []),
        (Choice("custom", {"phone": "3"}), {}, {"phone": "3"}, ["phone"]),
    ],
)
def test_whatever_is_chosen_what_they_have_is_agreed_on(
    choice: Choice, taken: dict[str, Any], given: dict[str, Any], push: list[str]
):
    settled = settle("contact", [PHONE], {"phone": choice}, {"phone": "2", "email": "x"})
    assert settled.base == {"phone": ["2", "two"]}
    assert (settled.taken, settled.given, settled.push) == (taken, given, push)


def test_what_nobody_chose_stays_open():
    settled = settle("contact", [PHONE, Disputed("email", "a", "b", ["b"])], {"email": Choice("ours")}, {})
    assert settled.base == {"email": ["b"]}


def test_a_deals_dates_go_with_its_stage_only_where_the_sides_differ_in_the_status():
    place = {"pipeline", "stage", "pipeline_id", "stage_id", "status"}
    assert list_together("deal", "stage", {"status": "open"}, {"status": "open"}) == place
    wide = list_together("deal", "closed_at", {"status": "open"}, {"status": "won"})
    assert wide == place | {"probability", "expected_close_date", "closed_at"}
    assert list_together("deal", "closed_at", {"status": "open"}, {"status": "open"}) == {"closed_at"}
    assert list_together("contact", "phone", {}, {}) == {"phone"}


def test_what_follows_from_a_stage_follows_it_though_it_is_not_in_dispute():
    stage = Disputed("stage", "a", "b", ["b"])
    settled = settle("deal", [stage], {"stage": Choice("theirs")}, {"stage": "b", "status": "won"})
    assert settled.taken == {"stage": "b", "status": "won"}
    assert settled.base == {"stage": ["b"], "status": ["won"]}


def test_custom_fields_are_written_beside_those_that_are_there():
    row = {"custom_fields": {"size": 5, "color": "red"}}
    assert value_of(row, "custom_fields.size") == 5
    assert value_of({}, "custom_fields.size") is None
    columns, derived = to_columns(CONTACT, row, {"custom_fields.size": 6, "email": "a@b"}, "US")
    assert columns == {"email": "a@b", "custom_fields": {"size": 6, "color": "red"}}
    assert derived == {}


def test_a_number_is_read_anew_from_what_it_follows_from():
    _, derived = to_columns(CONTACT, {}, {"phone": "030 901820"}, "DE")
    assert derived == {"phone_e164": "+4930901820"}
    row = {"direction": "outbound", "from_number": "+14155550100", "to_number": "+14155550111"}
    _, derived = to_columns(ACTIVITY, row, {"direction": "inbound"}, "US")
    assert derived == {"phone_e164": "+14155550100"}


def test_a_moment_written_otherwise_is_the_same_moment():
    found = Disputed("closed_at", "2026-03-01T10:00:00+00:00", None, [])
    assert is_as_found({"closed_at": "2026-03-01T11:00:00+01:00"}, found)
    assert not is_as_found({"closed_at": "2026-03-01T11:00:00+00:00"}, found)
    assert is_as_found({"name": ""}, Disputed("name", None, "x", []))


@pytest.mark.parametrize(
    ("kind", "field", "text", "value"),
    [
        (CONTACT, "first_name", " Ann ", " Ann "),
        (CONTACT, "first_name", "  ", None),
        (CONTACT, "vsl_watched", "yes", True),
        (DEAL, "amount", " 12 ", 12),
        (DEAL, "closed_at", "2026-03-01T10:00:00Z", "2026-03-01T10:00:00+00:00"),
        (DEAL, "expected_close_date", "2026-03-01", "2026-03-01"),
        (DEAL, "custom_fields.size", "XL", "XL"),
    ],
)
def test_what_was_typed_becomes_a_value_of_the_field(kind: Any, field: str, text: str, value: Any):
    assert read_value(kind, field, text) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [("amount", "much"), ("closed_at", "soon"), ("owner_id", "Ann"), ("installments", "1e99x")],
)
def test_what_is_no_value_is_refused_without_being_repeated(field: str, text: str):
    with pytest.raises(Invalid) as refusal:
        read_value(DEAL, field, text)
    assert text not in str(refusal.value)
