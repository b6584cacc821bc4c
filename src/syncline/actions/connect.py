"""Connecting a CRM account: the token is tried first, and nothing is stored when it does not serve.

Writes nothing to the CRM. Connecting an existing name again renews its token and resumes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from syncline.actions.hub import Hub
from syncline.actions.probe import (
    PATIENCE_SECONDS,
    Found,
    ObjectAccess,
    count_ungoverned,
    govern,
    probe_objects,
    send_ungoverned,
)
from syncline.actions.schedules import put_default_schedules
from syncline.clock import new_id, now
from syncline.connectors.base import OAuth, Platform
from syncline.connectors.registry import get_platform, open_transport
from syncline.connectors.transport import Token
from syncline.domain.sealing import Vault
from syncline.engine.calls import Calls, FixedToken
from syncline.engine.remotes import (
    OBJECTS_SETTING,
    Credentials,
    open_credentials,
    plain_settings,
    seal_credentials,
)
from syncline.errors import AlreadyExists, Invalid, NotFound, ScopeMissing, SettingInvalid, TokenRejected
from syncline.store import connections
from syncline.store.connections import Connection
from syncline.store.db import Conn


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be connected. Nothing in `base_url` and `objects` means: as before, else the platform's."""

    platform: str
    name: str
    base_url: str | None = None
    objects: tuple[str, ...] = ()
    #: Settings of this platform, by name; "" takes one back. What is not named stays as it was.
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection as it is stored now, and what the CRM told."""

    connection: Connection
    renewed: bool
    found: Found


@dataclass(frozen=True, slots=True)
class Consent:
    """A code flow that has begun: where a person agrees, and what must come back with the code."""

    url: str
    state: str = field(repr=False)
    redirect_uri: str


async def connect_token(hub: Hub, wish: Wish, token: str) -> Connected:
    """Connect with a token that does not expire: a private app's or a service key.

    Raises `TokenRejected`, `ScopeMissing`, `Unavailable`, `NotFound` for an unknown platform or object,
    `AlreadyExists` when the name belongs to another account; then nothing has been stored.
    """
    return await _connect(hub, wish, Credentials(access_token=token))


async def try_token(hub: Hub, wish: Wish, token: str) -> Found:
    """Try a token on everything it would be used for, and return what it may. Stores nothing.

    Raises `TokenRejected`, `Unavailable`, and `NotFound` for an unknown platform.
    """
    platform = get_platform(wish.platform)
    base_url = await _choose_base_url(hub, platform, wish)
    existing = await _find(hub, wish.name)
    names = list(wish.objects) or (chosen_objects(existing, platform) if existing else _all_of(platform))
    found = await _probe(
        hub, platform, base_url, Token(token), names, _choose_settings(existing, wish, platform)
    )
    return _without_absent(platform, wish, names, found)[1]


def check_settings(platform: Platform, settings: Mapping[str, str]) -> None:
    """Raise `Invalid` for a setting that connections of this platform do not have."""
    _choose_settings(None, Wish(platform.capabilities.platform, "", settings=settings), platform)


def require_name(name: str) -> None:
    """Raise `Invalid` for what cannot be a connection's name."""
    _require_name(name)


def begin_consent(wish: Wish, client_id: str, redirect_uri: str) -> Consent:
    """Return where a person grants access to an app of the user's own. Raises `Invalid`."""
    platform = get_platform(wish.platform)
    oauth = _require_oauth(platform)
    chosen = [each for each in platform.capabilities.objects if not wish.objects or each.name in wish.objects]
    scopes = list(dict.fromkeys(scope for each in chosen for scope in each.scopes))
    state = secrets.token_urlsafe(24)
    return Consent(oauth.authorize_url(client_id, redirect_uri, scopes, state), state, redirect_uri)


async def connect_code(
    hub: Hub, wish: Wish, *, client_id: str, client_secret: str, redirect_uri: str, code: str
) -> Connected:
    """Connect with the code that a person's consent gave. Raises as `connect_token` does."""
    platform = get_platform(wish.platform)
    oauth = _require_oauth(platform)
    base_url = await _choose_base_url(hub, platform, wish)
    async with aclosing(open_transport(platform, base_url)) as http:
        send = send_ungoverned(hub.db, platform, http, None)
        grant = await oauth.exchange_code(send, client_id, client_secret, redirect_uri, code)
    token = grant.token
    return await _connect(
        hub,
        wish,
        Credentials(
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            expires_ms=token.expires_ms,
            client_id=client_id,
            client_secret=client_secret,
        ),
    )


async def _connect(hub: Hub, wish: Wish, credentials: Credentials) -> Connected:
    platform = get_platform(wish.platform)
    _require_name(wish.name)
    vault = hub.vault()  # before any call: a token that cannot be kept need not be tried
    base_url = await _choose_base_url(hub, platform, wish)
    existing = await _find(hub, wish.name)
    names = list(wish.objects) or (chosen_objects(existing, platform) if existing else _all_of(platform))
    chosen = _choose_settings(existing, wish, platform)
    found = await _probe(hub, platform, base_url, credentials.token, names, chosen)
    names, found = _without_absent(platform, wish, names, found)
    _require_access(found.objects)
    _require_same_account(existing, wish, found)
    if existing is not None:
        credentials = _keep_secret(vault, existing, credentials)
    sealed = seal_credentials(vault, credentials)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if existing is None:
            settings = _settings(platform, found, chosen, names)
            connection = await _insert(conn, hub, wish, base_url, sealed, found, settings)
        else:
            connection = await _renew(
                conn, existing, base_url, sealed, _settings(platform, found, chosen, names)
            )
        await put_default_schedules(conn, connection, _default_crons(platform, names))
    return Connected(connection, existing is not None, found)


def _without_absent(
    platform: Platform, wish: Wish, names: Sequence[str], found: Found
) -> tuple[list[str], Found]:
    """Leave out what not every account has, this one has not, and nobody asked for by name."""
    optional = {each.name for each in platform.capabilities.objects if each.optional} - set(wish.objects)
    left = [each for each in found.objects if not (each.object in optional and _is_absent(each))]
    present = {each.object for each in left}
    return [name for name in names if name in present], Found(found.account, left)


def _is_absent(each: ObjectAccess) -> bool:
    return isinstance(each.problem, NotFound)


def _keep_secret(vault: Vault, existing: Connection, credentials: Credentials) -> Credentials:
    """Keep what the CRM signs its webhooks with: it is no part of the token."""
    try:
        before = open_credentials(vault, existing.credentials)
    except (SettingInvalid, TokenRejected):  # sealed with a key that is lost: connecting again mends that
        return credentials
    return msgspec.structs.replace(credentials, webhook_secret=before.webhook_secret)


def _choose_settings(existing: Connection | None, wish: Wish, platform: Platform) -> dict[str, str]:
    """Return the settings that the platform's connector is to work by. Raises `Invalid` for unknown ones."""
    known = platform.capabilities.settings
    unknown = sorted(set(wish.settings) - set(known))
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise Invalid(f"{platform.capabilities.label} has no setting {unknown[0]}. Settings are: {names}.")
    before = {} if existing is None else plain_settings(existing)
    return {name: value for name, value in before.items() if name in known} | dict(wish.settings)


async def _probe(
    hub: Hub,
    platform: Platform,
    base_url: str,
    token: Token,
    names: Sequence[str],
    settings: Mapping[str, str],
) -> Found:
    """Try the token on everything it will be used for. Raises what stands in the way."""
    async with aclosing(open_transport(platform, base_url)) as http:
        account = await platform.make(send_ungoverned(hub.db, platform, http, token), settings).check()
        async with govern(hub.db, platform, account.account_id, settings) as governor:
            await count_ungoverned(governor, platform)
            send = Calls(
                http, governor, FixedToken(token), lane="person", give_up_after_seconds=PATIENCE_SECONDS
            ).send
            objects = await probe_objects(platform.make(send, settings), names)
    return Found(account, objects)


def _require_access(objects: Sequence[ObjectAccess]) -> None:
    unknown = [each for each in objects if _is_absent(each)]
    if unknown:
        raise NotFound(f"This account has no object called {unknown[0].object}. Check its name.")
    barred = [each for each in objects if isinstance(each.problem, ScopeMissing)]
    if not barred:
        return
    scopes = tuple(dict.fromkeys(scope for each in barred for scope in each.missing_scopes))
    readable = [each.object for each in objects if each.problem is None]
    advice = f", or name what it may read: {' '.join(f'--object {n}' for n in readable)}" if readable else ""
    raise ScopeMissing(
        f"The token may not read {', '.join(each.object for each in barred)}. Give it "
        f"{', '.join(scopes) or 'the permission'} and connect again{advice}.",
        scopes=scopes,
    )


def _require_same_account(existing: Connection | None, wish: Wish, found: Found) -> None:
    if existing is None or existing.account_id == found.account.account_id:
        return
    raise AlreadyExists(
        f"The connection {wish.name!r} belongs to account {existing.account_id}, and this token to account "
        f"{found.account.account_id}. Choose another --name for it."
    )


def _require_name(name: str) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable() or name.startswith("-"):
        told = "A connection's name is one to a hundred printable characters and begins with no dash."
        raise Invalid(told, fields={"name": told})


async def _choose_base_url(hub: Hub, platform: Platform, wish: Wish) -> str:
    if wish.base_url is not None:
        return wish.base_url.rstrip("/")
    existing = await _find(hub, wish.name)
    if existing is not None and existing.platform == wish.platform:
        return existing.base_url
    return platform.capabilities.default_base_url


async def _find(hub: Hub, name: str) -> Connection | None:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await connections.find(conn, name, tenant_id=hub.tenant_id)


def _require_oauth(platform: Platform) -> OAuth:
    if platform.oauth is None:
        raise Invalid(f"{platform.capabilities.label} is connected with a token, not by OAuth.")
    return platform.oauth


def chosen_objects(connection: Connection, platform: Platform) -> list[str]:
    """Return the objects a connection reads: those a person chose, else all of the platform."""
    chosen = str(connection.settings.get(OBJECTS_SETTING, ""))
    return [name for name in chosen.split(",") if name] or _all_of(platform)


def _all_of(platform: Platform) -> list[str]:
    return [each.name for each in platform.capabilities.objects]


def _default_crons(platform: Platform, names: Sequence[str]) -> dict[str, str]:
    """Return each object's default schedule; a custom object goes hourly like most."""
    known = {each.name: each.default_schedule for each in platform.capabilities.objects}
    return {name: known.get(name, "0 * * * *") for name in names}


def _settings(
    platform: Platform, found: Found, chosen: Mapping[str, str], names: Sequence[str]
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        **chosen,
        "currency": found.account.currency,
        "time_zone": found.account.time_zone,
    }
    whole = list(names) == _all_of(platform)
    settings[OBJECTS_SETTING] = "" if whole else ",".join(names)
    return {name: value for name, value in settings.items() if value is not None}


async def _insert(
    conn: Conn, hub: Hub, wish: Wish, base_url: str, sealed: bytes, found: Found, settings: dict[str, Any]
) -> Connection:
    connection_id = new_id()
    account = found.account
    await connections.insert(
        conn,
        tenant_id=hub.tenant_id,
        connection_id=connection_id,
        platform=wish.platform,
        name=wish.name,
        base_url=base_url,
        account_id=account.account_id,
        account_name=account.name,
        account_url=account.url,
        credentials=sealed,
        settings=settings,
        now=now(),
    )
    return await connections.get(conn, connection_id, tenant_id=hub.tenant_id)


async def _renew(
    conn: Conn, existing: Connection, base_url: str, sealed: bytes, settings: dict[str, Any]
) -> Connection:
    keys = {"tenant_id": existing.tenant_id}
    await connections.set_credentials(conn, existing.id, sealed, **keys, now=now())
    await connections.change_place(conn, existing.id, base_url, settings, **keys, now=now())
    await connections.resume(conn, existing.id, **keys, now=now())
    return await connections.get(conn, existing.id, **keys)
