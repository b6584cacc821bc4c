"""Alert rules as text: what is understood, what is refused and how that is told; and how alerts go on."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.domain.alert_defaults import DEFAULT_RULES
from syncline.domain.alert_states import Reading, Standing, list_matters, step
from syncline.domain.alerts import (
    MAX_RULES,
    MAX_WINDOWS,
    METRICS,
    AlertRule,
    Condition,
    Recipient,
    parse_rules,
    read_recipient,
    roles_reached,
    tell_value,
)
from syncline.domain.spans import read_span, write_span
from syncline.errors import Invalid

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def one_rule(text: str, **more: object) -> AlertRule:
    lines = [f"  - name: tried\n    condition: {text}\n    notify: [role:admin]"]
    lines += [f"    {name}: {value}" for name, value in more.items()]
    return parse_rules("alerts:\n" + "\n".join(lines)).rules[0]


def faults(text: str, **given: object) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        parse_rules(text, **given)  # pyright: ignore[reportArgumentType]
    return dict(refused.value.fields)


def test_the_shipped_rules_are_those_that_were_asked_for():
    rules = {each.name: each for each in parse_rules(DEFAULT_RULES).rules}
    told = {name: str(each.condition) for name, each in rules.items()}
    assert told["high_sync_latency"] == "avg_sync_latency_ms > 10000"
    assert told["low_success_rate"] == "sync_success_rate < 0.95"
    assert told["api_rate_limit"] == "api_rate_limit_hits > 0"
    assert (told["contacts_stale"], rules["contacts_stale"].object) == ("minutes_since_sync > 10", "contacts")
    assert (told["deals_stale"], rules["deals_stale"].object) == ("minutes_since_sync > 30", "deals")
    assert told["records_failing"] == "records_failed_share > 0.1 in 1h"
    assert {"failed_run", "queue_stuck", "drift_found", "connection_paused"} <= set(rules)
    assert all(each.recipients for each in rules.values())


def test_rules_as_the_first_document_wrote_them_are_understood():
    found = parse_rules(
        "groups: {devops: role:admin, incident: [role:admin, ops@example.com]}\n"
        "alerts:\n"
        "  - name: high_sync_latency\n    condition: avg_sync_latency_ms > 10000\n    action: notify_devops\n"
        "  - name: low_success_rate\n    condition: sync_success_rate < 0.95\n    action: create_incident\n"
    )
    assert [str(each) for each in found.rules[1].recipients] == ["role:admin", "ops@example.com"]


def test_every_fault_is_told_with_the_rule_and_the_field():
    found = faults(
        "colour: red\n"
        "groups: {ops: [role:boss, slack:gone]}\n"
        "alerts:\n"
        "  - {name: a, condition: made_up > 1, notify: [ops]}\n"
        "  - {name: b, condition: sync_success_rate <> 1, notify: [nobody], severity: loud, for: soon}\n"
        "  - {name: c, condition: conflict_count_24h > 1, notify: role:admin, object: deals, colour: red}\n"
        "  - {name: a, condition: open_drift > 1, notify: role:admin}\n"
        "  - {condition: open_drift > 1}\n"
        "  - {name: d, condition: open_drift > 1 in 2h, notify: role:admin}\n"
        "  - {name: e, condition: open_drift > 5%}\n",
        channels=(),
    )
    assert set(found) == {
        "colour", "groups.ops", "a.condition", "b.condition", "b.notify", "b.severity", "b.for", "c.object",
        "c.colour", "rule 5.name", "d.condition", "e.condition", "e.notify",
    }  # fmt: skip
    assert "made_up" in found["a.condition"]


def test_a_name_given_twice_is_refused():
    rule = "  - {name: a, condition: open_drift > 1, notify: role:admin}\n"
    assert set(faults("alerts:\n" + rule + rule)) == {"a.name"}


def of_failed_runs(windows: list[int]) -> str:
    rule = "  - {{name: r{}, condition: failed_runs > 0 in {}m, notify: role:admin}}\n"
    return "alerts:\n" + "".join(rule.format(n, minutes) for n, minutes in enumerate(windows))


def test_many_rules_look_back_over_few_times():
    many = [1 + n % MAX_WINDOWS for n in range(MAX_RULES)]
    assert len(parse_rules(of_failed_runs(many)).rules) == MAX_RULES
    assert faults(of_failed_runs([*many[1:], MAX_WINDOWS + 1])) == {
        "alerts": f"look back over more than {MAX_WINDOWS} different times: let some share one"
    }


def test_more_rules_than_are_looked_at_are_refused():
    assert faults(of_failed_runs([1] * (MAX_RULES + 1))) == {"alerts": f"holds more than {MAX_RULES} rules"}


def test_a_channel_that_is_not_there_is_refused_and_one_that_is_taken():
    text = "alerts:\n  - {name: a, condition: open_drift > 1, notify: slack:ops}\n"
    assert "slack:ops" in faults(text, channels={("webhook", "ops")})["a.notify"]
    assert parse_rules(text, channels={("slack", "ops")}).channels() == {("slack", "ops")}


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os') > 1",
        "open_drift > 1 or 1 > 0",
        "open_drift > open_drift",
        "open_drift > 1e9",
        "open_drift == 1",
        "open_drift > 9999999999999999999999",
        "failed_runs > 0 in 30s",
        "failed_runs > 0 in 8d",
        "failed_runs > 0in 6h",
        "",
    ],
)
def test_a_condition_is_nothing_but_a_metric_an_operator_a_number_and_a_window(condition: str):
    assert set(faults(f'alerts:\n  - {{name: a, condition: "{condition}", notify: role:admin}}')) == {
        "a.condition"
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "alerts: 3", "alerts: [3]", "groups: 3\nalerts: []", "alerts: [[]]"]
)
def test_what_is_no_list_of_rules_is_refused(text: str):
    with pytest.raises(Invalid):
        parse_rules(text)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_be_read_or_refused(text: str):
    with suppress(Invalid):
        parse_rules(text)


@given(
    st.sampled_from(sorted(METRICS)),
    st.sampled_from([">", ">=", "<", "<="]),
    st.decimals(min_value=-1000, max_value=100_000, places=3),
)
def test_a_condition_reads_back_as_it_is_written(metric: str, operator: str, number: object):
    condition = one_rule(f"{metric} {operator} {number}").condition
    again = one_rule(str(condition)).condition
    assert again == condition


@given(st.integers(min_value=1, max_value=86_400))
def test_a_time_reads_back_as_it_is_written(seconds: int):
    assert read_span(write_span(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


def test_spaces_in_a_condition_do_not_matter():
    for written in ("records_failed_share>10%in 6h", "  records_failed_share  >\n 10   %  in\t6h "):
        assert str(one_rule(f"'{written}'").condition) == "records_failed_share > 0.1 in 6h"


def test_a_condition_that_fills_the_document_is_refused_without_being_tried():
    for filling in (" ", "a", "1"):
        text = f'alerts:\n  - {{name: a, condition: "open_drift > 1{filling * 60_000}x", notify: role:admin}}'
        assert set(faults(text)) == {"a.condition"}
    long = f'alerts:\n  - {{name: a, condition: "open_drift > {"1" * 300}", notify: role:admin}}'
    assert set(faults(long)) == {"a.condition"}


def test_shares_may_be_given_in_percent():
    assert one_rule("sync_success_rate < 95%").condition.threshold == 0.95


def test_recipients_read_back_as_they_are_written():
    for each in (Recipient("role", "admin"), Recipient("email", "a@example.com"), Recipient("slack", "ops")):
        assert read_recipient(str(each)) == each


def test_a_role_reaches_those_who_may_more():
    assert roles_reached("manager") == ["manager", "admin"]


def test_values_are_told_with_their_units():
    assert tell_value("sync_success_rate", 0.914) == "91.4 %"
    assert tell_value("minutes_since_sync", 11.7) == "12 min"
    assert tell_value("avg_sync_latency_ms", 12345) == "12,345 ms"


# What becomes of alerts


def walk(rule: AlertRule, values: list[float | None], seconds: int = 60) -> list[str]:
    """Let a rule look at one value after the other; returns what was told at each look."""
    standing: Standing | None = None
    told: list[str] = []
    for number, value in enumerate(values):
        standing, change = step(standing, rule, value, START + timedelta(seconds=number * seconds))
        told.append(change)
        if change == "closed":
            standing = None
    return told


def test_an_alert_opens_once_and_recovers_once():
    rule = one_rule("sync_success_rate < 0.95")
    assert walk(rule, [1.0, 0.9, 0.5, 0.9, 1.0, 1.0]) == ["none", "opened", "none", "none", "closed", "none"]


def test_no_value_is_no_alert_and_ends_one_of_an_object():
    assert walk(one_rule("failed_runs > 0"), [None, 1, None]) == ["none", "opened", "closed"]


def test_nothing_measured_does_not_end_an_alert_of_the_tenant():
    rule = one_rule("sync_success_rate < 0.95")
    assert walk(rule, [None, 0.5, None, None, 1.0]) == ["none", "opened", "none", "none", "closed"]
    before, _ = step(None, rule, 0.5, START)
    assert step(before, rule, None, START + timedelta(hours=1)) == (before, "none")


def test_what_holds_for_too_short_a_time_is_not_told():
    rule = one_rule("failed_runs > 0", **{"for": "2m"})
    assert walk(rule, [1, 1, 0, 1, 1, 1, 1]) == ["none", "none", "dropped", "none", "none", "opened", "none"]


def test_a_value_that_goes_up_and_down_is_told_of_once():
    rule = one_rule("failed_runs > 0", **{"for": "2m"})
    assert walk(rule, [1, 1, 1, 0, 1, 0, 1, 0, 0, 0]).count("opened") == 1
    assert walk(rule, [1, 1, 1, 0, 1, 0, 1, 0, 0, 0])[-1] == "closed"


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=40),
    st.sampled_from(["0s", "1m", "3m"]),
)
def test_openings_and_ends_take_turns_and_the_worst_is_kept(values: list[int | None], hold_for: str):
    rule = one_rule("failed_runs > 0", **{"for": hold_for})
    standing: Standing | None = None
    told: list[str] = []
    for number, value in enumerate(values):
        before = standing
        standing, change = step(standing, rule, value, START + timedelta(minutes=number))
        told.append(change)
        if standing is not None and standing.state == "open":
            assert standing.worst >= standing.value > 0
            assert standing.opened_at is not None
            assert standing.opened_at - standing.since_at >= rule.hold_for
        if change == "closed":
            assert before is not None
            assert before.state == "open"
            standing = None
    turns = [each for each in told if each in ("opened", "closed")]
    assert turns == [("opened", "closed")[number % 2] for number in range(len(turns))]


def test_a_clock_that_goes_back_ends_nothing_before_it_began():
    rule = one_rule("failed_runs > 0")
    opened, _ = step(None, rule, 1, START)
    closed, change = step(opened, rule, 0, START - timedelta(minutes=5))
    assert change == "closed"
    assert closed is not None
    assert closed.closed_at == START


def test_a_rule_judges_only_what_it_is_about():
    rule = one_rule("failed_runs > 0", object="deals")
    found = [Reading(1, None, "acme", "deals"), Reading(1, None, "acme", "contacts")]
    assert [each.object for each in list_matters(rule, {"tried": found}).values()] == ["deals"]
    assert list_matters(one_rule("failed_runs > 0", enabled="false"), {"tried": found}) == {}


def test_the_worst_is_on_the_wrong_side():
    low = Condition(METRICS["sync_success_rate"], "<", 0.95, None)
    assert low.worse(0.9, 0.5) == 0.5
