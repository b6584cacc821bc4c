"""Syncing now, while a person looks on: which objects, in which order, and what came of each.

Owners come first, since others refer to them; then the other objects, some at once; then what connects
them. One object's failure does not stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from syncline.actions.connect import chosen_objects
from syncline.actions.hub import Hub
from syncline.connectors.base import Platform
from syncline.connectors.registry import get_platform
from syncline.engine.pull import READINGS, Order, pull
from syncline.engine.remotes import Remotes
from syncline.engine.write import Target
from syncline.errors import Busy, Invalid, RunCancelled, SynclineError, TokenRejected
from syncline.store.connections import Connection
from syncline.store.runs import Run

#: Objects of one connection that are read at once.
AT_ONCE = 3
#: How often it is looked whether another worker has ended what we want to do.
_LOOK_SECONDS = 0.5

Outcome = Literal["success", "partial", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of one object of one connection."""

    connection: str
    object: str
    outcome: Outcome
    run: Run | None = None
    error: SynclineError | None = None


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What became of everything that was asked for, in the order in which it was begun."""

    items: list[Synced] = field(default_factory=list[Synced])

    @property
    def errors(self) -> list[SynclineError]:
        return [item.error for item in self.items if item.error is not None]

    @property
    def is_partial(self) -> bool:
        """Records were parked."""
        return any(item.outcome == "partial" for item in self.items)


class Progress(Protocol):
    """Who wants to see it happen. Called from the event loop; must not block."""

    def planned(self, connection: str, objects: Sequence[str]) -> None: ...

    def began(self, connection: str, object_name: str) -> None: ...

    def waits(self, connection: str, object_name: str) -> None:
        """Another worker is at this object; we go on when it has ended."""
        ...

    def moved(self, connection: str, object_name: str, target: Target) -> None:
        """Something has been committed."""
        ...

    def ended(self, item: Synced) -> None: ...


class Unseen:
    """The progress nobody looks at."""

    def planned(self, connection: str, objects: Sequence[str]) -> None: ...

    def began(self, connection: str, object_name: str) -> None: ...

    def waits(self, connection: str, object_name: str) -> None: ...

    def moved(self, connection: str, object_name: str, target: Target) -> None: ...

    def ended(self, item: Synced) -> None: ...


async def sync(
    hub: Hub,
    *,
    names: Sequence[str] = (),
    objects: Sequence[str] = (),
    full: bool = False,
    requested_by: str = "cli",
    progress: Progress | None = None,
) -> SyncResult:
    """Sync the connections called `names`, or all that are active, and return what became of each object.

    `objects` names some of them, custom ones too; `full` reads everything again. What another worker has
    begun is waited for, and then done again: it may have read before the change somebody wants to see.
    Raises `NotFound` for an unknown connection, `Invalid` when there is none, `PauseConnection` for one
    that was named and is paused; failures of objects are in the answer.
    """
    wanted = await hub.list_connections(names)
    if not wanted:
        raise Invalid("There is no connection to sync. Make one: `syncline connect`.")
    async with hub.remotes() as remotes:
        active = [each for each in wanted if each.status == "active"]
        for each in wanted:
            if each.status != "active" and (names or not active):
                remotes.open(each)  # raises, telling why it is paused
        batches = [
            _Sync(hub, remotes, each, full=full, requested_by=requested_by, progress=progress or Unseen())
            for each in active
        ]
        done = await asyncio.gather(*(batch.run(objects) for batch in batches))
    return SyncResult([item for items in done for item in items])


class _Sync:
    """The sync of one connection."""

    def __init__(
        self,
        hub: Hub,
        remotes: Remotes,
        connection: Connection,
        *,
        full: bool,
        requested_by: str,
        progress: Progress,
    ) -> None:
        self._hub = hub
        self._remotes = remotes
        self._connection = connection
        self._full = full
        self._requested_by = requested_by
        self._progress = progress
        #: Set once the token turned out to be no good: the other objects need not be tried.
        self._refusal: TokenRejected | None = None

    async def run(self, objects: Sequence[str]) -> list[Synced]:
        stages = plan_stages(self._connection, get_platform(self._connection.platform), objects)
        self._progress.planned(self._connection.name, [name for stage in stages for name in stage])
        done: list[Synced] = []
        for stage in stages:
            slots = asyncio.Semaphore(AT_ONCE)
            done += await asyncio.gather(*(self._one(name, slots) for name in stage))
        return done

    async def _one(self, name: str, slots: asyncio.Semaphore) -> Synced:
        async with slots:
            item = await self._attempt(name)
        self._progress.ended(item)
        return item

    async def _attempt(self, name: str) -> Synced:
        if self._refusal is not None:
            return Synced(self._connection.name, name, "skipped", error=self._refusal)
        self._progress.began(self._connection.name, name)
        try:
            run = await self._pull(name)
        except TokenRejected as error:
            self._refusal = error
            return Synced(self._connection.name, name, "failed", error=error)
        except SynclineError as error:
            return Synced(self._connection.name, name, "failed", error=error)
        except Exception as error:  # noqa: BLE001 - a bug that stops one object must not stop the others
            return Synced(self._connection.name, name, "failed", error=_unexpected(error))
        if run.status == "cancelled":
            return Synced(self._connection.name, name, "skipped", run, RunCancelled())
        outcome: Outcome = "partial" if run.status == "partial" else "success"
        return Synced(self._connection.name, name, outcome, run)

    async def _pull(self, name: str) -> Run:
        progress, connection = self._progress, self._connection
        order = Order(
            name,
            full=self._full,
            requested_by=self._requested_by,
            on_progress=lambda target: progress.moved(connection.name, name, target),
        )
        told = False
        while True:
            remote = self._remotes.open(connection, lane="person")
            try:
                return await pull(self._hub.db, remote, order, self._hub.settings)
            except Busy:
                if not told:
                    progress.waits(connection.name, name)
                told = True
            await asyncio.sleep(_LOOK_SECONDS)


def plan_stages(connection: Connection, platform: Platform, objects: Sequence[str]) -> list[list[str]]:
    """Return what is to be read, stage after stage; each stage needs what the ones before it brought."""
    wanted = list(dict.fromkeys(objects)) or [*chosen_objects(connection, platform), *READINGS]
    owners = {each.name for each in platform.capabilities.objects if each.record_type == "owner"}
    stages = [
        [name for name in wanted if name in owners],
        [name for name in wanted if name not in owners and name not in READINGS],
        *([name] for name in READINGS if name in wanted),
    ]
    return [stage for stage in stages if stage]


def _unexpected(error: Exception) -> SynclineError:
    """Name a bug without its words, which may hold values of records; its traceback stays attached."""
    wrapped = SynclineError(
        f"An unexpected {type(error).__name__} stopped this object. `syncline --debug sync` shows where."
    )
    wrapped.__cause__ = error
    return wrapped
