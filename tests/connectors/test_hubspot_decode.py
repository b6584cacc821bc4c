"""One bad record costs nothing but itself, and a good one gives the same bytes whichever way it came."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.hubspot.decode import parse_ms, read_as, read_owners, read_records
from syncline.errors import Unavailable


def record(number: int = 1, /, **properties: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "properties": {"hs_object_id": str(number), **properties},
        "createdAt": "2022-02-17T18:54:22.300Z",
        "updatedAt": "2022-02-17T18:54:22.305Z",
        "archived": False,
    }


def page(*records: Any, **more: Any) -> bytes:
    return json.dumps({"results": list(records), **more}).encode()


def test_a_record_becomes_what_the_contract_says():
    [found] = read_records(page(record(7, email="a@b.co", phone=None))).records
    assert found.remote_id == "7"
    assert found.properties == {"hs_object_id": "7", "email": "a@b.co", "phone": None}
    assert found.updated_ms == 1_645_124_062_305
    assert found.archived_ms is None
    assert found.defect is None
    assert json.loads(found.payload) == record(7, email="a@b.co", phone=None)


def test_the_payload_does_not_depend_on_endpoint_or_order():
    plain = record(7, a="1", b="2")
    other = {
        "url": "https://app.hubspot.com/contacts/1/record/0-1/7",
        "archived": False,
        "updatedAt": plain["updatedAt"],
        "associations": {"companies": {"results": [{"id": "5", "type": "contact_to_company"}]}},
        "properties": {"b": "2", "hs_object_id": "7", "a": "1"},
        "createdAt": plain["createdAt"],
        "id": "7",
        "new": True,
    }
    spaced = json.dumps({"results": [other]}, indent=2, ensure_ascii=False).encode()
    assert read_records(spaced).records == read_records(page(plain)).records


def test_archived_records_tell_when():
    archived = record(1) | {"archived": True, "archivedAt": "2022-02-18T00:00:00Z"}
    [found] = read_records(page(archived)).records
    assert found.archived_ms == 1_645_142_400_000
    assert json.loads(found.payload)["archivedAt"] == "2022-02-18T00:00:00Z"


@pytest.mark.parametrize(
    ("properties", "merged"),
    [
        ({"hs_merged_object_ids": "1;2"}, ("1", "2")),
        ({"hs_merged_object_ids": ""}, ()),
        (
            {"hs_merged_object_ids": None, "hs_calculated_merged_vids": "9:1716000000000;3:1716000000001"},
            ("3",),
        ),
        ({}, ()),
    ],
)
def test_merged_ids_are_the_old_ones_only(properties: dict[str, Any], merged: tuple[str, ...]):
    [found] = read_records(page(record(9, **properties))).records
    assert found.merged_ids == merged


def test_the_cursor_and_the_total_come_along():
    found = read_records(page(record(), paging={"next": {"after": "33452", "link": "x"}}, total=12_001))
    assert (found.after, found.total) == ("33452", 12_001)
    assert read_records(page(record())).after is None


@pytest.mark.parametrize(
    ("escaped", "kept"),
    [
        ("a\\u0000b", "a\ufffdb"),
        ("\\ud800", "\ufffd"),
        ("x\\udc00y", "x\ufffdy"),
        ("\\ude00\\ud83d", "\ufffd\ufffd"),
    ],
)
def test_text_that_cannot_be_stored_is_replaced_and_the_original_kept(escaped: str, kept: str):
    body = page(*(record(each) for each in range(50)), record(50, note="HERE"), record(51)).replace(
        b"HERE", escaped.encode()
    )
    found = read_records(body)
    good = read_records(page(*(record(each) for each in range(50))))
    assert found.records[:50] == good.records
    bad = found.records[50]
    assert bad.properties["note"] == kept
    assert json.loads(bad.payload)["properties"]["note"] == kept
    assert bad.defect is not None
    reason, original = bad.defect
    assert "cannot be stored" in reason
    assert original.isascii()
    assert escaped in original
    assert found.records[51].defect is None
    assert found.unreadable == []


@pytest.mark.parametrize(
    "text", ["C:\\u0000", "\\ud800", "\\\\u0000", "\U0001f600", "tab\tline\n", "\x01\x7f", "é"]
)
def test_text_that_only_looks_bad_survives_untouched(text: str):
    [found] = read_records(page(record(1, note=text))).records
    assert found.properties["note"] == text
    assert json.loads(found.payload)["properties"]["note"] == text
    assert found.defect is None


def test_a_literal_backslash_gives_the_same_bytes_beside_a_bad_record():
    alone = read_records(page(record(1, note="C:\\u0000 \x01 é \U0001f600")))
    beside = read_records(page(record(1, note="C:\\u0000 \x01 é \U0001f600"), record(2, note="\0")))
    assert beside.records[0] == alone.records[0]


def test_values_that_are_no_text_are_kept_as_they_came():
    odd = record(3, count=5, share=0.5, flag=True, deep={"b": [1, None], "a": "x"})
    found = read_records(page(record(1), odd, record(2)))
    assert [each.remote_id for each in found.records] == ["1", "3", "2"]
    assert found.records[1].properties["deep"] == {"b": [1, None], "a": "x"}
    assert json.loads(found.records[1].payload) == odd
    assert found.records[1].payload.index(b'"a":"x"') < found.records[1].payload.index(b'"b":')


def test_a_numeric_id_is_an_id():
    found = read_records(page(record(1) | {"id": 12345678901234567}))
    assert found.records[0].remote_id == "12345678901234567"
    assert json.loads(found.records[0].payload)["id"] == "12345678901234567"


@pytest.mark.parametrize(
    ("broken", "remote_id"),
    [
        ("text", ""),
        (None, ""),
        ([], ""),
        ({"properties": {}}, ""),
        ({"id": "", "properties": {}}, ""),
        ({"id": True, "properties": {}}, ""),
        ({"id": "5", "properties": []}, "5"),
        ({"id": "5", "properties": {}, "updatedAt": 7}, "5"),
    ],
)
def test_what_is_no_record_is_set_aside_with_its_text(broken: Any, remote_id: str):
    found = read_records(page(record(1), broken, record(2)))
    assert [each.remote_id for each in found.records] == ["1", "2"]
    [(unreadable_id, reason, original)] = found.unreadable
    assert unreadable_id == remote_id
    assert reason
    assert json.loads(original) == broken


def test_bytes_that_are_no_utf8_cost_one_record():
    body = page(record(1), record(2, note="HERE")).replace(b"HERE", b"caf\xe9")
    found = read_records(body)
    assert found.records[1].properties["note"] == "caf\ufffd"
    assert found.records[1].defect is not None
    assert found.records[0].defect is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"results":{}}', b'{"message":"x"}', b"\xff\xfe", b"[" * 100_000]
)
def test_an_answer_of_another_form_is_asked_for_again(body: bytes):
    with pytest.raises(Unavailable):
        read_records(body)
    with pytest.raises(Unavailable):
        read_owners(body)
    with pytest.raises(Unavailable):
        read_as(dict[str, list[int]], body)


def test_owners_are_their_own_properties():
    owner = {
        "id": "96879917",
        "email": "ann@example.com",
        "type": "PERSON",
        "firstName": "Ann",
        "lastName": None,
        "userId": 96879917,
        "createdAt": "2022-02-17T18:54:22.300Z",
        "updatedAt": "2022-02-17T18:54:22.305Z",
        "archived": True,
        "teams": [{"primary": True, "id": "1", "name": "Sales"}],
    }
    [found] = read_owners(page(owner)).records
    assert found.remote_id == "96879917"
    assert found.properties["firstName"] == "Ann"
    assert found.archived_ms == found.updated_ms == 1_645_124_062_305
    assert json.loads(found.payload) == owner
    assert found.payload.startswith(b'{"archived":true,"createdAt"')


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2022-02-17T18:54:22.305Z", 1_645_124_062_305),
        ("2022-02-17T18:54:22.3Z", 1_645_124_062_300),
        ("2022-02-17T19:54:22.305+01:00", 1_645_124_062_305),
        ("1762212973632", 1_762_212_973_632),
        ("1969-12-31T23:59:59.999Z", -1),
        ("yesterday", None),
        ("", None),
        (None, None),
        (5, None),
        ("9" * 30, None),
        ("2022-02-17T18:54:22", None),
    ],
)
def test_times_are_read_to_the_millisecond(text: Any, ms: int | None):
    assert parse_ms(text) == ms


ANY_TEXT = st.text(st.characters(), max_size=12)


@given(st.lists(st.dictionaries(ANY_TEXT, st.none() | ANY_TEXT, max_size=6), max_size=5))
def test_whatever_the_text_every_record_is_kept_or_its_defect_told(
    all_properties: list[dict[str, str | None]],
):
    sent = [record(number, **properties) for number, properties in enumerate(all_properties, 1)]
    found = read_records(json.dumps({"results": sent}).encode())
    assert [each.remote_id for each in found.records] == [each["id"] for each in sent]
    for each, original in zip(found.records, sent, strict=True):
        stored = json.loads(each.payload)
        assert "\0" not in str(stored["properties"])
        each.payload.decode("utf-8")
        assert stored["properties"] == each.properties
        if each.defect is None:
            assert stored == original
        else:
            assert json.loads(each.defect[1]) == original
