"""What a new record is made together with: where a CRM keeps what it belongs to in the record itself.

What is not at the CRM yet, and on its way there, is waited for; what is not is left out, and tied later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from syncline.clock import now
from syncline.connectors.base import Capabilities
from syncline.domain.records import RECORD_TYPES
from syncline.engine.associate import REFERENCES
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.store import parents
from syncline.store.db import Conn
from syncline.store.queue import Aside, Waiting

_COMING = "What it belongs to is not at the CRM yet, and is made first."
_ALONE = "The CRM takes it only together with what it belongs to, and has none of that yet."
_FORBIDDEN = (
    "The CRM takes it only together with what it belongs to, and that may not be written. Allow it with "
    "`syncline writing allow --associate`, then retry."
)
_LONGEST_WAIT_SECONDS = 60.0
#: What changes of a record has it looked at again at once; this is for what changes elsewhere.
_ALONE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Together:
    """What one new record belongs to, as far as the CRM is concerned."""

    #: Object → remote id: what goes into its making.
    references: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Column → remote id of the same.
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Columns of what does not, and has to be tied afterwards.
    untied: frozenset[str] = frozenset()
    #: True when some of that is on its way to the CRM.
    is_coming: bool = False


_NOTHING = Together()


def find_objects(capabilities: Capabilities, object_name: str, record_type: str) -> dict[str, str]:
    """Return column → the object of a CRM that records of one object refer to by it, in themselves."""
    types = {each.name: each.record_type for each in capabilities.objects}
    others = (to for name, to in capabilities.references if name == object_name)
    named = ((REFERENCES.get((record_type, types[each] or "")), each) for each in others)
    return {reference.column: each for reference, each in named if reference is not None}


class Makers:
    """Says what records of an object in `Capabilities.found_by_content` are made with.

    Without `may_associate` that is nothing.
    """

    def __init__(self, target: Target, remote: Remote, record_type: str, *, may_associate: bool) -> None:
        self._target = target
        capabilities = remote.connector.capabilities
        self._kind = RECORD_TYPES[record_type]
        self._may_associate = may_associate
        self._needs_parent = target.object_name in capabilities.needs_parent
        self._objects = find_objects(capabilities, target.object_name, record_type)
        self._columns = {
            each.column: each.parent_type for each in REFERENCES.values() if each.child_type == record_type
        }

    async def gather(self, conn: Conn, record_ids: Sequence[UUID]) -> dict[UUID, Together]:
        """Return what records would be made together with now."""
        found = dict.fromkeys(record_ids, _NOTHING)
        if not self._may_associate or not self._columns:
            return found
        listed = await parents.list_parents(conn, self._kind, self._columns, record_ids, **self._target.keys)
        for each in listed:
            known = found[each.record_id]
            if each.object is not None and each.object == self._objects.get(each.column) and each.remote_id:
                found[each.record_id] = Together(
                    {**known.references, each.object: each.remote_id},
                    {**known.given, each.column: each.remote_id},
                    known.untied,
                    known.is_coming,
                )
            else:
                found[each.record_id] = Together(
                    known.references,
                    known.given,
                    known.untied | {each.column},
                    known.is_coming or (each.is_coming and each.column in self._objects),
                )
        return found

    def find_wait(self, row: Waiting, together: Together, *, rehearses: bool) -> Aside | None:
        """Return how a row is put aside that cannot be made yet; None when it can.

        It is not parked for that, however long it waits. In a rehearsal what is on its way counts as there.
        """
        if together.is_coming:
            return None if rehearses else self._wait(row, _COMING, _patience_seconds(row))
        if not self._needs_parent or together.references:
            return None
        if not self._may_associate:
            return Aside(row, "parked", _FORBIDDEN)
        return self._wait(row, _ALONE, _ALONE_SECONDS)

    def _wait(self, row: Waiting, reason: str, seconds: float) -> Aside:
        return Aside(row, "pending", reason, seconds, was_tried=False)


def _patience_seconds(row: Waiting) -> float:
    """Return how long to wait for what is on its way: the longer it has taken, the longer."""
    return min(_LONGEST_WAIT_SECONDS, max(0.5, (now() - row.queued_at).total_seconds() / 5))
