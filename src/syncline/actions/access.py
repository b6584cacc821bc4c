"""Proving who somebody is: by password and session, or by API key. What they may do is asked elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.passwords import check_password, hash_password, needs_rehash
from syncline.actions.throttle import admit, forget
from syncline.domain.callers import ROLES, Caller, Role
from syncline.domain.people import MAX_PASSWORD, normal_email
from syncline.domain.tokens import csrf_token, hash_token, is_same, new_token, read_key
from syncline.errors import Forbidden, SignInNeeded
from syncline.store import api_keys, attempts, memberships, sessions, users
from syncline.store.api_keys import KeyInUse
from syncline.store.memberships import Membership
from syncline.store.users import Credentials

#: A session ends when nobody has used it for so long, and at the latest after so long.
IDLE = timedelta(days=14)
LONGEST = timedelta(days=90)
#: Use is written down no more often than this.
_TOUCH = timedelta(minutes=1)
_NOBODY = UUID(int=0)
_WRONG = "The address or the password is wrong."
_LONGEST_AGENT = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in."""

    id: UUID
    name: str
    email: str
    #: Runs the installation: may make tenants and suspend them.
    is_operator: bool


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in, in the tenant they look at."""

    hub: Hub
    caller: Caller
    #: What a request that changes something must carry.
    csrf_token: str = field(repr=False)
    user: SignedIn
    #: Where they may switch to, the current tenant among them.
    tenants: Sequence[Membership]


async def identify_key(
    hub: Hub, token: str, *, address: str | None, source: str = "api"
) -> tuple[Hub, Caller]:
    """Return the installation as the key's tenant sees it, and the caller that the key stands for.

    A key that a person made is never good for more than they are now. Raises `SignInNeeded` for a key that
    is unknown, expired or revoked, whose maker is switched off or whose tenant is suspended.
    """
    key, now = read_key(token), clock.now()
    async with hub.db.transaction(tenant_id=key.tenant_id) as conn:
        found = await api_keys.find_in_use(conn, key.hash, tenant_id=key.tenant_id, now=now)
        role = None if found is None else role_of_key(found)
        if found is None or role is None or found.status != "active":
            raise SignInNeeded("This API key is not valid, or no longer.")
        if found.last_used_at is None or found.last_used_at < now - _TOUCH:
            await api_keys.touch(
                conn,
                found.id,
                tenant_id=key.tenant_id,
                address=address,
                now=now,
                unless_since=now - _TOUCH,
            )
    caller = Caller(
        tenant_id=found.tenant_id,
        role=role,
        name=f"key:{found.name}",
        source=source,
        key_id=found.id,
        owner_ids=frozenset(found.owner_ids),
        scopes=None if found.scopes is None else frozenset(found.scopes),
        address=address,
    )
    return replace(hub, tenant=found.tenant), caller


def role_of_key(key: KeyInUse) -> Role | None:
    """Return the lesser of the key's role and its maker's; None when its maker may do nothing."""
    if key.user_id is None:
        return key.role
    if key.maker_role is None:
        return None
    return ROLES[min(ROLES.index(key.role), ROLES.index(key.maker_role))]


async def identify_session(
    hub: Hub, token: str, *, address: str | None, csrf: str | None, source: str
) -> Session:
    """Return who holds a session, and the installation as the tenant they look at sees it.

    `csrf` is None for a request that changes nothing; else it must be the session's, else `Forbidden`.
    Raises `SignInNeeded` when it ended, or when they are switched off or the tenant is suspended.
    """
    token_hash, now = hash_token(token), clock.now()
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await sessions.find(conn, token_hash, seen_since=now - IDLE, created_since=now - LONGEST)
        if found is None:
            raise SignInNeeded("Your session has ended. Sign in again.")
        places = await memberships.list_of_user(conn, found.user_id)
        if found.seen_at < now - _TOUCH:
            await sessions.touch(conn, token_hash, address=address, now=now)
    expected = csrf_token(token)
    if csrf is not None and not is_same(csrf, expected):
        raise Forbidden("This form is no longer valid. Load the page again and repeat what you did.")
    open_places = [each for each in places if each.is_open]
    here = next((each for each in open_places if each.tenant_id == found.current_tenant_id), None)
    if here is None:
        raise SignInNeeded("You no longer have access to this tenant. Sign in again.")
    user = SignedIn(found.user_id, found.full_name, found.email, found.is_operator)
    return Session(
        hub=replace(hub, tenant=here.tenant),
        caller=_caller(user, here, address=address, source=source),
        csrf_token=expected,
        user=user,
        tenants=open_places,
    )


async def sign_in(
    hub: Hub,
    email: str,
    password: str,
    *,
    address: str | None,
    user_agent: str | None,
    source: str = "web",
) -> str:
    """Return the token of a new session. Raises `SignInNeeded` and, after too many failures, `LimitReached`.

    An address that nobody has costs the same work as a wrong password, and answers the same.
    """
    account = normal_email(email).replace("\0", "")  # which Postgres would refuse
    attempt = await admit(hub, "sign_in", account, address=address)
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await users.find_credentials(conn, account)
        places = await memberships.list_of_user(conn, _NOBODY if found is None else found.id)
    right = await check_password(password[: MAX_PASSWORD + 1], found.password_hash if found else None)
    if found is None or not right or not found.is_active:
        async with hub.db.transaction(tenant_id=None) as conn:
            await attempts.set_failed(conn, attempt, now=clock.now())
            await attempts.note_for_account(
                conn, account, "session.refused", source=source, address=address, at=clock.now()
            )
        raise SignInNeeded(_WRONG)
    token = await open_session(hub, found.id, places, address=address, user_agent=user_agent, source=source)
    await forget(hub, "sign_in", account, address=address)
    await _strengthen(hub, found, password)
    return token


async def open_session(
    hub: Hub,
    user_id: UUID,
    places: Sequence[Membership],
    *,
    address: str | None,
    user_agent: str | None,
    source: str = "web",
    way: str = "password",
) -> str:
    """Begin a session of somebody who was proven, in one of their open tenants, and return its token.

    Raises `Forbidden` when none of their tenants is open to them.
    """
    open_places = [each for each in places if each.is_open]
    if not open_places:
        raise Forbidden("No tenant is open to you. Ask an administrator.")
    here = next((each for each in open_places if each.tenant_id == hub.tenant_id), open_places[0])
    token, now = new_token(), clock.now()
    async with hub.db.transaction(tenant_id=here.tenant_id) as conn:
        user = await users.get(conn, user_id)
        if await attempts.lock_purge(conn):
            await sessions.purge(conn, seen_since=now - IDLE, created_since=now - LONGEST)
        await sessions.insert(
            conn,
            hash_token(token),
            user_id=user_id,
            current_tenant=here.tenant_id,
            address=address,
            user_agent=_shortened(user_agent),
            now=now,
        )
        await users.set_signed_in(conn, user_id, now=now)
        signed_in = SignedIn(user.id, user.full_name, user.email, user.is_operator)
        caller = _caller(signed_in, here, address=address, source=source)
        await note(conn, caller, "session.began", details={"by": way})
    return token


def _shortened(user_agent: str | None) -> str | None:
    if user_agent is None:
        return None
    return "".join(each for each in user_agent[:_LONGEST_AGENT] if each.isprintable())


async def sign_out(hub: Hub, token: str, *, address: str | None = None, source: str = "web") -> None:
    """End a session; one that has ended already is left so."""
    try:
        session = await identify_session(hub, token, address=address, csrf=None, source=source)
    except SignInNeeded:
        async with hub.db.transaction(tenant_id=None) as conn:
            await sessions.delete(conn, hash_token(token))
        return
    async with hub.db.transaction(tenant_id=session.hub.tenant_id) as conn:
        await sessions.delete(conn, hash_token(token))
        await note(conn, session.caller, "session.ended")


async def switch_tenant(
    hub: Hub, token: str, tenant: str | UUID, *, address: str | None = None, source: str = "web"
) -> Session:
    """Let a session look at another of the person's tenants, by its id or its slug. Raises `Forbidden`."""
    session = await identify_session(hub, token, address=address, csrf=None, source=source)
    wanted = str(tenant)
    there = next((each for each in session.tenants if wanted in {str(each.tenant_id), each.slug}), None)
    if there is None:
        raise Forbidden("You have no access to such a tenant.")
    caller = _caller(session.user, there, address=address, source=source)
    async with hub.db.transaction(tenant_id=there.tenant_id) as conn:
        await sessions.switch(conn, hash_token(token), current_tenant=there.tenant_id)
        await note(conn, caller, "session.switched")
    return replace(session, hub=replace(hub, tenant=there.tenant), caller=caller)


def _caller(user: SignedIn, place: Membership, *, address: str | None, source: str) -> Caller:
    return Caller(
        tenant_id=place.tenant_id,
        role=place.role,
        name=user.email,
        source=source,
        user_id=user.id,
        owner_ids=frozenset(place.owner_ids),
        address=address,
        is_operator=user.is_operator,
    )


async def _strengthen(hub: Hub, found: Credentials, password: str) -> None:
    """Hash a password anew that was hashed with less work than is done now."""
    before = found.password_hash
    if before is None or not needs_rehash(before):
        return
    after = await hash_password(password)
    async with hub.db.transaction(tenant_id=None) as conn:
        await users.rehash(conn, found.id, after, before=before)
