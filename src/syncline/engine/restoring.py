"""What taking a run back comes to for one record, here and at the CRM. Decides; `undo` carries it out.

Knows what the run did, how the record stands after having been read again, and what may be written there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from syncline.domain.merge import Access
from syncline.domain.records import RecordType
from syncline.domain.undoing import (
    ARCHIVED,
    BELONGING,
    LINK,
    Later,
    Spared,
    Why,
    halves,
    list_edited,
    list_edited_since,
    restore,
    stands,
)
from syncline.engine.rehearse import fold
from syncline.store.allowances import Allowance
from syncline.store.effects import Change, RemoteChange
from syncline.store.undo import Link

_EDITED = "It was changed since."
#: In a record that is made again: what it is known by, and what computes itself.
_NOT_MADE = ("archived_at", "merged_into", "name")


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be written of an object now."""

    object: str
    access: Access
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one record."""

    record_id: UUID
    #: None when it is no more.
    row: Mapping[str, Any] | None
    #: What the run did to it, oldest first: here, and at the connection's CRM.
    here: Sequence[Change]
    there: Sequence[RemoteChange]
    #: What it is at the connection now.
    link: Link | None
    #: What it held when it was deleted, where it was.
    deleted: Mapping[str, Any] | None = None
    #: What others did to it here, oldest first.
    later: Sequence[Later] = ()
    #: (column, remote id) → id of the record of ours, of what it was tied to or parted from.
    others: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


@dataclass(slots=True)
class Task:
    """What is to be done to one record."""

    record_id: UUID
    #: Field → value. An edit like any other: it goes on to the CRMs.
    edits: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Field → value that is only put back here: the connection keeps what it has, and both know of it.
    quiet: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Whether it is parted from what it is there, and whether that is archived then.
    part: Literal["archive", "replace"] | None = None
    #: Whether it is to be made there (again).
    make: bool = False
    #: Columns of a record that is to be made again here.
    insert: dict[str, Any] | None = None
    spared: list[Spared] = field(default_factory=list[Spared])

    @property
    def is_nothing(self) -> bool:
        return not (self.edits or self.quiet or self.part or self.make or self.insert)


class Restoring:
    """Decides for the records of one kind, about what one run of one connection did."""

    def __init__(
        self,
        kind: RecordType,
        connection_id: UUID,
        terms: Mapping[str, Terms],
        gone: Collection[str],
        at: str,
    ) -> None:
        self._kind = kind
        self._connection_id = connection_id
        self._terms = terms
        #: Ids of records that the run merged into others.
        self._gone = gone
        #: When it is, as a column has it.
        self._at = at

    def decide(self, known: Known) -> Task:
        task = Task(known.record_id)
        for change in known.there:
            self._take_back_there(task, known, change)
        ties = [each for each in known.there if each.action in ("associated", "dissociated")]
        if ties:
            self._tie_back(task, known, ties)
        pushed = {name for each in known.there if each.action == "updated" for name in each.changes}
        self._take_back_here(task, known, pushed)
        return task

    def _take_back_there(self, task: Task, known: Known, change: RemoteChange) -> None:
        terms = self._terms.get(change.object)
        if terms is None:
            _spare(task, "forbidden", f"{change.object} is not mapped any more.")
        elif change.action == "created":
            self._unmake(task, known, change, terms)
        elif change.action == "archived":
            self._make_again(task, known, change, terms)
        elif change.action == "updated":
            self._set_back(task, known, change, terms)
        elif change.action == "merged":
            _spare(task, "lost", "It was merged at the CRM, which cannot take that back.")

    def _set_back(self, task: Task, known: Known, change: RemoteChange, terms: Terms) -> None:
        if known.row is None:
            _spare(task, "edited", "It was deleted since.")
            return
        if known.link is None:
            _spare(task, "edited", "The CRM does not have it any more.")
            return
        found = restore(known.row, change.changes, gone=self._gone)
        task.spared += found.spared
        for name, value in found.values.items():
            if name in terms.access.push:
                task.edits[name] = value
            else:
                task.spared.append(Spared(name, "forbidden", "Writing it to the CRM is not allowed now."))

    def _tie_back(self, task: Task, known: Known, ties: Sequence[RemoteChange]) -> None:
        """Let it belong again to what the run parted it from; sent as any such edit is."""
        if known.row is None or known.link is None:
            return
        for column in sorted({name for each in ties for name in each.changes if name in BELONGING}):
            pairs = [pair for each in ties if (pair := halves(each.changes.get(column)))]
            made = [known.others.get((column, new)) for _, new in pairs if new is not None]
            parted = [known.others.get((column, old)) for old, _ in pairs if old is not None]
            old, new, current = (parted or [None])[-1], (made or [None])[-1], known.row.get(column)
            terms = self._terms.get(ties[0].object)
            if stands(current, old):
                continue
            if not stands(current, new):
                task.spared.append(Spared(column, "edited", "It was changed since.", current))
            elif terms is None or not terms.allowance.associate:
                task.spared.append(Spared(column, "forbidden", "Associating is not allowed now.", current))
            else:
                task.edits[column] = old

    def _unmake(self, task: Task, known: Known, change: RemoteChange, terms: Terms) -> None:
        """Archive there what the run made there. The record here was there before, and stays."""
        link, row = known.link, known.row
        if link is None or (change.remote_id is not None and link.remote_id != change.remote_id):
            if change.remote_id is None:
                _spare(
                    task, "unknown", "It was never answered whether the CRM made it. Sync, then undo again."
                )
            return  # parted already, or made anew
        since = [each for each in known.later if each.changed_at > change.sent_at]
        edited = [] if row is None else _list_edited(row, change.changes, since)
        if row is None or edited:
            named = f" ({', '.join(edited)})" if edited else ""
            _spare(task, "edited", f"{_EDITED[:-1]}{named}, and is left at the CRM.")
        elif not terms.allowance.archive:
            _spare(task, "forbidden", f"Archiving {terms.object} is not allowed: `syncline writing allow`.")
        else:
            task.part = "archive"

    def _make_again(self, task: Task, known: Known, change: RemoteChange, terms: Terms) -> None:
        """Make there what the run archived there; it gets a new id. The record here lives again with it."""
        link, row = known.link, known.row
        if link is not None and link.remote_id != change.remote_id:
            return  # made again already
        if row is not None and row.get(ARCHIVED) is None:
            return  # it lives: nobody archived it, or somebody has brought it back
        pair = halves(change.changes.get(ARCHIVED))
        if row is not None and pair is not None and row.get("merged_into") is not None:
            _spare(task, "lost", "It was merged into another since.")
        elif not terms.allowance.create:
            _spare(task, "forbidden", f"Creating {terms.object} is not allowed: `syncline writing allow`.")
        elif row is not None:
            task.part = "replace"
            task.edits[ARCHIVED] = None
        elif known.deleted is not None:
            task.insert = _columns_of(known.deleted)
        else:
            _spare(task, "lost", "What it held when it was deleted is not known any more.")

    def _take_back_here(self, task: Task, known: Known, pushed: Collection[str]) -> None:
        if not known.here:
            return
        actions = {each.action for each in known.here}
        if actions & {"merged", "erased", "deleted"}:
            what = next(iter(actions & {"merged", "erased", "deleted"}))
            _spare(task, "lost", f"It was {what}, which cannot be taken back.")
            return
        if known.row is None:
            _spare(task, "edited", "It was deleted since.")
            return
        for is_quiet in (True, False):
            changes = [each for each in known.here if (each.connection_id == self._connection_id) is is_quiet]
            fields = _fields(changes)
            if "created" in {each.action for each in changes}:
                self._archive(task, known, fields, is_quiet=is_quiet)
            elif fields:
                self._put_back(task, known, fields, pushed, is_quiet=is_quiet)

    def _archive(self, task: Task, known: Known, fields: Mapping[str, Any], *, is_quiet: bool) -> None:
        """Archive here what the run made here; the CRM keeps what it is."""
        row = known.row or {}
        if row.get(ARCHIVED) is not None:
            return
        own = {name: each for name, each in fields.items() if name not in BELONGING}
        edited = _list_edited(row, own, known.later)
        if edited:
            _spare(task, "edited", f"{_EDITED[:-1]} ({', '.join(edited)}), and is left as it is.")
        else:
            (task.quiet if is_quiet else task.edits)[ARCHIVED] = self._at

    def _put_back(
        self, task: Task, known: Known, fields: dict[str, Any], pushed: Collection[str], *, is_quiet: bool
    ) -> None:
        assert known.row is not None  # noqa: S101 - asked before
        if LINK in fields and known.link is None and known.row.get(ARCHIVED) is None:
            self._make_anew(task, str(fields[LINK][0]))
        belonging = sorted(BELONGING.intersection(fields)) if is_quiet else []
        for name in belonging:
            reason = "What belongs to what follows the CRM's associations."
            task.spared.append(Spared(name, "lost", reason, known.row.get(name)))
        # An owner's name is computed from its parts.
        left = {*belonging, *pushed, LINK, *(("name",) if self._kind.name == "owner" else ())}
        found = restore(
            known.row, {name: each for name, each in fields.items() if name not in left}, gone=self._gone
        )
        task.spared += found.spared
        (task.quiet if is_quiet else task.edits).update(found.values)

    def _make_anew(self, task: Task, called: str) -> None:
        """Make there again what an undo had parted and archived."""
        terms = self._terms.get(called.partition(" ")[0])
        if terms is not None and terms.allowance.create:
            task.make = True
        else:
            _spare(task, "forbidden", "Creating it at the CRM is not allowed: `syncline writing allow`.")


def _fields(changes: Iterable[Change]) -> dict[str, Any]:
    """Return field → [first, last] of changes of one record; what was too long as it is named."""
    listed = list(changes)
    fields: dict[str, Any] = {}
    for folded in fold(listed).values():
        fields.update(folded)
    for each in listed:
        fields.update({name: value for name, value in each.changes.items() if halves(value) is None})
    return fields


def _list_edited(row: Mapping[str, Any], fields: Mapping[str, Any], later: Sequence[Later]) -> list[str]:
    """Return what does not stand as the run left it, and what it left empty and others have filled in."""
    return sorted({*list_edited(row, fields), *list_edited_since(row, later)})


def _columns_of(deleted: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in deleted.items():
        pair = halves(values)
        if pair is not None and pair[0] is not None and name not in _NOT_MADE:
            columns[name] = pair[0]
    return columns


def _spare(task: Task, why: Why, reason: str) -> None:
    task.spared.append(Spared("", why, reason))
