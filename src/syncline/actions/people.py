"""The people of a tenant: who they are, in which role, and whether they may come in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.password_links import FIRST_LINK, make_link
from syncline.actions.passwords import hash_password
from syncline.domain.callers import Caller, Role
from syncline.domain.people import (
    find_email_fault,
    find_name_fault,
    find_password_fault,
    find_role_fault,
    normal_email,
    refuse,
    require_role,
)
from syncline.errors import AlreadyExists, Forbidden, Invalid, NotFound
from syncline.store import memberships, sessions, users
from syncline.store.db import Conn
from syncline.store.memberships import Person, Terms
from syncline.store.users import User

_MOST_LEADS = 100_000


class Unset:
    """Says that a field is not to be changed, where None is a value of its own."""


UNSET: Final = Unset()


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is to be changed about somebody in the tenant; what is `UNSET` stays."""

    role: str | Unset = UNSET
    is_active: bool | Unset = UNSET
    owner_id: UUID | Unset | None = UNSET
    max_active_leads: int | Unset = UNSET
    notify_email: bool | Unset = UNSET
    notify_slack: bool | Unset = UNSET
    notify_sms: bool | Unset = UNSET

    def given(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if not isinstance(value, Unset)}


async def list_people(hub: Hub, caller: Caller) -> list[Person]:
    """Return everybody of the tenant, by name. Raises `Forbidden`."""
    caller.require("people:manage")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await memberships.list_people(conn, tenant_id=hub.tenant_id)


async def get_person(hub: Hub, caller: Caller, user_id: UUID) -> Person:
    """Return somebody of the tenant; oneself always. Raises `Forbidden` and `NotFound`."""
    if user_id != caller.user_id:
        caller.require("people:manage")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)


async def find_person_by_email(hub: Hub, caller: Caller, email: str) -> Person:
    """Return somebody of the tenant by their address. Raises `Forbidden` and `NotFound`."""
    caller.require("people:manage")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        user = await users.find_by_email(conn, normal_email(email))
        if user is None:
            raise NotFound("There is nobody with this address in this tenant.")
        return await memberships.get_person(conn, user.id, tenant_id=hub.tenant_id)


async def change_person(hub: Hub, caller: Caller, user_id: UUID, change: PersonChange) -> Person:
    """Change what the tenant settles about somebody; it holds from their next request on.

    Raises `Forbidden`, `NotFound`, and `Invalid` with the field; the last admin stays one.
    """
    caller.require("people:manage")
    given = change.given()
    refuse(_find_faults(given))
    now = clock.now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await memberships.lock_all(conn, tenant_id=hub.tenant_id)
        before = await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
        if given.get("owner_id") is not None:
            await _require_owner(conn, hub, given["owner_id"])
        known = {each.name: getattr(before, each.name) for each in fields(Terms)}
        terms = Terms(**{**known, **given})
        changed = {name: value for name, value in asdict(terms).items() if known[name] != value}
        if changed:
            await _require_admin_left(conn, hub, before, terms)
            await memberships.set_terms(conn, user_id, terms, tenant_id=hub.tenant_id, now=now)
            if not terms.is_active:
                await sessions.delete_in_tenant(conn, user_id, current_tenant=hub.tenant_id)
            await note(conn, caller, _action_of(changed), str(user_id), _told(known, changed))
        return await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)


def _find_faults(given: dict[str, Any]) -> dict[str, str | None]:
    faults: dict[str, str | None] = {}
    if "role" in given:
        faults["role"] = find_role_fault(given["role"])
    if "max_active_leads" in given and not 0 <= given["max_active_leads"] <= _MOST_LEADS:
        faults["max_active_leads"] = f"A number from 0 to {_MOST_LEADS:,}."
    return faults


async def _require_owner(conn: Conn, hub: Hub, owner_id: UUID) -> None:
    if not await memberships.has_owner(conn, owner_id, tenant_id=hub.tenant_id):
        refuse({"owner_id": "There is no such owner."})


async def _require_admin_left(conn: Conn, hub: Hub, before: Person, terms: Terms) -> None:
    """Refuse to take the last admin away: nobody could let another in."""
    if before.role != "admin" or not before.is_active:
        return
    if terms.role == "admin" and terms.is_active:
        return
    if await memberships.count_admins(conn, without=before.id, tenant_id=hub.tenant_id) == 0:
        field = "role" if terms.role != "admin" else "is_active"
        fault = "This is the tenant's only admin. Make somebody else one first."
        raise Invalid(fault, fields={field: fault})


def _action_of(changed: dict[str, Any]) -> str:
    if "is_active" in changed:
        return "person.activated" if changed["is_active"] else "person.deactivated"
    return "person.role_changed" if "role" in changed else "person.changed"


def _told(known: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    return {name: [known[name], value] for name, value in changed.items()}


@dataclass(frozen=True, slots=True)
class Added:
    """Somebody who was taken in. `token` opens the page where they set their password, once."""

    person: Person
    #: None when they have a password: the one that was given, or one of old.
    token: str | None = field(repr=False)


async def add_person(
    hub: Hub,
    caller: Caller,
    email: str,
    full_name: str,
    role: str,
    *,
    password: str | None = None,
    operator: bool = False,
    link_for: timedelta = FIRST_LINK,
) -> Added:
    """Take somebody into the tenant without an invitation: for whoever runs the installation.

    A user known already keeps name and password. Raises `Forbidden`, `AlreadyExists` for somebody who is in,
    and `Invalid` with the field.
    """
    caller.require("people:manage")
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation adds people; invite them instead.")
    address = email.strip()
    refuse(
        {
            "email": find_email_fault(address),
            "full_name": find_name_fault(full_name),
            "role": find_role_fault(role),
            "password": None if password is None else find_password_fault(password, address),
        }
    )
    hashed = None if password is None else await hash_password(password)
    now = clock.now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        user = await _get_or_make(conn, address, full_name.strip(), hashed)
        place = await memberships.find_person(conn, user.id, tenant_id=hub.tenant_id)
        if place is not None:
            raise AlreadyExists(f"{user.email} is in this tenant already, as {place.role}.")
        if operator:
            await users.set_operator(conn, user.id, is_operator=True, now=now)
        person = await join(conn, hub, user, require_role(role))
        token = None if person.has_password else await make_link(conn, user.id, lasts=link_for)
        details = {"role": person.role, "operator": operator}
        await note(conn, caller, "person.added", str(user.id), details)
    return Added(person, token)


async def set_active_everywhere(hub: Hub, caller: Caller, user_id: UUID, *, is_active: bool) -> Person:
    """Keep somebody out of every tenant, or let them in again where they are not kept out besides.

    Raises `Forbidden` and `NotFound`.
    """
    caller.require("people:manage")
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation keeps somebody out of every tenant.")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
        await users.set_active(conn, user_id, is_active=is_active, now=clock.now())
        if not is_active:
            await sessions.delete_of_user(conn, user_id)
        action = "person.activated" if is_active else "person.deactivated"
        await note(conn, caller, action, str(user_id), {"everywhere": True})
        return await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)


async def set_operator(hub: Hub, caller: Caller, user_id: UUID, *, is_operator: bool) -> None:
    """Say whether somebody runs the installation. Raises `Forbidden` and `NotFound`."""
    caller.require("people:manage")
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation makes another one.")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
        await users.set_operator(conn, user_id, is_operator=is_operator, now=clock.now())
        await note(conn, caller, "person.operator", str(user_id), {"operator": is_operator})


async def _get_or_make(conn: Conn, email: str, full_name: str, password_hash: str | None) -> User:
    user = await users.find_by_email(conn, normal_email(email))
    if user is not None:
        return user
    return await make_user(conn, email, full_name, password_hash)


async def make_user(conn: Conn, email: str, full_name: str, password_hash: str | None) -> User:
    """Write a new user down. Raises `AlreadyExists`; the transaction is then of no more use."""
    user_id, now = clock.new_id(), clock.now()
    await users.insert(conn, user_id, email=email, full_name=full_name, is_operator=False, now=now)
    if password_hash is not None:
        await users.set_password(conn, user_id, password_hash, now=now)
    return await users.get(conn, user_id)


async def join(conn: Conn, hub: Hub, user: User, role: Role) -> Person:
    """Take a user into the tenant of `conn`, with the owner who has the same address."""
    owner = await memberships.find_owner(conn, normal_email(user.email), tenant_id=hub.tenant_id)
    await memberships.put(conn, user.id, role, tenant_id=hub.tenant_id, owner_id=owner, now=clock.now())
    return await memberships.get_person(conn, user.id, tenant_id=hub.tenant_id)
