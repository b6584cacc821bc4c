"""OpenID Connect: asking a provider who somebody is, by the code flow, and reading its word on it.

Knows the protocol (OpenID Connect Core 1.0, RFC 7636, RFC 9207) and neither users nor sessions.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from syncline import clock
from syncline.connectors.http import Http
from syncline.connectors.transport import QuotaFacts, Request
from syncline.errors import SettingInvalid, SignInNeeded, SynclineError, Unavailable

T = TypeVar("T")

#: Signatures by the provider's private key; never by a secret that we have as well, never none.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_DISCOVERY = "/.well-known/openid-configuration"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ATTEMPT_SECONDS = 15.0
#: By how much the provider's clock may differ from ours.
_LEEWAY_SECONDS = 60
_REMEMBER = timedelta(minutes=5)
_UNTRUE = "The identity provider's answer could not be verified. Start again."


class Provider(msgspec.Struct, frozen=True):
    """Where a provider's doors are, as it says itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    #: What the specification has for a provider that names none.
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


@dataclass(frozen=True, slots=True)
class Client:
    """What we are to the provider."""

    id: str
    secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, by the provider's word."""

    subject: str
    email: str | None
    #: True when the provider has made sure that the address is theirs.
    email_verified: bool


class _Tokens(msgspec.Struct):
    id_token: str


class _Keys(msgspec.Struct):
    keys: list[dict[str, Any]]


_known: dict[str, tuple[Provider, datetime]] = {}


async def discover(issuer: str) -> Provider:
    """Return where a provider's doors are; for some minutes it is not asked again.

    Raises `Unavailable`, and `SettingInvalid` for an issuer that is none.
    """
    known = _known.get(issuer)
    if known is not None and known[1] > clock.now() - _REMEMBER:
        return known[0]
    _require_safe(issuer, issuer)
    found = await _ask(f"{issuer.rstrip('/')}{_DISCOVERY}", Provider)
    if found.issuer.rstrip("/") != issuer.rstrip("/"):
        raise SettingInvalid("SYNCLINE_OIDC_ISSUER is not what the provider calls itself. Correct it.")
    for endpoint in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        _require_safe(endpoint, issuer)
    _known[issuer] = (found, clock.now())
    return found


def authorization_url(provider: Provider, client: Client, *, state: str, nonce: str, verifier: str) -> str:
    """Return the address where somebody tells the provider who they are.

    `state` comes back with the code, `nonce` in the provider's word, and the code is of use only together
    with `verifier` (PKCE).
    """
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": client.redirect_uri,
        "scope": "openid email profile",
        "state": state,
        "nonce": nonce,
        "code_challenge": _challenge(verifier),
        "code_challenge_method": "S256",
    }
    joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
    return f"{provider.authorization_endpoint}{joint}{urlencode(query)}"


async def redeem(provider: Provider, client: Client, *, code: str, verifier: str, nonce: str) -> Identity:
    """Turn a code into who somebody is. A code works once. Raises `SignInNeeded` and `Unavailable`."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": verifier,
    }
    basic = None
    if "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
        # RFC 6749, section 2.3.1: both are encoded as in a form first.
        basic = (quote_plus(client.id), quote_plus(client.secret))
    else:
        form |= {"client_id": client.id, "client_secret": client.secret}
    tokens = await _ask(provider.token_endpoint, _Tokens, form=form, basic=basic)
    keys = await _ask(provider.jwks_uri, _Keys)
    return read_identity(tokens.id_token, keys.keys, provider.issuer, client.id, nonce)


def read_identity(
    id_token: str, keys: list[dict[str, Any]], issuer: str, client_id: str, nonce: str
) -> Identity:
    """Verify a provider's word and read it. Raises `SignInNeeded`, saying nothing of what it holds."""
    usable = [each for each in keys if each.get("kty") in _KEY_TYPES and each.get("use") != "enc"]
    registry = JWTClaimsRegistry(
        now=int(clock.now().timestamp()),
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        token = jwt.decode(id_token, KeySet.import_key_set({"keys": usable}), algorithms=_ALGORITHMS)
        registry.validate(token.claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignInNeeded(_UNTRUE) from error
    claims = token.claims
    if claims["aud"] not in (client_id, [client_id]) and claims.get("azp") != client_id:
        raise SignInNeeded(_UNTRUE)
    email = claims.get("email")
    return Identity(
        subject=str(claims["sub"]),
        email=email if isinstance(email, str) else None,
        # Some send it as text.
        email_verified=claims.get("email_verified") in (True, "true"),
    )


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def _ask(
    url: str,
    shape: type[T],
    *,
    form: Mapping[str, str] | None = None,
    basic: tuple[str, str] | None = None,
) -> T:
    parts = urlsplit(url)
    http = Http(
        f"{parts.scheme}://{parts.netloc}",
        _explain,
        lambda _: QuotaFacts(),
        connections=1,
        attempt_seconds=_ATTEMPT_SECONDS,
    )
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    request = Request("GET" if form is None else "POST", path, form=form, basic=basic, authorized=False)
    async with http:
        answer = await http.send(request, None)
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise Unavailable("The identity provider's answer makes no sense.") from None


def _explain(status: int, headers: Mapping[str, str], body: bytes) -> SynclineError:
    del headers
    if status == 401 or b'"invalid_client"' in body:
        return SettingInvalid(
            "The identity provider does not accept SYNCLINE_OIDC_CLIENT_ID with its secret. Correct them."
        )
    if status == 429 or status >= 500:
        return Unavailable("The identity provider cannot answer now. Try again in a moment.")
    if status == 404:
        return SettingInvalid("SYNCLINE_OIDC_ISSUER names no provider of OpenID Connect. Correct it.")
    return SignInNeeded("The identity provider did not accept this sign-in. Start again.")


def _require_safe(url: str, issuer: str) -> None:
    """Refuse an address where others could read along; a provider on this machine may be asked plainly."""
    parts = urlsplit(url)
    here = parts.hostname in _LOOPBACK and urlsplit(issuer).hostname in _LOOPBACK
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise SettingInvalid("SYNCLINE_OIDC_ISSUER and the provider's addresses must begin with https://.")
