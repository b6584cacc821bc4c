"""The three-way merge: what to write here, what to push, what a person has to decide.

Knows values, what was agreed on and a policy; must not know where they are stored or which CRM they are of.

Pairs are as `agreement` writes them: [ours, theirs as read], once where alike, long texts as digests. After
a merge the base says what the CRM was last seen to have, in both forms. Where ours stands against it, ours
therefore still differs from its half and is pushed until an answer is agreed on, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from syncline.domain.agreement import pair
from syncline.domain.changes import Change, Copy, find_change
from syncline.domain.policies import Policy, Rule, Side
from syncline.domain.records import RecordType
from syncline.domain.verdicts import Contest, Verdict, is_blank, judge, same

_NOTHING: Mapping[str, Any] = {}


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Access:
    """Which fields may be written on each side. One that is in neither is not looked at.

    A deal's pipeline, stage, their ids and the status are to be switched together.
    """

    pull: Container[str] = field(default_factory=_Everything)
    push: Container[str] = field(default_factory=_Everything)


@dataclass(frozen=True, slots=True)
class Decision:
    """A value that was overruled without asking, kept so that it can be shown and put back."""

    field: str
    rule: Rule
    winner: Literal["ours", "theirs", "both"]
    value: Any
    #: What was overruled. None when both went into the value.
    losing: Any
    ours: Any
    theirs: Any
    #: Their property as read, which may be more than `theirs` could take.
    read: Any
    #: A sentence for a person, without values.
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that waits for a person. Comes again with every merge until one has decided."""

    field: str
    #: Our half of what was agreed on; None when nothing ever was.
    base: Any
    ours: Any
    theirs: Any
    read: Any
    #: The base to store once a person has chosen. With ours kept, ours is pushed by it.
    seen: list[Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """What follows from a merge. Fields in no dict stay as they are."""

    #: Field → value to write here.
    write: dict[str, Any]
    #: Derived field → value that follows from what they say; to be written here, but not logged.
    derived: dict[str, Any]
    #: Field → value, in our form, to push.
    push: dict[str, Any]
    #: Field → pair, to be laid over the base.
    base: dict[str, list[Any]]
    #: Field → when what is written here was changed at its origin, for `field_times`.
    times: dict[str, int]
    decisions: tuple[Decision, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def is_quiet(self) -> bool:
        """True when there is nothing to write, push, store or ask."""
        return not (self.write or self.derived or self.push or self.base or self.conflicts)


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that mean something together only, so that no record is half one side's."""

    leads: tuple[str, ...]
    #: Follow from the leads.
    bound: tuple[str, ...]
    #: Read by the light of `switch`; go with the leads when the sides differ in that.
    loose: tuple[str, ...]
    switch: str


#: A stage belongs to a pipeline, and makes a deal open or closed.
GROUPS: Mapping[str, Group] = {
    "deal": Group(
        ("pipeline", "stage"),
        ("pipeline_id", "stage_id", "status"),
        ("probability", "expected_close_date", "closed_at"),
        "status",
    )
}


def merge(
    kind: RecordType,
    policy: Policy,
    base: Mapping[str, Sequence[Any]],
    ours: Copy,
    theirs: Copy,
    *,
    sent: Mapping[str, Sequence[Sequence[Any]]] = _NOTHING,
    access: Access | None = None,
) -> Merged:
    """Merge field by field what the CRM was read to have with what we have.

    `sent` holds, per field, the pairs [ours, theirs as sent] that are on their way and not yet answered.
    Merging again what came of it changes nothing, and says again what is still to be pushed or asked. The
    result depends on no order of keys. That `theirs` is not older than what the base saw is the caller's to
    guard.
    """
    access = access or Access()
    changes: dict[str, Change] = {}
    for name in sorted(theirs.values):
        if name in kind.derived or not (name in access.pull or name in access.push):
            continue
        change = find_change(name, kind, base, ours, theirs, sent)
        if change is not None:
            changes[name] = change
    merging = _Merging(kind, policy, ours, theirs, access)
    if changes:
        verdicts = merging.judge_group(changes)
        for name, change in changes.items():
            verdict = verdicts.get(name)
            if verdict is not None or name not in verdicts:
                merging.settle(change, verdict)
    return merging.finish()


class _Merging:
    """One merge on its way, collecting what follows."""

    def __init__(self, kind: RecordType, policy: Policy, ours: Copy, theirs: Copy, access: Access) -> None:
        self._kind = kind
        self._policy = policy
        self._ours = ours
        self._theirs = theirs
        self._access = access
        self._group = GROUPS.get(kind.name)
        self._write: dict[str, Any] = {}
        self._push: dict[str, Any] = {}
        self._base: dict[str, list[Any]] = {}
        self._times: dict[str, int] = {}
        self._decisions: list[Decision] = []
        self._conflicts: list[Conflict] = []

    def judge_group(self, changes: Mapping[str, Change]) -> dict[str, Verdict | None]:
        """Let fields that belong together go to one side. Fields that are free to go alone are left out.

        None for one that waits, since what it would be filled with belongs to a value that does not stand.
        """
        group = self._group
        leads = [changes[name] for name in group.leads if name in changes] if group else []
        # A lead that is only filled in quarrels with nobody.
        moved = {each.state for each in leads if each.known is not None or each.state == "both"} - {"agreed"}
        if group is None or not moved:
            return {}
        contested = len(moved) > 1 or "both" in moved
        if contested:
            lead = max(leads, key=lambda each: (each.state == "both", each.name == group.leads[-1]))
            verdict = self._judge(lead)
            side = self._may_win(leads, verdict.winner)
            rule, reason = verdict.rule, verdict.reason
        else:
            mover: Side = "ours" if moved == {"ours"} else "theirs"
            side, rule = self._may_win(leads, mover), mover
            reason = f"It goes with {group.leads[-1]}, which changed on this side only."
        strict = (*group.leads, *group.bound)
        if not self._is_alike(group.switch):
            strict = (*strict, *group.loose)
        verdicts: dict[str, Verdict | None] = {}
        for name in (*group.leads, *group.bound, *group.loose):
            change = changes.get(name)
            if change is None:
                continue
            if change.known is None and change.state == "theirs":
                if name in group.bound and side != "theirs":
                    verdicts[name] = None
            elif (change.state == "both" and name in strict) or (
                contested and name in strict and change.state in ("ours", "theirs") and change.state != side
            ):
                value = change.ours if side == "ours" else change.theirs
                verdicts[name] = Verdict(rule, side, value, reason)
        return verdicts

    def _may_win(
        self, leads: Sequence[Change], side: Literal["ours", "theirs", "both"] | None
    ) -> Side | None:
        """Turn a verdict round where access would split what belongs together."""
        if side is None:
            return None
        if any(each.name not in self._access.pull for each in leads):
            return "ours"
        if side == "ours" and any(
            each.name not in self._access.push and self._gives_way(each.name) for each in leads
        ):
            return "theirs"
        return "theirs" if side == "both" else side

    def _is_alike(self, name: str) -> bool:
        theirs = self._theirs.values
        return name not in theirs or same(self._ours.values.get(name), theirs[name])

    def _judge(self, change: Change) -> Verdict:
        name, kind = change.name, self._kind
        find_rule = self._policy.first_rule_for if change.known is None else self._policy.rule_for
        contest = Contest(
            ours=change.ours,
            theirs=change.theirs,
            base=change.known[0] if change.known is not None else None,
            ours_ms=self._ours.changed_ms(name),
            theirs_ms=self._theirs.changed_ms(name),
            ours_source=self._ours.source_of(name),
            theirs_source=self._theirs.source_of(name),
            type=kind.fields.get(name),
        )
        return judge(find_rule(kind.name, name), contest, self._policy)

    def settle(self, change: Change, verdict: Verdict | None) -> None:
        """Do what follows for one field; `verdict` is what was decided for the fields it belongs to."""
        if change.state == "both" or verdict is not None:
            self._decide(change, verdict or self._judge(change))
        elif change.state == "theirs":
            if change.name in self._access.pull:
                self._take(change, change.theirs)
        elif change.state == "agreed":
            self._base[change.name] = change.seen
        else:
            self._offer(change)

    def _offer(self, change: Change) -> None:
        """Push what only we changed, or see what stands here when that is not allowed."""
        name = change.name
        if change.is_echo and change.known is not None:
            self._base[name] = list(change.known)
        if name in self._access.push:
            # Text that nobody could read is not nothing, and is not filled over.
            if change.state != "fill" or is_blank(change.read):
                self._push[name] = change.ours
        elif change.state == "ours" and self._gives_way(name):
            self._take(change, change.theirs)
            self._record(change, Verdict("theirs", "theirs", change.theirs, "Writing to the CRM is off."))

    def _decide(self, change: Change, verdict: Verdict) -> None:
        name, winner, value, reason = change.name, verdict.winner, verdict.value, verdict.reason
        if winner is None:
            base = None if change.known is None else change.known[0]
            seen = pair(change.seen[0], change.seen[-1])
            self._conflicts.append(Conflict(name, base, change.ours, change.theirs, change.read, seen))
            return
        if name not in self._access.pull and not same(value, change.ours):
            winner, value = "ours", change.ours
            reason = "The field is only written to the CRM, never from it."
        may_push = name in self._access.push
        if not may_push and not same(value, change.theirs):
            reason += " Writing to the CRM is off."
            if self._gives_way(name):
                winner, value = "theirs", change.theirs
        self._take(change, value)
        if may_push and not same(value, change.theirs):
            self._push[name] = value
        self._record(change, Verdict(verdict.rule, winner, value, reason))

    def _gives_way(self, name: str) -> bool:
        """Tell whether a value of ours that may not be pushed is given up for theirs."""
        group, policy = self._group, self._policy
        if name not in self._access.pull:
            return False
        if group is not None and name in (*group.bound, *group.loose):
            name = group.leads[-1]  # never the stage of one side with the status of the other
            if name in self._access.push:
                return False
        return policy.stands_unpushed(self._kind.name, name) == "theirs"

    def _take(self, change: Change, value: Any) -> None:
        """Let `value` stand here, and remember what they were seen to have."""
        name = change.name
        self._base[name] = change.seen
        if same(value, change.ours):
            return
        self._write[name] = value
        origin = self._theirs.changed_ms(name)
        if not same(value, change.theirs):  # made of both, so as new as the newer
            times = [each for each in (origin, self._ours.changed_ms(name)) if each is not None]
            origin = max(times, default=None)
        if origin is not None:
            self._times[name] = origin

    def _record(self, change: Change, verdict: Verdict) -> None:
        winner = verdict.winner or "both"
        losing = {"ours": change.theirs, "theirs": change.ours, "both": None}[winner]
        self._decisions.append(
            Decision(
                change.name,
                verdict.rule,
                winner,
                verdict.value,
                losing,
                change.ours,
                change.theirs,
                change.read,
                verdict.reason,
            )
        )

    def finish(self) -> Merged:
        return Merged(
            self._write,
            self._derive(),
            self._push,
            self._base,
            self._times,
            tuple(self._decisions),
            tuple(self._conflicts),
        )

    def _derive(self) -> dict[str, Any]:
        """Take what they derive from values that stand here as theirs, and nothing else."""
        ours, theirs = self._ours.values, self._theirs.values
        derived: dict[str, Any] = {}
        for name, sources in self._kind.derived.items():
            if name not in theirs or same(ours.get(name), theirs[name]):
                continue
            if all(same(self._write.get(each, ours.get(each)), theirs.get(each)) for each in sources):
                derived[name] = theirs[name]
        return derived
