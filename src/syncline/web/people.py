"""People of a tenant: inviting them, their roles and what they are told; and one's own account."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.invitations import invite, list_invitations, resend_invitation, revoke_invitation
from syncline.actions.password_links import reset_person
from syncline.actions.people import PersonChange, change_person, get_person, list_people
from syncline.actions.profile import ProfileChange, change_password, change_profile
from syncline.api.cookies import find_session_token
from syncline.clock import now
from syncline.domain.callers import ROLES
from syncline.errors import CallerMistake, SignInNeeded
from syncline.store.memberships import Person
from syncline.web.forms import Form
from syncline.web.page import Page, visits, visits_anyone_signed_in

router = APIRouter(include_in_schema=False)

_ROLE_WORDS = {
    "rep": "Rep: works on own and unassigned records",
    "manager": "Manager: all of the tenant, conflicts, undo, audit",
    "admin": "Admin: connections, people and settings as well",
}
_ROLES = [(each, _ROLE_WORDS[each]) for each in ROLES]


@router.get("/settings/people")
async def show_people(page: Page = visits("people:manage")) -> Response:
    return await _people_page(page, Form())


async def _people_page(
    page: Page, form: Form, *, link: str = "", whose: str = "", status: int = 200
) -> Response:
    at = now()
    invitations = await list_invitations(page.hub, page.caller)
    return page.render(
        "settings_people.html",
        status=status,
        form=form,
        people=await list_people(page.hub, page.caller),
        invitations=[each for each in invitations if each.is_open(at)],
        link=link,
        whose=whose,
        roles=_ROLES,
        help="people",
    )


def _base(page: Page) -> str:
    return page.site.hub.settings.public_url or str(page.request.base_url).rstrip("/")


@router.post("/settings/people/invite")
async def do_invite(page: Page = visits("people:manage")) -> Response:
    form = page.form
    try:
        made = await invite(
            page.hub, page.caller, form.text("email"), form.text("role", "rep"), base_url=_base(page)
        )
    except CallerMistake as error:
        form.blame(error)
        if "" in form.errors:
            form.errors["email"] = form.errors.pop("")
        return await _people_page(page, form, status=422)
    if made.link is not None:
        return await _people_page(page, Form(), link=made.link, whose=made.invitation.email)
    return page.go("/settings/people", f"{made.invitation.email} is invited by mail.")


@router.post("/settings/invitations/{invitation_id}/resend")
async def resend(invitation_id: UUID, page: Page = visits("people:manage")) -> Response:
    made = await resend_invitation(page.hub, page.caller, invitation_id, base_url=_base(page))
    if made.link is not None:
        return await _people_page(page, Form(), link=made.link, whose=made.invitation.email)
    return page.go("/settings/people", f"The invitation was mailed to {made.invitation.email} again.")


@router.post("/settings/invitations/{invitation_id}/revoke")
async def revoke(invitation_id: UUID, page: Page = visits("people:manage")) -> Response:
    await revoke_invitation(page.hub, page.caller, invitation_id)
    return page.go("/settings/people", "The invitation is of no more use.")


@router.get("/settings/people/{user_id}")
async def show_person(user_id: UUID, page: Page = visits("people:manage")) -> Response:
    person = await get_person(page.hub, page.caller, user_id)
    return _person_page(page, person, Form())


def _person_page(page: Page, person: Person, form: Form, *, link: str = "", status: int = 200) -> Response:
    return page.render(
        "settings_person.html",
        status=status,
        form=form,
        person=person,
        link=link,
        roles=_ROLES,
        help="people",
    )


@router.post("/settings/people/{user_id}")
async def do_change(user_id: UUID, page: Page = visits("people:manage")) -> Response:
    form = page.form
    person = await get_person(page.hub, page.caller, user_id)
    try:
        change = PersonChange(
            role=form.text("role"),
            is_active=form.has("is_active"),
            max_active_leads=form.integer("max_active_leads") or 0,
            notify_email=form.has("notify_email"),
            notify_slack=form.has("notify_slack"),
            notify_sms=form.has("notify_sms"),
        )
        person = await change_person(page.hub, page.caller, user_id, change)
    except CallerMistake as error:
        form.blame(error)
        return _person_page(page, person, form, status=422)
    return page.go("/settings/people", f"{person.full_name} was changed.")


@router.post("/settings/people/{user_id}/reset")
async def do_reset(user_id: UUID, page: Page = visits("people:manage")) -> Response:
    """Send a link for a new password, or show it where no mail can be sent."""
    sent = await reset_person(page.hub, page.caller, user_id, base_url=_base(page))
    if sent.mailed:
        return page.go(f"/settings/people/{user_id}", "A link for a new password is mailed.")
    person = await get_person(page.hub, page.caller, user_id)
    return _person_page(page, person, Form(), link=sent.link or "")


@router.get("/account")
async def show_account(page: Page = visits_anyone_signed_in()) -> Response:
    return await _account_page(page, Form(), Form())


async def _account_page(page: Page, profile: Form, password: Form, *, status: int = 200) -> Response:
    user_id = page.caller.user_id
    if user_id is None:
        raise SignInNeeded
    return page.render(
        "account.html",
        status=status,
        person=await get_person(page.hub, page.caller, user_id),
        profile=profile,
        password=password,
        help="people",
    )


@router.post("/account")
async def do_change_profile(page: Page = visits_anyone_signed_in()) -> Response:
    form = page.form
    try:
        await change_profile(
            page.hub,
            page.caller,
            ProfileChange(
                full_name=form.text("full_name"),
                phone=form.optional("phone"),
                slack_user_id=form.optional("slack_user_id"),
                notify_email=form.has("notify_email"),
                notify_slack=form.has("notify_slack"),
                notify_sms=form.has("notify_sms"),
            ),
        )
    except CallerMistake as error:
        form.blame(error)
        return await _account_page(page, form, Form(), status=422)
    return page.go("/account", "Saved.")


@router.post("/account/password")
async def do_change_password(page: Page = visits_anyone_signed_in()) -> Response:
    form = page.form
    try:
        await change_password(
            page.site.hub,
            find_session_token(page.request) or "",
            form.secret("current_password"),
            form.secret("new_password"),
            address=page.address,
        )
    except CallerMistake as error:
        form.blame(error)
        return await _account_page(page, Form(), form, status=422)
    return page.go("/account", "Your password is changed. Every other session of yours has ended.")
