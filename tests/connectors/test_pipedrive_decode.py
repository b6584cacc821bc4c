"""Pipedrive's JSON to remote records: what is kept, and what the mapping is given."""

import json
from typing import Any

import msgspec
import pytest
from tiny_pipedrive import ok, person

from syncline.connectors.pipedrive.api import Answer, read_envelope
from syncline.connectors.pipedrive.decode import Records, flatten, parse_ms, read_records, recall
from syncline.connectors.pipedrive.fields import Field, Fields, add_labels
from syncline.connectors.transport import Response
from syncline.errors import RecordUnreadable

CODE = "ab" * 20
OTHER = "cd" * 20


def read(object_name: str, body: bytes) -> Records:
    envelope, is_mended = read_envelope(body)
    return read_records(object_name, Answer(envelope, Response(200, {}, body), is_mended))


def read_one(object_name: str, data: dict[str, Any]) -> Any:
    [record] = read(object_name, msgspec.json.encode(ok([data]))).records
    return record


def test_values_are_text_and_what_is_empty_is_none():
    found = read_one("persons", person(7, owner_id=12, org_id=None, visible_to=3)).properties
    assert found["id"] == "7"
    assert found["owner_id"] == "12"
    assert found["org_id"] is None
    assert found["is_deleted"] == "false"
    assert found["email"] == "p7@example.com"
    assert found["phone"] is None
    assert found["label_ids"] is None


def test_the_primary_address_is_the_one_that_is_read():
    emails = [
        {"value": "second@example.com", "primary": False, "label": "home"},
        {"value": "first@example.com", "primary": True, "label": "work"},
    ]
    assert read_one("persons", person(1, emails=emails)).properties["email"] == "first@example.com"
    emails[1]["primary"] = False
    assert read_one("persons", person(1, emails=emails)).properties["email"] == "second@example.com"


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        ("words", {"": "words"}),
        ("", {"": None}),
        (None, {"": None}),
        (12, {"": "12"}),
        (12.5, {"": "12.5"}),
        (200.0, {"": "200"}),
        ({"value": 200, "currency": "EUR"}, {"": "200", ".currency": "EUR"}),
        ({"id": 17, "label": "Trade fair"}, {"": "Trade fair"}),
        ({"id": 17, "label": None}, {"": "17"}),
        ([{"id": 1, "label": "A"}, {"id": 2, "label": "B; C"}], {"": "A;2"}),
        ([13, 14], {"": "13;14"}),
        ("2026-06-27", {"": "2026-06-27"}),
        ({"value": "2026-06-06", "until": "2026-06-14"}, {"": "2026-06-06", ".until": "2026-06-14"}),
        (
            {"value": "00:45:00", "timezone_id": 310, "timezone_name": "Europe/Tallinn"},
            {"": "00:45:00", ".timezone_id": "310", ".timezone_name": "Europe/Tallinn"},
        ),
        (
            {"value": "Main St 1, Town", "locality": "Town", "subpremise": ""},
            {"": "Main St 1, Town", ".locality": "Town", ".subpremise": None},
        ),
    ],
)
def test_every_kind_of_custom_field_is_flattened(value: Any, flat: dict[str, str | None]):
    found = flatten("deals", {"id": 1, "status": "open", "custom_fields": {CODE: value}})
    assert {name[40:]: each for name, each in found.items() if name.startswith(CODE)} == flat


def test_our_own_id_is_known_whatever_the_field_is_called():
    record = read_one("deals", {"id": 3, "custom_fields": {OTHER: "words", CODE: "syncline:0199-a"}})
    assert record.external_id == "0199-a"
    assert read_one("deals", {"id": 3, "custom_fields": {CODE: "other:1"}}).external_id is None


def test_what_is_stored_reads_the_same_as_what_was_fetched():
    data = person(5, custom_fields={CODE: {"id": 2, "label": "Bärtig"}, OTHER: "syncline:x"})
    record = read_one("persons", data)
    assert recall("persons", record.payload) == record
    assert list(json.loads(record.payload)) == sorted(data)


def test_equal_content_gives_equal_bytes_in_whatever_order_it_came():
    data = person(5, custom_fields={OTHER: None, CODE: 1})
    turned = dict(reversed(data.items())) | {"custom_fields": {CODE: 1, OTHER: None}}
    assert read_one("persons", data).payload == read_one("persons", turned).payload


def test_labels_of_options_are_added_where_an_endpoint_tells_ids_only():
    options = {1: "Low", 2: "High"}
    fields = Fields([Field(CODE, "Priority", "enum", is_custom=True, options=options)])
    data: dict[str, Any] = {"id": 1, "custom_fields": {CODE: 2, OTHER: 2}}
    add_labels(fields, data)
    assert data["custom_fields"] == {CODE: {"id": 2, "label": "High"}, OTHER: 2}
    data["custom_fields"][CODE] = [1, 9]
    add_labels(fields, data)
    assert flatten("deals", data)[CODE] == "Low;9"


@pytest.mark.parametrize(
    ("object_name", "values", "archived_at"),
    [
        ("persons", {"is_deleted": True}, "2026-02-02T03:04:05Z"),
        ("deals", {"is_archived": True, "archive_time": "2026-03-01T00:00:00Z"}, "2026-03-01T00:00:00Z"),
        ("deals", {"is_archived": True, "archive_time": None}, "2026-02-02T03:04:05Z"),
        ("deals", {"status": "deleted"}, "2026-02-02T03:04:05Z"),
        ("notes", {"active_flag": False}, "2026-02-02T03:04:05Z"),
        ("deals", {"is_archived": False, "archive_time": "2026-03-01T00:00:00Z"}, None),
    ],
)
def test_what_is_deleted_or_archived_is_archived(
    object_name: str, values: dict[str, Any], archived_at: str | None
):
    data = {"id": 1, "update_time": "2026-02-02T03:04:05Z"} | values
    assert read_one(object_name, data).archived_ms == parse_ms(archived_at)


def test_a_deleted_deal_still_says_how_it_ended():
    assert (
        flatten("deals", {"id": 1, "status": "deleted", "won_time": "2026-01-01T00:00:00Z"})["status"]
        == "won"
    )
    assert flatten("deals", {"id": 1, "status": "deleted"})["status"] == "open"


def test_a_person_named_by_an_address_has_no_name():
    found = flatten("persons", person(1, name="p1@example.com", first_name="p1@example.com", last_name=None))
    assert (found["first_name"], found["last_name"]) == (None, None)


def test_activities_and_tasks_are_told_apart_by_type():
    rows = [
        {"id": number, "type": kind} for number, kind in enumerate(["call", "task", "lunch", "deadline"], 1)
    ]
    body = msgspec.json.encode(ok(rows))
    assert read("activities", body).list_ids() == ["1", "3"]
    assert read("tasks", body).list_ids() == ["2", "4"]
    kinds = [flatten("activities", each)["kind"] for each in rows]
    assert kinds == ["call", "meeting", "meeting", "meeting"]


def test_an_activity_happens_when_it_is_due_or_else_when_it_was_made():
    data = {"id": 1, "type": "call", "due_date": "2026-05-01", "due_time": "15:30", "duration": "00:45"}
    found = flatten("activities", data | {"add_time": "2026-04-01T00:00:00Z"})
    assert found["happens_at"] == found["due_at"] == "2026-05-01T15:30:00Z"
    assert (found["duration_ms"], found["ends_at"]) == ("2700000", "2026-05-01T16:15:00Z")
    found = flatten("activities", {"id": 1, "due_date": "2026-05-01", "due_time": None})
    assert found["due_at"] == "2026-05-01T00:00:00Z"
    found = flatten("activities", {"id": 1, "due_date": None, "add_time": "2026-04-01T00:00:00Z"})
    assert (found["due_at"], found["happens_at"]) == (None, "2026-04-01T00:00:00Z")


def test_times_of_version_1_are_read_as_utc():
    found = flatten("notes", {"id": 1, "add_time": "2019-12-09 13:59:21", "update_time": None})
    assert found["add_time"] == "2019-12-09T13:59:21Z"
    assert found["update_time"] is None
    assert read_one("notes", {"id": 1, "update_time": "2019-12-09 13:59:21"}).updated_ms == 1575899961000


def test_a_missing_modified_time_is_none():
    assert read_one("persons", person(1, update_time=None)).updated_ms is None


def test_text_that_cannot_be_stored_is_replaced_and_kept_beside():
    body = json.dumps(ok([person(1, name="a\0b"), person(2)])).encode()
    first, second = read("persons", body).records
    assert first.properties["name"] == "a\ufffdb"
    assert first.defect is not None
    assert json.loads(first.defect[1])["name"] == "a\0b"
    assert second.defect is None
    assert second == read_one("persons", person(2))


def test_rows_that_are_no_records_cost_only_themselves():
    found = read("persons", json.dumps(ok([person(1), 7, {"name": "without id"}, person(2)])).encode())
    assert [each.remote_id for each in found.records] == ["1", "2"]
    assert [(each[0], each[1]) for each in found.unreadable] == [("", "is no object"), ("", "has no id")]


def test_a_payload_that_is_no_record_is_named_as_such():
    for payload in (b"[]", b"{}", b"no json"):
        with pytest.raises(RecordUnreadable):
            recall("persons", payload)


def test_a_user_has_a_first_and_a_last_name():
    found = flatten("users", {"id": 1, "name": "Jane Mary Doe", "created": "2018-11-13 09:16:26"})
    assert (found["first_name"], found["last_name"]) == ("Jane", "Mary Doe")
    assert found["created"] == "2018-11-13T09:16:26Z"
