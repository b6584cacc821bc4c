"""What a batch of waiting rows comes to: which values are sent, what need not be, what is set aside and why.

Decides, and sends nothing. Knows records of both sides as they were just read, the mapping and what may be
written; not how it reaches the CRM.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from syncline.clock import new_id, now
from syncline.connectors.records import RemoteRecord
from syncline.connectors.writes import RemoteWrite
from syncline.domain.agreement import brief, pair
from syncline.domain.mapping import Mapper
from syncline.domain.merge import Access
from syncline.domain.records import RecordType
from syncline.domain.writing import Writer
from syncline.engine.chunk import Agreed
from syncline.engine.together import Together
from syncline.store.queue import Aside, Waiting

#: Parents before their children, so that a child finds what it belongs to.
_ORDER = ("company", "contact", "deal", "activity", "task")
#: How often a row is tried before it is parked.
_MOST_ATTEMPTS = 12
_LONGEST_WAIT_SECONDS = 300.0
ARCHIVED = "archived_at"
GONE = (
    "The CRM does not show this record any more: it may have been archived or merged there. Sync its object, "
    "then retry or drop it."
)
_NOTHING = (
    "Nothing of this record may be written to the CRM. Allow fields of it with `syncline writing allow`, "
    "then retry or drop it."
)
ANOTHERS = (
    "The CRM has this record as part of another one: they may have been merged there. Sync its object, then "
    "retry or drop it."
)


@dataclass(slots=True)
class Item:
    """One record on its way."""

    row: Waiting
    change_id: UUID
    action: str
    #: Field → value of ours, as it is sent.
    values: dict[str, Any]
    #: Everything the CRM is known to have of the record, what is sent laid over it.
    properties: dict[str, Any]
    #: Field → value the CRM was read to have, in our form.
    before: Mapping[str, Any] = field(default_factory=dict[str, Any])
    write: RemoteWrite | None = None
    #: What a new record is made together with; None where that follows, and it carries an id of ours.
    together: Together | None = None
    #: What could not be sent of it, in words.
    left: str = ""

    @property
    def remote_id(self) -> str | None:
        return self.row.remote_id or self.properties.get("id")

    @property
    def changes(self) -> dict[str, list[Any]]:
        """Return field → [what the CRM was read to have, what it is sent], in our form."""
        return {name: [self.before.get(name), value] for name, value in self.values.items()}


@dataclass(slots=True)
class Batch:
    """What a transaction decided about rows that are due."""

    items: list[Item] = field(default_factory=list["Item"])
    done: list[Waiting] = field(default_factory=list[Waiting])
    aside: list[Aside] = field(default_factory=list[Aside])

    @property
    def parked(self) -> int:
        return sum(each.state == "parked" for each in self.aside)

    @property
    def writes(self) -> list[Item]:
        return [each for each in self.items if each.write is not None]

    @property
    def archives(self) -> list[Item]:
        return [each for each in self.items if each.write is None]


class Intents:
    """Decides about rows of one object of one connection."""

    def __init__(self, mapper: Mapper, writer: Writer, access: Access) -> None:
        self._mapper = mapper
        self._writer = writer
        self._access = access
        self._kind: RecordType = mapper.record_type

    def plan_change(
        self, batch: Batch, row: Waiting, agreed: Agreed | None, read: RemoteRecord | None
    ) -> None:
        """Decide about a record that the CRM has, as it was merged just now."""
        if agreed is None or read is None:
            batch.aside.append(put_off(row, GONE, most=3))
            return
        push = dict(agreed.merged.push)
        if push.pop(ARCHIVED, None) is not None:
            change = {ARCHIVED: agreed.existing.row[ARCHIVED]}
            batch.items.append(Item(row, new_id(), "archived", change, dict(read.properties)))
            return
        left = ""
        if ARCHIVED in agreed.merged.push:
            left = "The CRM cannot bring back what was archived there. "
        written = self._writer.write(push, agreed.values())
        left += _describe(written.faults)
        values = {name: value for name, value in push.items() if name not in written.unwritable}
        if not written.properties:
            if left:
                batch.aside.append(Aside(row, "parked", left))
            else:
                batch.done.append(row)
            return
        item = Item(row, new_id(), "updated", values, {**read.properties, **written.properties}, left=left)
        item.before = agreed.mapped.values
        item.write = RemoteWrite(str(row.record_id), row.remote_id, written.properties)
        batch.items.append(item)

    def plan_new(
        self,
        batch: Batch,
        row: Waiting,
        record: Mapping[str, Any],
        together: Together | None = None,
        wait: Aside | None = None,
    ) -> None:
        """Decide about a record that the CRM does not have. `wait` is how it waits for what it belongs to."""
        if record.get(ARCHIVED) is not None or record.get("merged_into") is not None:
            batch.done.append(row)
            return
        filled = {
            name: record[name]
            for name in self._kind.content
            if record.get(name) is not None and name in self._access.push
        }
        written = self._writer.write(filled, record)
        if not written.properties:
            batch.aside.append(Aside(row, "parked", _NOTHING))
            return
        if not self._mapper.is_wanted(written.properties):
            batch.done.append(row)
            return
        if wait is not None:
            batch.aside.append(wait)
            return
        values = {name: value for name, value in filled.items() if name not in written.unwritable}
        left = _describe(written.faults)
        item = Item(row, new_id(), "created", values, dict(written.properties), left=left)
        key = str(row.record_id)
        item.together = together
        references: Mapping[str, str] = {} if together is None else together.references
        item.write = RemoteWrite(key, None, written.properties, key, references)
        batch.items.append(item)

    def plan_deleted(self, batch: Batch, row: Waiting, remote_id: str | None) -> None:
        """Decide about a record that was deleted here, and that the CRM has under `remote_id`."""
        if remote_id is None:
            batch.done.append(row)
            return
        item = Item(row, new_id(), "archived", {ARCHIVED: now().isoformat()}, {"id": remote_id})
        batch.items.append(item)

    def describe(self, item: Item) -> dict[str, Any]:
        """Write an item as it is written down before it is sent."""
        on_its_way: dict[str, list[list[Any]]] = {}
        if item.write is not None:
            theirs = self._mapper.map(item.properties)
            for name, value in item.values.items():
                half = theirs.theirs.get(name, theirs.values.get(name))
                on_its_way[name] = [self.pair(name, value, half)]
        given: Mapping[str, str] = {} if item.together is None else item.together.given
        return {
            "id": item.change_id,
            "remote_id": item.remote_id,
            "record_id": item.row.record_id,
            "action": item.action,
            "changes": item.changes | {name: [None, each] for name, each in given.items()},
            "sent": on_its_way,
        }

    def pair(self, name: str, ours: Any, theirs: Any) -> list[Any]:
        """Write what both sides have of a field as a base does."""
        if name in self._kind.long:
            return pair(brief(ours), brief(theirs))
        return pair(ours, theirs)


def put_off(row: Waiting, reason: str, *, after: float | None = None, most: int = _MOST_ATTEMPTS) -> Aside:
    """Try a row again later, at the earliest in `after` seconds; park it when that was the last attempt."""
    if row.attempts + 1 >= most:
        return Aside(row, "parked", reason)
    longest = min(_LONGEST_WAIT_SECONDS, 0.5 * 2**row.attempts)
    wait = random.uniform(longest / 2, longest)  # noqa: S311 - spreads attempts out
    return Aside(row, "pending", reason, max(wait, after or 0.0))


def _describe(unwritable: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(unwritable.items()))


def cut(
    rows: Iterable[Waiting], object_of: Callable[[Waiting], str | None], size: int
) -> Iterator[tuple[str | None, list[Waiting]]]:
    """Cut rows into batches of one object and one manner of sending, parents first.

    `object_of` names the object that a row belongs to at the CRM; rows of none come with None.
    """

    def key(row: Waiting) -> tuple[int, str, int]:
        rank = _ORDER.index(row.record_type) if row.record_type in _ORDER else len(_ORDER)
        manner = 2 if row.what == "deleted" else 1 if row.object is None else 0
        return rank, object_of(row) or "", manner

    for (_, name, _), group in groupby(sorted(rows, key=key), key):
        part = list(group)
        for start in range(0, len(part), size):
            yield name or None, part[start : start + size]
