"""Who makes a request to the API, and what they need to be allowed for it: declared beside each route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, Request

from syncline.actions.access import identify_key, identify_session
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.limits import count_request
from syncline.domain.callers import Caller, Permission
from syncline.errors import Forbidden, SignInNeeded

#: The cookie of somebody who signed in; over https with the prefix that ties it to this host.
SESSION_COOKIES = ("__Host-syncline", "syncline")
#: How often a stream looks whether whoever listens still may.
PROVE_EVERY_SECONDS = 30.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the installation as its tenant sees it, and who asks."""

    hub: Hub
    caller: Caller

    @property
    def by(self) -> Editor:
        """Return the caller as the change log names them."""
        return Editor(self.caller.name, self.caller.source)


def needs(permission: Permission) -> Any:
    """Return the dependency of a route that may be called with a permission; its value is the `Call`.

    An API key comes as `Authorization: Bearer …`, a session as the cookie that signing in set; whatever
    changes something by a session must carry its token as `X-CSRF-Token`.
    Raises `SignInNeeded`, `Forbidden` and `LimitReached`.
    """
    return Depends(_gate(permission))


def _gate(permission: Permission) -> Callable[[Request], Awaitable[Call]]:
    async def gate(request: Request) -> Call:
        call = await identify(request)
        call.caller.require(permission)
        return call

    # A test reads off each route what it asks for.
    gate.permission = permission  # type: ignore[attr-defined]
    return gate


async def identify(request: Request) -> Call:
    """Return who makes a request, asked once for each. Raises `SignInNeeded` and `LimitReached`."""
    known = getattr(request.state, "call", None)
    if isinstance(known, Call):
        return known
    call = await prove(request)
    await count_request(call.hub, call.caller)
    request.state.call = call
    return call


async def prove(request: Request) -> Call:
    """Return who makes a request, without counting it. Raises `SignInNeeded`."""
    hub: Hub = request.app.state.hub
    address = request.client.host if request.client is not None else None
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token:
        tenant_hub, caller = await identify_key(hub, token.strip(), address=address)
        return Call(tenant_hub, caller)
    for name in list_cookies(request):
        if name in request.cookies:
            csrf = None if request.method in _SAFE else request.headers.get("x-csrf-token", "")
            session = await identify_session(
                hub, request.cookies[name], address=address, csrf=csrf, source="api"
            )
            return Call(session.hub, session.caller)
    raise SignInNeeded


async def prove_again(request: Request, call: Call, permission: Permission) -> None:
    """Return if whoever opened a stream may go on listening: in the same tenant, with the same role, for
    the same owners.

    Raises `SignInNeeded` and `Forbidden`.
    """
    now = await prove(request)
    now.caller.require(permission)
    if not now.caller.sees_as(call.caller):
        raise Forbidden("Your role or tenant has changed since. Open the stream again.")


def list_cookies(request: Request) -> tuple[str, ...]:
    """Return what a session's cookie may be called: over https only by a name that no other host can set."""
    return SESSION_COOKIES[:1] if is_secure(request) else SESSION_COOKIES


def is_secure(request: Request) -> bool:
    """Tell whether the browser speaks https, also with a proxy that ends it and is not trusted to say so."""
    if request.url.scheme == "https":
        return True
    public = urlsplit(request.app.state.hub.settings.public_url or "")
    return public.scheme == "https" and request.headers.get("host") == public.netloc
