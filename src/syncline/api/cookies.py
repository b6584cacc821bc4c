"""The cookie of somebody who signed in: set, found and taken back, by API and pages alike."""

from __future__ import annotations

from fastapi import Request, Response

from syncline.actions.access import LONGEST
from syncline.api.calls import SESSION_COOKIES, is_secure, list_cookies

_TIED, _PLAIN = SESSION_COOKIES


def set_session(response: Response, request: Request, token: str) -> None:
    """Hand a session's token to the browser: out of scripts' reach, and for this host alone over https.

    The browser may keep it as long as a session lasts at most; whether it does last is decided here.
    """
    secure = is_secure(request)
    response.set_cookie(
        _TIED if secure else _PLAIN,
        token,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def drop_session(response: Response, request: Request) -> None:
    """Have the browser forget the token."""
    response.delete_cookie(_PLAIN, path="/", httponly=True, samesite="lax")
    if is_secure(request):
        response.delete_cookie(_TIED, path="/", secure=True, httponly=True, samesite="lax")


def find_session_token(request: Request) -> str | None:
    """Return the session's token that a request brings."""
    return next((request.cookies[name] for name in list_cookies(request) if name in request.cookies), None)
