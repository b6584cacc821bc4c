"""When two records may be one, which stays, and what of the other is kept and lost."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.domain.identity import (
    choose_survivor,
    compare,
    fold_name,
    host_of,
    sort_reasons,
    unite,
    weigh,
)
from syncline.errors import Invalid

ONE, OTHER = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"


def row(record_id: str = ONE, **values: Any) -> dict[str, Any]:
    times = {"created_at": "2026-01-02T00:00:00+00:00", "updated_at": "2026-01-03T00:00:00+00:00"}
    return {"id": record_id, "custom_fields": {}, "field_times": {}, **times, **values}


@pytest.mark.parametrize(
    ("one", "other", "reasons", "strength"),
    [
        ({"email": " Meg@Harbour.example"}, {"email": "meg@harbour.EXAMPLE "}, ["email"], "certain"),
        ({"phone_e164": "+15550100"}, {"phone_e164": "+15550100"}, ["phone"], "possible"),
        (
            {"first_name": "José", "last_name": "Álvarez", "phone_e164": "+15550100"},
            {"first_name": "JOSE ", "last_name": "Alvarez", "phone_e164": "+15550100"},
            ["name_phone"],
            "likely",
        ),
        (
            {"first_name": "Meg", "last_name": "Harbour", "company_id": ONE},
            {"first_name": "meg", "last_name": "harbour", "company_id": ONE},
            ["name_company"],
            "likely",
        ),
        (
            {"first_name": "Meg", "last_name": "H.", "email": "m@port.example"},
            {"first_name": "Meg", "last_name": "H", "email": "meg@port.example"},
            ["name_host"],
            "possible",
        ),
        ({"first_name": "Meg", "last_name": "H"}, {"first_name": "Meg", "last_name": "H"}, [], None),
        ({"email": ""}, {"email": None}, [], None),
    ],
)
def test_people_are_compared_by_what_tells(
    one: dict[str, Any], other: dict[str, Any], reasons: list[str], strength: str | None
):
    assert compare("contact", row(**one), row(OTHER, **other)) == reasons
    assert compare("contact", row(**other), row(OTHER, **one)) == reasons
    assert weigh("contact", reasons) == strength


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        ({"domain": "WWW.Harbour.example"}, {"domain": "harbour.example"}, ["domain"]),
        ({"domain": "harbour.example"}, {"website": "https://www.harbour.example/about?x=1"}, ["domain"]),
        ({"name": "Harbour & Sons", "city": "Hull"}, {"name": "harbour sons", "city": "HULL"}, ["name_city"]),
        ({"name": "Harbour"}, {"name": "Harbour", "domain": "other.example"}, ["name"]),
        ({"name": "Harbour"}, {"name": "Haven"}, []),
    ],
)
def test_companies_are_compared_by_domain_name_and_place(
    one: dict[str, Any], other: dict[str, Any], reasons: list[str]
):
    assert compare("company", row(**one), row(OTHER, **other)) == reasons


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://www.harbour.example:8080/a", "harbour.example"),
        ("http://meg@harbour.example", "harbour.example"),
        ("  ", None),
        (None, None),
    ],
)
def test_a_host_is_what_a_browser_would_ask(address: str | None, host: str | None):
    assert host_of(address) == host


def test_a_name_of_marks_only_is_none():
    assert fold_name(" -- ") is None
    assert fold_name("  O'Neill-Śmith ") == "o neill smith"


def test_what_a_stronger_reason_says_is_not_said_twice():
    assert sort_reasons("contact", ["phone", "name_phone", "email"]) == ["email", "name_phone"]
    assert sort_reasons("company", ["name", "name_city"]) == ["name_city"]


def test_the_older_record_stays_then_that_with_more_links_then_the_fuller_one():
    older = row(created_at="2025-01-01T00:00:00+00:00")
    assert choose_survivor(row(OTHER), older, links={OTHER: 3}) == (ONE, OTHER)
    assert choose_survivor(row(ONE), row(OTHER), links={OTHER: 2, ONE: 1}) == (OTHER, ONE)
    assert choose_survivor(row(ONE), row(OTHER, phone="1"), links={}) == (OTHER, ONE)
    assert choose_survivor(row(OTHER), row(ONE), links={}) == (ONE, OTHER)


def test_gaps_are_filled_and_every_value_that_gives_way_is_named():
    survivor = row(job_title="Captain", phone=None, phone_e164=None, company_id=None)
    merged = row(
        OTHER,
        job_title="Pilot",
        phone="0555 0100",
        phone_e164="+15550100",
        company_id="c",
        field_times={"phone": 7, "*": 5},
    )
    united = unite("contact", survivor, merged)
    assert united.columns == {"phone": "0555 0100", "phone_e164": "+15550100", "company_id": "c"}
    assert united.changes == {"phone": [None, "0555 0100"], "company_id": [None, "c"]}
    assert united.times == {"phone": 7, "company_id": 5}
    assert [(each.field, each.kept, each.value) for each in united.lost] == [
        ("job_title", "Captain", "Pilot")
    ]


def test_a_chosen_value_stands_and_what_it_replaces_is_lost():
    survivor, merged = row(job_title="Captain", phone="1"), row(OTHER, job_title="Pilot", phone=None)
    united = unite("contact", survivor, merged, taken=["job_title", "phone"], now_ms=9)
    assert united.columns == {"job_title": "Pilot", "phone": None, "phone_e164": None}
    assert united.times == {"job_title": 9, "phone": 9}
    assert [(each.field, each.value, each.was_survivors) for each in united.lost] == [
        ("job_title", "Captain", True),
        ("phone", "1", True),
    ]
    with pytest.raises(Invalid, match="no field shoe"):
        unite("contact", survivor, merged, taken=["shoe"])


def test_custom_fields_are_united_one_by_one():
    survivor = row(custom_fields={"berth": "A", "crew": None})
    merged = row(OTHER, custom_fields={"berth": "B", "crew": 3, "flag": "x"})
    united = unite("contact", survivor, merged, taken=["custom_fields.berth"])
    assert united.columns == {"custom_fields": {"berth": "B", "crew": 3, "flag": "x"}}


PLACE = {"pipeline": "default", "stage": "won", "pipeline_id": ONE, "stage_id": ONE, "status": "won"}
OPEN = {"pipeline": "other", "stage": "new", "pipeline_id": OTHER, "stage_id": OTHER, "status": "open"}


def test_a_deals_place_comes_from_one_of_the_two():
    survivor, merged = row(**OPEN, closed_at=None), row(OTHER, **PLACE, closed_at="2026-01-01")
    assert {**survivor, **unite("deal", survivor, merged).columns}["stage"] == "new"
    taken = unite("deal", survivor, merged, taken=["stage"]).columns
    assert taken == {**PLACE, "closed_at": "2026-01-01"}
    empty = row(pipeline=None, stage=None, pipeline_id=None, stage_id=None, status="open")
    assert unite("deal", empty, merged).columns == {**PLACE, "closed_at": "2026-01-01"}
    # A status that is all the survivor has of a place is not filled up with the other's stage.
    half = row(pipeline="default", stage=None, pipeline_id=ONE, stage_id=None, status="open")
    assert "stage" not in unite("deal", half, merged).columns
