"""A mapping as a person writes it: what it means, what it refuses by which name, and that it comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.mapping import FieldMap, ObjectMap, mappable
from syncline.domain.mapping_file import ConnectionMapping, dump_mapping, load_mapping
from syncline.domain.plain_yaml import MAX_BYTES, read_yaml, write_yaml
from syncline.domain.policies import Policy, load_policy
from syncline.errors import Invalid

CONTACTS = ObjectMap(
    "people",
    "contact",
    (
        FieldMap("email", "email"),
        FieldMap("phone", "phone"),
        FieldMap("lead_score", "score", "number", direction="pull"),
        FieldMap("created_at", "createdate", "time", direction="pull"),
    ),
)
DEALS = ObjectMap(
    "sales",
    "deal",
    (
        FieldMap("name", "title"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "stage"),
        FieldMap("close_date", "closedate", "time"),
        FieldMap("probability", "share", "percent", direction="pull"),
    ),
)
CALLS = ObjectMap(
    "calls",
    "activity",
    (
        FieldMap("subject", "title"),
        FieldMap("direction", "way", "choice", {"IN": "inbound", "OUT": "outbound"}),
    ),
    constants={"type": "call"},
)
NOTES = ObjectMap(
    "notes", "activity", (FieldMap("subject", "title"), FieldMap("body", "text")), {"type": "note"}
)
DEFAULT = {each.object: each for each in (CONTACTS, DEALS, CALLS, NOTES)}


def load(text: str) -> ConnectionMapping:
    return load_mapping(read_yaml(text), DEFAULT, version=3)


def field(mapping: ConnectionMapping, name: str, object_name: str = "people") -> FieldMap | None:
    return next((each for each in mapping.objects[object_name].fields if each.field == name), None)


def people(entry: str) -> str:
    return f"version: 1\nobjects:\n  people:\n    fields:\n      {entry}\n"


def test_what_is_not_mentioned_follows_the_default() -> None:
    for document in (None, {"version": 1}, {"version": 1, "objects": {"people": None}}):
        mapping = load_mapping(document, DEFAULT, version=3)
        assert mapping.objects == {name: replace(each, version=3) for name, each in DEFAULT.items()}
        assert mapping.policy == Policy()


def test_a_name_alone_is_a_property_and_the_converter_follows_from_the_field() -> None:
    mapping = load(people("{phone: mobile, lead_score: rating, job_title: role}"))
    assert field(mapping, "phone") == FieldMap("phone", "mobile")
    assert field(mapping, "lead_score") == FieldMap("lead_score", "rating", "number")
    assert field(mapping, "job_title") == FieldMap("job_title", "role")
    assert field(mapping, "email") == FieldMap("email", "email")


def test_a_field_that_only_says_one_thing_keeps_the_rest_of_the_default() -> None:
    mapping = load(people("{phone: {direction: pull}, lead_score: {property: score, direction: both}}"))
    assert field(mapping, "phone") == FieldMap("phone", "phone", direction="pull")
    assert field(mapping, "lead_score") == FieldMap("lead_score", "score", "number", direction="both")


@pytest.mark.parametrize("off", ["off", "null", "~", "OFF".lower(), ""])
def test_a_field_that_is_off_is_not_mapped(off: str) -> None:
    assert field(load(people(f"phone: {off}")), "phone") is None


def test_a_property_may_be_called_off() -> None:
    mapping = load(people("phone: {property: 'off'}"))
    assert field(mapping, "phone") == FieldMap("phone", "off")
    assert load_mapping(dump_mapping(mapping, DEFAULT), DEFAULT, version=3) == mapping


def test_choices_make_the_converter_and_read_words_as_they_are_written() -> None:
    mapping = load(people("{status: {property: state, choices: {NO: lost, 'yes': won, 1: new, true: ~}}}"))
    found = field(mapping, "status")
    assert found is not None
    assert (found.convert, found.choices) == (
        "choice",
        {"NO": "lost", "yes": "won", "1": "new", "true": None},
    )


def test_a_fields_policy_joins_the_connections() -> None:
    mapping = load(
        "version: 1\npolicy: {extends: b2g, records: {contact: {fields: {phone: ours}}}}\n"
        "objects:\n  people: {fields: {email: {policy: review}}}\n"
        "  sales: {fields: {close_date: {policy: max}}}\n"
    )
    policy = mapping.policy
    assert policy.rule_for("contact", "email") == "review"
    assert policy.rule_for("contact", "phone") == "ours"
    assert policy.rule_for("deal", "expected_close_date") == policy.rule_for("deal", "closed_at") == "max"
    assert policy.rule_for("deal", "match_score") == "ours"
    assert load("version: 1\npolicy: review").policy == load_policy("review")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "must be a mapping"),
        ("objects: {}", "version: 1"),
        ("version: true", "version: 1"),
        ("version: 2", "version: 1"),
        ("{version: 1, mapping: {}}", "“mapping”"),
        ("{version: 1, policy: sometimes}", "“sometimes”"),
        ("{version: 1, objects: {cars: {}}}", "objects.cars: there is no such object. Objects are people"),
        ("{version: 1, objects: {people: [email]}}", "objects.people must be a mapping"),
        ("{version: 1, objects: {people: {record: deal}}}", "objects.people.record is “deal”"),
        ("{version: 1, objects: {people: {field: {}}}}", "“field”"),
        (people("shoe_size: shoes"), "objects.people.fields.shoe_size: a contact has no such field"),
        (people("phone_e164: x"), "phone_e164: it follows from phone; map that"),
        (people("archived_at: x"), "archived_at: it says when"),
        (people("phone: 5"), "fields.phone must be a mapping"),
        (people("phone: ''"), "fields.phone must be a name"),
        (people("phone: {property: 5}"), "fields.phone.property must be a name"),
        (people("phone: {from: x}"), "“from”"),
        (people("job_title: {direction: pull}"), "fields.job_title: say which property"),
        (people("phone: {convert: fone}"), "fields.phone.convert is “fone”; it must be one of text"),
        (people("phone: {direction: out}"), "fields.phone.direction is “out”"),
        (people("phone: {convert: number}"), "phone is a text, which number does not give"),
        (people("owner_id: {property: o, convert: text}"), "owner_id is a reference, which text does not"),
        (people("phone: {convert: choice}"), "fields.phone: the converter choice needs its choices"),
        (people("phone: {convert: text, choices: {A: b}}"), "converter text takes no choices"),
        (people("phone: {choices: {A: 5}}"), "fields.phone.choices.A must be a text"),
        (people("phone: {choices: {A: ~}}"), "at least once"),
        (people("phone: {policy: sometimes}"), "“sometimes” for contact.phone"),
        (people("phone: {policy: max}"), "contact.phone is a text"),
        (
            people("job_title: phone"),
            "objects.people.fields.job_title: the property phone is read into phone",
        ),
        (
            people("{phone: {direction: pull}, job_title: {property: email, direction: push}}"),
            "the property email is written from email already",
        ),
        ("{version: 1, objects: {calls: {fields: {type: kind}}}}", "fields.type: it is “call” for every"),
        ("{version: 1, objects: {sales: {fields: {status: x}}}}", "status: it follows from stage"),
        ("{version: 1, objects: {sales: {fields: {closed_at: x}}}}", "closed_at: it follows from close_date"),
        ("{version: 1, objects: {sales: {fields: {stage: off}}}}", "stage cannot be off"),
        ("{version: 1, objects: {sales: {fields: {stage: {direction: push}}}}}", "both or pull"),
        ("{version: 1, objects: {sales: {fields: {stage: {direction: pull}}}}}", "the same direction"),
        (
            """version: 1
objects:
  calls: {fields: {subject: {policy: ours}}}
  notes: {fields: {subject: {policy: theirs}}}
""",
            "objects.notes.fields.subject.policy is “theirs”, but objects.calls.fields.subject.policy",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        load(text)
    assert named in str(refused.value)


def test_one_field_may_read_a_property_that_another_writes() -> None:
    mapping = load(people("{phone: {direction: pull}, job_title: {property: phone, direction: push}}"))
    assert field(mapping, "job_title") == FieldMap("job_title", "phone", direction="push")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: &x [1]\nb: *x", "Line 2: references"),
        ("a: &x [1, 1]\nb: &y [*x, *x]\nc: [*y, *y]", "Line 2: references"),
        ("a: 1\nb: 2\na: 3", "Line 3: “a” stands here a second time"),
        ("1: a\n'1': b", "Line 2: “1” stands here a second time"),
        ("a: !!python/object/apply:os.getcwd []", "Line 1: could not determine a constructor"),
        ("a: !!binary aGk=", "Line 1: the tag"),
        ("? [a]\n: b", "Line 1: a name is no text"),
        ("a: 1\n---\nb: 2", "Line 2: but found another document"),
        ("a: [1,", "Line 1:"),
        ("[" * 100, "more than 20 levels"),
        ("a: " + "x" * MAX_BYTES, "longer than"),
        ("a: \x00", "characters that YAML does not allow"),
    ],
)
def test_yaml_that_is_no_plain_document_is_refused_with_its_line(text: str, named: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_yaml(text)
    assert named in str(refused.value)


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(Invalid, match="UTF-8"):
        read_yaml(b"\xff\xfea: 1")


def test_words_that_old_yaml_takes_for_other_things_are_texts() -> None:
    text = "a: off\nb: NO\nc: 2024-05-01\nd: 1:30\ne: <<\nf: 0o17\ng: '1'\nh: 1\ni: ~\nj: true"
    assert read_yaml(text) == {
        "a": "off",
        "b": "NO",
        "c": "2024-05-01",
        "d": "1:30",
        "e": "<<",
        "f": "0o17",
        "g": "1",
        "h": 1,
        "i": None,
        "j": True,
    }


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(_plain)
def test_what_is_written_is_read_back_the_same(document: Any) -> None:
    assert read_yaml(write_yaml(document)) == document


_properties = st.sampled_from(["one", "two", "three", "off", "NO", "email", "phone", "score"])


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, Any]:
    objects: dict[str, Any] = {}
    for name, usual in DEFAULT.items():
        names = draw(st.lists(st.sampled_from(sorted(mappable(usual.record_type))), max_size=3, unique=True))
        fields: dict[str, Any] = {}
        for each in names:
            entry: dict[str, Any] = {}
            if draw(st.booleans()):
                entry["property"] = draw(_properties)
            if draw(st.booleans()):
                entry["direction"] = draw(st.sampled_from(["both", "pull", "push"]))
            if draw(st.booleans()):
                entry["policy"] = draw(st.sampled_from(["ours", "theirs", "review"]))
            if draw(st.integers(0, 5)) == 0:
                entry["choices"] = {"A": "b", "C": None}
            fields[each] = draw(st.sampled_from([entry, None, "off"]))
        objects[name] = {"fields": fields}
    return {
        "version": 1,
        "policy": draw(st.sampled_from(["newest", "b2g", "field_level"])),
        "objects": objects,
    }


@given(_documents())
def test_a_mapping_that_can_be_read_comes_back_from_its_own_writing(document: dict[str, Any]) -> None:
    try:
        mapping = load_mapping(document, DEFAULT, version=2)
    except Invalid:
        return
    written = dump_mapping(mapping, DEFAULT)
    again = load_mapping(read_yaml(write_yaml(written)), DEFAULT, version=2)
    assert again.policy == mapping.policy
    for name in DEFAULT:
        fields, before = again.objects[name].fields, mapping.objects[name].fields
        assert {each.field: each for each in fields} == {each.field: each for each in before}
    assert dump_mapping(again, DEFAULT) == written
