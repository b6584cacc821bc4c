"""Addresses and numbers are found where they stand as whole ones, and taken out of texts and documents."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain import identifiers
from syncline.domain.identifiers import ERASED, needles, redact, redact_json

ADDRESS = "o'neil+x@people.example"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('{"email":"Ann@People.example"}', {"ann@people.example"}),
        ('{"a":"ann@x.example;bob@y.example"}', {"ann@x.example", "bob@y.example"}),
        (
            '{"body":"<ann@x.example>, and jürgen@münchen.example."}',
            {"ann@x.example", "jürgen@münchen.example"},
        ),
        (
            json.dumps({"body": 'Hi,\nann@x.example\twrote "bob@y.example"'}),
            {"ann@x.example", "bob@y.example"},
        ),
        ('{"a":"ann\\u0040x.example"}', {"ann@x.example"}),
        ('{"a":"@home","b":"a@b","c":"me@","d":"no"}', set[str]()),
        ('{"a":"ann@x.example@y.example"}', {"ann@x.example", "x.example@y.example"}),
        ('{"a":"' + "x" * 70 + '@y.example"}', {"x" * 64 + "@y.example"}),
    ],
)
def test_addresses_are_found_in_a_document(told: str, found: set[str]) -> None:
    assert identifiers.find_emails(told.encode()) == found


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Ask {ADDRESS.upper()}.", f"Ask {ERASED}."),
        (f"not{ADDRESS}", f"not{ADDRESS}"),
        (f"{ADDRESS}.de", f"{ADDRESS}.de"),
        (f"{ADDRESS}, {ADDRESS}", f"{ERASED}, {ERASED}"),
        ("call (415) 555-2671 now", f"call {ERASED} now"),
        ("4155552671", ERASED),
        ("94155552671", "94155552671"),
    ],
)
def test_whole_ones_are_taken_out_and_nothing_else(text: str, left: str) -> None:
    assert redact(text, needles([ADDRESS], ["(415) 555-2671"])) == left


def test_a_line_that_begins_with_it_in_json_loses_it() -> None:
    payload = json.dumps({"body": f"Hi,\n{ADDRESS}\r\n{ADDRESS}", "price": 1.10}).encode()
    left = json.loads(redact_json(payload, needles([ADDRESS], [])))
    assert left["body"] == f"Hi,\n{ERASED}\r\n{ERASED}"
    by_number = json.dumps({"body": ADDRESS}).replace("@", "\\u0040").encode()
    assert json.loads(redact_json(by_number, needles([ADDRESS], []))) == {"body": ERASED}


def test_too_short_a_number_is_looked_for_nowhere() -> None:
    assert needles([], ["12345", "ext. 77"]) == []


@given(st.recursive(
    st.none() | st.integers() | st.text() | st.just(ADDRESS) | st.just(4155552671),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_a_document_stays_one_and_loses_what_was_looked_for(document: object) -> None:
    payload = json.dumps({"held": document}, separators=(",", ":")).encode()
    left = redact_json(payload, needles([ADDRESS], ["4155552671"]))
    assert ADDRESS not in json.dumps(json.loads(left))
    assert not re.search(r"(?<!\d)4155552671(?!\d)", left.decode())


def test_a_hash_depends_on_the_key_and_the_kind() -> None:
    first, second = identifiers.new_hash_key(), identifiers.new_hash_key()
    email = identifiers.email(" Ann@X.example ")
    assert identifiers.hash_identifier(first, email) == identifiers.hash_identifier(
        first, identifiers.email("ann@x.example")
    )
    others = {
        identifiers.hash_identifier(second, email),
        identifiers.hash_identifier(first, identifiers.phone("ann@x.example")),
    }
    assert identifiers.hash_identifier(first, email) not in others
