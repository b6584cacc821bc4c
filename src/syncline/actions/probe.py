"""Asking a CRM who we are and which of its objects we may read, without storing anything.

Each object costs about two calls. Faults of one object do not hide those of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncline.connectors.base import Connector, Platform, RemoteObject
from syncline.connectors.reads import Account
from syncline.connectors.registry import quotas_of
from syncline.connectors.transport import Send, Token, Transport
from syncline.engine.calls import Calls, FixedToken
from syncline.engine.quota import Governor
from syncline.errors import NotFound, ScopeMissing, SynclineError
from syncline.store.db import Database

#: A person waits: a host that cannot be reached is given up soon.
PATIENCE_SECONDS = 5.0
#: Of the first call of all, before anything is known to be right.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """Whether one object can be read, and how many living records the CRM says it has (None: untold)."""

    object: str
    count: int | None
    problem: SynclineError | None = None

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        return self.problem.scopes if isinstance(self.problem, ScopeMissing) else ()


def send_ungoverned(db: Database, platform: Platform, http: Transport, token: Token | None) -> Send:
    """Return a `Send` for a token whose account is not known yet, and so has no quota to be kept."""
    governor = Governor(db, platform=platform.capabilities.platform, account_id="", quotas=())
    source = None if token is None else FixedToken(token)
    return Calls(http, governor, source, give_up_after_seconds=PATIENCE_SECONDS, max_attempts=_ATTEMPTS).send


def govern(db: Database, platform: Platform, account_id: str, settings: Mapping[str, str]) -> Governor:
    """Return the governor of an account, to be used with `async with`."""
    quotas = quotas_of(platform, settings)
    return Governor(db, platform=platform.capabilities.platform, account_id=account_id, quotas=quotas)


async def count_ungoverned(governor: Governor, platform: Platform) -> None:
    """Count the call that told whose account it is: it took from the account's quota like any other."""
    slot = await governor.acquire(platform.capabilities.quotas[0].bucket, lane="person")
    if slot is not None:
        slot.passed()


async def probe_objects(connector: Connector, names: Sequence[str]) -> list[ObjectAccess]:
    """Try to read each object's definitions and count. Raises only what concerns the whole connection.

    A refused token and an unreachable host are raised; a missing scope or an unknown object is reported.
    """
    return list(await asyncio.gather(*(_probe(connector, name) for name in names)))


async def _probe(connector: Connector, name: str) -> ObjectAccess:
    try:
        remote_object = await connector.get_object(name)
        if remote_object.has_properties:
            await connector.describe(name)
        return ObjectAccess(name, await _count(connector, remote_object))
    except ScopeMissing as error:
        return ObjectAccess(name, None, _named(name, error, connector))
    except NotFound as error:
        return ObjectAccess(name, None, error)


async def _count(connector: Connector, remote_object: RemoteObject) -> int | None:
    count = await connector.count(remote_object.name)
    if count is None:
        await connector.list_ids(remote_object.name, "", "")
    return count


def _named(name: str, error: ScopeMissing, connector: Connector) -> ScopeMissing:
    """Say which scopes are missing, from the platform's own table where the CRM does not tell."""
    if error.scopes:
        return error
    known = {each.name: each.scopes for each in connector.capabilities.objects}
    scopes = known.get(name, ())
    if not scopes:
        return error
    return ScopeMissing(
        f"The token lacks a permission for {name}: {', '.join(scopes)}. Add it and connect again.",
        scopes=scopes,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What a CRM told of itself: the account and its objects."""

    account: Account
    objects: list[ObjectAccess]
