"""What a run would do, collected while every transaction of it is taken back and nothing is sent.

The run itself is the real one; this is where its effects are noted. Knows no CRM and no statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

from syncline.engine.brakes import Stop
from syncline.engine.intents import Batch
from syncline.engine.lease import Lease
from syncline.engine.tie import Foreseen
from syncline.store import effects
from syncline.store.db import Conn
from syncline.store.effects import Change
from syncline.store.keys import ConnectionKeys


@dataclass(frozen=True, slots=True)
class Write:
    """One record that would be written to a CRM, or was."""

    object: str
    record_type: str
    record_id: UUID
    #: None for one that is made by it.
    remote_id: str | None
    #: `created`, `updated`, `archived`, `associated`, `dissociated` or `merged`.
    action: str
    #: Field → [what the CRM has, what it is sent], in our form; of associations remote ids.
    changes: dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Unsendable:
    """One record that would be set aside for a person, in whole or in part."""

    object: str
    record_type: str
    record_id: UUID
    reason: str


class NoLease(Lease):
    """The lease of who writes nothing, and therefore is in nobody's way."""

    def __init__(self, keys: ConnectionKeys) -> None:
        super().__init__(keys["tenant_id"], keys["connection_id"], "plan", "nobody", 0.0, 0)

    async def require(self, conn: Conn) -> None:
        del conn


@dataclass(slots=True)
class Rehearsal:
    """Collects what the transactions of some runs would have left behind."""

    tenant_id: UUID
    #: Whose change log is looked at.
    run_ids: list[UUID] = field(default_factory=list[UUID])
    #: Rows of the queue that have been looked at; being taken back, they stay due.
    seen: set[UUID] = field(default_factory=set[UUID])
    writes: list[Write] = field(default_factory=list[Write])
    parked: list[Unsendable] = field(default_factory=list[Unsendable])
    #: Single records that would be held, as when both sides keep rewriting them.
    held: list[Unsendable] = field(default_factory=list[Unsendable])
    #: What brakes would hold.
    stops: list[Stop] = field(default_factory=list[Stop])
    #: Calls that would have written.
    calls: int = 0
    _here: dict[tuple[str, UUID, str], Change] = field(default_factory=dict[tuple[str, UUID, str], Change])

    async def look(self, conn: Conn) -> None:
        """Note what the transaction changed here, before it is taken back."""
        if self.run_ids:
            for each in await effects.list_changes(conn, self.run_ids, tenant_id=self.tenant_id):
                key = (each.record_type, each.record_id, each.action)
                # A record that is read twice, as at the overlap of two windows, would be written once.
                known = self._here.get(key)
                changes = each.changes if known is None else {**known.changes, **each.changes}
                self._here[key] = replace(each, changes=changes)

    def note(self, object_name: str, batch: Batch, ties: Sequence[Foreseen]) -> None:
        """Note what would have been sent of a batch."""
        for row, action, changes in ties:
            self.writes.append(
                Write(object_name, row.record_type, row.record_id, row.remote_id, action, dict(changes))
            )
        for item in batch.items:
            row = item.row
            self.writes.append(
                Write(object_name, row.record_type, row.record_id, item.remote_id, item.action, item.changes)
            )
            if item.left:
                self.parked.append(Unsendable(object_name, row.record_type, row.record_id, item.left))
        for aside in batch.aside:
            row = aside.row
            if aside.state != "pending":
                told = self.parked if aside.state == "parked" else self.held
                told.append(Unsendable(object_name, row.record_type, row.record_id, aside.reason))
        self.calls += bool(batch.writes) + bool(batch.archives)
        self.calls += len({(action, *changes) for _, action, changes in ties})

    def changes(self) -> list[Change]:
        """Return what would have changed here."""
        return list(self._here.values())


def fold(changes: Iterable[Change]) -> dict[tuple[str, UUID], dict[str, list[Any]]]:
    """Return (type, id) → field → [what it was first, what it is last] of changes, oldest first."""
    folded: dict[tuple[str, UUID], dict[str, list[Any]]] = {}
    for each in changes:
        fields = folded.setdefault((each.record_type, each.record_id), {})
        for name, values in each.changes.items():
            if isinstance(values, list):
                old, new = cast("list[Any]", values)
                fields[name] = [fields[name][0] if name in fields else old, new]
    return folded
