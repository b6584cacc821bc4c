"""Carries out what was decided about some records of one kind, within one transaction.

Each value put back is an edit that the row triggers log and queue; what a connection is not to be told of,
both sides are taken to agree on. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from syncline.clock import now
from syncline.domain.agreement import brief, pair
from syncline.domain.records import CUSTOM, RecordType, flatten
from syncline.domain.resolving import to_columns
from syncline.domain.undoing import ARCHIVED, LINK, Spared
from syncline.engine.restoring import Task
from syncline.errors import Invalid
from syncline.store import edits, undo
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys, ObjectKeys
from syncline.store.undo import Link


@dataclass(frozen=True, slots=True)
class Taken:
    """One thing that is taken back."""

    side: Literal["here", "there"]
    record_type: str
    record_id: UUID
    #: `updated`, `archived`, `restored` or `created`.
    action: str
    #: Field → [what stands, what is put back].
    changes: dict[str, list[Any]]
    #: At the CRM only: what it is called there now.
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """One thing that is not taken back."""

    record_type: str
    record_id: UUID
    what: Spared


@dataclass(slots=True)
class Undone:
    """What an undo did, or (rehearsed) would do."""

    #: Its own run; None of a rehearsal.
    run_id: UUID | None = None
    taken: list[Taken] = field(default_factory=list[Taken])
    left: list[Left] = field(default_factory=list[Left])
    #: Kinds of records of which something is to be sent.
    kinds: set[str] = field(default_factory=set[str])
    #: Associations of records that are made again: how many were known, and how many are back.
    ties: int = 0
    tied: int = 0

    def add(self, other: Undone) -> None:
        self.taken += other.taken
        self.left += other.left
        self.kinds |= other.kinds


@dataclass(frozen=True, slots=True)
class Author:
    """On whose behalf, and by which run."""

    name: str
    run_id: UUID
    #: Where numbers without a country code are read, ISO 3166.
    region: str


class PuttingBack:
    """One transaction's worth of records of one kind, locked, with their links to the connection."""

    def __init__(
        self,
        conn: Conn,
        kind: RecordType,
        keys: ConnectionKeys,
        author: Author,
        rows: Mapping[UUID, Mapping[str, Any]],
        links: Mapping[UUID, Link],
    ) -> None:
        self._conn = conn
        self._kind = kind
        self._keys = keys
        self._author = author
        self._rows = dict(rows)
        self._links = links
        self.undone = Undone()

    async def carry_out(self, tasks: Sequence[Task]) -> None:
        """Do what the tasks say. They may be of records that are no more, where these are made again."""
        for task in tasks:
            self._leave(task.record_id, task.spared)
        await undo.begin_edits(self._conn, self._author.run_id)
        await self._part([each for each in tasks if each.part is not None])
        quiet = {each.record_id: each.quiet for each in tasks if each.quiet}
        written = await self._edit(quiet, self._keys["connection_id"])
        await self._agree(quiet, written)
        plain = {each.record_id: each.edits for each in tasks if each.edits}
        for record_id in await self._edit(plain, None):
            self._note_sent(record_id, plain[record_id])
        await self._insert([each for each in tasks if each.insert is not None])
        anew = [each.record_id for each in tasks if each.make]
        await undo.queue(self._conn, anew, "changed", keys=self._keys, record_type=self._kind.name, now=now())
        for record_id in anew:
            self._take("there", record_id, "created", {})

    async def _part(self, tasks: Sequence[Task]) -> None:
        """Part records from what they are there; it is archived there where the run had made it."""
        parted = {
            each.record_id: self._links[each.record_id] for each in tasks if each.record_id in self._links
        }
        for object_name in sorted({each.object for each in parted.values()}):
            keys: ObjectKeys = {**self._keys, "object_name": object_name}
            ids = [each.remote_id for each in parted.values() if each.object == object_name]
            await undo.part(self._conn, ids, keys=keys, now=now())
        archived = [each.record_id for each in tasks if each.part == "archive" and each.record_id in parted]
        await undo.queue(
            self._conn, archived, "deleted", keys=self._keys, record_type=self._kind.name, now=now()
        )
        if archived:
            await undo.log_parted(
                self._conn,
                {each: f"{parted[each].object} {parted[each].remote_id}" for each in archived},
                keys=self._keys,
                record_type=self._kind.name,
                field=LINK,
                actor=self._author.name,
                run_id=self._author.run_id,
            )
        for each in archived:
            self._take("there", each, "archived", {}, parted[each].remote_id)

    async def _edit(
        self, values: Mapping[UUID, Mapping[str, Any]], origin: UUID | None
    ) -> dict[UUID, dict[str, Any]]:
        """Write fields as edits, with what follows from them; returns the rows then, of those written.

        A record that cannot take its value any more is left as it is.
        """
        if not values:
            return {}
        await edits.set_author(self._conn, source="undo", actor=self._author.name, connection_id=origin)
        try:
            written = await self._write(values)
        except Invalid:
            written = dict[UUID, dict[str, Any]]()
            for record_id, each in values.items():
                try:
                    written |= await self._write({record_id: each})
                except Invalid as problem:
                    self._leave(record_id, [Spared("", "lost", str(problem))])
        for record_id in written:
            self._note_here(record_id, values[record_id])
        return written

    async def _write(self, values: Mapping[UUID, Mapping[str, Any]]) -> dict[UUID, dict[str, Any]]:
        columns: dict[UUID, dict[str, Any]] = {}
        derived: dict[UUID, dict[str, Any]] = {}
        for record_id, each in values.items():
            own, follows = to_columns(self._kind, self._rows[record_id], each, self._author.region)
            columns[record_id], derived[record_id] = {**own, **follows}, follows
        tenant_id = self._keys["tenant_id"]
        await undo.write(self._conn, self._kind, columns, tenant_id=tenant_id)
        locked = await undo.lock_rows(self._conn, self._kind, list(values), tenant_id=tenant_id)
        after = {record_id: flatten(row) for record_id, row in locked.items()}
        # A trigger clears a number that seems to have outlived its text: the same number, written anew.
        lost = {
            record_id: follows
            for record_id, follows in derived.items()
            if any(after[record_id].get(name) != value for name, value in follows.items())
        }
        await undo.write(self._conn, self._kind, lost, tenant_id=tenant_id)
        return after

    async def _agree(
        self, values: Mapping[UUID, Mapping[str, Any]], written: Mapping[UUID, Mapping[str, Any]]
    ) -> None:
        """Let both sides agree on what was put back here, and on what the connection keeps."""
        pairs: list[tuple[Link, dict[str, list[Any]]]] = []
        for record_id, row in written.items():
            link = self._links.get(record_id)
            if link is None:
                continue
            base: dict[str, list[Any]] = {}
            for name in values[record_id]:
                if name not in self._kind.content and not name.startswith(CUSTOM):
                    continue
                half = link.base[name][-1] if name in link.base else self._rows[record_id].get(name)
                ours = row.get(name)
                base[name] = pair(brief(ours) if name in self._kind.long else ours, half)
            pairs.append((link, base))
        await undo.agree(self._conn, pairs, keys=self._keys)

    async def _insert(self, tasks: Sequence[Task]) -> None:
        """Make records again that were deleted here, with the ids they had."""
        if not tasks:
            return
        await edits.set_author(self._conn, source="undo", actor=self._author.name)
        for task in tasks:
            values = task.insert or {}
            columns, derived = to_columns(self._kind, {}, values, self._author.region)
            try:
                await undo.insert(
                    self._conn,
                    self._kind,
                    task.record_id,
                    {**columns, **derived},
                    tenant_id=self._keys["tenant_id"],
                )
            except Invalid as problem:
                self._leave(task.record_id, [Spared("", "lost", str(problem))])
                continue
            self._take(
                "here", task.record_id, "created", {name: [None, each] for name, each in values.items()}
            )
            self._take("there", task.record_id, "created", {})
            self.undone.kinds.add(self._kind.name)

    def _note_here(self, record_id: UUID, values: Mapping[str, Any]) -> None:
        action = "updated"
        if ARCHIVED in values:
            action = "restored" if values[ARCHIVED] is None else "archived"
        self._take("here", record_id, action, self._changes(record_id, values))

    def _note_sent(self, record_id: UUID, values: Mapping[str, Any]) -> None:
        link = self._links.get(record_id)
        if values.get(ARCHIVED, "") is None:
            self._take("there", record_id, "created", {})
        elif link is not None:
            action = "archived" if ARCHIVED in values else "updated"
            self._take("there", record_id, action, self._changes(record_id, values), link.remote_id)

    def _changes(self, record_id: UUID, values: Mapping[str, Any]) -> dict[str, list[Any]]:
        row = self._rows[record_id]
        return {name: [row.get(name), value] for name, value in values.items()}

    def _take(
        self,
        side: Literal["here", "there"],
        record_id: UUID,
        action: str,
        changes: dict[str, list[Any]],
        remote_id: str | None = None,
    ) -> None:
        self.undone.taken.append(Taken(side, self._kind.name, record_id, action, changes, remote_id))
        if side == "there":
            self.undone.kinds.add(self._kind.name)

    def _leave(self, record_id: UUID, spared: Sequence[Spared]) -> None:
        self.undone.left += [Left(self._kind.name, record_id, each) for each in spared]
