"""Signing in by somebody who vouches for people: an OpenID Connect provider that the settings name.

Opens accounts that are there, by an address that the provider has verified. It makes none.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import structlog

from syncline import clock
from syncline.actions.access import open_session
from syncline.actions.hub import Hub
from syncline.config import Settings
from syncline.connectors.oidc import Client, Identity, authorization_url, discover, redeem
from syncline.domain.people import normal_email
from syncline.domain.tokens import is_same, new_token
from syncline.errors import Forbidden, SettingInvalid, SignInNeeded
from syncline.store import memberships, users

_log = structlog.get_logger(__name__)

#: Where the provider sends people back to; registered with it as our redirect URI.
CALLBACK_PATH = "/oidc/callback"
#: How long somebody may take at the provider.
LASTS = timedelta(minutes=10)
_LONGEST = 1000
_START_AGAIN = "This sign-in is not valid, or took too long. Start again."


class _Flow(msgspec.Struct, array_like=True):
    """What is remembered of a sign-in while somebody is at the provider: in their browser, sealed."""

    state: str
    nonce: str
    verifier: str
    begun_ms: int
    #: The page that was asked for.
    wanted: str


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send somebody, and what their browser is to bring back."""

    url: str = field(repr=False)
    sealed: str = field(repr=False)


def is_offered(settings: Settings) -> bool:
    """Tell whether there is a provider to sign in by."""
    return None not in (
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        settings.public_url,
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who came back from the provider and is signed in."""

    token: str = field(repr=False)
    #: The page that they asked for: a path of ours.
    wanted: str


async def depart(hub: Hub, wanted: str = "/") -> Departure:
    """Begin a sign-in at the provider; afterwards the page `wanted` is shown, where it is one of ours.

    Raises `Unavailable` and `SettingInvalid`.
    """
    issuer, client = _client(hub.settings)
    provider = await discover(issuer)
    flow = _Flow(new_token(), new_token(), new_token(), clock.to_ms(clock.now()), _ours(wanted))
    url = authorization_url(provider, client, state=flow.state, nonce=flow.nonce, verifier=flow.verifier)
    sealed = hub.vault().seal(msgspec.msgpack.encode(flow))
    return Departure(url, base64.urlsafe_b64encode(sealed).decode())


async def arrive(
    hub: Hub,
    *,
    sealed: str | None,
    code: str | None,
    state: str | None,
    issuer: str | None,
    address: str | None,
    user_agent: str | None,
) -> Arrival:
    """Take somebody who comes back from the provider, and begin their session.

    `sealed` is what their browser brought, the others stood in the address. Raises `SignInNeeded`,
    `Forbidden` for somebody without an account, and `Unavailable`.
    """
    flow = _open(hub, sealed)
    if state is None or code is None or not is_same(state, flow.state):
        raise SignInNeeded(_START_AGAIN)
    known, client = _client(hub.settings)
    provider = await discover(known)
    if issuer is not None and issuer != provider.issuer:  # RFC 9207
        raise SignInNeeded(_START_AGAIN)
    identity = await redeem(provider, client, code=code, verifier=flow.verifier, nonce=flow.nonce)
    return Arrival(await _let_in(hub, identity, address, user_agent), flow.wanted)


def _ours(wanted: str) -> str:
    """Return a path of ours; what leads elsewhere is taken for the first page."""
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted and len(wanted) <= _LONGEST
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"


async def _let_in(hub: Hub, identity: Identity, address: str | None, user_agent: str | None) -> str:
    if identity.email is None or not identity.email_verified:
        _log.warning("single_sign_on_refused", reason="no verified address")
        raise Forbidden("The identity provider has not verified your e-mail address.")
    async with hub.db.transaction(tenant_id=None) as conn:
        found = await users.find_credentials(conn, normal_email(identity.email).replace("\0", ""))
        places = [] if found is None else await memberships.list_of_user(conn, found.id)
    if found is None or not found.is_active:
        _log.warning("single_sign_on_refused", reason="no account")
        raise Forbidden("You have no account here. Ask an administrator to invite you.")
    return await open_session(hub, found.id, places, address=address, user_agent=user_agent, way="provider")


def _open(hub: Hub, sealed: str | None) -> _Flow:
    try:
        packed = hub.vault().open(base64.urlsafe_b64decode((sealed or "").encode()))
        flow = msgspec.msgpack.decode(packed, type=_Flow)
    except (SettingInvalid, ValueError, binascii.Error, msgspec.DecodeError):
        raise SignInNeeded(_START_AGAIN) from None
    if clock.from_ms(flow.begun_ms) < clock.now() - LASTS:
        raise SignInNeeded(_START_AGAIN)
    return flow


def _client(settings: Settings) -> tuple[str, Client]:
    issuer, client_id, secret = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
    )
    if issuer is None or client_id is None or secret is None or settings.public_url is None:
        raise SettingInvalid("No identity provider is set: SYNCLINE_OIDC_ISSUER.")
    redirect = f"{settings.public_url}{CALLBACK_PATH}"
    return issuer, Client(client_id, secret.get_secret_value(), redirect)
