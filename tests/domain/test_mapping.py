"""What a remote record becomes, and what a pull changes by what was agreed."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.domain.agreement import agree_on_new
from syncline.domain.changes import Copy
from syncline.domain.mapping import FieldMap, Lookups, MappedRecord, Mapper, ObjectMap, StageFact
from syncline.domain.merge import Access, Merged, merge
from syncline.domain.policies import Policy
from syncline.domain.records import CONTACT, DEAL, RecordType

CONTACTS = ObjectMap(
    object="contacts",
    record_type="contact",
    fields=(
        FieldMap("email", "email"),
        FieldMap("first_name", "firstname"),
        FieldMap("phone", "phone"),
        FieldMap("lead_score", "score", "number"),
        FieldMap("owner_id", "owner", "owner"),
        FieldMap("created_at", "createdate", "time"),
    ),
)
DEALS = ObjectMap(
    object="deals",
    record_type="deal",
    fields=(
        FieldMap("name", "dealname"),
        FieldMap("currency", "currency"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "dealstage"),
        FieldMap("probability", "probability", "percent"),
        FieldMap("close_date", "closedate", "time"),
    ),
)
OWNER = "11111111-1111-7111-8111-111111111111"
LOOKUPS = Lookups(
    owners={"7": OWNER},
    stages={
        ("default", "open"): StageFact("p", "s1", False, False, 20),
        ("default", "won"): StageFact("p", "s2", True, True, 100),
        ("default", "lost"): StageFact("p", "s3", True, False, 0),
    },
    currency="EUR",
)
ANN = {"email": "a@b.co", "firstname": "Ann", "phone": "415-555-2671", "score": "7", "owner": "7"}


def test_a_property_that_was_not_read_is_left_out_and_an_empty_one_is_none() -> None:
    mapped = Mapper(CONTACTS, LOOKUPS).map({"email": "a@b.co", "firstname": None, "phone": ""})
    assert mapped.values["email"] == "a@b.co"
    assert mapped.values["first_name"] is None
    assert mapped.values["phone"] is None
    assert "lead_score" not in mapped.values


def test_an_unreadable_value_is_named_and_left_empty_while_the_others_are_kept() -> None:
    mapped = Mapper(CONTACTS, LOOKUPS).map({**ANN, "score": "seven"})
    assert mapped.problems == {"lead_score": "not a number"}
    assert mapped.values["lead_score"] is None
    assert mapped.values["email"] == "a@b.co"


def test_a_text_too_long_for_an_index_is_a_problem_of_its_field_only() -> None:
    mapped = Mapper(CONTACTS, LOOKUPS).map({**ANN, "email": "x" * 70_000})
    assert mapped.values["email"] is None
    assert list(mapped.problems) == ["email"]


def test_an_unknown_owner_is_not_empty_but_not_known_yet() -> None:
    mapped = Mapper(CONTACTS, LOOKUPS).map({**ANN, "owner": "8"})
    assert "owner_id" not in mapped.values
    assert mapped.digest is None
    assert mapped.problems == {}


def test_the_digest_follows_mapped_properties_only() -> None:
    mapper = Mapper(CONTACTS, LOOKUPS)
    assert mapper.map({**ANN, "calculated": "1"}).digest == mapper.map({**ANN, "calculated": "2"}).digest
    assert mapper.map(ANN).digest != mapper.map({**ANN, "firstname": "Anne"}).digest


@pytest.mark.parametrize(
    ("stage", "status", "closed", "expected", "probability"),
    [
        ("open", "open", None, "2024-05-01", 20),
        ("won", "won", "2024-05-01T00:00:00+00:00", None, 100),
        ("lost", "lost", "2024-05-01T00:00:00+00:00", None, 0),
    ],
)
def test_a_close_date_is_expected_while_open_and_real_once_closed(
    stage: str, status: str, closed: str | None, expected: str | None, probability: int
) -> None:
    mapped = Mapper(DEALS, LOOKUPS).map(
        {"dealname": "A", "pipeline": "default", "dealstage": stage, "closedate": "2024-05-01"}
    )
    assert mapped.values["status"] == status
    assert mapped.values["closed_at"] == closed
    assert mapped.values["expected_close_date"] == expected
    assert mapped.values["probability"] == probability
    assert mapped.values["currency"] == "EUR"


def test_a_stage_nobody_lists_is_reported_and_not_guessed() -> None:
    mapped = Mapper(DEALS, LOOKUPS).map({"dealname": "A", "pipeline": "default", "dealstage": "new"})
    assert mapped.values["stage_id"] is None
    assert mapped.values["status"] == "open"
    assert "stage" in mapped.problems
    assert mapped.digest is None


def _agreed(properties: dict[str, str | None]) -> tuple[dict[str, object], dict[str, list[object]]]:
    mapped = Mapper(CONTACTS, LOOKUPS).map(properties)
    base, _ = agree_on_new(CONTACT, mapped)
    return {**dict.fromkeys(CONTACT.fields), **mapped.values}, json.loads(base)


def _merge(
    kind: RecordType,
    row: dict[str, object],
    base: dict[str, list[object]],
    mapped: MappedRecord,
    theirs_ms: int = 2_000_000,
) -> Merged:
    """Merge with a record of ours that changed a thousand seconds after 1970, and may not be pushed."""
    theirs = Copy(mapped.values, mapped.theirs, theirs_ms)
    return merge(kind, Policy(), base, Copy(row, updated_ms=1_000_000), theirs, access=Access(push=()))


def test_reading_the_same_again_changes_nothing() -> None:
    row, base = _agreed(ANN)
    assert _merge(CONTACT, row, base, Mapper(CONTACTS, LOOKUPS).map(ANN)).is_quiet


def test_a_field_only_they_changed_is_taken_and_one_only_we_changed_is_kept() -> None:
    row, base = _agreed(ANN)
    row["email"] = "ours@b.co"
    theirs = Mapper(CONTACTS, LOOKUPS).map({**ANN, "firstname": "Anne"})
    assert _merge(CONTACT, row, base, theirs).write == {"first_name": "Anne"}


def test_a_phone_they_changed_takes_its_number_along_and_one_we_changed_keeps_ours() -> None:
    row, base = _agreed(ANN)
    moved = Mapper(CONTACTS, LOOKUPS).map({**ANN, "phone": "+14155550000"})
    assert _merge(CONTACT, row, base, moved).derived == {"phone_e164": "+14155550000"}
    row["phone"], row["phone_e164"] = "+33612345678", "+33612345678"
    same = Mapper(CONTACTS, LOOKUPS).map({**ANN, "firstname": "Anne"})
    assert _merge(CONTACT, row, base, same).derived == {}


def test_a_field_never_agreed_on_is_adopted_filled_or_the_newer_ones_and_never_emptied() -> None:
    row = {**dict.fromkeys(CONTACT.fields), "email": "a@b.co", "phone": "1"}
    mapped = Mapper(CONTACTS, LOOKUPS).map(
        {"email": "a@b.co", "firstname": "Ann", "phone": None, "score": "3"}
    )
    assert _merge(CONTACT, row, {}, mapped).write == {"first_name": "Ann", "lead_score": 3}
    row["first_name"] = "Anna"
    assert _merge(CONTACT, row, {}, mapped).write["first_name"] == "Ann"
    assert "first_name" not in _merge(CONTACT, row, {}, mapped, theirs_ms=1_000).write


def test_an_owner_that_becomes_known_later_is_filled_in() -> None:
    row, base = _agreed({**ANN, "owner": "8"})
    known = Mapper(CONTACTS, Lookups(owners={"8": OWNER})).map({**ANN, "owner": "8"})
    assert _merge(CONTACT, row, base, known, theirs_ms=1_000).write == {"owner_id": OWNER}


def test_a_deal_that_moves_to_a_won_stage_is_won_at_its_close_date() -> None:
    mapper = Mapper(DEALS, LOOKUPS)
    before = {"dealname": "A", "pipeline": "default", "dealstage": "open", "closedate": "2024-05-01"}
    mapped = mapper.map(before)
    base, _ = agree_on_new(DEAL, mapped)
    row = {**dict.fromkeys(DEAL.fields), **mapped.values}
    write = _merge(DEAL, row, json.loads(base), mapper.map({**before, "dealstage": "won"})).write
    assert write["status"] == "won"
    assert write["closed_at"] == "2024-05-01T00:00:00+00:00"
    assert write["expected_close_date"] is None
    assert write["probability"] == 100


# Timings belong nowhere in tests, the library's own included.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(ANN)), st.none() | st.text(max_size=300)))
def test_no_text_whatever_stops_a_record(properties: dict[str, str | None]) -> None:
    mapped = Mapper(CONTACTS, LOOKUPS).map(properties)
    base, changes = agree_on_new(CONTACT, mapped)
    assert set(json.loads(changes)) <= set(json.loads(base))
