"""Trying a stored connection: token, permissions per object, quota, and whether the clocks agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from syncline.actions.connect import chosen_objects
from syncline.actions.hub import Hub
from syncline.actions.probe import PATIENCE_SECONDS, ObjectAccess, probe_objects
from syncline.connectors.reads import Account
from syncline.connectors.registry import get_platform
from syncline.engine.quota import usage
from syncline.engine.remotes import Remotes
from syncline.errors import SynclineError
from syncline.store.connections import Connection
from syncline.store.quota import Usage

#: Beyond this the clocks of a CRM and ours disagree enough to matter for people who compare times.
SKEW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about one connection. `problem` is set when nothing else could be."""

    connection: Connection
    account: Account | None = None
    objects: list[ObjectAccess] = field(default_factory=list[ObjectAccess])
    quota: list[Usage] = field(default_factory=list[Usage])
    problem: SynclineError | None = None

    @property
    def clocks_agree(self) -> bool:
        return self.account is None or abs(self.account.clock_skew_seconds) <= SKEW_SECONDS

    @property
    def problems(self) -> list[SynclineError]:
        """Everything that keeps the connection from being read whole."""
        own = [] if self.problem is None else [self.problem]
        return own + [each.problem for each in self.objects if each.problem is not None]


async def check_connections(hub: Hub, names: Sequence[str] = ()) -> list[Checked]:
    """Try the connections called `names`, or all, at the same time. Raises `NotFound` for an unknown name."""
    found = await hub.list_connections(names)
    if not found:
        return []
    async with hub.remotes() as remotes:
        return list(await asyncio.gather(*(check_connection(hub, remotes, each) for each in found)))


async def check_connection(hub: Hub, remotes: Remotes, connection: Connection) -> Checked:
    """Try one connection. What goes wrong is in the answer; a person waits, so it gives up soon."""
    try:
        remote = remotes.open(connection, lane="person", give_up_after_seconds=PATIENCE_SECONDS)
        account = await remote.connector.check()
        names = chosen_objects(connection, get_platform(connection.platform))
        objects = await probe_objects(remote.connector, names)
        quota = await usage(hub.db, connection.platform, connection.account_id or "")
    except SynclineError as error:
        return Checked(connection, problem=error)
    return Checked(connection, account, objects, quota)
