"""Connections over HTTP: added after a check, looked at, renamed, paused, set, and taken away."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import Field, SecretStr

from syncline.actions import check, connections, disconnect
from syncline.actions.connect import Wish, chosen_objects, connect_token, try_token
from syncline.actions.probe import Found
from syncline.api.audited import audit
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Name, Shape, Words, example, show
from syncline.api.usage import USAGE, UsageShape
from syncline.connectors.base import Platform
from syncline.connectors.reads import Account
from syncline.connectors.registry import PLATFORMS, get_platform
from syncline.engine.remotes import OBJECTS_SETTING
from syncline.errors import Invalid, SettingInvalid
from syncline.store.connections import Connection

T = TypeVar("T")

router = APIRouter(prefix="/api/v1", tags=["connections"])

ConnectionName = Annotated[str, Path(description="The connection's name.", max_length=100, examples=["main"])]


class ObjectShape(Shape):
    """A kind of record that a CRM keeps."""

    name: str
    record_type: str | None = Field(description="What it becomes here; null where it is mirrored only.")
    scopes: list[str] = Field(description="Permissions without which it cannot be read.")
    default_schedule: str


class PlatformShape(Shape):
    """A kind of CRM that can be connected."""

    platform: str
    label: str
    default_base_url: str
    supports_oauth: bool
    objects: list[ObjectShape]
    settings: dict[str, str] = Field(description="Setting → what it is for.")


class PlatformsShape(Shape):
    platforms: list[PlatformShape]


_PLATFORM: dict[str, Any] = {
    "platform": "crm",
    "label": "A CRM",
    "default_base_url": "https://api.example.com",
    "supports_oauth": False,
    "objects": [
        {
            "name": "contacts",
            "record_type": "contact",
            "scopes": ["contacts.read"],
            "default_schedule": "*/5 * * * *",
        }
    ],
    "settings": {},
}


@router.get("/platforms", summary="List what can be connected", responses=example({"platforms": [_PLATFORM]}))
async def list_platforms(call: Annotated[Call, needs("connections:read")]) -> PlatformsShape:
    """Return the kinds of CRMs that this version knows."""
    del call
    return PlatformsShape(platforms=[_show_platform(each) for each in PLATFORMS.values()])


def _show_platform(platform: Platform) -> PlatformShape:
    known = platform.capabilities
    return PlatformShape(
        platform=known.platform,
        label=known.label,
        default_base_url=known.default_base_url,
        supports_oauth=platform.oauth is not None,
        objects=[
            ObjectShape(
                name=each.name,
                record_type=each.record_type,
                scopes=list(each.scopes),
                default_schedule=each.default_schedule,
            )
            for each in known.objects
        ],
        settings=dict(known.settings),
    )


class ConnectionShape(Shape):
    """One account on a platform. Its credentials are never shown."""

    id: UUID
    name: str
    platform: str
    base_url: str
    account_id: str | None
    account_name: str | None
    account_url: str | None
    status: Literal["active", "paused"]
    paused_reason: str | None
    writes_enabled: bool = Field(description="Whether what is allowed is sent now.")
    mapping_version: int
    objects: list[str] = Field(description="What is read of it.")
    settings: dict[str, str]
    created_at: datetime


class ConnectionsShape(Shape):
    connections: list[ConnectionShape]


CONNECTION: dict[str, Any] = {
    "id": "0198c1f2-6a00-7c3e-8f00-0000000000c1",
    "name": "main",
    "platform": "crm",
    "base_url": "https://api.example.com",
    "account_id": "1001",
    "account_name": "Acme",
    "account_url": "https://app.example.com/1001",
    "status": "active",
    "paused_reason": None,
    "writes_enabled": False,
    "mapping_version": 1,
    "objects": ["owners", "companies", "contacts", "deals"],
    "settings": {},
    "created_at": "2026-03-01T08:00:00Z",
}


def show_connection(found: Connection) -> ConnectionShape:
    """Return a connection as everybody may see it."""
    platform = get_platform(found.platform)
    known = platform.capabilities.settings
    return ConnectionShape(
        id=found.id,
        name=found.name,
        platform=found.platform,
        base_url=found.base_url,
        account_id=found.account_id,
        account_name=found.account_name,
        account_url=found.account_url,
        status="paused" if found.status == "paused" else "active",
        paused_reason=found.paused_reason,
        writes_enabled=found.writes_enabled,
        mapping_version=found.mapping_version,
        objects=chosen_objects(found, platform),
        settings={
            name: str(value)
            for name, value in found.settings.items()
            if name in known and name != OBJECTS_SETTING and value != ""
        },
        created_at=found.created_at,
    )


@router.get("/connections", summary="List connections", responses=example({"connections": [CONNECTION]}))
async def list_connections(call: Annotated[Call, needs("connections:read")]) -> ConnectionsShape:
    return ConnectionsShape(connections=[show_connection(each) for each in await call.hub.list_connections()])


class NewConnection(Given):
    """What is to be connected, and with which token. The token is sealed, and never shown again."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    platform: Name
    token: SecretStr = Field(min_length=1, max_length=10_000)
    base_url: str | None = Field(default=None, max_length=2000, description="Where the CRM is, if elsewhere.")
    objects: list[Name] = Field(default=[], max_length=200, description="What is to be read; none means all.")
    settings: dict[str, str] = Field(default={})

    def wish(self) -> Wish:
        return Wish(self.platform, self.name, self.base_url, tuple(self.objects), self.settings)


_NEW: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "example": {"name": "main", "platform": "crm", "token": "…", "objects": [], "settings": {}}
            }
        }
    }
}


class AccountShape(Shape):
    """The account behind a token."""

    account_id: str
    name: str
    time_zone: str | None
    currency: str | None
    url: str | None
    clock_skew_seconds: float = Field(description="The CRM's clock minus ours.")
    scopes: list[str] | None
    daily_used: int | None
    daily_limit: int | None


class AccessShape(Shape):
    """Whether one object may be read."""

    object: str
    count: int | None = Field(description="How many records there are, where the CRM tells.")
    problem: Words = Field(description="What stands in the way, in words.")
    missing_scopes: list[str]


class CheckShape(Shape):
    """What was found out about a token or a connection."""

    account: AccountShape | None
    objects: list[AccessShape]
    problem: Words = Field(default=None, description="Set when nothing else could be found out.")
    quota: list[UsageShape] = Field(default=[])


_CHECK: dict[str, Any] = {
    "account": {
        "account_id": "1001",
        "name": "Acme",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "url": "https://app.example.com/1001",
        "clock_skew_seconds": 0.2,
        "scopes": None,
        "daily_used": 120,
        "daily_limit": 250000,
    },
    "objects": [{"object": "contacts", "count": 29000, "problem": None, "missing_scopes": []}],
    "problem": None,
    "quota": [USAGE],
}


@router.post("/connections/check", summary="Try a token", responses=example(_CHECK), openapi_extra=_NEW)
async def try_connection(new: NewConnection, call: Annotated[Call, needs("connections:write")]) -> CheckShape:
    """Try a token on everything it would be used for. Stores nothing, and writes nothing to the CRM."""
    return _show_found(await _as_asked(call, try_token(call.hub, new.wish(), new.token.get_secret_value())))


async def _as_asked(call: Call, trying: Coroutine[Any, Any, T]) -> T:
    """Try what was asked for; a place or a setting that makes no sense is then the caller's mistake."""
    try:
        call.hub.vault()  # a key that is missing is not
    except BaseException:
        trying.close()
        raise
    try:
        return await trying
    except SettingInvalid as error:
        raise Invalid(str(error)) from error


def _show_found(found: Found) -> CheckShape:
    return CheckShape(
        account=_show_account(found.account), objects=[show(AccessShape, each) for each in found.objects]
    )


def _show_account(account: Account) -> AccountShape:
    return AccountShape(
        account_id=account.account_id,
        name=account.name,
        time_zone=account.time_zone,
        currency=account.currency,
        url=account.url,
        clock_skew_seconds=account.clock_skew_seconds,
        scopes=None if account.scopes is None else sorted(account.scopes),
        daily_used=account.daily_used,
        daily_limit=account.daily_limit,
    )


@router.post(
    "/connections",
    status_code=201,
    summary="Add a connection, or renew its token",
    responses=example(CONNECTION, 201, "Connected."),
    openapi_extra=_NEW,
)
async def add(new: NewConnection, call: Annotated[Call, needs("connections:write")]) -> ConnectionShape:
    """Connect an account. The token is tried first, and nothing is stored when it does not serve.

    A new connection only reads. A name that there is already gets the new token, and is resumed.
    """
    made = await _as_asked(call, connect_token(call.hub, new.wish(), new.token.get_secret_value()))
    await audit(call, "connection.renewed" if made.renewed else "connection.added", new.name)
    return show_connection(made.connection)


@router.get("/connections/{name}", summary="Show a connection", responses=example(CONNECTION))
async def get(name: ConnectionName, call: Annotated[Call, needs("connections:read")]) -> ConnectionShape:
    return show_connection(await call.hub.get_connection(name))


class ConnectionChange(Given):
    """What is to be changed; what is not named stays."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    status: Literal["active", "paused"] | None = None
    settings: dict[str, str] | None = Field(default=None, description='"" takes a setting back.')
    objects: list[Name] | None = Field(default=None, max_length=200, description="None in it means all.")


@router.patch(
    "/connections/{name}",
    summary="Rename, pause, resume or set a connection",
    responses=example({**CONNECTION, "status": "paused", "paused_reason": "Paused by ada@example.com."}),
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"status": "paused"}}}}},
)
async def change(
    name: ConnectionName, changes: ConnectionChange, call: Annotated[Call, needs("connections:write")]
) -> ConnectionShape:
    found = await call.hub.get_connection(name)
    if changes.settings is not None or changes.objects is not None:
        found = await connections.change_settings(
            call.hub, name, settings=changes.settings, objects=changes.objects
        )
    if changes.status == "paused":
        found = await connections.pause(call.hub, name, by=call.caller.name)
    elif changes.status == "active":
        found = await connections.resume(call.hub, name)
    if changes.name is not None and changes.name != name:
        found = await connections.rename(call.hub, name, changes.name)
    await audit(call, "connection.changed", name, fields=sorted(changes.model_fields_set))
    return show_connection(found)


@router.post("/connections/{name}/check", summary="Try a stored connection", responses=example(_CHECK))
async def check_stored(name: ConnectionName, call: Annotated[Call, needs("connections:read")]) -> CheckShape:
    """Ask the CRM who we are and what may be read. What goes wrong is in the answer."""
    checked = (await check.check_connections(call.hub, [name]))[0]
    return CheckShape(
        account=None if checked.account is None else _show_account(checked.account),
        objects=[show(AccessShape, each) for each in checked.objects],
        problem=checked.problem,  # type: ignore[arg-type] - put into words by its validator
        quota=[show(UsageShape, each) for each in checked.quota],
    )


class DepartureShape(Shape):
    """What a connection's end would take along, or took."""

    payloads: dict[str, int] = Field(description="Payloads as the CRM gave them. They go in either case.")
    linked: dict[str, int] = Field(description="Records that it is linked to.")
    only_here: dict[str, int] = Field(description="Records that no other connection has; they go with data.")


_DEPARTURE = {"payloads": {"contacts": 29000}, "linked": {"contact": 29000}, "only_here": {"contact": 120}}


@router.get(
    "/connections/{name}/removal", summary="See what removing would take along", responses=example(_DEPARTURE)
)
async def plan_removal(
    name: ConnectionName, call: Annotated[Call, needs("connections:write")]
) -> DepartureShape:
    return show(DepartureShape, await disconnect.plan_departure(call.hub, name))


@router.delete("/connections/{name}", summary="Remove a connection", responses=example(_DEPARTURE))
async def remove(
    name: ConnectionName,
    call: Annotated[Call, needs("connections:write")],
    *,
    remove_data: Annotated[
        bool, Query(description="Delete the records, too, that no other connection has.")
    ] = False,
) -> DepartureShape:
    """Forget an account: its token, payloads, links and runs. Changes nothing at the CRM.

    `GET …/removal` shows beforehand what goes.
    """
    gone = await disconnect.disconnect(call.hub, name, remove_data=remove_data)
    await audit(call, "connection.removed", name, data=remove_data)
    return show(DepartureShape, gone)
