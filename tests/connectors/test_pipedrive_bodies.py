"""What is written of a record: strict types, whole arrays and objects, names in two parts."""

from typing import Any

import pytest
from tiny_pipedrive import person

from syncline.connectors.pipedrive.bodies import build, join_name, needs_current
from syncline.connectors.pipedrive.decode import flatten
from syncline.connectors.pipedrive.fields import OWN, Field, Fields
from syncline.errors import RecordRejected

KINDS = (
    "varchar", "text", "phone", "double", "monetary", "enum", "set", "user", "date", "daterange", "time",
    "timerange", "address", "varchar_auto",
)  # fmt: skip
CODES = {kind: f"{number:040x}" for number, kind in enumerate(KINDS, 1)}
CUSTOM = [
    Field(
        CODES[kind],
        kind,
        kind,
        settable=kind != "varchar_auto",
        is_custom=True,
        options={1: "Low", 2: "High", 3: "2"} if kind in ("enum", "set") else {},
    )
    for kind in KINDS
]


def fields_of(object_name: str) -> Fields:
    return Fields([*OWN[object_name], *CUSTOM])


def written(object_name: str, properties: dict[str, str | None], current: Any = None) -> dict[str, Any]:
    fields = fields_of(object_name)
    if current is not None:
        assert needs_current(object_name, properties, fields) or current == {}
    return build(object_name, properties, fields, current)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("varchar", "words", "words"),
        ("double", "12", 12),
        ("double", "12.50", 12.5),
        ("double", "1500.00", 1500),
        ("enum", "High", 2),
        ("enum", "high", 2),
        ("enum", "2", 3),
        ("enum", "1", 1),
        ("set", "Low;High", [1, 2]),
        ("set", None, None),
        ("set", "", None),
        ("user", "42", 42),
        ("date", "2026-05-01", "2026-05-01"),
        ("date", "2026-05-01T22:00:00.000Z", "2026-05-01"),
        ("address", "Main St 1", {"value": "Main St 1"}),
        ("address", None, None),
        ("phone", None, None),
        ("monetary", "12.5", {"value": 12.5}),
    ],
)
def test_custom_fields_are_written_in_their_own_type(kind: str, text: str | None, value: Any):
    assert written("deals", {CODES[kind]: text}, {}) == {"custom_fields": {CODES[kind]: value}}


@pytest.mark.parametrize(
    ("kind", "text"),
    [("double", "many"), ("user", "1.5"), ("user", "Jane"), ("enum", "Middle"), ("set", "Low;Other")],
)
def test_what_does_not_fit_its_type_is_refused_without_its_value(kind: str, text: str):
    with pytest.raises(RecordRejected, match="cannot be set") as refusal:
        written("deals", {CODES[kind]: text}, {})
    assert text not in str(refusal.value)


def test_one_part_of_a_field_leaves_its_others_as_they_are():
    code = CODES["monetary"]
    current = {"custom_fields": {code: {"value": 200, "currency": "EUR"}}}
    assert written("deals", {code: "250"}, current)["custom_fields"][code] == {
        "value": 250,
        "currency": "EUR",
    }
    new = written("deals", {f"{code}.currency": "USD"}, current)["custom_fields"][code]
    assert new == {"value": 200, "currency": "USD"}
    both = written("deals", {code: "1", f"{code}.currency": "USD"}, current)["custom_fields"][code]
    assert both == {"value": 1, "currency": "USD"}
    assert written("deals", {code: None}, current)["custom_fields"][code] is None


def test_a_span_keeps_its_other_end():
    code = CODES["daterange"]
    current = {"custom_fields": {code: {"value": "2026-06-06", "until": "2026-06-14"}}}
    new = written("deals", {f"{code}.until": "2026-06-20"}, current)["custom_fields"][code]
    assert new == {"value": "2026-06-06", "until": "2026-06-20"}


@pytest.mark.parametrize("name", ["id", "update_time", "nothing", CODES["varchar_auto"], "address.locality"])
def test_what_cannot_be_set_is_refused(name: str):
    with pytest.raises(RecordRejected):
        written("organizations", {name: "1"}, {})


def test_a_new_primary_address_leaves_the_others():
    current = person(
        1,
        emails=[
            {"value": "old@example.com", "primary": True, "label": "home"},
            {"value": "other@example.com", "primary": False, "label": "work"},
        ],
    )
    assert written("persons", {"email": "new@example.com"}, current)["emails"] == [
        {"value": "new@example.com", "primary": True, "label": "home"},
        {"value": "other@example.com", "primary": False, "label": "work"},
    ]
    assert written("persons", {"email": "other@example.com"}, current)["emails"] == [
        {"value": "other@example.com", "primary": True, "label": "home"},
    ]
    assert written("persons", {"email": None}, current)["emails"] == [
        {"value": "other@example.com", "primary": True, "label": "work"},
    ]


def test_a_name_is_written_in_both_parts():
    current = person(1)
    assert written("persons", {"first_name": "Mary Ann"}, current) == {
        "first_name": "Mary Ann",
        "last_name": "Last1",
    }
    assert written("persons", {"first_name": None}, current) == {"first_name": "", "last_name": "Last1"}
    assert not needs_current("persons", {"first_name": "A", "last_name": "B"}, fields_of("persons"))
    assert join_name({"first_name": "A", "last_name": "B", "owner_id": 1}) == {"name": "A B", "owner_id": 1}


def test_a_person_without_a_name_is_named_by_an_address():
    made = written("persons", {"email": "a@example.com"})
    assert made["name"] == "a@example.com"
    current = person(1, name="a@example.com", first_name="a@example.com", last_name=None) | {
        "emails": made["emails"]
    }
    changed = written("persons", {"email": "b@example.com"}, current)
    assert changed["name"] == "b@example.com"
    assert written("persons", {"first_name": "Ann"}, current) == {"first_name": "Ann", "last_name": ""}
    with pytest.raises(RecordRejected, match="wants a name"):
        written("persons", {"owner_id": "1"})


def test_what_is_written_reads_back_the_same():
    names = {
        "email": "x@example.com",
        "phone": "+372 5",
        "first_name": "A",
        "last_name": "B",
        "owner_id": "3",
    }
    body = written("persons", dict(names))
    back = flatten("persons", {"id": 1, **body})
    assert {name: back[name] for name in names} == names


def test_an_activity_is_due_when_it_happens():
    body = written("activities", {"happens_at": "2026-05-01T15:30:00.000Z", "duration_ms": "2700000"}, {})
    assert body == {"due_date": "2026-05-01", "due_time": "15:30:00", "duration": "00:45:00"}
    assert written("activities", {"happens_at": None}, {}) == {"due_date": None, "due_time": None}


def test_a_new_activity_that_has_happened_is_done():
    made = written("activities", {"kind": "call", "happens_at": "2020-01-01T00:00:00.000Z"})
    assert made["done"] is True
    assert made["type"] == "call"
    assert "done" not in written("activities", {"kind": "call", "happens_at": "2999-01-01T00:00:00.000Z"})
    task = written("tasks", {"subject": "Ask", "due_at": "2020-01-01T00:00:00.000Z"})
    assert "done" not in task
    assert task["type"] == "task"


def test_a_kind_that_fits_already_does_not_change_the_type():
    assert written("activities", {"kind": "meeting"}, {"id": 1, "type": "lunch"}) == {}
    assert written("activities", {"kind": "call"}, {"id": 1, "type": "lunch"}) == {"type": "call"}


def test_deals_take_numbers_dates_and_their_own_status():
    body = written(
        "deals",
        {
            "title": "D",
            "value": "1500.5",
            "stage_id": "3",
            "pipeline_id": "1",
            "status": "won",
            "expected_close_date": "2026-05-01",
            "label_ids": "1;2",
            "owner_id": None,
        },
    )
    assert body == {
        "title": "D",
        "value": 1500.5,
        "stage_id": 3,
        "pipeline_id": 1,
        "status": "won",
        "expected_close_date": "2026-05-01",
        "label_ids": [1, 2],
        "owner_id": None,
    }
    with pytest.raises(RecordRejected):
        written("deals", {"status": "deleted"})
