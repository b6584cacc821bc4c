"""A mapping against the properties a CRM has: every misfit named, with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncline.domain.mapping import Convert, Direction, FieldMap, ObjectMap
from syncline.domain.mapping_check import Finding, PropertyFact, PropertyKind, check_mapping

EMAIL = FieldMap("email", "email")
DEFAULT = ObjectMap("people", "contact", (EMAIL, FieldMap("job_title", "role")))
KNOWN = {
    "email": PropertyFact("email", "text", True),
    "role": PropertyFact("role", "text", True),
}


def check(*fields: FieldMap, facts: dict[str, PropertyFact] | None = None) -> list[Finding]:
    mapping = replace(DEFAULT, fields=(EMAIL, *fields))
    return check_mapping(
        {"people": mapping}, {"people": DEFAULT}, {"people": KNOWN if facts is None else facts}
    )


def check_one(each: FieldMap, fact: PropertyFact | None) -> list[tuple[str, str]]:
    facts = KNOWN | ({} if fact is None else {fact.name: fact})
    return [(found.level, found.problem) for found in check(each, facts=facts)]


def test_what_fits_is_not_mentioned() -> None:
    assert check(FieldMap("job_title", "role")) == []


def test_a_property_the_crm_does_not_have_is_an_error_with_a_way_out() -> None:
    [found] = check(FieldMap("phone", "fone"))
    assert (found.object, found.field, found.property, found.level) == ("people", "phone", "fone", "error")
    assert "phone: off" in found.advice


def test_what_is_as_by_default_is_a_warning_at_most() -> None:
    [found] = check(FieldMap("job_title", "role"), facts={"email": KNOWN["email"]})
    assert (found.field, found.level) == ("job_title", "warning")


@pytest.mark.parametrize(("direction", "errors"), [("both", 1), ("push", 1), ("pull", 0)])
def test_a_read_only_property_can_only_be_pulled(direction: Direction, errors: int) -> None:
    fact = PropertyFact("phone", "text", settable=False)
    found = check_one(FieldMap("phone", "phone", direction=direction), fact)
    assert [level for level, _ in found] == ["error"] * errors


@pytest.mark.parametrize(
    ("field", "convert", "kind", "level"),
    [
        ("lead_score", "number", "number", None),
        ("lead_score", "number", "text", "warning"),
        ("lead_score", "number", "date", "error"),
        ("lead_score", "percent", "boolean", "error"),
        ("vsl_watched", "boolean", "boolean", None),
        ("vsl_watched", "boolean", "choice", "warning"),
        ("vsl_watched", "boolean", "time", "error"),
        ("created_at", "time", "date", None),
        ("created_at", "time", "choice", "error"),
        ("owner_id", "owner", "choice", None),
        ("owner_id", "owner", "date", "error"),
        ("phone", "text", "number", None),
        ("lead_score", "number", "other", "warning"),
    ],
)
def test_a_converter_reads_its_own_kind_of_property(
    field: str, convert: Convert, kind: PropertyKind, level: str | None
) -> None:
    found = check_one(FieldMap(field, "it", convert), PropertyFact("it", kind, True))
    assert [each for each, _ in found] == ([] if level is None else [level])


def test_choices_of_true_and_false_are_yes_and_no() -> None:
    fact = PropertyFact("it", "choice", True, ("true", "false"))
    assert check_one(FieldMap("vsl_watched", "it", "boolean"), fact) == []


def test_choices_that_one_side_does_not_know_are_named() -> None:
    fact = PropertyFact("state", "choice", True, tuple("ABCDEFGHI"))
    each = FieldMap("status", "state", "choice", {"A": "a", "Z": "z"})
    assert check_one(each, fact) == [
        (
            "warning",
            "It has choices that the mapping does not know: B, C, D, E, F, G and 2 more.",
        ),
        ("error", "The mapping has choices that the CRM does not: Z."),
    ]
    assert check_one(replace(each, direction="pull", choices=dict.fromkeys("ABCDEFGHIZ", "a")), fact) == [
        ("warning", "The mapping has choices that the CRM does not: Z.")
    ]


def test_an_object_that_was_never_read_is_said_to_be_so() -> None:
    [found] = check(facts={})
    assert (found.level, found.field) == ("warning", "")
    assert "sync" in found.advice


def test_an_object_without_properties_is_not_compared() -> None:
    assert check_mapping({"people": DEFAULT}, {"people": DEFAULT}, {}) == []


def test_records_that_will_not_be_recognised_are_warned_of() -> None:
    mapping = replace(DEFAULT, fields=(FieldMap("job_title", "role"),))
    [found] = check_mapping({"people": mapping}, {"people": DEFAULT}, {"people": KNOWN})
    assert (found.field, found.level) == ("email", "warning")
