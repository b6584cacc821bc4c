"""Whatever a text holds, looking for addresses in it costs so much a letter, and finds what is there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.addresses import find_addresses, is_address
from syncline.domain.identifiers import find_emails, needles, redact

MEGABYTE = 1_000_000
ADDRESS = "ann@people.example"
#: The rule in one expression, which takes the square of a text's length.
AS_A_RULE = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")


@pytest.mark.parametrize(
    "pattern", ["a@", "a", ".", "1", "@", "a,@", "a@" + "." * 250 + "a", "a" * 300 + "@", "'"]
)
def test_an_address_is_found_behind_a_megabyte_of_whatever(pattern: str) -> None:
    text = (pattern * MEGABYTE)[:MEGABYTE]
    found = {each for each in find_addresses(f"{text} {ADDRESS} {text}") if each.startswith("ann@people")}
    assert found == {ADDRESS}
    assert not is_address(f"{text} ")
    assert redact(f"{text} {ADDRESS} {text}", needles([ADDRESS], [])) == f"{text} [erased] {text}"


def test_of_an_address_in_many_signs_some_readings_are_given_and_the_plain_one_among_them() -> None:
    signs = "'" * 100
    found = list(find_addresses(f"{signs}{ADDRESS}{signs}"))
    assert ADDRESS in found
    assert len(found) <= 64


@given(st.text(alphabet="a@.,'(-\n é", max_size=30))
def test_what_an_address_is_is_the_same_as_by_the_rule(text: str) -> None:
    assert is_address(text) == (AS_A_RULE.fullmatch(text) is not None)


@given(st.text(alphabet="ab@.,'(+-é ", max_size=40))
def test_not_more_readings_are_given_than_a_few_for_each_sign(text: str) -> None:
    found = list(find_addresses(text))
    assert len(found) <= 64 * text.count("@")
    assert all(each in text for each in found)


def test_a_document_of_a_megabyte_is_read() -> None:
    assert ADDRESS in find_emails(b'{"body":"' + b"a@a.a " * 100_000 + ADDRESS.encode() + b'"}')
