"""Addresses and numbers are found where they stand as whole ones, and taken out of texts and documents."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain import identifiers
from syncline.domain.addresses import is_address
from syncline.domain.identifiers import ERASED, needles, redact, redact_json

ADDRESS = "o'neil+x@people.example"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('{"email":"Ann@People.example"}', {"ann@people.example"}),
        ('{"a":"ann@x.example;bob@y.example"}', {"ann@x.example", "bob@y.example"}),
        (
            '{"body":"<ann@x.example>, and jürgen@münchen.example."}',
            {"ann@x.example", "jürgen@münchen.example", "jürgen@münchen.example."},
        ),
        (
            json.dumps({"body": "Hi,\nann@x.example\twrote <bob@y.example>"}),
            {"ann@x.example", "bob@y.example"},
        ),
        ('{"a":"ann\\u0040x.example"}', {"ann@x.example"}),
        ('{"a":"@home","b":"a@b","c":"me@","d":"no"}', set[str]()),
        ('{"a":"ann@x.example@y.example"}', {"ann@x.example", "x.example@y.example"}),
        ('{"a":"' + "x" * 70 + '@y.example"}', {"x" * 70 + "@y.example"}),
        (json.dumps({"a": "mailto:ann@x.example"}), {"mailto:ann@x.example", "ann@x.example"}),
    ],
)
def test_addresses_are_found_in_a_document(told: str, found: set[str]) -> None:
    assert identifiers.find_emails(told.encode()) == found


#: Everything a field takes as an address has to be found where it stands in a text, and taken out of it.
ODD = [
    "o'neil+x@people.example",
    "a/b=c{d}|e@people.example",
    '"quoted"@people.example',
    'half"quoted@people.example',
    "jürgen.gröste@münchen.example",
    "josé+müller@пример.example",
    "!#$%&*?^`~@people.example",
    ".dot.@people.example",
    "ann@[192.168.1.1]",
    "back\\slash@people.example",
]


@pytest.mark.parametrize("address", ODD)
@pytest.mark.parametrize(
    "text", ["{}", "Ask {}, please.", "Ask ({})", "<{}>", "mailto:{}", "Hi,\n{}\tgot it", "“{}”", "to '{}'"]
)
def test_whatever_a_field_takes_is_found_in_texts_and_taken_out_of_them(address: str, text: str) -> None:
    assert is_address(address)
    for told in (address, address.upper()):
        written = text.format(told)
        payload = json.dumps({"body": written}, ensure_ascii=False).encode()
        assert address.lower() in identifiers.find_emails(payload)
        needle, *_ = needles([address], [])
        assert needle.text in payload.decode().lower()
        assert re.search(needle.pattern, payload.decode(), re.IGNORECASE)
        assert redact(written, [needle]) == text.format(ERASED)
        assert json.loads(redact_json(payload, [needle])) == {"body": text.format(ERASED)}


@given(st.from_regex(r"[^\s@<>,;]{1,20}@[^\s@<>,;]{1,20}\.[^\s@<>,;]{1,10}", fullmatch=True))
def test_an_address_of_whatever_letters_is_found_where_it_stands(address: str) -> None:
    assert is_address(address)
    payload = json.dumps({"a": f"{address} and more", "b": [address]}).encode()
    assert address.lower() in identifiers.find_emails(payload)


@pytest.mark.parametrize("text", ["jane.ann@x.example", "o'ann@x.example", "plus+ann@x.example"])
def test_a_longer_address_is_somebody_elses(text: str) -> None:
    assert redact(text, needles(["ann@x.example"], [])) == text


def test_an_accent_is_the_same_however_it_is_written() -> None:
    assert identifiers.email("JO\u0301SE@x.example") == identifiers.email("jóse@x.example")


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


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("told", ["NFC", "NFD"])
def test_an_accented_address_is_found_in_whichever_way_its_letters_are_composed(
    form: Literal["NFC", "NFD"], told: Literal["NFC", "NFD"]
) -> None:
    address = unicodedata.normalize(form, "josé@people.example")
    text = unicodedata.normalize(told, "Ask josé@people.example.")
    assert redact(text, needles([address], [])) == f"Ask {ERASED}."
