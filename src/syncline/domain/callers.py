"""Who asks for something, and what each role may. Pure: whether they are who they say was proven before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from syncline.errors import Forbidden

#: A rep works on records that are theirs or nobody's; a manager on all of the tenant; an admin sets it up.
Role = Literal["rep", "manager", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

#: Also the scopes of an API key, which may hold fewer than its role has.
Permission = Literal[
    "records:read",
    "records:write",
    "records:bulk",
    "syncs:read",
    "syncs:run",
    "conflicts:resolve",
    "runs:undo",
    "queue:manage",
    "audit:read",
    "connections:read",
    "connections:write",
    "people:manage",
    "settings:write",
    "erase",
]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

#: Permission → the least role that has it.
LEAST_ROLE: Mapping[Permission, Role] = {
    "records:read": "rep",
    "records:write": "rep",
    "records:bulk": "manager",
    "syncs:read": "rep",
    "syncs:run": "manager",
    "conflicts:resolve": "manager",
    "runs:undo": "manager",
    "queue:manage": "manager",
    "audit:read": "manager",
    "connections:read": "manager",
    "connections:write": "admin",
    "people:manage": "admin",
    "settings:write": "admin",
    "erase": "admin",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody in one tenant, by one door. Made by whoever proved it, passed on as a value."""

    tenant_id: UUID
    role: Role
    #: As it stands in the change log and the audit: an e-mail address, 'key:' and a key's name, …
    name: str
    #: The door: 'web', 'api', 'cli', 'mcp'.
    source: str
    user_id: UUID | None = None
    key_id: UUID | None = None
    #: Owners (crm.owners) whose records are "own".
    owner_ids: frozenset[UUID] = frozenset()
    #: What an API key was allowed; None for everything the role may.
    scopes: frozenset[str] | None = None
    #: Where the request came from, as far as it is known.
    address: str | None = None
    #: Runs the installation: may make tenants and suspend them, which no role in one tenant allows.
    is_operator: bool = False

    @property
    def sees_all(self) -> bool:
        """True when records of every owner may be seen; else only own and unassigned ones."""
        return self.role != "rep"

    def sees_as(self, other: Caller) -> bool:
        """Tell whether what may be seen is the same for both."""
        mine = (self.tenant_id, self.role, self.owner_ids)
        return mine == (other.tenant_id, other.role, other.owner_ids)

    def may(self, permission: Permission) -> bool:
        """Return whether role and scopes allow it."""
        enough = ROLES.index(self.role) >= ROLES.index(LEAST_ROLE[permission])
        return enough and (self.scopes is None or permission in self.scopes)

    def require(self, permission: Permission) -> None:
        """Raise `Forbidden` unless it is allowed, saying what would be enough."""
        if self.may(permission):
            return
        if self.scopes is not None and permission not in self.scopes:
            raise Forbidden(f"This API key lacks the scope {permission}. Use one that has it.")
        raise Forbidden(f"This needs the role {LEAST_ROLE[permission]} or more; yours is {self.role}.")
