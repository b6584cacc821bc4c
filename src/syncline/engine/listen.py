"""Keeps in touch with CRMs: listens to those that allow it, and renews what others are subscribed to.

What is heard goes into the inbox like a webhook, and is worked off like one. Nothing relies on it: a schedule
finds what was missed.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from syncline.clock import new_id, now
from syncline.config import Settings
from syncline.connectors.registry import get_platform
from syncline.connectors.webhooks import WebhookEvent, dump_heard
from syncline.engine.lease import Lease, hold_lease
from syncline.engine.remotes import Remotes, open_credentials
from syncline.engine.resting import rest
from syncline.errors import Busy, NotFound, RetryLater, SynclineError
from syncline.store import connections, inbox, tenants
from syncline.store.connections import Connection
from syncline.store.db import Database
from syncline.store.inbox import NewDelivery

LEASE = "listen"
#: In a connection's settings: the address its CRM was subscribed to, to be renewed when the CRM drops it.
ADDRESS_SETTING = "webhook_address"
#: How often it is looked which connections there are.
LOOK_SECONDS = 5.0
_RENEW_SECONDS = 3600.0
_PAUSE_SECONDS = 30.0
#: How long what is heard waits for more of its kind.
_COALESCE_SECONDS = 0.05

_log = structlog.get_logger(__name__)


async def serve_listening(
    db: Database,
    remotes: Remotes,
    settings: Settings,
    *,
    stop: asyncio.Event,
    bell: asyncio.Event | None = None,
) -> None:
    """Listen for the connections of all tenants until `stop`. Of several processes one does so for each."""
    await _Listeners(db, remotes, settings, stop, bell or asyncio.Event()).serve()


class _Listeners:
    def __init__(
        self, db: Database, remotes: Remotes, settings: Settings, stop: asyncio.Event, bell: asyncio.Event
    ) -> None:
        self._db = db
        self._remotes = remotes
        self._settings = settings
        self._stop = stop
        self._bell = bell
        self._tasks: dict[object, asyncio.Task[None]] = {}
        #: Connection → when (monotonic) it is looked at again.
        self._resting: dict[object, float] = {}

    async def serve(self) -> None:
        try:
            while not self._stop.is_set():
                await self._look()
                await rest(self._stop, LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    async def _look(self) -> None:
        try:
            found = await list_attended(self._db)
        except RetryLater as error:
            _log.warning("listening_waits", reason=str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever befell one look, the next one may do
            _log.error("listening_failed", error=type(error).__name__)
            return
        wanted = {(each.tenant_id, each.id, each.credentials, each.base_url): each for each in found}
        for key in self._tasks.keys() - wanted.keys():
            self._tasks[key].cancel()  # paused, removed, or given another token
        for key, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[key]
        for key, each in wanted.items():
            if key not in self._tasks and self._resting.get(key, 0.0) <= time.monotonic():
                self._tasks[key] = asyncio.create_task(self._attend(key, each))

    async def _attend(self, key: object, connection: Connection) -> None:
        try:
            async with hold_lease(
                self._db,
                tenant_id=connection.tenant_id,
                connection_id=connection.id,
                purpose=LEASE,
                seconds=self._settings.lease_seconds,
            ) as lease:
                if get_platform(connection.platform).capabilities.listens:
                    await self._listen(connection, lease)
                else:
                    await self._renew(connection)
                    self._resting[key] = time.monotonic() + _RENEW_SECONDS
                    return
        except (Busy, NotFound):
            pass
        except SynclineError as error:
            _log.warning("listening_failed", connection=connection.name, reason=str(error))
        except Exception as error:  # noqa: BLE001 - one connection's fault silences no other
            _log.error("listening_failed", connection=connection.name, error=type(error).__name__)
        self._resting[key] = time.monotonic() + _PAUSE_SECONDS

    async def _listen(self, connection: Connection, lease: Lease) -> None:
        remote = self._remotes.open(connection, lane="webhook")
        async for events in remote.connector.listen():
            if events:
                await self._keep(connection, lease, list(events))
                self._bell.set()

    async def _keep(self, connection: Connection, lease: Lease, events: list[WebhookEvent]) -> None:
        row = NewDelivery(new_id(), connection.id, now(), dump_heard(events), len(events))
        async with self._db.transaction(tenant_id=connection.tenant_id) as conn:
            await lease.require(conn)
            await inbox.insert(conn, [row], tenant_id=connection.tenant_id, wait_seconds=_COALESCE_SECONDS)

    async def _renew(self, connection: Connection) -> None:
        """Subscribe anew to what the CRM has dropped."""
        secret = open_credentials(self._remotes.vault, connection.credentials).webhook_secret
        if secret is None:
            return
        remote = self._remotes.open(connection, lane="incremental")
        address = str(connection.settings[ADDRESS_SETTING])
        renewed = await remote.connector.ensure_webhooks(address, secret)
        if renewed:
            _log.info("webhooks_renewed", connection=connection.name, subscriptions=len(renewed))


async def list_attended(db: Database) -> list[Connection]:
    """Return, over all tenants, the connections that are to be listened to, or whose webhooks are ours."""
    async with db.statement() as conn:
        everybody = await tenants.list_tenants(conn)
    found: list[Connection] = []
    for tenant in everybody:
        if tenant.status != "active":
            continue
        async with db.transaction(tenant_id=tenant.tenant_id) as conn:
            found += await connections.list_all(conn, tenant_id=tenant.tenant_id)
    return [each for each in found if each.status == "active" and _is_attended(each)]


def _is_attended(connection: Connection) -> bool:
    try:
        capabilities = get_platform(connection.platform).capabilities
    except NotFound:  # of a newer version, or of one with more connectors
        return False
    return capabilities.listens or (
        capabilities.makes_webhooks and bool(connection.settings.get(ADDRESS_SETTING))
    )
