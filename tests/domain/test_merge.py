"""The law of the merge, line by line, and what each rule decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from syncline.domain.agreement import agree_on_new
from syncline.domain.mapping import MappedRecord
from syncline.domain.merge import Access, Copy, Merged, merge
from syncline.domain.policies import (
    HERE,
    POLICIES,
    Policy,
    RecordRules,
    Rule,
    dump_policy,
    load_policy,
)
from syncline.domain.records import ACTIVITY, COMPANY, CONTACT, DEAL, RecordType
from syncline.domain.verdicts import APPENDED
from syncline.errors import Invalid

AGREED = {"first_name": ["Ada"]}


def decided(rule: Rule, *, field: str = "first_name", kind: str = "contact", **more: Any) -> Policy:
    return Policy(records={kind: RecordRules(fields={field: rule})}, **more)


def run(
    base: Mapping[str, Sequence[Any]],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    kind: RecordType = CONTACT,
    policy: Policy | None = None,
    read: Mapping[str, Any] | None = None,
    ours_ms: int | None = 20_000,
    theirs_ms: int | None = 10_000,
    **more: Any,
) -> Merged:
    own = Copy(ours, updated_ms=ours_ms)
    other = Copy(theirs, read or {}, updated_ms=theirs_ms, source="main")
    return merge(kind, policy or Policy(), base, own, other, **more)


# One side, or both the same.


def test_nothing_changed_is_quiet() -> None:
    assert run(AGREED, {"first_name": "Ada"}, {"first_name": "Ada"}).is_quiet


def test_what_only_they_changed_is_taken_with_its_time() -> None:
    merged = run(AGREED, {"first_name": "Ada"}, {"first_name": "Eve"}, policy=Policy(rule="ours"))
    assert merged.write == {"first_name": "Eve"}
    assert merged.base == {"first_name": ["Eve"]}
    assert merged.times == {"first_name": 10_000}
    assert not merged.push
    assert not merged.decisions


def test_what_only_they_emptied_is_emptied_here() -> None:
    assert run(AGREED, {"first_name": "Ada"}, {"first_name": None}).write == {"first_name": None}


@pytest.mark.parametrize("rule", ["newest", "ours", "review"])
@pytest.mark.parametrize("base", [{}, {"archived_at": [None]}])
def test_what_both_archived_is_agreed_on_whenever_each_did(rule: Rule, base: dict[str, Any]) -> None:
    ours, theirs = {"archived_at": "2026-11-21T12:00:00+00:00"}, {"archived_at": "2026-11-20T09:00:00+00:00"}
    merged = run(base, ours, theirs, policy=Policy(rule=rule))
    assert not merged.push
    assert not merged.conflicts
    assert merged.base == {"archived_at": [theirs["archived_at"]]}
    # So who brings it back is the only one who changed something.
    back = run(merged.base, ours | merged.write, {"archived_at": None}, policy=Policy(rule=rule))
    assert back.write == {"archived_at": None}
    assert not back.push


def test_what_only_we_changed_is_pushed() -> None:
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Ada"}, policy=Policy(rule="theirs"))
    assert merged.push == {"first_name": "Bea"}
    assert not merged.write
    assert not merged.decisions
    assert not merged.base  # until an answer came


def test_both_changed_to_the_same_value_is_agreement() -> None:
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Bea"}, policy=Policy(rule="review"))
    assert merged.base == {"first_name": ["Bea"]}
    assert not any((merged.write, merged.push, merged.decisions, merged.conflicts))


def test_two_sides_that_changed_different_fields_are_no_conflict() -> None:
    base = {"first_name": ["Ada"], "last_name": ["Low"]}
    merged = run(
        base,
        {"first_name": "Bea", "last_name": "Low"},
        {"first_name": "Ada", "last_name": "High"},
        policy=Policy(rule="review"),
    )
    assert merged.write == {"last_name": "High"}
    assert merged.push == {"first_name": "Bea"}
    assert not merged.conflicts


# The law's table.


def test_a_crm_that_normalises_what_we_send_does_not_come_back_as_a_change() -> None:
    base = {"phone": ["+1 555 010 0199", "5550100199"]}
    merged = run(base, {"phone": "+1 555 010 0199"}, {"phone": "5550100199"})
    assert merged.is_quiet


def test_a_converter_that_changed_changes_neither_side() -> None:
    base = {"lead_score": [5, "5"]}
    assert run(base, {"lead_score": 5}, {"lead_score": 500}, read={"lead_score": "5"}).is_quiet


def test_a_number_that_is_written_otherwise_is_no_change_here() -> None:
    base = {"lead_score": [5.10, "5.1"]}
    ours = {"lead_score": Decimal("5.1")}
    assert run(base, ours, {"lead_score": Decimal("5.1")}, read={"lead_score": "5.1"}).is_quiet


def test_yes_is_not_one() -> None:
    merged = run(
        {"vsl_watched": [1, "1"]}, {"vsl_watched": True}, {"vsl_watched": 1}, read={"vsl_watched": "1"}
    )
    assert merged.push == {"vsl_watched": True}


def test_a_gained_field_that_is_equal_is_adopted() -> None:
    merged = run({}, {"first_name": "Ada"}, {"first_name": "Ada"})
    assert merged.base == {"first_name": ["Ada"]}
    assert not merged.push


def test_a_gained_field_that_is_empty_on_one_side_is_filled_from_the_other() -> None:
    merged = run({}, {"first_name": "Ada"}, {"first_name": None, "last_name": "Low"})
    assert merged.write == {"last_name": "Low"}
    assert merged.push == {"first_name": "Ada"}
    assert not merged.decisions


@pytest.mark.parametrize("policy", [Policy(rule="theirs", push_off="theirs"), Policy(push_off="theirs")])
def test_a_gained_field_is_never_emptied_even_where_theirs_wins(policy: Policy) -> None:
    merged = run({}, {"first_name": "Ada"}, {"first_name": None}, policy=policy, access=Access(push=()))
    assert merged.is_quiet


def test_a_gained_field_does_not_empty_theirs_where_nothing_is_pulled() -> None:
    merged = run({}, {}, {"first_name": "Ada"}, policy=Policy(rule="ours"), access=Access(pull=()))
    assert merged.is_quiet


def test_a_gained_field_is_not_filled_over_a_text_that_nobody_could_read() -> None:
    assert run({}, {"lead_score": 5}, {"lead_score": None}, read={"lead_score": "many"}).is_quiet


def test_a_gained_field_filled_on_both_sides_is_decided_by_the_first_link() -> None:
    policy = Policy(rule="theirs", first_link="ours")
    merged = run({}, {"first_name": "Bea"}, {"first_name": "Ada"}, policy=policy)
    assert merged.push == {"first_name": "Bea"}
    assert [(each.winner, each.losing) for each in merged.decisions] == [("ours", "Ada")]


def test_the_echo_of_an_earlier_value_does_not_undo_a_later_edit() -> None:
    sent = {"first_name": [["Bea", "Bea"]]}
    merged = run(
        AGREED,
        {"first_name": "Cat"},
        {"first_name": "Bea"},
        sent=sent,
        theirs_ms=30_000,
    )
    assert merged.push == {"first_name": "Cat"}
    assert merged.base == {"first_name": ["Bea"]}
    assert not any((merged.write, merged.decisions))


@pytest.mark.parametrize(
    ("field", "value", "echo"),
    [
        ("email", "Ada@Example.com ", "ada@example.com"),
        ("phone", "+1 (555) 010-0199", "+15550100199"),
        ("lead_score", 5, Decimal("5.00")),
        ("created_at", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z"),
    ],
)
def test_an_echo_is_known_though_the_crm_writes_it_otherwise(field: str, value: Any, echo: Any) -> None:
    merged = run({field: ["old"]}, {field: value}, {field: echo}, sent={field: [[value]]}, theirs_ms=30_000)
    assert not any((merged.write, merged.push, merged.decisions))
    merged = run({field: merged.base[field]}, {field: value}, {field: echo})
    assert merged.is_quiet


def test_what_died_between_the_crms_write_and_our_commit_is_adopted_when_read_again() -> None:
    sent = {"first_name": [["Bea"]]}
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Bea"}, sent=sent)
    assert merged.base == {"first_name": ["Bea"]}
    assert not merged.push


def test_what_died_before_the_crms_write_is_sent_again() -> None:
    sent = {"first_name": [["Bea"]]}
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Ada"}, sent=sent)
    assert merged.push == {"first_name": "Bea"}


def test_a_key_that_was_not_read_is_left_alone_on_both_sides() -> None:
    assert run(AGREED, {"first_name": "Bea"}, {}).is_quiet


def test_newest_goes_by_the_fields_own_times_where_they_are_known() -> None:
    ours = Copy({"first_name": "Bea"}, updated_ms=99_000, field_ms={"first_name": 10_000})
    theirs = Copy({"first_name": "Cat"}, updated_ms=30_000)
    merged = merge(CONTACT, Policy(), AGREED, ours, theirs)
    assert merged.write == {"first_name": "Cat"}


def test_newest_across_three_connections_is_not_won_by_the_slower_poll() -> None:
    # Changed at one connection at 50 s and taken from there; another, polled later, has an edit of 40 s.
    first = run(AGREED, {"first_name": "Ada"}, {"first_name": "Late"}, theirs_ms=50_000)
    ours = Copy(first.write, updated_ms=60_000, field_ms=first.times)
    merged = merge(
        CONTACT, Policy(), AGREED, ours, Copy({"first_name": "Early"}, updated_ms=40_000, source="other")
    )
    assert merged.push == {"first_name": "Late"}
    older = Copy(first.write, updated_ms=60_000, field_ms={"first_name": 30_000})
    merged = merge(CONTACT, Policy(), AGREED, older, Copy({"first_name": "Early"}, updated_ms=40_000))
    assert merged.write == {"first_name": "Early"}


def test_a_local_edit_where_writing_is_off_is_kept() -> None:
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Ada"}, access=Access(push=()))
    assert merged.is_quiet


def test_a_local_edit_where_writing_is_off_gives_way_when_told_to_and_is_written_down() -> None:
    policy = Policy(records={"contact": RecordRules(push_off={"first_name": "theirs"})})
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Ada"}, policy=policy, access=Access(push=()))
    assert merged.write == {"first_name": "Ada"}
    assert [each.losing for each in merged.decisions] == ["Bea"]


def test_a_conflict_that_ours_wins_where_writing_is_off_is_kept_here_and_pushed_nowhere() -> None:
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Cat"}, access=Access(push=()))
    assert not any((merged.write, merged.push))
    assert merged.base == {"first_name": ["Cat"]}
    assert merged.decisions[0].losing == "Cat"
    again = run(merged.base, {"first_name": "Bea"}, {"first_name": "Cat"}, access=Access(push=()))
    assert again.is_quiet
    switched_on = run(merged.base, {"first_name": "Bea"}, {"first_name": "Cat"})
    assert switched_on.push == {"first_name": "Bea"}


def test_a_field_that_is_only_pushed_is_never_written_here() -> None:
    access = Access(pull=())
    assert run(AGREED, {"first_name": "Ada"}, {"first_name": "Cat"}, access=access).is_quiet
    merged = run(
        AGREED, {"first_name": "Bea"}, {"first_name": "Cat"}, access=access, policy=Policy(rule="theirs")
    )
    assert merged.push == {"first_name": "Bea"}
    assert [(each.winner, each.losing) for each in merged.decisions] == [("ours", "Cat")]


def test_a_field_that_is_off_is_not_looked_at() -> None:
    assert run(AGREED, {"first_name": "Bea"}, {"first_name": "Cat"}, access=Access((), ())).is_quiet


def test_an_edit_that_is_taken_back_after_ours_won_is_pushed_all_the_same() -> None:
    won = run(AGREED, {"first_name": "Bea"}, {"first_name": "Cat"})
    assert won.push == {"first_name": "Bea"}
    back = run(won.base, {"first_name": "Ada"}, {"first_name": "Cat"})
    assert back.push == {"first_name": "Ada"}


# What a person decides.


def test_review_touches_neither_side_and_asks_again_until_decided() -> None:
    policy = Policy(rule="review")
    merged = run(AGREED, {"first_name": "Bea"}, {"first_name": "Cat"}, policy=policy)
    assert not any((merged.write, merged.push, merged.base, merged.decisions))
    (conflict,) = merged.conflicts
    assert (conflict.base, conflict.ours, conflict.theirs) == ("Ada", "Bea", "Cat")
    chosen = run({"first_name": conflict.seen}, {"first_name": "Bea"}, {"first_name": "Cat"}, policy=policy)
    assert chosen.push == {"first_name": "Bea"}
    assert not chosen.conflicts


# What rules decide. Base "Ada" for texts; ours is newer by ten seconds.


@pytest.mark.parametrize(
    ("rule", "ours", "theirs", "stands"),
    [
        ("newest", "Bea", "Cat", "Bea"),
        ("ours", "Bea", "Cat", "Bea"),
        ("theirs", "Bea", "Cat", "Cat"),
        ("prefer_nonempty", "Bea", "Cat", "Cat"),
        ("prefer_nonempty", "Bea", None, "Bea"),
        ("fill_if_empty", "Bea", "Cat", "Bea"),
        ("fill_if_empty", "", "Cat", "Cat"),
    ],
)
def test_a_rule_lets_one_side_stand_on_both(rule: Rule, ours: Any, theirs: Any, stands: str) -> None:
    merged = run(AGREED, {"first_name": ours}, {"first_name": theirs}, policy=decided(rule))
    assert {"first_name": ours, **merged.write} == {"first_name": stands}
    assert {"first_name": theirs, **merged.push} == {"first_name": stands}
    assert {merged.decisions[0].value, merged.decisions[0].losing} == {ours, theirs}
    assert merged.decisions[0].rule == rule


@pytest.mark.parametrize(
    ("rule", "field", "ours", "theirs", "stands"),
    [
        ("max", "lead_score", 5, Decimal("7.5"), Decimal("7.5")),
        ("min", "lead_score", 5, Decimal("7.5"), 5),
        ("max", "lead_score", 5, None, 5),
        ("min", "lead_score", None, 7, 7),
        (
            "max",
            "created_at",
            "2026-01-01T09:00:00+00:00",
            "2026-01-01T08:30:00+00:00",
            "2026-01-01T09:00:00+00:00",
        ),
        ("max", "custom_fields.size", "12", "9", "12"),
        ("max", "custom_fields.size", "12", "much", "12"),
        ("max", "custom_fields.size", "little", "much", "little"),
    ],
)
def test_the_larger_or_smaller_stands_and_what_cannot_be_read_gives_way(
    rule: Rule, field: str, ours: Any, theirs: Any, stands: Any
) -> None:
    merged = run({field: ["0"]}, {field: ours}, {field: theirs}, policy=decided(rule, field=field))
    assert merged.write.get(field, ours) == stands
    assert merged.push.get(field, theirs) == stands


def test_append_joins_ours_and_what_only_they_have() -> None:
    policy = decided("append", kind="activity", field="body")
    base = {"body": ["first"]}
    merged = run(
        base,
        {"body": f"first{APPENDED}ours"},
        {"body": f"first{APPENDED}theirs"},
        kind=ACTIVITY,
        policy=policy,
    )
    joined = f"first{APPENDED}ours{APPENDED}theirs"
    assert merged.write == merged.push == {"body": joined}
    assert merged.decisions[0].winner == "both"


def test_append_never_appends_what_is_already_there() -> None:
    policy = decided("append", kind="activity", field="body")
    has_all = f"one\r\n---\r\ntwo{APPENDED}three"
    merged = run({"body": ["zero"]}, {"body": has_all}, {"body": "two"}, kind=ACTIVITY, policy=policy)
    assert merged.push == {"body": has_all}
    assert not merged.write
    merged = run({"body": ["zero"]}, {"body": "two"}, {"body": has_all}, kind=ACTIVITY, policy=policy)
    assert merged.write == {"body": has_all}
    assert not merged.push


def test_union_joins_what_was_added_and_drops_what_was_taken_out() -> None:
    policy = decided("union", field="custom_fields.tags")
    field = "custom_fields.tags"
    merged = run({field: ["a;b"]}, {field: "a;b;mine"}, {field: "b; theirs"}, policy=policy)
    assert merged.write == merged.push == {field: "b;mine;theirs"}


def test_union_takes_their_order_where_both_have_the_same() -> None:
    policy = decided("union", field="custom_fields.tags")
    field = "custom_fields.tags"
    merged = run({field: ["a"]}, {field: "a;b;c"}, {field: "c;b;a"}, policy=policy)
    assert merged.write == {field: "c;b;a"}
    assert not merged.push


@pytest.mark.parametrize(("ours", "theirs"), [("Bea", "Cat"), ("Cat", "Bea"), ("", "Cat"), ("Cat", None)])
def test_changes_at_one_time_are_decided_alike_from_both_sides(ours: Any, theirs: Any) -> None:
    merged = run(AGREED, {"first_name": ours}, {"first_name": theirs}, ours_ms=10_900, theirs_ms=10_000)
    assert merged.decisions[0].value == "Cat"


def test_theirs_wins_when_no_time_is_known() -> None:
    merged = run(AGREED, {"first_name": "Cat"}, {"first_name": "Bea"}, theirs_ms=None)
    assert merged.write == {"first_name": "Bea"}
    assert not merged.times


@pytest.mark.parametrize(
    ("priority", "came_from", "stands"),
    [
        ((), HERE, "Cat"),
        ((HERE, "main"), HERE, "Bea"),
        (("other", "main"), "other", "Bea"),
        (("main", "other"), "other", "Cat"),
        ((HERE,), "other", "Bea"),  # neither is named: the newer
    ],
)
def test_the_more_trusted_source_wins(priority: tuple[str, ...], came_from: str, stands: str) -> None:
    policy = Policy(rule="source_priority", priority=priority)
    ours = Copy({"first_name": "Bea"}, updated_ms=20_000, field_sources={"first_name": came_from})
    theirs = Copy({"first_name": "Cat"}, updated_ms=10_000, source="main")
    assert merge(CONTACT, policy, AGREED, ours, theirs).decisions[0].value == stands


# Fields that belong together.

DEAL_BASE = {
    "pipeline": ["sales"],
    "stage": ["new"],
    "stage_id": ["id-new"],
    "status": ["open"],
    "expected_close_date": ["2026-12-01"],
    "closed_at": [None],
    "amount": [100],
}
AS_AGREED = {name: each[0] for name, each in DEAL_BASE.items()}
LOST = {
    "stage": "lost",
    "stage_id": "id-lost",
    "status": "lost",
    "expected_close_date": None,
    "closed_at": "2026-11-01T00:00:00+00:00",
}


def test_a_deals_stage_and_what_follows_from_it_go_to_one_side() -> None:
    ours = AS_AGREED | {"stage": "talk", "stage_id": "id-talk"}
    theirs = AS_AGREED | LOST | {"amount": 200}
    merged = run(DEAL_BASE, ours, theirs, kind=DEAL, access=Access(push=("stage", "pipeline", "amount")))
    assert merged.write == {"amount": 200}
    assert merged.push == {"stage": "talk"}
    assert {each.field for each in merged.decisions} == set(LOST)
    merged = run(DEAL_BASE, ours, theirs, kind=DEAL, theirs_ms=90_000)
    assert merged.write == LOST | {"amount": 200}
    assert not merged.push


def test_a_pipeline_of_one_side_never_gets_a_stage_of_the_other() -> None:
    ours = AS_AGREED | {"pipeline": "service"}
    theirs = AS_AGREED | {"stage": "talk", "stage_id": "id-talk"}
    merged = run(DEAL_BASE, ours, theirs, kind=DEAL)
    assert merged.push["pipeline"] == "service"
    assert merged.push["stage"] == "new"
    assert not merged.write


def test_a_date_changed_on_one_side_survives_a_quarrel_about_open_stages() -> None:
    ours = AS_AGREED | {"stage": "talk", "stage_id": "id-talk"}
    theirs = AS_AGREED | {"stage": "offer", "stage_id": "id-offer", "expected_close_date": "2027-01-01"}
    merged = run(DEAL_BASE, ours, theirs, kind=DEAL)
    assert merged.write == {"expected_close_date": "2027-01-01"}


def test_a_status_goes_with_the_stage_even_where_it_cannot_be_pushed() -> None:
    ours = AS_AGREED | {"stage": "won", "stage_id": "id-won", "status": "won"}
    merged = run(
        DEAL_BASE,
        ours,
        AS_AGREED,
        kind=DEAL,
        policy=Policy(push_off="theirs"),
        access=Access(push=("stage",)),
    )
    assert merged.push == {"stage": "won"}
    assert not merged.write


def test_a_quarrel_about_the_stage_is_reviewed_whole() -> None:
    ours = AS_AGREED | {"stage": "talk", "stage_id": "id-talk"}
    merged = run(DEAL_BASE, ours, AS_AGREED | LOST, kind=DEAL, policy=Policy(rule="review"))
    assert {each.field for each in merged.conflicts} == set(LOST)
    assert not any((merged.write, merged.push))


def test_a_status_never_agreed_on_is_not_filled_from_a_stage_that_does_not_stand() -> None:
    base = {"stage": ["new"]}
    ours, theirs = {"stage": "talk"}, {"stage": "lost", "status": "lost"}
    merged = run(base, ours, theirs, kind=DEAL)
    assert merged.push == {"stage": "talk"}
    assert not merged.write
    taken = run(base, ours, theirs, kind=DEAL, theirs_ms=90_000)
    assert taken.write == theirs


def test_a_stage_that_is_only_pushed_takes_its_pipeline_with_it() -> None:
    ours = AS_AGREED | {"pipeline": "service"}
    theirs = AS_AGREED | {"stage": "talk"}
    access = Access(pull=("amount",), push=("pipeline", "stage"))
    merged = run(DEAL_BASE, ours, theirs, kind=DEAL, policy=Policy(rule="theirs"), access=access)
    assert merged.push == {"pipeline": "service", "stage": "new"}
    assert not merged.write


def test_what_is_derived_follows_the_value_that_stands() -> None:
    base = {"phone": ["1"]}
    theirs = {"phone": "3", "phone_e164": "+3"}
    taken = run(base, {"phone": "1", "phone_e164": "+1"}, theirs)
    assert taken.derived == {"phone_e164": "+3"}
    assert taken.write == {"phone": "3"}
    assert not run(base, {"phone": "2", "phone_e164": "+2"}, theirs).derived


def test_long_texts_are_compared_by_the_digest_that_a_pull_keeps() -> None:
    text = "long " * 100
    mapped = MappedRecord({"description": text}, {"description": text}, {}, b"")
    base = json.loads(agree_on_new(COMPANY, mapped)[0])
    assert len(base["description"][0]) < 50
    assert run(base, {"description": text}, {"description": text}, kind=COMPANY).is_quiet
    merged = run(base, {"description": text}, {"description": text + "more"}, kind=COMPANY)
    assert merged.write == {"description": text + "more"}
    assert len(merged.base["description"][0]) < 50


# Policies.


@pytest.mark.parametrize("name", POLICIES)
def test_a_shipped_policy_can_be_written_down_and_read_back(name: str) -> None:
    line, policy = POLICIES[name]
    assert line.endswith(".")
    assert load_policy(name) == policy
    assert load_policy(dump_policy(policy)) == policy
    assert load_policy(json.loads(json.dumps(dump_policy(policy)))) == policy


def test_a_policy_extends_another_and_overrides_single_fields() -> None:
    policy = load_policy(
        {
            "extends": "b2g",
            "priority": ["main", HERE],
            "clock_skew_ms": 0,
            "first_link": "review",
            "push_off": "theirs",
            "records": {"deal": {"fields": {"amount": "max"}, "push_off": {"amount": "ours"}}},
        }
    )
    assert policy.rule_for("deal", "amount") == "max"
    assert policy.rule_for("deal", "match_score") == "ours"
    assert policy.rule_for("deal", "stage") == "theirs"
    assert policy.first_rule_for("deal", "amount") == "review"
    assert policy.stands_unpushed("deal", "amount") == "ours"
    assert policy.stands_unpushed("contact", "phone") == "theirs"
    assert load_policy(dump_policy(policy)) == policy


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("best", "no policy “best”"),
        ({"rule": "latest"}, "no rule “latest”"),
        ({"rule": "append"}, "only for single fields"),
        ({"first_link": "max"}, "only for single fields"),
        ({"rules": {}}, "no setting “rules”"),
        ({"rule": 5}, "rule must be a name"),
        ([], "must be a mapping"),
        ({"priority": "main"}, "list"),
        ({"priority": ["main", "main"]}, "twice"),
        ({"clock_skew_ms": "1s"}, "whole number"),
        ({"clock_skew_ms": -1}, "must be 0 to"),
        ({"push_off": "both"}, "ours or theirs"),
        ({"records": {"person": {}}}, "no kind of record “person”"),
        ({"records": {"contact": {"rule": "union"}}}, "only for single fields"),
        ({"records": {"contact": {"fields": {"mail": "ours"}}}}, "no field “mail”"),
        ({"records": {"contact": {"fields": {"phone_e164": "ours"}}}}, "follows from phone"),
        ({"records": {"contact": {"fields": {"phone": "append"}}}}, "holds one"),
        ({"records": {"contact": {"fields": {"email": "max"}}}}, "for numbers and times"),
        ({"records": {"contact": {"push_off": {"email": "nobody"}}}}, "ours or theirs"),
    ],
)
def test_a_policy_that_cannot_be_followed_says_why(document: object, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        load_policy(document)


def test_every_rule_and_policy_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "merge.md").read_text(encoding="utf-8")
    rows = "".join(line.partition("|")[2].partition("|")[0] for line in page.splitlines())
    assert [name for name in (*get_args(Rule), *POLICIES) if f"`{name}`" not in rows] == []
