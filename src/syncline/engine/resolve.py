"""Fills in references that were not known when a record was read: an owner, a stage that came later.

The record itself did not change, and so no other reading would find it. Knows which records wait and what
they wait for; what they mean is the mapping's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syncline.clock import now
from syncline.domain.mapping import Lookups, Mapper, ObjectMap
from syncline.engine.lookups import load_lookups, refresh_pipelines
from syncline.engine.prepare import list_unreadable, prepare_page
from syncline.engine.remotes import Remote
from syncline.engine.write import Target
from syncline.store import cursors, payloads

KIND = "lookups"
#: Records whose ids are held at once.
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What references resolved to when an object was last read: a hash of owners, facts by stage."""

    owners: str
    stages: dict[str, list[Any]]

    @classmethod
    def of(cls, lookups: Lookups, mapping: ObjectMap) -> _Known:
        # Only deals are in stages: others need not be looked at again because a pipeline changed.
        stages = lookups.stage_facts() if mapping.record_type == "deal" else {}
        return cls(lookups.owners_digest(), stages)

    def has_changed_stage(self, earlier: _Known) -> bool:
        """Whether a stage that records may be in means something else than it did."""
        return any(self.stages.get(key) != facts for key, facts in earlier.stages.items())


class Resolver:
    """Looks, at the end of a run, whether references have become known since the object was last read."""

    def __init__(self, target: Target, remote: Remote, mapping: ObjectMap, properties: Sequence[str]) -> None:
        self._target = target
        self._remote = remote
        self._mapping = mapping
        self._properties = properties

    async def run(self, used: Lookups, *, all_read: bool, pipelines_are_fresh: bool) -> None:
        """Read anew, by id, the records whose references have become known. Costs no call when none has.

        `used` is what this run resolved references with; `all_read` says that it read every record so.
        """
        target = self._target
        if target.has_unresolved and not pipelines_are_fresh:
            await refresh_pipelines(target.db, self._remote.connector, target.remote_object, **target.keys)
        async with target.db.transaction(tenant_id=target.tenant_id) as conn:
            lookups = await load_lookups(
                conn, **target.keys, currency=self._remote.currency, places=self._mapping.stages
            )
            state = await cursors.find_state(conn, **target.cursor_keys(KIND))
        known = _Known.of(lookups, self._mapping)
        before = _Known.of(used, self._mapping) if all_read else _Known(**state) if state else None
        if before != known:
            target.mapper = Mapper(self._mapping, lookups)
            await self._read_waiting(everything=before is not None and known.has_changed_stage(before))
        if state is None or _Known(**state) != known:
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                await target.prove_lease(conn)
                await cursors.put(
                    conn,
                    {"owners": known.owners, "stages": known.stages},
                    now=now(),
                    **target.cursor_keys(KIND),
                )

    async def _read_waiting(self, *, everything: bool) -> None:
        target = self._target
        after = ""
        while True:
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                ids = await payloads.list_unmapped(
                    conn, target.table, **target.keys, after=after, limit=_AT_ONCE, everything=everything
                )
            size = self._remote.connector.capabilities.read_batch
            for start in range(0, len(ids), size):
                await self._read(ids[start : start + size])
            if len(ids) < _AT_ONCE:
                return
            after = ids[-1]

    async def _read(self, remote_ids: Sequence[str]) -> None:
        target = self._target
        page = await self._remote.connector.read_many(target.object_name, remote_ids, self._properties)
        await target.commit(prepare_page(page, target.mapper), list_unreadable(page))
