"""Coming in and going out: signing in, new passwords, invitations, choosing a tenant, and one's looks."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from starlette.background import BackgroundTask

from syncline.actions.access import sign_in, sign_out, switch_tenant
from syncline.actions.invitations import accept_as, accept_invitation, look_at_invitation
from syncline.actions.password_links import ask_for_reset, look_at_link, send_reset, use_link
from syncline.api.cookies import drop_session, find_session_token, is_secure, set_session
from syncline.api.problems import status_of
from syncline.errors import CallerMistake, NotFound, SignInNeeded
from syncline.web.forms import Form
from syncline.web.page import (
    THEME_COOKIE,
    Page,
    Visit,
    find_page,
    next_place,
    visits_anybody,
    visits_anyone_signed_in,
)

router = APIRouter(include_in_schema=False)

_YEAR_SECONDS = 31_536_000


@router.get("/sign-in")
async def show_sign_in(visit: Visit = visits_anybody()) -> Response:
    if await find_page(visit.request) is not None:
        return RedirectResponse(next_place(visit.request.query_params.get("next")), status_code=303)
    return _sign_in_page(visit, Form(), visit.request.query_params.get("next"))


@router.post("/sign-in")
async def do_sign_in(visit: Visit = visits_anybody()) -> Response:
    form = visit.form
    try:
        token = await sign_in(
            visit.hub,
            form.text("email"),
            form.secret("password"),
            address=visit.address,
            user_agent=visit.request.headers.get("user-agent"),
        )
    except CallerMistake as error:
        form.blame(error)
        return _sign_in_page(visit, form, form.text("next"), status=status_of(error))
    wanted = next_place(form.text("next"))
    return _come_in(visit, RedirectResponse(wanted if wanted != "/" else "/welcome", status_code=303), token)


def _sign_in_page(visit: Visit, form: Form, wanted: str | None, *, status: int = 200) -> Response:
    return visit.render(
        "sign_in.html",
        status=status,
        form=form,
        next=next_place(wanted),
        oidc=visit.hub.settings.oidc_issuer is not None,
        help="people",
    )


def _come_in(visit: Visit, response: Response, token: str) -> Response:
    set_session(response, visit.request, token)
    return response


@router.get("/welcome")
async def welcome(page: Page = visits_anyone_signed_in()) -> Response:
    """Send on whoever works in one tenant; let others say in which."""
    if len(page.session.tenants) < 2:
        return RedirectResponse("/", status_code=303)
    return page.render("tenants.html", help="people")


@router.post("/tenant")
async def choose_tenant(page: Page = visits_anyone_signed_in()) -> Response:
    token = find_session_token(page.request) or ""
    session = await switch_tenant(page.site.hub, token, page.form.text("tenant"), address=page.address)
    return page.go(next_place(page.form.text("next")), f"You are now in {session.hub.tenant.label}.", "note")


@router.post("/sign-out")
async def do_sign_out(page: Page = visits_anyone_signed_in()) -> Response:
    await sign_out(page.site.hub, find_session_token(page.request) or "", address=page.address)
    response = page.go("/sign-in", "You are signed out.", "note")
    drop_session(response, page.request)
    response.headers["clear-site-data"] = '"cache"'
    return response


@router.post("/theme")
async def choose_theme(page: Page = visits_anyone_signed_in()) -> Response:
    chosen = page.form.text("theme")
    response = RedirectResponse(next_place(page.form.text("next")), status_code=303)
    if chosen in {"light", "dark"}:
        response.set_cookie(
            THEME_COOKIE,
            chosen,
            max_age=_YEAR_SECONDS,
            path="/",
            samesite="lax",
            secure=is_secure(page.request),
        )
    else:
        response.delete_cookie(THEME_COOKIE, path="/")
    return response


@router.get("/forgot-password")
async def show_forgot(visit: Visit = visits_anybody()) -> Response:
    return visit.render("forgot_password.html", form=Form(), sent=False, help="people")


@router.post("/forgot-password")
async def do_forgot(visit: Visit = visits_anybody()) -> Response:
    form, email = visit.form, visit.form.text("email")
    try:
        await ask_for_reset(visit.hub, email, address=visit.address)
    except CallerMistake as error:
        form.blame(error)
        return visit.render(
            "forgot_password.html", status=status_of(error), form=form, sent=False, help="people"
        )
    response = visit.render("forgot_password.html", form=form, sent=True, help="people")
    # Behind the answer: how long it takes would tell whether somebody has the address.
    response.background = BackgroundTask(send_reset, visit.hub, email, address=visit.address)
    return response


@router.get("/password/{token}")
async def show_password(token: str, visit: Visit = visits_anybody()) -> Response:
    email = await look_at_link(visit.hub, token)
    return visit.render("new_password.html", form=Form(), email=email, help="people")


@router.post("/password/{token}")
async def do_password(token: str, visit: Visit = visits_anybody()) -> Response:
    form = visit.form
    email = await look_at_link(visit.hub, token)
    try:
        await use_link(visit.hub, token, form.secret("password"), address=visit.address)
    except NotFound:
        raise
    except CallerMistake as error:
        form.blame(error)
        return visit.render(
            "new_password.html", status=status_of(error), form=form, email=email, help="people"
        )
    return visit.go("/sign-in", "Your password is set. Sign in with it.")


@router.get("/invitation/{token}")
async def show_invitation(token: str, visit: Visit = visits_anybody()) -> Response:
    return await _invitation_page(visit, Form(), token)


async def _invitation_page(visit: Visit, form: Form, token: str, *, status: int = 200) -> Response:
    offer = await look_at_invitation(visit.hub, token)
    page = await find_page(visit.request)
    mine = page is not None and page.session.user.email.lower() == offer.email.lower()
    shown = page if page is not None else visit
    return shown.render(
        "invitation.html", status=status, form=form, offer=offer, mine=mine, link=token, help="people"
    )


@router.post("/invitation/{token}")
async def do_accept(token: str, visit: Visit = visits_anybody()) -> Response:
    form = visit.form
    try:
        session = await accept_invitation(
            visit.hub,
            token,
            full_name=form.text("full_name"),
            password=form.secret("password"),
            address=visit.address,
            user_agent=visit.request.headers.get("user-agent"),
        )
    except (NotFound, SignInNeeded):
        raise
    except CallerMistake as error:
        form.blame(error)
        return await _invitation_page(visit, form, token, status=status_of(error))
    return _come_in(visit, visit.go("/", "Welcome to Syncline."), session)


@router.post("/invitation/{token}/join")
async def do_join(token: str, page: Page = visits_anyone_signed_in()) -> Response:
    """Accept as somebody who is signed in with the address that was invited."""
    tenant = await accept_as(page.site.hub, page.session, token)
    await switch_tenant(
        page.site.hub, find_session_token(page.request) or "", tenant.tenant_id, address=page.address
    )
    return page.go("/", f"You are now in {tenant.label}.")
