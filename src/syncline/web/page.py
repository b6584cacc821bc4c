"""One page as a handler sees it: who asks, what they sent, and how the answer is made.

A handler takes `page: Page = visits("syncs:read")`, asks an action, and returns `page.render(...)` or
`page.go(...)`. See docs/web.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment

from syncline.actions.access import Session, identify_session
from syncline.actions.editing import Editor
from syncline.actions.glance import Glance, Glances
from syncline.actions.hub import Hub
from syncline.api.audited import audit
from syncline.api.calls import Call
from syncline.api.cookies import find_session_token, is_secure
from syncline.clock import now
from syncline.domain.callers import Caller, Permission
from syncline.errors import Forbidden, SignInNeeded, Unavailable
from syncline.web.assets import Assets
from syncline.web.csrf import mask, unmask
from syncline.web.flash import Flash, Tone, forget_flash, put_flash, take_flash
from syncline.web.forms import TOKEN, Form, read_form
from syncline.web.nav import list_groups
from syncline.web.show import Place, choose_locale

THEME_COOKIE = "theme"
_SAFE = frozenset({"GET", "HEAD"})
#: A person waits: a database that is gone is said to be so before they have gone as well.
_PATIENCE_SECONDS = 8.0


class Endable(Protocol):
    """Something that goes on until it is ended."""

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages of one application share."""

    hub: Hub
    environment: Environment
    assets: Assets
    #: Paths that are served; the navigation shows no other.
    served: set[str] = field(default_factory=set[str])
    glances: Glances = field(default_factory=Glances)
    #: What is being streamed to open pages.
    streams: set[Endable] = field(default_factory=set["Endable"])


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, by anybody."""

    request: Request
    site: Site
    form: Form

    @property
    def hub(self) -> Hub:
        """Return the installation; of a `Page`, as the tenant of whoever asks sees it."""
        return self.site.hub

    @property
    def address(self) -> str | None:
        return self.request.client.host if self.request.client is not None else None

    @property
    def is_part(self) -> bool:
        """True when only a part of a page is asked for, by htmx."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def theme(self) -> str:
        """Return light, dark, or "" for what the reader's system has."""
        chosen = self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in {"light", "dark"} else ""

    def context(self) -> dict[str, Any]:
        """Return what every template may use."""
        return {
            "request": self.request,
            "site": self.site,
            "theme": self.theme,
            "now": now(),
            "path": self.request.url.path,
            "flash": take_flash(self.request),
            "place": Place("UTC", "USD", choose_locale(self.request.headers.get("accept-language"))),
            "token_field": "",
            "help": "",
            "page": self,
        }

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page, or a part of one."""
        whole = {**self.context(), **context}
        text = self.site.environment.get_template(template).render(whole)
        response = HTMLResponse(text, status_code=status)
        if whole["flash"] is not None and not self.is_part:
            forget_flash(response)
        return response

    def go(self, url: str, flash: str | None = None, tone: Tone = "ok") -> Response:
        """Send the reader on to a page of ours after something was done, with a word about it."""
        response = RedirectResponse(url, status_code=303)
        if flash:
            put_flash(response, Flash(flash, tone), secure=is_secure(self.request))
        return response


@dataclass(frozen=True, slots=True)
class Page(Visit):
    """One request of somebody who signed in."""

    session: Session
    glance: Glance

    @property
    def hub(self) -> Hub:
        return self.session.hub

    @property
    def caller(self) -> Caller:
        return self.session.caller

    @property
    def by(self) -> Editor:
        """Return the reader as the change log names them."""
        return Editor(self.caller.name, self.caller.source)

    @property
    def place(self) -> Place:
        locale = choose_locale(self.request.headers.get("accept-language"))
        return Place(self.glance.time_zone, self.glance.currency, locale)

    def may(self, permission: Permission) -> bool:
        return self.caller.may(permission)

    def context(self) -> dict[str, Any]:
        return {
            # Not by super(): a dataclass with slots is a class made anew.
            **Visit.context(self),
            "place": self.place,
            "session": self.session,
            "caller": self.caller,
            "may": self.caller.may,
            "nav": list_groups(self.caller, self.site.served),
            "glance": self.glance,
            "token_field": mask(self.session.csrf_token),
        }

    async def audit(self, action: str, subject: str | None = None, **details: Any) -> None:
        """Write down what was just done, where the action itself does not."""
        await audit(Call(self.hub, self.caller), action, subject, **details)

    def changed(self) -> None:
        """Say that something was changed that every page counts."""
        self.site.glances.forget(self.hub.tenant_id)

    def go(self, url: str, flash: str | None = None, tone: Tone = "ok") -> Response:
        if self.request.method not in _SAFE:
            self.changed()
        return Visit.go(self, url, flash, tone)


def site_of(request: Request) -> Site:
    return request.app.state.site


def visits(permission: Permission) -> Any:
    """Return the dependency of a page that may be seen with a permission; its value is the `Page`.

    Whatever changes something must carry the session's token, as the field or the header that templates set.
    Raises `SignInNeeded`, on which the reader is sent to sign in, and `Forbidden`.
    """

    async def gate(request: Request) -> Page:
        page = await _identify(request)
        page.caller.require(permission)
        return page

    return Depends(_named(gate, permission))


def visits_anyone_signed_in() -> Any:
    """Return the dependency of a page for whoever signed in, whatever their role."""
    return Depends(_named(_identify, None))


def visits_anybody() -> Any:
    """Return the dependency of a page that needs no signing in; its value is a `Visit`."""

    async def gate(request: Request) -> Visit:
        return Visit(request, site_of(request), await _read(request))

    return Depends(_named(gate, None))


def _named(
    gate: Callable[[Request], Awaitable[Visit]], permission: Permission | None
) -> Callable[[Request], Awaitable[Visit]]:
    # A test reads off each route what it asks for.
    gate.permission = permission  # type: ignore[attr-defined]
    return gate


async def _identify(request: Request) -> Page:
    site, form = site_of(request), await _read(request)
    token = find_session_token(request)
    if token is None:
        raise SignInNeeded
    sent = request.headers.get("x-csrf-token") or form.secret(TOKEN)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            session = await identify_session(
                site.hub,
                token,
                address=request.client.host if request.client is not None else None,
                csrf=None if request.method in _SAFE else unmask(sent),
                source="web",
            )
            glance = await site.glances.read(session.hub)
    except TimeoutError:
        raise Unavailable("The database does not answer.") from None
    return Page(request, site, form, session, glance)


async def find_page(request: Request) -> Page | None:
    """Return whoever is signed in, None for anybody else: for pages that are for both. Only for reading."""
    if find_session_token(request) is None:
        return None
    try:
        return await _identify(request)
    except (SignInNeeded, Forbidden):
        return None


async def _read(request: Request) -> Form:
    return Form() if request.method in _SAFE else read_form(await request.form())


def next_place(text: str | None) -> str:
    """Return where to go after signing in: a path of ours, and nobody else's."""
    # Browsers pass over tabs and line ends in an address, and take \ for /.
    if (
        not text
        or not text.startswith("/")
        or text.startswith("//")
        or "\\" in text
        or not text.isprintable()
    ):
        return "/"
    return text


def sign_in_url(request: Request) -> str:
    """Return where one signs in and comes back from."""
    if request.method not in _SAFE or request.url.path == "/":
        return "/sign-in"
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/sign-in?next={quote(wanted, safe='/')}"
