"""Reads associations by batch and keeps rows, payloads and references of ours in step with them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import partial

from syncline.clock import now
from syncline.connectors.base import Connector
from syncline.connectors.reads import Association
from syncline.engine.write import Target
from syncline.errors import ScopeMissing
from syncline.store import associations, deal_people, payloads, planner, runs
from syncline.store.associations import AssociationRow, Pair, Reference
from syncline.store.db import Conn

#: (child's record type, parent's record type) → the column an association fills.
REFERENCES: dict[tuple[str, str], Reference] = {
    (reference.child_type, reference.parent_type): reference
    for reference in (
        Reference("contact", "contacts", "company_id", "company"),
        Reference("deal", "deals", "company_id", "company"),
        Reference("deal", "deals", "contact_id", "contact"),
        Reference("activity", "activities", "contact_id", "contact", keeps_link=True),
        Reference("activity", "activities", "company_id", "company"),
        Reference("activity", "activities", "deal_id", "deal", frees_contact=True),
        Reference("task", "tasks", "contact_id", "contact"),
        Reference("task", "tasks", "company_id", "company"),
        Reference("task", "tasks", "deal_id", "deal"),
    )
}
#: Records whose payloads and references are brought up to date in one statement.
_AT_ONCE = 2000
#: Associations held in memory at once; a batch grows or shrinks towards it.
_ASSOCIATIONS_AT_ONCE = 20_000
_FIRST_BATCH = 100


class Associator:
    """Keeps the associations of records of one object, in every pair the object takes part in.

    A pair is kept in the one direction the connector names: the association of a deal with a contact is
    a row of the deal, whichever side changed.
    """

    def __init__(self, target: Target, connector: Connector, record_types: Mapping[str, str | None]) -> None:
        self._target = target
        self._connector = connector
        self._record_types = record_types
        self._pairs = connector.capabilities.association_pairs
        self._references = connector.capabilities.references

    async def read_all(self) -> None:
        """Read every association of the pairs that begin with the target's object."""
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            ids = await payloads.list_living_ids(conn, target.table, **target.keys)
        ids.sort(key=lambda remote_id: (len(remote_id), remote_id))
        for from_object, to_object in self._pairs:
            if from_object == target.object_name:
                with self._noting_refusals():
                    await self._read_forward(from_object, to_object, ids)
                await target.persist(partial(self._remove_of_gone, from_object, to_object))

    async def read_of(self, remote_ids: Sequence[str]) -> None:
        """Read the associations of some records anew, in every pair of their object."""
        target = self._target
        ids = sorted(set(remote_ids))
        for from_object, to_object in self._pairs:
            with self._noting_refusals():
                if from_object == target.object_name:
                    await self._read_forward(from_object, to_object, ids)
                elif to_object == target.object_name and from_object in target.remote_object.associates_with:
                    await self._read_backward(from_object, ids)

    async def read_pair(self, to_object: str, remote_ids: Sequence[str]) -> None:
        """Read the associations of some records with one other object anew; the pair begins with ours."""
        with self._noting_refusals():
            await self._read_forward(self._target.object_name, to_object, sorted(set(remote_ids)))

    @contextmanager
    def _noting_refusals(self) -> Generator[None]:
        """Go on with the other pairs when the token may not read one side of this one."""
        try:
            yield
        except ScopeMissing as refusal:
            if str(refusal) not in self._target.refusals:
                self._target.refusals.append(str(refusal))

    async def _read_forward(self, from_object: str, to_object: str, ids: Sequence[str]) -> None:
        """Read whole sets of associations and store them, in batches that stay small in memory."""
        largest = self._connector.capabilities.association_batch
        size, start = min(_FIRST_BATCH, largest), 0
        while start < len(ids):
            batch = ids[start : start + size]
            found = await self._find(from_object, to_object, batch)
            await self._target.persist(partial(self._store, from_object, to_object, batch, found))
            self._target.on_progress()
            self._target.check_stop()
            start += size
            size = max(1, min(largest, _ASSOCIATIONS_AT_ONCE * size // max(1, len(found)), size * 10))

    async def _find(self, from_object: str, to_object: str, ids: Sequence[str]) -> list[Association]:
        """Return the associations of some records: from their payloads where those tell, else by a call."""
        path = self._references.get((from_object, to_object))
        if path is None:
            return await self._connector.read_associations(from_object, to_object, ids)
        target = self._target
        table = payloads.table_of(self._connector.capabilities.platform, from_object)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            named = await payloads.list_values(conn, table, ids, path, **target.keys)
        kind = f"{from_object}_to_{to_object}"
        return [Association(near, far, 0, kind, "reference", None) for near, far in named]

    async def _read_backward(self, near_object: str, ids: Sequence[str]) -> None:
        """Look from the far side which near records gained or lost one of `ids`, and read those anew.

        Type ids and labels differ by direction, so what is stored is always read from the near side.
        """
        target = self._target
        size = self._connector.capabilities.association_batch
        pair = Pair(target.tenant_id, target.connection_id, near_object, target.object_name)
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                stored = await associations.list_pairs(conn, pair, batch)
            # A record may have been read after the rows that name it: its references wait.
            await target.persist(partial(self._catch_up, pair, {near for near, _ in stored}, batch))
            if (near_object, target.object_name) in self._references:
                continue  # whoever gains or loses one is itself changed by it
            found = await self._connector.read_associations(target.object_name, near_object, batch)
            different = {(each.to_id, each.from_id) for each in found} ^ stored
            if different:
                await self._read_forward(
                    near_object, target.object_name, sorted({near for near, _ in different})
                )

    async def _catch_up(self, pair: Pair, near: Collection[str], far: Sequence[str]) -> None:
        target = self._target
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            await planner.prefer_indexes(conn)
            await self._bring_up(conn, pair, sorted(near), list(far), frozenset())

    async def _remove_of_gone(self, from_object: str, to_object: str) -> None:
        """Remove rows of records that are no longer living: nobody asks the CRM for those."""
        target = self._target
        pair = Pair(target.tenant_id, target.connection_id, from_object, to_object)
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            lost = await associations.remove_of_gone(conn, pair, target.table)
            if lost:
                await planner.prefer_indexes(conn)
                await self._bring_up(conn, pair, [], sorted(lost), lost)

    async def _store(
        self, from_object: str, to_object: str, ids: Sequence[str], found: Sequence[Association]
    ) -> None:
        target = self._target
        rows = [
            AssociationRow(each.from_id, each.to_id, each.type_id, each.type, each.category, each.label)
            for each in found
        ]
        pair = Pair(target.tenant_id, target.connection_id, from_object, to_object)
        async with target.db.transaction(tenant_id=target.tenant_id, bulk=True) as conn:
            await target.prove_lease(conn)
            await planner.prefer_indexes(conn)
            replaced = await associations.replace(conn, pair, ids, rows, now=now())
            far = replaced.lost_to_ids.union(each.to_id for each in found)
            await self._bring_up(conn, pair, list(ids), sorted(far), replaced.moved)
            counts = runs.RunCounts(read=len(found))
            await target.record_counts(conn, counts)
        target.counts.add(counts)

    async def _bring_up(
        self, conn: Conn, pair: Pair, near: list[str], far: list[str], moved: AbstractSet[str]
    ) -> None:
        """Bring both sides' payloads and the references of ours up to the rows; what is right stays."""
        platform = self._connector.capabilities.platform
        for name, other, ids, reverse in (
            (pair.from_object, pair.to_object, near, False),
            (pair.to_object, pair.from_object, far, True),
        ):
            if name not in self._record_types:
                continue
            table = payloads.table_of(platform, name)
            child, parent = self._record_types[name], self._record_types.get(other)
            reference = REFERENCES.get((child, parent)) if child and parent else None
            for start in range(0, len(ids), _AT_ONCE):
                part = ids[start : start + _AT_ONCE]
                if (pair.from_object, pair.to_object) not in self._references:
                    await associations.put_in_payloads(conn, pair, table, part, reverse=reverse)
                if reference is not None:
                    await associations.put_reference(
                        conn,
                        pair,
                        reference,
                        part,
                        child_is_from=not reverse,
                        moved=moved,
                        run_id=self._target.run_id,
                        actor=self._target.actor,
                        now=now(),
                    )
                if (child, parent) == ("deal", "contact"):
                    await deal_people.bring_up(conn, pair, part, deal_is_from=not reverse)
