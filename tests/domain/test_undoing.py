"""Which values of a record are put back: those that stand as the run left them, and no others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from syncline.domain.undoing import list_edited, restore, stands

ROW: dict[str, Any] = {
    "job_title": "New",
    "last_name": "By a person",
    "lead_score": 5,
    "archived_at": "2026-11-21T10:00:00.25+00:00",
    "owner_id": "a",
    "custom_fields": {},
    "version": 7,
}


def test_what_stands_as_the_run_left_it_is_put_back() -> None:
    found = restore(ROW, {"job_title": ["Old", "New"], "lead_score": [None, Decimal("5.0")]})
    assert found.values == {"job_title": "Old", "lead_score": None}
    assert found.spared == []


def test_what_was_changed_since_is_spared_with_what_stands_now() -> None:
    found = restore(ROW, {"last_name": ["Old", "New"]})
    assert found.values == {}
    [spared] = found.spared
    assert (spared.field, spared.why, spared.value) == ("last_name", "edited", "By a person")


def test_what_is_back_already_is_left_so_that_an_undo_can_be_repeated() -> None:
    found = restore(ROW, {"job_title": ["New", "Another"]})
    assert (found.values, found.spared, found.already) == ({}, [], ["job_title"])


def test_what_was_too_long_or_is_merged_away_is_lost() -> None:
    found = restore(ROW, {"job_title": {"left_out": "over 64 kB"}, "owner_id": ["b", "a"]}, gone={"b"})
    assert [(each.field, each.why) for each in found.spared] == [("job_title", "lost"), ("owner_id", "lost")]
    assert found.values == {}


def test_bookkeeping_is_never_put_back() -> None:
    assert restore(ROW, {"version": [6, 7], "no_such_column": [1, 2]}).values == {}
    assert list_edited(ROW, {"version": [6, 8], "job_title": [None, "New"]}) == []


def test_edited_fields_are_named() -> None:
    assert list_edited(ROW, {"job_title": [None, "Other"], "last_name": [None, "By a person"]}) == [
        "job_title"
    ]


@pytest.mark.parametrize(
    ("current", "value", "is_same"),
    [
        ("2026-11-21T10:00:00.25+00:00", "2026-11-21T10:00:00.250+00:00", True),
        ("2026-11-21T10:00:00+00:00", "2026-11-21T11:00:00+01:00", True),
        ("2026-11-21T10:00:00+00:00", "2026-11-21T10:00:01+00:00", False),
        ("2026-11-21T10:00:00", "2026-11-21T10:00:00", True),
        ("not a moment at all", "another such text..", False),
        ({}, None, True),
        ({"a": 1}, {"a": 1}, True),
        (1, True, False),
        (None, "", True),
    ],
)
def test_a_value_stands_however_it_is_written(current: Any, value: Any, is_same: bool) -> None:
    assert stands(current, value) is is_same
