"""What holds of every merge, and of hubs and CRMs that exchange by it until all is quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.domain.agreement import pair
from syncline.domain.changes import Copy
from syncline.domain.merge import Access, Merged, merge
from syncline.domain.policies import HERE, Policy, RecordRules, Rule
from syncline.domain.records import CONTACT, DEAL, RecordType
from syncline.domain.verdicts import is_blank, same

slow = settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

TEXTS = st.sampled_from([None, "", "a", "B", "b", "a;b", "b;c", "a\n---\nb", "c\n---\na", "7", "12"])
FIELDS: Mapping[str, tuple[str, ...]] = {
    "contact": ("first_name", "phone", "lead_score", "custom_fields.note", "custom_fields.tags"),
    "deal": ("pipeline", "stage", "stage_id", "status", "closed_at", "expected_close_date", "amount"),
}
SIDED: tuple[Rule, ...] = ("newest", "source_priority", "ours", "theirs", "prefer_nonempty", "fill_if_empty")
JOINING: tuple[Rule, ...] = ("append", "union", "max", "min")
TIMES = st.one_of(st.none(), st.integers(0, 5_000))


def rules_of(kind: RecordType, *, review: bool = True) -> st.SearchStrategy[Policy]:
    sided = st.sampled_from((*SIDED, "review") if review else SIDED)
    rules = {
        name: st.sampled_from((*SIDED, *JOINING)) if name.startswith("custom_fields.") else sided
        for name in FIELDS[kind.name]
    }
    return st.builds(
        lambda fields, first, off, priority: Policy(
            records={kind.name: RecordRules(fields=fields)},
            first_link=first,
            push_off=off,
            priority=tuple(priority),
        ),
        st.fixed_dictionaries(rules),
        st.one_of(st.none(), sided),
        st.sampled_from(["ours", "theirs"]),
        st.permutations([HERE, "crm0", "crm1", "crm2"]),
    )


@dataclass
class Case:
    kind: RecordType
    policy: Policy
    base: dict[str, list[Any]]
    ours: Copy
    theirs: Copy
    sent: dict[str, list[list[Any]]]
    access: Access

    def merge(self) -> Merged:
        return merge(
            self.kind, self.policy, self.base, self.ours, self.theirs, sent=self.sent, access=self.access
        )

    def after(self, merged: Merged) -> Case:
        values = {**self.ours.values, **merged.write, **merged.derived}
        ours = replace(self.ours, values=values, field_ms={**self.ours.field_ms, **merged.times})
        return replace(self, ours=ours, base={**self.base, **merged.base})


def switch_together(fields: frozenset[str]) -> frozenset[str]:
    """Give a deal's place and status one access, as `Access` asks for."""
    place = frozenset({"pipeline", "stage", "stage_id", "status"})
    return fields | place if "stage" in fields else fields - place


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from([CONTACT, DEAL]))
    names = FIELDS[kind.name]
    some = st.dictionaries(st.sampled_from(names), TEXTS)
    pairs = st.builds(pair, TEXTS, TEXTS)
    field_ms = st.dictionaries(st.sampled_from(names), st.integers(0, 5_000))
    fields = st.frozensets(st.sampled_from(names)).map(switch_together)
    base = draw(st.dictionaries(st.sampled_from(names), pairs))
    agreed = {name: each[0] for name, each in base.items()}
    seen = {name: each[-1] for name, each in base.items()}
    ours = draw(some)
    theirs = draw(some)
    return Case(
        kind,
        draw(rules_of(kind)),
        base,
        Copy(agreed | ours, updated_ms=draw(TIMES), field_ms=draw(field_ms)),
        Copy(seen | theirs, draw(some), draw(TIMES), draw(field_ms), source="crm0"),
        draw(st.dictionaries(st.sampled_from(names), st.lists(pairs, max_size=2))),
        draw(st.one_of(st.just(Access()), st.builds(Access, fields, fields))),
    )


@slow
@given(cases())
def test_merging_again_changes_nothing_on_either_side(case: Case) -> None:
    merged = case.merge()
    again = case.after(merged).merge()
    assert again.push == merged.push
    assert again.conflicts == merged.conflicts
    assert not any((again.write, again.derived, again.base, again.decisions))


@slow
@given(cases(), st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_the_order_of_keys(case: Case, random: Any) -> None:
    def shuffled(found: Mapping[str, Any]) -> dict[str, Any]:
        items = list(found.items())
        random.shuffle(items)
        return dict(items)

    turned = replace(
        case,
        base=shuffled(case.base),
        ours=replace(case.ours, values=shuffled(case.ours.values)),
        theirs=replace(case.theirs, values=shuffled(case.theirs.values), read=shuffled(case.theirs.read)),
    )
    assert turned.merge() == case.merge()


def halves(case: Case, name: str) -> tuple[bool, bool]:
    """Whether we, and whether they, changed a field that was agreed on or has a value."""
    known = case.base.get(name, [None])
    theirs = case.theirs.values[name]
    return (
        not same(case.ours.values.get(name), known[0]),
        not same(case.theirs.read.get(name, theirs), known[-1]),
    )


@slow
@given(cases())
def test_no_value_is_overwritten_that_only_its_side_had_and_nobody_wrote_down(case: Case) -> None:
    merged = case.merge()
    recorded = {each.field: each for each in merged.decisions}
    for name, value in case.theirs.values.items():
        own = case.ours.values.get(name)
        we_changed, they_changed = halves(case, name)
        if name in recorded:
            assert (recorded[name].ours, recorded[name].theirs) == (own, value)
            continue
        is_sent = bool(case.sent.get(name))
        if name in merged.write and we_changed and not is_sent:
            raise AssertionError("ours was overwritten")
        if name in merged.push and they_changed and not is_sent and not is_blank(value):
            raise AssertionError("theirs was overwritten")


@slow
@given(cases())
def test_a_conflict_is_touched_on_neither_side(case: Case) -> None:
    merged = case.merge()
    for conflict in merged.conflicts:
        assert conflict.field not in {**merged.write, **merged.push, **merged.base}


@slow
@given(cases())
def test_access_is_kept(case: Case) -> None:
    merged = case.merge()
    assert all(name in case.access.pull for name in merged.write)
    assert all(name in case.access.push for name in merged.push)


@slow
@given(cases())
def test_a_field_that_was_never_agreed_on_is_never_emptied(case: Case) -> None:
    merged = replace(case, sent={}).merge()
    for name in case.theirs.values.keys() - case.base.keys():
        if name in merged.write:
            assert not is_blank(merged.write[name])
        if name in merged.push:
            assert not is_blank(merged.push[name])


@slow
@given(rules_of(CONTACT), st.data())
def test_a_change_of_one_side_wins_whole(policy: Policy, data: st.DataObject) -> None:
    names = FIELDS["contact"]
    agreed = {name: data.draw(TEXTS) for name in names}
    changed = agreed | data.draw(st.dictionaries(st.sampled_from(names), TEXTS))
    base = {name: [value] for name, value in agreed.items()}
    difference = {name: value for name, value in changed.items() if not same(value, agreed[name])}
    pulled = merge(CONTACT, policy, base, Copy(agreed), Copy(changed))
    assert (pulled.write, pulled.push, pulled.decisions, pulled.conflicts) == (difference, {}, (), ())
    pushed = merge(CONTACT, policy, base, Copy(changed), Copy(agreed))
    assert (pushed.write, pushed.push, pushed.decisions, pushed.conflicts) == ({}, difference, (), ())


@slow
@given(rules_of(CONTACT), st.data())
def test_the_echo_of_our_own_push_changes_nothing(policy: Policy, data: st.DataObject) -> None:
    names = FIELDS["contact"]
    ours = {name: data.draw(TEXTS) for name in names}
    known = data.draw(st.dictionaries(st.sampled_from(names), st.builds(pair, TEXTS, TEXTS)))
    sent = {name: [[value]] for name, value in ours.items()}
    echo = {name: as_kept(value) for name, value in ours.items()}
    merged = merge(CONTACT, policy, known, Copy(ours, updated_ms=0), Copy(echo, updated_ms=9_000), sent=sent)
    assert not any((merged.write, merged.decisions, merged.conflicts))
    # Where the CRM still has what was agreed on, nothing tells that it has answered.
    assert all(same(known[name][-1], echo[name]) for name in merged.push)


# Exchange.


def as_kept(value: Any) -> Any:
    """What a CRM makes of a text: it trims and writes small."""
    return value.strip().lower() or None if isinstance(value, str) else value


@dataclass
class Crm:
    name: str
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    field_ms: dict[str, int] = field(default_factory=dict[str, int])

    def edit(self, name: str, value: Any, now_ms: int) -> None:
        if not same(self.values.get(name), as_kept(value)):
            self.values[name] = as_kept(value)
            self.field_ms[name] = now_ms


@dataclass
class Hub:
    policy: Policy
    names: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    field_ms: dict[str, int] = field(default_factory=dict[str, int])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    base: dict[str, dict[str, list[Any]]] = field(default_factory=dict[str, dict[str, list[Any]]])
    sent: dict[str, dict[str, list[list[Any]]]] = field(default_factory=dict[str, dict[str, list[list[Any]]]])

    def edit(self, name: str, value: Any, now_ms: int) -> None:
        self.values[name] = value
        self.field_ms[name] = now_ms
        self.sources[name] = HERE

    def pull(self, crm: Crm) -> Merged:
        base = self.base.setdefault(crm.name, {})
        merged = merge(
            CONTACT,
            self.policy,
            base,
            Copy(self.values, field_ms=self.field_ms, updated_ms=0, field_sources=self.sources),
            Copy(
                {name: crm.values.get(name) for name in self.names},
                field_ms=crm.field_ms,
                updated_ms=0,
                source=crm.name,
            ),
            sent=self.sent.get(crm.name, {}),
        )
        self.sent.pop(crm.name, None)  # whatever was on its way is in what was read
        self.values.update(merged.write)
        self.field_ms.update(merged.times)
        self.sources.update(dict.fromkeys(merged.write, crm.name))
        base.update(merged.base)
        return merged

    def push(self, crm: Crm, now_ms: int, *, answered: bool = True) -> Merged:
        merged = self.pull(crm)
        for name, value in merged.push.items():
            crm.edit(name, value, now_ms)
            if answered:
                self.base[crm.name][name] = pair(value, crm.values.get(name))
            else:
                self.sent.setdefault(crm.name, {})[name] = [[value]]
        return merged


def exchange_until_quiet(hubs: list[Hub], crms: list[Crm], now_ms: int) -> None:
    for _ in range(20):
        rounds = [hub.push(crm, now_ms) for hub in hubs for crm in crms]
        if all(merged.is_quiet for merged in rounds):
            break
    else:
        raise AssertionError("they never came to rest")
    for name in FIELDS["contact"]:
        kept = [as_kept(place.values.get(name)) for place in (*hubs, *crms)]
        assert all(same(each, kept[0]) for each in kept), (name, kept)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hub", "crm", "crm", "pull", "push", "lost"]),
        st.integers(0, 5),
        st.sampled_from(FIELDS["contact"]),
        TEXTS,
        st.integers(0, 3_000),
    ),
    max_size=25,
)


def play(hubs: list[Hub], crms: list[Crm], steps: list[tuple[str, int, str, Any, int]]) -> int:
    now_ms = 0
    for what, place, name, value, later_ms in steps:
        now_ms += later_ms
        hub, crm = hubs[place % len(hubs)], crms[place % len(crms)]
        if what == "hub":
            hub.edit(name, value, now_ms)
        elif what == "crm":
            crm.edit(name, value, now_ms)
        elif what == "pull":
            hub.pull(crm)
        else:
            hub.push(crm, now_ms, answered=what == "push")
    return now_ms


@slow
@given(rules_of(CONTACT, review=False), STEPS)
def test_two_hubs_and_one_crm_converge(policy: Policy, steps: list[tuple[str, int, str, Any, int]]) -> None:
    hubs = [Hub(policy, FIELDS["contact"]), Hub(policy, FIELDS["contact"])]
    crms = [Crm("crm0")]
    exchange_until_quiet(hubs, crms, play(hubs, crms, steps))


@slow
@given(rules_of(CONTACT, review=False), STEPS)
def test_one_hub_and_three_connections_converge(
    policy: Policy, steps: list[tuple[str, int, str, Any, int]]
) -> None:
    hubs = [Hub(policy, FIELDS["contact"])]
    crms = [Crm("crm0"), Crm("crm1"), Crm("crm2")]
    exchange_until_quiet(hubs, crms, play(hubs, crms, steps))


@slow
@given(
    st.sampled_from(["newest", "source_priority"]),
    st.permutations([HERE, "crm0", "crm1", "crm2"]),
    st.permutations([HERE, "crm0", "crm1", "crm2"]),
    st.permutations(["crm0", "crm1", "crm2"]),
)
def test_the_same_edit_wins_in_whatever_order_connections_are_polled(
    rule: Rule, priority: list[str], edited: list[str], polled: list[str]
) -> None:
    hub = Hub(Policy(rule=rule, priority=tuple(priority)), ("first_name",), {"first_name": "agreed"})
    crms = {name: Crm(name, {"first_name": "agreed"}) for name in ("crm0", "crm1", "crm2")}
    hub.base = {name: {"first_name": ["agreed"]} for name in crms}
    for place, name in enumerate(edited, start=1):
        (crms.get(name) or hub).edit("first_name", f"by {name}", place * 10_000)
    exchange_until_quiet([hub], [crms[name] for name in polled], 90_000)
    winner = edited[-1] if rule == "newest" else priority[0]
    assert hub.values["first_name"] == f"by {winner}"
