"""API keys: made, listed, revoked. The key itself is shown once and stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.domain.callers import PERMISSIONS, ROLES, Caller
from syncline.domain.people import find_role_fault, refuse, require_role
from syncline.domain.tokens import new_key
from syncline.errors import Forbidden, NotFound
from syncline.store import api_keys
from syncline.store.api_keys import ApiKey

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `token` is shown now and never again."""

    key: ApiKey
    token: str = field(repr=False)


async def make_key(
    hub: Hub,
    caller: Caller,
    name: str,
    scopes: Sequence[str] | None,
    role: str,
    expires_at: datetime | None,
) -> NewKey:
    """Make a key of the caller's tenant. Scopes None allow everything that the role may.

    Raises `Forbidden` for a role above the caller's own and for an API key, whose keys would outlive it,
    `Invalid` with the field, `AlreadyExists` for a name that is taken.
    """
    caller.require("settings:write")
    if caller.key_id is not None:
        raise Forbidden("An API key makes no keys. Sign in, or use the command line.")
    now = clock.now()
    refuse(
        {
            "name": _find_name_fault(name),
            "role": find_role_fault(role),
            "scopes": _find_scopes_fault(scopes),
            "expires_at": _find_expiry_fault(expires_at, now),
        }
    )
    known = require_role(role)
    if ROLES.index(known) > ROLES.index(caller.role):
        raise Forbidden(f"A key cannot have the role {known}, which is more than yours.")
    token = new_key(hub.tenant_id)
    key = ApiKey(
        id=clock.new_id(),
        name=name.strip(),
        prefix=token.shown,
        role=known,
        scopes=None if scopes is None else sorted(set(scopes)),
        created_by=caller.name,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
        last_address=None,
    )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await api_keys.insert(conn, key, token.hash, user_id=caller.user_id, tenant_id=hub.tenant_id)
        details = {"name": key.name, "role": key.role, "scopes": key.scopes}
        await note(conn, caller, "key.created", str(key.id), details)
    return NewKey(key, token.text)


async def create_key(
    hub: Hub,
    caller: Caller,
    name: str,
    scopes: Sequence[str] | None,
    role: str,
    expires_at: datetime | None,
) -> str:
    """Make a key and return it, to be shown once. See `make_key`."""
    return (await make_key(hub, caller, name, scopes, role, expires_at)).token


async def list_keys(hub: Hub, caller: Caller) -> list[ApiKey]:
    """Return the tenant's keys, the newest first, also revoked and expired ones."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await api_keys.list_all(conn, tenant_id=hub.tenant_id)


async def revoke_key(hub: Hub, caller: Caller, key_id: UUID) -> None:
    """End a key at once. Raises `NotFound` when there is none that could be ended."""
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        name = await api_keys.revoke(conn, key_id, tenant_id=hub.tenant_id, now=clock.now())
        if name is None:
            raise NotFound("There is no such key, or it was revoked before.")
        await note(conn, caller, "key.revoked", str(key_id), {"name": name})


def _find_name_fault(name: str) -> str | None:
    if not name.strip():
        return "Give the key a name that says who uses it."
    if len(name.strip()) > _LONGEST_NAME or not name.isprintable():
        return f"A name has at most {_LONGEST_NAME} characters, in one line."
    return None


def _find_scopes_fault(scopes: Sequence[str] | None) -> str | None:
    if scopes is None:
        return None
    if not scopes:
        return "Without any scope the key could do nothing."
    unknown = sorted(set(scopes) - set(PERMISSIONS))
    if unknown:
        return f"There is no scope {unknown[0]!r}. There are: {', '.join(PERMISSIONS)}."
    return None


def _find_expiry_fault(expires_at: datetime | None, now: datetime) -> str | None:
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        return "Say in which time zone, such as 2027-01-31T12:00:00Z."
    return "That is in the past." if expires_at <= now else None
