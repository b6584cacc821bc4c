"""Inviting people into a tenant by mail, and what the one who is invited makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from syncline import clock
from syncline.actions.access import Session, open_session
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.letters import invitation_link, write_invitation
from syncline.actions.passwords import check_password, hash_password
from syncline.actions.people import join, make_user
from syncline.actions.throttle import admit, fail, forget
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
from syncline.domain.tokens import TenantToken, new_invitation, read_invitation
from syncline.engine.mail import can_mail, send_mail
from syncline.errors import AlreadyExists, Forbidden, NotFound, RetryLater
from syncline.store import invitations, memberships, tenants, users
from syncline.store.db import Conn
from syncline.store.invitations import Invitation
from syncline.store.tenants import Tenant
from syncline.store.users import Credentials, User

LASTS = timedelta(days=7)
_NO_INVITATION = "This invitation is not valid, or no longer. Ask for a new one."


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation just made or renewed."""

    invitation: Invitation
    mailed: bool
    #: To be handed on by whoever invited, where it could not be mailed; shown now and never again.
    link: str | None = field(repr=False)


async def invite(hub: Hub, caller: Caller, email: str, role: str, *, base_url: str) -> Invited:
    """Invite an address into the caller's tenant; `base_url` is ours as the caller's browser knows it.

    Raises `Forbidden`, `AlreadyExists` for somebody who is in or invited, and `Invalid` with the field.
    """
    caller.require("people:manage")
    address = email.strip()
    refuse({"email": find_email_fault(address), "role": find_role_fault(role)})
    token, now = new_invitation(hub.tenant_id), clock.now()
    invitation = Invitation(
        id=clock.new_id(),
        email=address,
        role=require_role(role),
        invited_by=caller.name,
        created_at=now,
        sent_at=None,
        expires_at=now + LASTS,
        accepted_at=None,
        revoked_at=None,
    )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await _require_outside(conn, hub, address)
        account = normal_email(address)
        await invitations.close_expired(conn, account, tenant_id=hub.tenant_id, now=now)
        await invitations.insert(conn, invitation, token.hash, tenant_id=hub.tenant_id)
        details = {"role": invitation.role}
        await note(conn, caller, "invitation.created", str(invitation.id), details)
    return await _send(hub, invitation, token, base_url)


async def _require_outside(conn: Conn, hub: Hub, email: str) -> None:
    user = await users.find_by_email(conn, normal_email(email))
    if user is None:
        return
    place = await memberships.find_person(conn, user.id, tenant_id=hub.tenant_id)
    if place is not None and place.is_active:
        raise AlreadyExists(f"They are in this tenant already, as {place.role}.")


async def resend_invitation(hub: Hub, caller: Caller, invitation_id: UUID, *, base_url: str) -> Invited:
    """Send an invitation again, with a new link and new days to accept it. Raises `NotFound`."""
    caller.require("people:manage")
    token = new_invitation(hub.tenant_id)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        renewed = await invitations.renew(
            conn,
            invitation_id,
            token.hash,
            tenant_id=hub.tenant_id,
            expires_at=clock.now() + LASTS,
        )
        if renewed is None:
            raise NotFound("There is no such invitation, or it was accepted or revoked.")
        await note(conn, caller, "invitation.renewed", str(invitation_id))
    return await _send(hub, renewed, token, base_url)


async def _send(hub: Hub, invitation: Invitation, token: TenantToken, base_url: str) -> Invited:
    link = invitation_link(hub.settings.public_url or base_url, token.text)
    if not can_mail(hub.settings):
        return Invited(invitation, mailed=False, link=link)
    letter = write_invitation(
        invitation.email,
        link=link,
        tenant=hub.tenant.label,
        invited_by=invitation.invited_by,
        days=LASTS.days,
    )
    try:
        await send_mail(hub.settings, letter)
    except RetryLater:
        return Invited(invitation, mailed=False, link=link)
    now = clock.now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await invitations.set_sent(conn, invitation.id, tenant_id=hub.tenant_id, now=now)
    return Invited(replace(invitation, sent_at=now), mailed=True, link=None)


async def list_invitations(hub: Hub, caller: Caller) -> list[Invitation]:
    """Return the tenant's invitations, the newest first, also those that no longer hold."""
    caller.require("people:manage")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await invitations.list_all(conn, tenant_id=hub.tenant_id)


async def revoke_invitation(hub: Hub, caller: Caller, invitation_id: UUID) -> None:
    """Take an invitation back. Raises `NotFound` when there is none that could be."""
    caller.require("people:manage")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if not await invitations.revoke(conn, invitation_id, tenant_id=hub.tenant_id, now=clock.now()):
            raise NotFound("There is no such invitation, or it was accepted or revoked.")
        await note(conn, caller, "invitation.revoked", str(invitation_id))


@dataclass(frozen=True, slots=True)
class Offer:
    """An invitation as the one who is invited sees it."""

    email: str
    role: Role
    tenant: Tenant
    #: True when they have an account, whose password they give; else they choose one.
    has_account: bool


async def look_at_invitation(hub: Hub, token: str) -> Offer:
    """Return what a link offers. Raises `NotFound`."""
    offer, _, _ = await _find(hub, read_invitation(token))
    return offer


async def _find(hub: Hub, token: TenantToken) -> tuple[Offer, Invitation, Credentials | None]:
    async with hub.db.transaction(tenant_id=token.tenant_id) as conn:
        found = await invitations.find_by_token(conn, token.hash, tenant_id=token.tenant_id)
        if found is None or not found.is_open(clock.now()):
            raise NotFound(_NO_INVITATION)
        tenant = next(each for each in await tenants.list_tenants(conn) if each.tenant_id == token.tenant_id)
        account = await users.find_credentials(conn, normal_email(found.email))
    if tenant.status != "active" or (account is not None and not account.is_active):
        raise NotFound(_NO_INVITATION)
    return Offer(found.email, found.role, tenant, account is not None), found, account


async def accept_invitation(
    hub: Hub,
    token: str,
    *,
    full_name: str,
    password: str,
    address: str | None,
    user_agent: str | None = None,
    source: str = "web",
) -> str:
    """Accept an invitation and return the token of a new session.

    Somebody without an account makes one by their name and a password of their choice. Somebody with one
    proves it by its password (the name is passed over): the link alone opens no account that was there.
    Raises `NotFound`, `Forbidden`, `LimitReached`, and `Invalid` with the field.
    """
    read = read_invitation(token)
    offer, invitation, account = await _find(hub, read)
    there = replace(hub, tenant=offer.tenant)
    if account is None:
        refuse(
            {
                "full_name": find_name_fault(full_name),
                "password": find_password_fault(password, offer.email),
            }
        )
        hashed = await hash_password(password)
        user = await _join_as_new(there, invitation, full_name.strip(), hashed, address, source)
    else:
        await _prove(there, offer.email, account, password, address)
        user = await _join_as_known(there, invitation, account.id, address, source)
    async with hub.db.transaction(tenant_id=None) as conn:
        places = await memberships.list_of_user(conn, user.id)
    return await open_session(
        there, user.id, places, address=address, user_agent=user_agent, source=source, way="invitation"
    )


async def accept_as(hub: Hub, session: Session, token: str) -> Tenant:
    """Accept an invitation as somebody who is signed in, and return the tenant that is theirs, too.

    Raises `NotFound`, and `Forbidden` when it is for another address.
    """
    offer, invitation, _ = await _find(hub, read_invitation(token))
    if normal_email(offer.email) != normal_email(session.user.email):
        raise Forbidden("This invitation is for another address. Sign out first, then open it again.")
    there = replace(hub, tenant=offer.tenant)
    caller = session.caller
    await _join_as_known(there, invitation, session.user.id, caller.address, caller.source)
    return offer.tenant


async def _prove(hub: Hub, email: str, account: Credentials, password: str, address: str | None) -> None:
    attempt = await admit(hub, "sign_in", normal_email(email), address=address)
    if not await check_password(password, account.password_hash):
        await fail(hub, attempt)
        refuse({"password": "This is not the password of your account. Sign in first if you have none."})
    await forget(hub, "sign_in", normal_email(email), address=address)


async def _join_as_new(
    hub: Hub,
    invitation: Invitation,
    full_name: str,
    password_hash: str,
    address: str | None,
    source: str,
) -> User:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await _use_up(conn, hub, invitation)
        user = await make_user(conn, invitation.email, full_name, password_hash)
        await _let_in(conn, hub, invitation, user, address, source)
    return user


async def _join_as_known(
    hub: Hub, invitation: Invitation, user_id: UUID, address: str | None, source: str
) -> User:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await _use_up(conn, hub, invitation)
        user = await users.get(conn, user_id)
        await _let_in(conn, hub, invitation, user, address, source)
    return user


async def _use_up(conn: Conn, hub: Hub, invitation: Invitation) -> None:
    if not await invitations.accept(conn, invitation.id, tenant_id=hub.tenant_id, now=clock.now()):
        raise NotFound(_NO_INVITATION)


async def _let_in(
    conn: Conn, hub: Hub, invitation: Invitation, user: User, address: str | None, source: str
) -> None:
    await join(conn, hub, user, invitation.role)
    caller = Caller(
        tenant_id=hub.tenant_id,
        role=invitation.role,
        name=user.email,
        source=source,
        user_id=user.id,
        address=address,
    )
    await note(conn, caller, "invitation.accepted", str(invitation.id), {"role": invitation.role})
