"""Takes in what CRMs send of their own accord: whose it is, whether it is genuine, and into the inbox.

Answers once the delivery is on disk and before anything is done with it. Of what is refused nothing is kept
but the fact. Knows no HTTP beyond what a `Delivery` holds; working the inbox off is `engine.inbox`'s.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

import structlog

from syncline.clock import from_ms, new_id, now
from syncline.connectors.webhooks import Delivery, Parse, WebhookEvent, Webhooks, load_heard
from syncline.domain.sealing import Vault
from syncline.engine.remotes import open_credentials, plain_settings
from syncline.errors import Forged, Invalid, NotFound, RetryLater, TokenRejected
from syncline.store import connections, inbox
from syncline.store.db import Database
from syncline.store.inbox import NewDelivery, Refusal

#: How long a delivery waits for others of its connection, to be worked off with them.
COALESCE_SECONDS = 0.2
#: How long it is remembered which connections an address means, and their secrets.
_REMEMBER_SECONDS = 5.0
#: How soon after that is asked again because a signature does not fit: a secret may have been renewed.
_ASK_AGAIN_SECONDS = 1.0
_MOST_REMEMBERED = 1000
#: Refusals are counted for so long before they are written down, by kind; more kinds are counted together.
_NOTE_SECONDS = 1.0
_MOST_KINDS = 100
_LONGEST_REASON = 200
#: Deliveries that commit together at most, and transactions at the same time for one tenant: waiting for the
#: disk one after another would take longer than the work itself.
_AT_ONCE = 100
_WRITERS = 4

_log = structlog.get_logger(__name__)


class Address(NamedTuple):
    """What a delivery's address says of whose it is. Without `called` the account in its body decides."""

    platform: str
    #: A connection's name or id.
    called: str | None = None
    #: The tenant's slug.
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class _Receiver:
    """A connection a delivery may be for, with what proves it."""

    tenant_id: UUID
    connection_id: UUID
    account_id: str | None
    settings: Mapping[str, str]
    #: None where nobody has given one yet.
    secret: str | None = field(repr=False)


class Intake:
    """The door for webhooks of all tenants, for any number of tasks of one process. `async with`.

    `ring` is called when something was stored.
    """

    def __init__(self, db: Database, vault: Vault, *, ring: Callable[[], None] = lambda: None) -> None:
        self._receivers = _Receivers(db, vault)
        self._writers = _Writers(db)
        self._refusals = _Refusals(db)
        self._ring = ring

    async def __aenter__(self) -> Self:
        self._refusals.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._refusals.end()

    async def receive(self, address: Address, webhooks: Webhooks, delivery: Delivery, source: str) -> int:
        """Store a genuine delivery for every connection it is for; return how many events it holds.

        `source` is the caller's IP address. Raises `NotFound` where there is no such connection, `Forged`
        for what is not proven to come from the CRM or is about another account, `Invalid` for what is no
        delivery, `RetryLater` when it could not be stored. A delivery that comes again is stored again.
        """
        seen: list[_Receiver] = []
        try:
            proven = await self._prove(address, webhooks, delivery, seen)
            events = _parse(webhooks.parse_for(proven[0].settings), delivery.body)
            meant = _require_account(proven, events)
        except (NotFound, Forged, Invalid) as refusal:
            self.refuse(address.platform, str(refusal), source, seen[0] if len(seen) == 1 else None)
            raise
        if events:
            body = delivery.body.decode()
            for each in meant:
                row = NewDelivery(
                    new_id(), each.connection_id, from_ms(delivery.received_ms), body, len(events)
                )
                await self._writers.store(each.tenant_id, row)
            self._ring()
        return len(events)

    def refuse(self, platform: str, reason: str, source: str, receiver: _Receiver | None = None) -> None:
        """Note that a delivery was refused, and why; of itself nothing is kept."""
        self._refusals.note(
            platform, None if receiver is None else receiver.connection_id, reason, _network_of(source)
        )

    async def _prove(
        self, address: Address, webhooks: Webhooks, delivery: Delivery, seen: list[_Receiver]
    ) -> list[_Receiver]:
        """Return the connections whose secret signed the delivery; `seen` gets all that were meant."""
        account = None
        if address.called is None:
            account = webhooks.find_account(delivery.body)
            if account is None:
                raise Invalid("The delivery names no account, or several.")
        key = _Key(address, account)
        found = await self._receivers.find(key)
        try:
            return _verify(webhooks, delivery, found, seen)
        except (Forged, NotFound):
            # What is remembered may be older than the secret, or than the connection.
            again = await self._receivers.find(key, newer_than_seconds=_ASK_AGAIN_SECONDS)
            if again is found:
                raise
            return _verify(webhooks, delivery, again, seen)


class _Key(NamedTuple):
    address: Address
    account: str | None


def _verify(
    webhooks: Webhooks, delivery: Delivery, found: Sequence[_Receiver], seen: list[_Receiver]
) -> list[_Receiver]:
    seen[:] = found
    if not found:
        raise NotFound("There is no such connection.")
    refusal = Forged("No webhook secret is set for this connection.")
    proven: list[_Receiver] = []
    for each in found:
        if each.secret is None:
            continue
        try:
            webhooks.verify(delivery, each.secret)
        except Forged as error:
            refusal = error
        else:
            proven.append(each)
    if not proven:
        raise refusal
    return proven


def _parse(parse: Parse, body: bytes) -> Sequence[WebhookEvent]:
    if load_heard(body) is not None:
        raise Invalid("The delivery is none of this CRM's.")
    events = parse(body)
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Invalid("The delivery is not UTF-8.") from None
    if b"\0" in body:
        raise Invalid("The delivery holds a NUL character.")
    return events


def _require_account(proven: Sequence[_Receiver], events: Sequence[WebhookEvent]) -> list[_Receiver]:
    """Return the connections whose account all events are about; one app may serve several accounts."""
    accounts = {event.account_id for event in events} - {""}
    meant = [each for each in proven if not accounts or accounts == {each.account_id}]
    if not meant:
        raise Forged("The delivery is about another account than this connection's.")
    return meant


class _Remembered(NamedTuple):
    receivers: list[_Receiver]
    at: float


class _Receivers:
    """Which connections an address means, remembered for a few seconds by platform, address and account."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._remembered: dict[_Key, _Remembered] = {}
        self._asking: dict[_Key, asyncio.Task[list[_Receiver]]] = {}

    async def find(self, key: _Key, *, newer_than_seconds: float = _REMEMBER_SECONDS) -> list[_Receiver]:
        """Return the connections, of all tenants; the very same list while nobody has looked anew."""
        known = self._remembered.get(key)
        if known is not None and time.monotonic() - known.at < newer_than_seconds:
            return known.receivers
        asking = self._asking.get(key)
        if asking is None:  # of many that come at once, one asks
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    async def _ask(self, key: _Key) -> list[_Receiver]:
        platform, called, tenant = key.address
        async with self._db.statement() as conn:
            found = await inbox.find_receivers(
                conn, platform, account=key.account, called=called, slug=tenant
            )
        receivers: list[_Receiver] = []
        for each in found:
            async with self._db.transaction(tenant_id=each.tenant_id) as conn:
                connection = await connections.get(conn, each.connection_id, tenant_id=each.tenant_id)
            receivers.append(
                _Receiver(
                    each.tenant_id,
                    each.connection_id,
                    connection.account_id,
                    plain_settings(connection),
                    find_secret(self._vault, connection.credentials),
                )
            )
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = _Remembered(receivers, time.monotonic())
        return receivers


def find_secret(vault: Vault, sealed: bytes | None) -> str | None:
    """Return what a connection's webhooks are signed with: the secret given for it, else its app's."""
    try:
        credentials = open_credentials(vault, sealed)
    except TokenRejected:
        return None
    return credentials.webhook_secret or credentials.client_secret


class _Writers:
    """Stores deliveries, those of one tenant that come at the same time in one transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[UUID, list[tuple[NewDelivery, asyncio.Future[None]]]] = {}
        self._writing: Counter[UUID] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, tenant_id: UUID, delivery: NewDelivery) -> None:
        """Return when the delivery is on disk. Raises `NotFound`, `RetryLater`."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, []).append((delivery, stored))
        if self._writing[tenant_id] < _WRITERS:
            self._writing[tenant_id] += 1
            task = asyncio.create_task(self._write(tenant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await stored

    async def _write(self, tenant_id: UUID) -> None:
        try:
            while waiting := self._waiting.pop(tenant_id, None):
                if len(waiting) > _AT_ONCE:
                    self._waiting[tenant_id] = waiting[_AT_ONCE:]
                await self._write_batch(tenant_id, waiting[:_AT_ONCE])
        finally:  # in the same step as the look that found nothing: whoever comes next starts another
            self._writing[tenant_id] -= 1
            if not self._writing[tenant_id]:
                del self._writing[tenant_id]

    async def _write_batch(
        self, tenant_id: UUID, batch: Sequence[tuple[NewDelivery, asyncio.Future[None]]]
    ) -> None:
        try:
            async with self._db.transaction(tenant_id=tenant_id) as conn:
                kept = await inbox.insert(
                    conn,
                    [delivery for delivery, _ in batch],
                    tenant_id=tenant_id,
                    wait_seconds=COALESCE_SECONDS,
                )
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            for _, stored in batch:
                if not stored.done():
                    stored.set_exception(error)
            return
        for delivery, stored in batch:
            if stored.done():  # whoever sent it has not waited
                continue
            if delivery.id in kept:
                stored.set_result(None)
            else:
                stored.set_exception(NotFound("This connection has been removed."))


class _Kind(NamedTuple):
    platform: str
    connection_id: UUID | None
    reason: str
    network: str


class _Refusals:
    """Counts what is refused and writes it down now and then, so that no flood of it costs much."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counted: dict[_Kind, Refusal] = {}
        self._noting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._noting = asyncio.create_task(self._keep_noting())

    async def end(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.wait([self._noting])
        with suppress(RetryLater):
            await self._write()

    def note(self, platform: str, connection_id: UUID | None, reason: str, network: str) -> None:
        at = now()
        kind = _Kind(platform, connection_id, reason[:_LONGEST_REASON], network)
        if kind not in self._counted and len(self._counted) >= _MOST_KINDS:
            kind = _Kind(platform, None, "Refused; too many to be told apart.", "")
        self._count(kind, Refusal(*kind, at, at, 1))

    def _count(self, kind: _Kind, more: Refusal) -> None:
        seen = self._counted.get(kind)
        if seen is not None:
            more = Refusal(*kind, seen.first_at, more.last_at, seen.count + more.count)
        self._counted[kind] = more

    async def _keep_noting(self) -> None:
        while True:
            await asyncio.sleep(_NOTE_SECONDS)
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001 - counted further, and written the next time
                _log.warning("refusals_wait", error=type(error).__name__)

    async def _write(self) -> None:
        if not self._counted:
            return
        counted, self._counted = self._counted, {}
        try:
            async with self._db.transaction(tenant_id=None) as conn:
                await inbox.note_refusals(conn, [(new_id(), each) for each in counted.values()])
        except BaseException:
            for kind, each in counted.items():
                self._count(kind, each)
            raise
        for each in counted.values():
            _log.warning(
                "webhooks_refused",
                platform=each.platform,
                connection=None if each.connection_id is None else str(each.connection_id),
                reason=each.reason,
                network=each.network,
                count=each.count,
            )


def _network_of(source: str) -> str:
    """Cut an address to its network: enough to see where a flood comes from, and no person's."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return ""
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
