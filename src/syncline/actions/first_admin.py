"""The first person of an installation: its operator, and admin of the tenant they are made in."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncline.actions.hub import Hub
from syncline.actions.password_links import hand_out_link, set_password_of
from syncline.actions.people import add_person, find_person_by_email
from syncline.domain.callers import Caller
from syncline.domain.people import find_password_fault, refuse
from syncline.errors import NotFound
from syncline.store import memberships
from syncline.store.memberships import Person


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """Who can sign in now."""

    person: Person
    #: Opens the page where they set their password, once; None when they have one.
    token: str | None = field(repr=False)


async def has_people(hub: Hub) -> bool:
    """Tell whether anybody can sign in to the tenant."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return bool(await memberships.list_people(conn, tenant_id=hub.tenant_id))


async def make_first_admin(
    hub: Hub, caller: Caller, email: str, full_name: str, *, password: str | None = None
) -> FirstAdmin:
    """See that somebody is admin and operator. Safe to repeat: a password is set only where one is given.

    Raises `Invalid` with the field, and `Forbidden` for a caller who is no operator.
    """
    refuse({"password": None if password is None else find_password_fault(password, email)})
    try:
        person, token = await find_person_by_email(hub, caller, email), None
    except NotFound:
        added = await add_person(hub, caller, email, full_name, "admin", operator=True)
        person, token = added.person, added.token
    if password is not None:
        await set_password_of(hub, caller, person.id, password)
        return FirstAdmin(person, None)
    if not person.has_password and token is None:
        token = await hand_out_link(hub, caller, person.id)
    return FirstAdmin(person, token)
