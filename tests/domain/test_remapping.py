"""What becomes of records that are here when their mapping changes: each line of the law."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.agreement import agree_on_new
from syncline.domain.changes import Copy
from syncline.domain.mapping import FieldMap, Lookups, MappedRecord, Mapper, ObjectMap, StageFact
from syncline.domain.merge import Access, Merged, merge
from syncline.domain.policies import Policy
from syncline.domain.remapping import UNSEEN, compare_mappings, patched, rebase

PEOPLE = ObjectMap(
    "people",
    "contact",
    (
        FieldMap("email", "email"),
        FieldMap("first_name", "first"),
        FieldMap("phone", "phone"),
        FieldMap("lead_score", "score", "number"),
        FieldMap("status", "state", "choice", {"A": "active", "L": "lost"}),
    ),
)
SALES = ObjectMap(
    "sales",
    "deal",
    (
        FieldMap("name", "title"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "stage"),
        FieldMap("close_date", "closes", "time"),
        FieldMap("probability", "share", "percent"),
        FieldMap("currency", "currency"),
    ),
)
LOOKUPS = Lookups(
    stages={
        ("p", "new"): StageFact("P", "S1", False, False, 20),
        ("p", "won"): StageFact("P", "S2", True, True, 100),
        ("p", "lost"): StageFact("P", "S3", True, False, 0),
    },
    currency="EUR",
)
ANN: dict[str, Any] = {
    "email": "ann@x.example",
    "first": "Ann",
    "phone": "+14155550100",
    "mobile": "+14155550199",
    "score": "7",
    "share": "0.5",
    "state": "A",
    "role": "Buyer",
}
SALE: dict[str, Any] = {
    "title": "Sale",
    "pipeline": "p",
    "stage": "new",
    "step": "won",
    "closes": "2026-05-01T00:00:00Z",
    "share": None,
    "currency": None,
}


def mapped_with(mapping: ObjectMap, **fields: FieldMap | None) -> ObjectMap:
    known = {each.field: each for each in mapping.fields} | fields
    return replace(mapping, fields=tuple(each for each in known.values() if each is not None))


def remap(
    before: ObjectMap,
    after: ObjectMap,
    properties: Mapping[str, Any],
    edits: Mapping[str, Any] | None = None,
    *,
    read: Mapping[str, Any] | None = None,
    access: Access | None = None,
) -> tuple[dict[str, Any], dict[str, Any], Merged]:
    """Return row and base after a record that was read by `before`, and edited, is mapped by `after`."""
    change = compare_mappings(before, after)
    first = Mapper(before, LOOKUPS).map(properties)
    base: dict[str, Any] = json.loads(agree_on_new(change.kind, first)[0])
    row: dict[str, Any] = {**dict.fromkeys(change.kind.fields), **first.values, **(edits or {})}
    mapped = Mapper(after, LOOKUPS).map(properties if read is None else read)
    base = patched(base, rebase(change, row, base, mapped))
    merged = merge(
        change.kind,
        Policy(),
        base,
        Copy(row, updated_ms=0),
        Copy(mapped.values, mapped.theirs, 10_000, source="main"),
        access=access,
    )
    return {**row, **merged.write, **merged.derived}, {**base, **merged.base}, merged


MOBILE = mapped_with(PEOPLE, phone=FieldMap("phone", "mobile"))


def test_a_field_that_is_mapped_now_is_filled_as_by_a_first_reading() -> None:
    after = mapped_with(PEOPLE, job_title=FieldMap("job_title", "role"))
    row, base, _ = remap(PEOPLE, after, ANN)
    assert row["job_title"] == "Buyer"
    assert base["job_title"] == ["Buyer"]


def test_a_field_that_is_mapped_now_is_never_emptied_by_that() -> None:
    after = mapped_with(PEOPLE, job_title=FieldMap("job_title", "role"))
    row, _, merged = remap(PEOPLE, after, ANN | {"role": None}, {"job_title": "By hand"})
    assert row["job_title"] == "By hand"
    assert merged.push == {"job_title": "By hand"}


def test_a_property_that_was_never_read_leaves_its_new_field_for_the_next_reading() -> None:
    after = mapped_with(PEOPLE, job_title=FieldMap("job_title", "unread"))
    row, base, merged = remap(PEOPLE, after, ANN, {"job_title": "By hand"})
    assert row["job_title"] == "By hand"
    assert "job_title" not in base
    assert merged.is_quiet


def test_another_property_is_taken_where_nobody_has_edited_the_field_here() -> None:
    row, base, merged = remap(PEOPLE, MOBILE, ANN)
    assert row["phone"] == row["phone_e164"] == "+14155550199"
    assert base["phone"] == ["+14155550199"]
    assert merged.push == {}
    assert list(merged.write) == ["phone"]


def test_another_property_that_is_empty_empties_the_field() -> None:
    row, base, _ = remap(PEOPLE, MOBILE, ANN | {"mobile": None})
    assert row["phone"] is None
    assert base["phone"] == [None]


def test_an_edit_that_was_not_pushed_is_kept_and_is_pushed_to_the_new_property() -> None:
    row, base, merged = remap(PEOPLE, MOBILE, ANN, {"phone": "+14155550123"})
    assert row["phone"] == "+14155550123"
    assert merged.push == {"phone": "+14155550123"}
    assert merged.write == {}
    assert merged.decisions == merged.conflicts == ()
    assert base["phone"] == ["+14155550100", "+14155550199"]


def test_an_edit_is_kept_when_the_converter_changes() -> None:
    after = mapped_with(PEOPLE, status=FieldMap("status", "state"))
    row, _, merged = remap(PEOPLE, after, ANN, {"status": "by hand"})
    assert row["status"] == "by hand"
    assert merged.push == {"status": "by hand"}


def test_another_converter_reads_the_same_property_anew() -> None:
    after = mapped_with(PEOPLE, status=FieldMap("status", "state"))
    row, base, merged = remap(PEOPLE, after, ANN)
    assert row["status"] == "A"
    assert base["status"] == ["A"]
    assert merged.push == {}
    row, base, _ = remap(after, PEOPLE, ANN)
    assert (row["status"], base["status"]) == ("active", ["active", "A"])


def test_other_choices_are_another_converter() -> None:
    after = mapped_with(PEOPLE, status=FieldMap("status", "state", "choice", {"A": "alive"}))
    row, base, _ = remap(PEOPLE, after, ANN)
    assert (row["status"], base["status"]) == ("alive", ["alive", "A"])


def test_a_field_that_is_mapped_no_more_keeps_its_value_and_is_agreed_on_no_more() -> None:
    after = mapped_with(PEOPLE, phone=None)
    for edits in ({}, {"phone": "+14155550123"}):
        row, base, merged = remap(PEOPLE, after, ANN, edits)
        assert row["phone"] == edits.get("phone", "+14155550100")
        assert "phone" not in base
        assert merged.is_quiet


def test_what_an_account_fills_in_stays_when_it_is_mapped_no_more() -> None:
    after = mapped_with(SALES, currency=None, probability=None)
    row, base, merged = remap(SALES, after, SALE, {"currency": "USD"})
    assert (row["currency"], row["probability"]) == ("USD", 20)
    assert not base.keys() & {"currency", "probability"}
    assert merged.is_quiet


def test_fields_whose_mapping_is_as_it_was_are_left_alone() -> None:
    _, base, merged = remap(PEOPLE, MOBILE, ANN, {"first_name": "By hand"})
    assert base["first_name"] == ["Ann"]
    assert merged.push == {"first_name": "By hand"}
    assert compare_mappings(PEOPLE, replace(PEOPLE, version=7)).is_nothing


def test_another_property_of_a_stage_moves_all_that_follows_from_it() -> None:
    after = mapped_with(SALES, stage=FieldMap("stage", "step"))
    row, base, _ = remap(SALES, after, SALE)
    assert (row["stage"], row["stage_id"], row["status"]) == ("won", "S2", "won")
    assert (row["probability"], row["closed_at"]) == (100, "2026-05-01T00:00:00+00:00")
    assert row["expected_close_date"] is None
    assert UNSEEN not in [pair[-1] for pair in base.values()]


def test_a_deal_whose_place_was_edited_here_stays_there_as_a_whole() -> None:
    after = mapped_with(SALES, stage=FieldMap("stage", "step"))
    edits = {"stage": "lost", "stage_id": "S3", "status": "lost"}
    row, _, merged = remap(SALES, after, SALE, edits)
    assert {name: row[name] for name in edits} == edits
    assert merged.push["stage"] == "lost"
    assert row["pipeline"] == "p"


def test_a_field_that_is_only_written_goes_to_its_new_property() -> None:
    before = mapped_with(PEOPLE, phone=FieldMap("phone", "phone", direction="push"))
    after = mapped_with(PEOPLE, phone=FieldMap("phone", "mobile", direction="push"))
    access = Access(pull=frozenset({"first_name"}), push=frozenset({"phone"}))
    row, base, merged = remap(before, after, ANN, access=access)
    assert row["phone"] == "+14155550100"
    assert merged.push == {"phone": "+14155550100"}
    assert base.get("phone", ["", ""])[0] != "+14155550100"


def test_a_value_that_is_not_read_yet_is_taken_when_it_is() -> None:
    change = compare_mappings(PEOPLE, MOBILE)
    base: dict[str, list[Any]] = {"phone": ["+14155550100"]}
    row = {**dict.fromkeys(change.kind.fields), "phone": "+14155550100"}
    left = patched(base, rebase(change, row, base, MappedRecord({}, {}, {}, None)))
    assert left == {"phone": ["+14155550100", UNSEEN]}
    for theirs in ("+14155550199", None):
        merged = merge(change.kind, Policy(), left, Copy(row), Copy({"phone": theirs}))
        assert merged.write == {"phone": theirs}


def test_a_field_that_may_be_pulled_or_pushed_now_has_to_be_looked_at() -> None:
    for before, after, opens in (
        ("pull", "both", True),
        ("push", "both", True),
        ("push", "pull", True),
        ("both", "pull", False),
        ("both", "push", False),
    ):
        one, other = (
            mapped_with(PEOPLE, phone=FieldMap("phone", "phone", direction=way))  # type: ignore[arg-type]
            for way in (before, after)
        )
        change = compare_mappings(one, other)
        assert change.opened == (frozenset({"phone"}) if opens else frozenset())
        assert change.is_nothing is not opens


_MAPPINGS = st.fixed_dictionaries(
    {
        "first_name": st.sampled_from(
            [None, FieldMap("first_name", "first"), FieldMap("first_name", "role")]
        ),
        "phone": st.sampled_from([None, FieldMap("phone", "phone"), FieldMap("phone", "mobile")]),
        "lead_score": st.sampled_from(
            [
                None,
                FieldMap("lead_score", "score", "number"),
                FieldMap("lead_score", "share", "percent"),
                FieldMap("lead_score", "share", "number"),
            ]
        ),
        "status": st.sampled_from(
            [
                FieldMap("status", "state"),
                FieldMap("status", "state", "choice", {"A": "active"}),
                FieldMap("status", "role"),
            ]
        ),
    }
).map(lambda fields: mapped_with(PEOPLE, **fields))
_EDITS = st.dictionaries(
    st.sampled_from(["first_name", "phone", "status"]), st.sampled_from(["x", "+14155550155", None])
)


@given(_MAPPINGS, _MAPPINGS, _EDITS)
def test_no_edit_is_lost_and_nothing_is_left_to_do_a_second_time(
    before: ObjectMap, after: ObjectMap, edits: dict[str, Any]
) -> None:
    row, base, merged = remap(before, after, ANN, edits)
    old = Mapper(before, LOOKUPS).map(ANN).values
    for name, value in edits.items():
        if name in old and value != old[name]:
            assert row[name] == value
    # Once more, from what came of it.
    change = compare_mappings(before, after)
    mapped = Mapper(after, LOOKUPS).map(ANN)
    again = patched(base, rebase(change, row, base, mapped))
    second = merge(
        change.kind, Policy(), again, Copy(row, updated_ms=0), Copy(mapped.values, mapped.theirs, 10_000)
    )
    assert second.write == {}
    assert second.push == merged.push


@pytest.mark.parametrize("edits", [{}, {"first_name": "By hand"}])
def test_there_and_back_again_leaves_all_as_it_was(edits: dict[str, Any]) -> None:
    row, _, _ = remap(PEOPLE, MOBILE, ANN, edits)
    assert row["phone"] == "+14155550199"
    again, _, _ = remap(MOBILE, PEOPLE, ANN, edits)
    assert again == remap(PEOPLE, PEOPLE, ANN, edits)[0]
