"""Setting a password by a link: the first one, and a new one for somebody who lost theirs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.letters import password_link, write_changed, write_reset
from syncline.actions.passwords import hash_password
from syncline.actions.throttle import admit
from syncline.domain.callers import Caller
from syncline.domain.people import find_email_fault, find_password_fault, normal_email, refuse
from syncline.domain.tokens import hash_token, new_token
from syncline.engine.mail import can_mail, send_mail
from syncline.errors import Forbidden, NotFound, RetryLater
from syncline.store import attempts, memberships, password_links, sessions, users
from syncline.store.db import Conn
from syncline.store.memberships import Membership

_log = structlog.get_logger(__name__)

#: How long a link works that somebody asked for who lost their password.
RESET_LINK = timedelta(hours=1)
#: … and one that an operator hands to somebody new.
FIRST_LINK = timedelta(days=7)
_NOBODY = UUID(int=0)
_NO_LINK = "This link is not valid, or no longer: it works once, and not for long. Ask for a new one."


async def make_link(conn: Conn, user_id: UUID, *, lasts: timedelta) -> str:
    """Return the token of a new link; those before it are of no more use."""
    token, now = new_token(), clock.now()
    await password_links.delete_open(conn, user_id)
    await password_links.insert(conn, hash_token(token), user_id=user_id, now=now, expires_at=now + lasts)
    return token


async def ask_for_reset(hub: Hub, email: str, *, address: str | None) -> None:
    """Take a wish for a new password. Raises `LimitReached`, and `Invalid` for what is no address.

    Says nothing of whether somebody has the address. The door answers, and runs `send_reset` afterwards.
    """
    refuse({"email": find_email_fault(email)})
    await admit(hub, "reset", normal_email(email), address=address)


async def send_reset(hub: Hub, email: str, *, address: str | None, source: str = "web") -> None:
    """Mail a link to whoever has an address, if somebody has; the same statements run if not.

    Runs when the answer is out, so that the time it takes tells nobody anything. Never raises for mail.
    """
    base = hub.settings.public_url
    if base is None or not can_mail(hub.settings):
        _log.warning("reset_not_mailed", reason="no mail server is set")
        return
    account, token = normal_email(email), None
    async with hub.db.transaction(tenant_id=None) as conn:
        user = await users.find_by_email(conn, account)
        user_id = _NOBODY if user is None else user.id
        places = await memberships.list_of_user(conn, user_id)
        await attempts.note_for_account(
            conn, account, "password.link_asked", source=source, address=address, at=clock.now()
        )
        if user is not None and user.is_active and any(each.is_open for each in places):
            token = await make_link(conn, user.id, lasts=RESET_LINK)
        if await attempts.lock_purge(conn):
            await password_links.purge(conn, before=clock.now() - FIRST_LINK)
    if user is None or token is None:
        return
    minutes = int(RESET_LINK.total_seconds()) // 60
    letter = write_reset(user.email, link=password_link(base, token), minutes=minutes)
    try:
        await send_mail(hub.settings, letter)
    except RetryLater:
        _log.warning("reset_not_mailed", reason="the mail server did not take it")


@dataclass(frozen=True, slots=True)
class ResetSent:
    """What became of a link that an administrator asked for."""

    mailed: bool
    #: To be handed on by whoever asked; None when it was mailed.
    link: str | None = field(repr=False)


async def reset_person(
    hub: Hub, caller: Caller, user_id: UUID, *, base_url: str, lasts: timedelta = RESET_LINK
) -> ResetSent:
    """Send somebody of the tenant a link for a new password, or return it where no mail can be sent.

    Who has the link has the account. So it is shown only for people who are in no other tenant, unless an
    operator asks. Raises `Forbidden` and `NotFound`.
    """
    caller.require("people:manage")
    mails = can_mail(hub.settings) and hub.settings.public_url is not None
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        person = await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
        user = await users.get(conn, user_id)
        places = await memberships.list_of_user(conn, user_id)
        if not mails and not caller.is_operator and (user.is_operator or _elsewhere(places, hub)):
            raise Forbidden(
                "Without mail, only an operator of the installation may make this link: the account opens "
                "more than this tenant."
            )
        token = await make_link(conn, user_id, lasts=lasts)
        await note(conn, caller, "password.link_made", str(user_id), {"mailed": mails})
    base = hub.settings.public_url or base_url
    link = password_link(base, token)
    if not mails:
        return ResetSent(mailed=False, link=link)
    minutes = int(lasts.total_seconds()) // 60
    await send_mail(hub.settings, write_reset(person.email, link=link, minutes=minutes))
    return ResetSent(mailed=True, link=None)


def _elsewhere(places: list[Membership], hub: Hub) -> bool:
    return any(each.tenant_id != hub.tenant_id for each in places)


async def look_at_link(hub: Hub, token: str) -> str:
    """Return the address whose password a link sets. Raises `NotFound`."""
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await password_links.find(conn, hash_token(token), now=clock.now())
    if found is None:
        raise NotFound(_NO_LINK)
    return found[1]


async def use_link(hub: Hub, token: str, password: str, *, address: str | None, source: str = "web") -> None:
    """Set a password by a link, which is used up, and end every session of the account.

    Raises `NotFound`, and `Invalid` with the field for a password that will not do; the link stays good then.
    """
    email = await look_at_link(hub, token)
    refuse({"password": find_password_fault(password, email)})
    hashed = await hash_password(password)
    now = clock.now()
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await password_links.find(conn, hash_token(token), now=now)
        if found is None or not await password_links.use(conn, hash_token(token), now=now):
            raise NotFound(_NO_LINK)
        user_id = found[0]
        await users.set_password(conn, user_id, hashed, now=now)
        await password_links.delete_open(conn, user_id)
        await sessions.delete_of_user(conn, user_id)
        await attempts.note_for_account(
            conn, normal_email(email), "password.set_by_link", source=source, address=address, at=now
        )
    await tell_of_change(hub, email)


async def hand_out_link(hub: Hub, caller: Caller, user_id: UUID) -> str:
    """Return the token of a link for somebody's first password: for whoever runs the installation."""
    caller.require("people:manage")
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation hands out links; send one instead.")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
        await note(conn, caller, "password.link_made", str(user_id), {"mailed": False})
        return await make_link(conn, user_id, lasts=FIRST_LINK)


async def set_password_of(hub: Hub, caller: Caller, user_id: UUID, password: str) -> None:
    """Set somebody's password for them and end their sessions: for whoever runs the installation.

    Raises `Forbidden`, `NotFound`, and `Invalid` with the field.
    """
    caller.require("people:manage")
    if not caller.is_operator:
        raise Forbidden("Only an operator of the installation sets passwords of others; send a link instead.")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        person = await memberships.get_person(conn, user_id, tenant_id=hub.tenant_id)
    refuse({"password": find_password_fault(password, person.email)})
    hashed = await hash_password(password)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await users.set_password(conn, user_id, hashed, now=clock.now())
        await password_links.delete_open(conn, user_id)
        await sessions.delete_of_user(conn, user_id)
        await note(conn, caller, "password.set", str(user_id))


async def tell_of_change(hub: Hub, email: str) -> None:
    """Let somebody know that their password was changed, where mail can be sent."""
    if not can_mail(hub.settings):
        return
    try:
        await send_mail(hub.settings, write_changed(email))
    except RetryLater:
        _log.warning("change_not_mailed")
