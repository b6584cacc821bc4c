"""API keys, over the API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from syncline.actions import api_keys
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Shape
from syncline.domain.callers import Role
from syncline.store.api_keys import ApiKey

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])
_SETS: Call = needs("settings:write")

_EXAMPLE: dict[str, Any] = {
    "id": "01a1ff1c-9969-7718-b2f2-dafaf958e8de",
    "name": "reports",
    "prefix": "syncline_…mhi_g2",
    "role": "manager",
    "scopes": ["records:read"],
    "created_by": "ada@example.com",
    "created_at": "2026-11-01T09:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
    "last_address": None,
}


class KeyOut(Shape):
    """An API key, without the key itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str
    prefix: str
    role: Role
    scopes: list[str] | None = Field(description="None for everything that the role may.")
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    last_address: str | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        return cls(**asdict(key))


class KeysOut(Shape):
    """The tenant's keys, the newest first."""

    items: list[KeyOut]


@router.get("")
async def list_keys(call: Call = _SETS) -> KeysOut:
    """List the tenant's keys, also revoked and expired ones."""
    found = await api_keys.list_keys(call.hub, call.caller)
    return KeysOut(items=[KeyOut.of(each) for each in found])


class KeyIn(Given):
    """A key to be made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "reports", "role": "manager", "scopes": ["records:read"]}]}
    )

    name: str
    role: str = "rep"
    scopes: list[str] | None = None
    expires_at: datetime | None = None


class NewKeyOut(Shape):
    """A key just made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": _EXAMPLE, "token": "syncline_…"}]})

    key: KeyOut
    token: str = Field(description="The key itself. Shown now and never again.")


@router.post("", status_code=201)
async def create_key(body: KeyIn, call: Call = _SETS) -> NewKeyOut:
    """Make a key. It goes into requests as `Authorization: Bearer …`."""
    made = await api_keys.make_key(call.hub, call.caller, body.name, body.scopes, body.role, body.expires_at)
    return NewKeyOut(key=KeyOut.of(made.key), token=made.token)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(key_id: UUID, call: Call = _SETS) -> None:
    """End a key at once."""
    await api_keys.revoke_key(call.hub, call.caller, key_id)
