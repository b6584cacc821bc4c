"""What somebody changes about themselves: name, numbers, what they are told, and their password."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from syncline import clock
from syncline.actions.access import identify_session
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.password_links import tell_of_change
from syncline.actions.passwords import check_password, hash_password
from syncline.actions.people import UNSET, Unset
from syncline.actions.throttle import admit, fail, forget
from syncline.domain.callers import Caller
from syncline.domain.people import (
    find_name_fault,
    find_password_fault,
    find_phone_fault,
    normal_email,
    refuse,
)
from syncline.domain.tokens import hash_token
from syncline.errors import Forbidden
from syncline.store import memberships, password_links, sessions, users
from syncline.store.memberships import Person

_LONGEST_SLACK = 100


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What somebody changes about themselves; what is `UNSET` stays."""

    full_name: str | Unset = UNSET
    phone: str | Unset | None = UNSET
    slack_user_id: str | Unset | None = UNSET
    notify_email: bool | Unset = UNSET
    notify_slack: bool | Unset = UNSET
    notify_sms: bool | Unset = UNSET


async def change_profile(hub: Hub, caller: Caller, change: ProfileChange) -> Person:
    """Change oneself. Raises `Forbidden` for an API key, and `Invalid` with the field."""
    if caller.user_id is None:
        raise Forbidden("This is for people who signed in; an API key has no profile.")
    values = {each.name: getattr(change, each.name) for each in fields(change)}
    given = {name: value for name, value in values.items() if not isinstance(value, Unset)}
    refuse(_find_profile_faults(given))
    now = clock.now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        before = await memberships.get_person(conn, caller.user_id, tenant_id=hub.tenant_id)
        await users.set_profile(
            conn,
            before.id,
            full_name=str(given.get("full_name", before.full_name)).strip(),
            phone=_emptied(given.get("phone", before.phone)),
            slack_user_id=_emptied(given.get("slack_user_id", before.slack_user_id)),
            now=now,
        )
        await memberships.set_notices(conn, before.id, given, tenant_id=hub.tenant_id, now=now)
        await note(conn, caller, "person.profile_changed", str(before.id), {"fields": sorted(given)})
        return await memberships.get_person(conn, before.id, tenant_id=hub.tenant_id)


def _find_profile_faults(given: dict[str, Any]) -> dict[str, str | None]:
    faults: dict[str, str | None] = {"phone": find_phone_fault(given.get("phone"))}
    if "full_name" in given:
        faults["full_name"] = find_name_fault(given["full_name"])
    slack = given.get("slack_user_id")
    if slack and (len(slack) > _LONGEST_SLACK or not slack.isalnum()):
        faults["slack_user_id"] = "A member id, such as U12345ABC."
    return faults


def _emptied(text: str | None) -> str | None:
    """Take a field that was left empty for nothing."""
    return (text or "").strip() or None


async def change_password(
    hub: Hub, token: str, current: str, new: str, *, address: str | None, source: str = "web"
) -> None:
    """Change the password of whoever holds a session; every other session of theirs ends.

    Raises `SignInNeeded`, `LimitReached`, and `Invalid` with the field for a wrong or unfit password.
    """
    session = await identify_session(hub, token, address=address, csrf=None, source=source)
    account, user_id = normal_email(session.user.email), session.user.id
    attempt = await admit(hub, "sign_in", account, address=address)
    async with hub.db.transaction(tenant_id=None) as conn:
        known = await users.find_credentials(conn, account)
    if known is None or not await check_password(current, known.password_hash):
        await fail(hub, attempt)
        refuse({"current_password": "This is not your password."})
    await forget(hub, "sign_in", account, address=address)
    refuse({"new_password": find_password_fault(new, session.user.email)})
    hashed = await hash_password(new)
    async with hub.db.transaction(tenant_id=session.hub.tenant_id) as conn:
        await users.set_password(conn, user_id, hashed, now=clock.now())
        await password_links.delete_open(conn, user_id)
        await sessions.delete_of_user(conn, user_id, but=hash_token(token))
        await note(conn, session.caller, "password.changed")
    await tell_of_change(hub, session.user.email)
