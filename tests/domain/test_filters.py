"""Filters, orders and places: read or refused with the field at fault; what was written is read again."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.filters import (
    OPERATORS,
    Place,
    make_filter,
    read_filter,
    read_place,
    read_sort,
    write_place,
)
from syncline.domain.record_fields import BY_PLURAL, RECORD_FIELDS, is_custom_key
from syncline.domain.record_values import read_values
from syncline.errors import Invalid

DEAL = RECORD_FIELDS["deal"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def list_faults(read: Callable[[], object]) -> set[str] | None:
    """Return the fields that are told to be at fault; None where nothing is."""
    try:
        read()
    except Invalid as error:
        return set(error.fields)
    return None


@given(
    st.sampled_from([s for name in DEAL.sortable for s in (name, f"-{name}")]), st.none() | TEXTS, st.uuids()
)
def test_a_place_that_was_written_is_read_again_for_its_own_order_only(
    text: str, value: str | None, each: UUID
):
    sort = read_sort(DEAL, text)
    written = write_place(sort, Place(value, each))
    assert read_place(sort, written) == Place(value, each)
    other = read_sort(DEAL, text.removeprefix("-") if sort.descending else f"-{text}")
    with pytest.raises(Invalid):
        read_place(other, written)


@given(st.text(max_size=200))
def test_no_text_is_a_place_that_breaks_anything(text: str):
    assert list_faults(lambda: read_place(read_sort(DEAL, "name"), text)) in (None, {"after"})


@given(st.sampled_from(sorted(BY_PLURAL)), st.text(max_size=60))
def test_no_filter_breaks_anything(plural: str, text: str):
    assert list_faults(lambda: read_filter(BY_PLURAL[plural], text)) != set()


@given(st.sampled_from(sorted(DEAL.fields)), st.sampled_from(OPERATORS), st.lists(ANYTHING, max_size=3))
def test_no_value_of_a_filter_breaks_anything(name: str, op: str, values: list[object]):
    assert list_faults(lambda: make_filter(DEAL, name, op, values)) != set()


@given(st.sampled_from(sorted(RECORD_FIELDS)), st.data())
def test_values_are_read_or_refused_with_their_fields(kind: str, data: st.DataObject):
    fields = RECORD_FIELDS[kind]
    names = st.sampled_from([*fields.fields, "custom_fields", "nothing"])
    values = data.draw(st.dictionaries(names, ANYTHING, max_size=5))
    faults = list_faults(lambda: read_values(fields, values))
    if faults is None:
        assert {name.split(".")[0] for name in read_values(fields, values)} <= {*values}
    else:
        assert faults
        assert {name.split(".")[0] for name in faults} <= {*values}


@pytest.mark.parametrize("key", ["", " ", "a/b", "a" * 101, " a", "ä\x00", "..", "_"])
def test_what_cannot_name_a_custom_field_does_not(key: str):
    assert not is_custom_key(key)


@pytest.mark.parametrize("key", ["tier", "Deal size", "größe", "a.b-c_d", "7"])
def test_what_people_call_a_custom_field_does(key: str):
    assert is_custom_key(key)
