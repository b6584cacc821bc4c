"""Connections ready for use: HTTP, quota, token and connector put together, one set of counts per run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from syncline.clock import now
from syncline.connectors.base import Connector, Platform, RemoteObject
from syncline.connectors.registry import get_platform, open_transport, quotas_of
from syncline.connectors.transport import Send, Token, Transport
from syncline.domain.mapping import ObjectMap
from syncline.domain.mapping_file import ConnectionMapping, load_mapping
from syncline.domain.policies import Policy
from syncline.domain.sealing import Vault
from syncline.engine.calls import (
    GIVE_UP_AFTER_SECONDS,
    Calls,
    FixedToken,
    StoredToken,
    TokenSource,
)
from syncline.engine.lanes import Lane
from syncline.engine.quota import Governor, Governors
from syncline.engine.tenant_calls import CallsOfTenants
from syncline.errors import Invalid, PauseConnection, SettingInvalid, TokenRejected
from syncline.store import connections
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database
from syncline.store.keys import ConnectionKeys

#: In a connection's settings: the objects it reads, where a person chose some; separated by commas.
OBJECTS_SETTING = "objects"
#: Clocks drift by less than a second a day; ours may be set right at any time, by seconds.
_SKEW_LASTS_SECONDS = 120.0


class Credentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sealed in `sync.connections.credentials`. Never printed."""

    access_token: str
    refresh_token: str | None = None
    expires_ms: int | None = None
    client_id: str | None = None
    client_secret: str | None = None
    #: What the CRM signs its webhooks with, where that is not the app's secret.
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def token(self) -> Token:
        return Token(self.access_token, self.refresh_token, self.expires_ms)


def seal_credentials(vault: Vault, credentials: Credentials) -> bytes:
    return vault.seal(msgspec.json.encode(credentials))


def open_credentials(vault: Vault, sealed: bytes | None) -> Credentials:
    """Return what was sealed. Raises `TokenRejected` where a connection has none."""
    if sealed is None:
        raise TokenRejected("This connection has no token. Connect again with one.")
    return msgspec.json.decode(vault.open(sealed), type=Credentials)


def read_mapping(connection: Connection, platform: Platform) -> ConnectionMapping:
    """Return what holds for a connection. Raises `SettingInvalid` when its document cannot be followed."""
    try:
        return load_mapping(
            connection.mapping,
            platform.mapping,
            version=connection.mapping_version,
            names=connection.property_names,
        )
    except Invalid as error:
        raise SettingInvalid(
            f"The mapping of {connection.name} cannot be followed any more: {error} "
            f"See `syncline mapping check {connection.name}`."
        ) from error


def plain_settings(connection: Connection) -> dict[str, str]:
    """Return a connection's settings as connectors take them."""
    return {name: str(value) for name, value in connection.settings.items()}


class Skew:
    """How far a CRM's clock is from ours, asked for once for all runs that begin together."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._seconds = 0.0
        self._asked_at = float("-inf")

    async def find(self, connector: Connector) -> float:
        """Return the CRM's clock minus ours, in seconds, as it was some minutes ago at most.

        Raises what `Connector.check` raises.
        """
        async with self._asking:
            if time.monotonic() - self._asked_at > _SKEW_LASTS_SECONDS:
                self._seconds = (await connector.check()).clock_skew_seconds
                self._asked_at = time.monotonic()
            return self._seconds


@dataclass(frozen=True, slots=True)
class Remote:
    """One connection for the length of one run."""

    connection: Connection
    platform: Platform
    connector: Connector
    #: What the connector sends through. Its `lane` may be changed in the course of a run.
    calls: Calls
    #: What the connection's own document says, or the platform's default.
    mapping: Mapping[str, ObjectMap]
    policy: Policy
    #: How the CRM's clock goes; one for all runs of the connection in this process.
    skew: Skew
    #: What opens secrets; here that which erased persons are known by.
    vault: Vault = field(repr=False)

    @property
    def tenant_id(self) -> UUID:
        return self.connection.tenant_id

    @property
    def connection_id(self) -> UUID:
        return self.connection.id

    @property
    def keys(self) -> ConnectionKeys:
        return {"tenant_id": self.connection.tenant_id, "connection_id": self.connection.id}

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def platform_name(self) -> str:
        return self.connection.platform

    @property
    def account(self) -> str:
        """The account behind the connection, whichever connection leads to it."""
        return f"{self.connection.platform}:{self.connection.account_id or self.connection.id}"

    @property
    def currency(self) -> str | None:
        return self.connection.settings.get("currency")

    @property
    def objects(self) -> tuple[RemoteObject, ...]:
        """The platform's own objects. Custom ones are found by name, through the connector."""
        return self.platform.capabilities.objects

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the objects that are read: those a person chose, else all of the platform's own."""
        chosen = str(self.connection.settings.get(OBJECTS_SETTING, ""))
        return frozenset(name for name in chosen.split(",") if name) or frozenset(self.record_types)

    @property
    def record_types(self) -> dict[str, str | None]:
        return {each.name: each.record_type for each in self.objects}

    def count_calls(self) -> int:
        return self.calls.counts.calls


class Remotes:
    """Opens connections, with one HTTP pool per connection and one governor per account. `async with`.

    While `ending` is set their calls are tried once: what fails then is left to whoever comes after.
    """

    def __init__(self, db: Database, vault: Vault, ending: asyncio.Event | None = None) -> None:
        self._ending = ending
        self._db = db
        self._vault = vault
        self._governors = Governors(db)
        self._counted = CallsOfTenants(db)
        self._https: dict[tuple[UUID, str], Transport] = {}
        self._tokens: dict[tuple[UUID, bytes], TokenSource] = {}
        self._skews: dict[UUID, Skew] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._governors.__aexit__(kind, error, trace)
        await self._counted.aclose()
        for http in self._https.values():
            await http.aclose()

    @property
    def vault(self) -> Vault:
        return self._vault

    def open(
        self,
        connection: Connection,
        *,
        lane: Lane = "incremental",
        give_up_after_seconds: float = GIVE_UP_AFTER_SECONDS,
    ) -> Remote:
        """Make a connection ready for one run, whose calls go in `lane`.

        Raises `PauseConnection` while it is paused, `SettingInvalid` when its mapping cannot be followed.
        """
        if connection.status == "paused":
            raise PauseConnection(
                f"The connection {connection.name} is paused: {connection.paused_reason} "
                "Connect again with a valid token, then it goes on."
            )
        platform = get_platform(connection.platform)
        mapping = read_mapping(connection, platform)
        calls = Calls(
            self._http(platform, connection),
            self._governor(platform, connection),
            self._token_source(platform, connection),
            lane=lane,
            give_up_after_seconds=give_up_after_seconds,
            count=self._counted.of_tenant(connection.tenant_id).take,
            ending=self._ending,
        )
        connector = platform.make(calls.send, plain_settings(connection))
        skew = self._skews.setdefault(connection.id, Skew())
        return Remote(
            connection, platform, connector, calls, mapping.objects, mapping.policy, skew, self._vault
        )

    def _governor(self, platform: Platform, connection: Connection) -> Governor:
        return self._governors.of_account(
            connection.platform,
            connection.account_id or str(connection.id),
            quotas_of(platform, plain_settings(connection)),
        )

    def _http(self, platform: Platform, connection: Connection) -> Transport:
        key = (connection.id, connection.base_url)
        if key not in self._https:
            self._https[key] = open_transport(platform, connection.base_url)
        return self._https[key]

    def _token_source(self, platform: Platform, connection: Connection) -> TokenSource:
        key = (connection.id, connection.credentials or b"")
        if key not in self._tokens:
            self._tokens[key] = self._make_token_source(platform, connection)
        return self._tokens[key]

    def _make_token_source(self, platform: Platform, connection: Connection) -> TokenSource:
        credentials = open_credentials(self._vault, connection.credentials)
        oauth = platform.oauth
        if credentials.refresh_token is None or oauth is None:
            return FixedToken(credentials.token)
        send = self._send_unauthorized(platform, connection)
        client_id, client_secret = credentials.client_id or "", credentials.client_secret or ""

        async def exchange(old: Token) -> Token:
            return (await oauth.refresh(send, client_id, client_secret, old)).token

        return StoredToken(
            self._db,
            _SealedToken(self._vault, connection),
            exchange,
            tenant_id=connection.tenant_id,
            connection_id=connection.id,
        )

    def _send_unauthorized(self, platform: Platform, connection: Connection) -> Send:
        http = self._http(platform, connection)
        governor = self._governor(platform, connection)
        # All lanes wait for the new token.
        return Calls(http, governor, None, lane="person").send


class _SealedToken:
    """A connection's token where it is stored. See `calls.TokenStore`."""

    def __init__(self, vault: Vault, connection: Connection) -> None:
        self._vault = vault
        self._connection = connection

    async def load(self, conn: Conn) -> Token:
        return (await self._read(conn)).token

    async def save(self, conn: Conn, token: Token) -> None:
        credentials = msgspec.structs.replace(
            await self._read(conn),
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            expires_ms=token.expires_ms,
        )
        await connections.set_credentials(
            conn,
            self._connection.id,
            seal_credentials(self._vault, credentials),
            tenant_id=self._connection.tenant_id,
            now=now(),
        )

    async def _read(self, conn: Conn) -> Credentials:
        connection = await connections.get(conn, self._connection.id, tenant_id=self._connection.tenant_id)
        return open_credentials(self._vault, connection.credentials)
