"""The way to an identity provider and back, for browsers: no part of the API that programs call."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from syncline.actions.hub import Hub
from syncline.actions.single_sign_on import CALLBACK_PATH, LASTS, arrive, depart, is_offered
from syncline.api.cookies import is_secure, set_session
from syncline.api.session import address_of
from syncline.errors import Forbidden, NotFound, SignInNeeded

router = APIRouter(include_in_schema=False)

#: Where a page's link leads to that signs in by the provider.
DEPARTURE_PATH = "/oidc/sign-in"
_COOKIE = "syncline_oidc"


@router.get(DEPARTURE_PATH)
async def leave(request: Request) -> RedirectResponse:
    """Send a browser to the provider."""
    hub: Hub = request.app.state.hub
    if not is_offered(hub.settings):
        raise NotFound("No identity provider is set here.")
    departure = await depart(hub, request.query_params.get("next", "/"))
    response = RedirectResponse(departure.url, 303, headers={"cache-control": "no-store"})
    # Lax, for the provider sends the browser back from its own site.
    response.set_cookie(
        _COOKIE,
        departure.sealed,
        max_age=int(LASTS.total_seconds()),
        path=CALLBACK_PATH,
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(CALLBACK_PATH)
async def come_back(request: Request) -> RedirectResponse:
    """Take a browser that the provider sent back, sign its holder in and show them the first page."""
    hub: Hub = request.app.state.hub
    if not is_offered(hub.settings):
        raise NotFound("No identity provider is set here.")
    query = request.query_params
    if "error" in query:
        raise Forbidden("The identity provider did not let you in. Start again.")
    try:
        arrival = await arrive(
            hub,
            sealed=request.cookies.get(_COOKIE),
            code=query.get("code"),
            state=query.get("state"),
            issuer=query.get("iss"),
            address=address_of(request),
            user_agent=request.headers.get("user-agent"),
        )
    except SignInNeeded as error:
        # Which would lead to the page for signing in, without a word on why.
        raise Forbidden(str(error)) from error
    response = RedirectResponse(arrival.wanted, 303, headers={"cache-control": "no-store"})
    response.delete_cookie(_COOKIE, path=CALLBACK_PATH)
    set_session(response, request, arrival.token)
    return response
