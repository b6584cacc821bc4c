"""What holds for every answer over HTTP: what a browser may do with it, and who may send us forms.

Knows no page and no session.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing from elsewhere, nothing written into a page, in nobody's frame.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{what} {whence}" for what, whence in _POLICY.items())
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
#: A year, which browsers then insist on https.
_STRICT = "max-age=31536000"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: They prove who calls in a way that a browser does not add of its own accord, or by a signature.
_DOORS_OF_PROGRAMS = ("/api/", "/functions/", "/webhooks/")


class Guard:
    """Sets the security headers, and turns away forms that another site made a browser send."""

    def __init__(self, app: ASGIApp, *, strict: bool) -> None:
        self._app = app
        #: True where this installation is reached by https.
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._strict:
                    headers.setdefault("strict-transport-security", _STRICT)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if _comes_from_elsewhere(scope):
            refusal = PlainTextResponse("This form was sent by another site.\n", status_code=403)
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def _comes_from_elsewhere(scope: Scope) -> bool:
    """Tell whether a browser says that another site made it send this."""
    if scope["method"] in _SAFE or scope["path"].startswith(_DOORS_OF_PROGRAMS):
        return False
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
