"""Signing in and out over the API, and who one is then; passwords lost and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Request, Response
from pydantic import ConfigDict, Field, SecretStr

from syncline.actions import access, password_links, profile
from syncline.actions.access import Session, identify_session
from syncline.actions.hub import Hub
from syncline.actions.people import get_person
from syncline.actions.profile import ProfileChange
from syncline.api.calls import Call, identify
from syncline.api.cookies import drop_session, find_session_token, set_session
from syncline.api.people import PersonOut
from syncline.api.shapes import Given, Shape
from syncline.domain.callers import PERMISSIONS, Caller, Role
from syncline.errors import SignInNeeded
from syncline.store.tenants import Tenant

router = APIRouter(prefix="/api/v1", tags=["session"])


def address_of(request: Request) -> str | None:
    """Return where a request came from, as far as it is known."""
    return request.client.host if request.client is not None else None


class SignIn(Given):
    """Who wants to sign in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.com", "password": "four words of your own"}]}
    )

    email: str = Field(max_length=1000)
    password: SecretStr = Field(max_length=4000)


class TenantOut(Shape):
    """A tenant, as somebody in it sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "00000000-0000-7000-8000-000000000001",
                    "slug": "default",
                    "label": "Acme",
                    "status": "active",
                    "time_zone": "UTC",
                }
            ]
        }
    )

    id: UUID
    slug: str
    label: str
    status: str
    time_zone: str

    @classmethod
    def of(cls, tenant: Tenant) -> TenantOut:
        return cls(
            id=tenant.tenant_id,
            slug=tenant.slug,
            label=tenant.label,
            status=tenant.status,
            time_zone=tenant.time_zone,
        )


class PlaceOut(Shape):
    """A tenant that one may switch to, and what one is there."""

    tenant: TenantOut
    role: Role


class Me(Shape):
    """Whoever asks, in the tenant that they look at."""

    #: An e-mail address, or 'key:' and an API key's name.
    name: str
    full_name: str | None = Field(description="None for an API key.")
    user_id: UUID | None
    role: Role
    permissions: list[str]
    is_operator: bool
    tenant: TenantOut
    tenants: list[PlaceOut]
    csrf_token: str | None = Field(
        description="What a request by session that changes something carries as X-CSRF-Token."
    )


@router.post("/session", status_code=201)
async def sign_in(request: Request, response: Response, body: SignIn) -> Me:
    """Sign in by e-mail address and password. The session is in the cookie that the answer sets."""
    hub: Hub = request.app.state.hub
    token = await access.sign_in(
        hub,
        body.email,
        body.password.get_secret_value(),
        address=address_of(request),
        user_agent=request.headers.get("user-agent"),
        source="api",
    )
    return await begin(request, response, token)


async def begin(request: Request, response: Response, token: str) -> Me:
    """Answer with a session that just began."""
    hub: Hub = request.app.state.hub
    session = await identify_session(hub, token, address=address_of(request), csrf=None, source="api")
    set_session(response, request, token)
    keep_nowhere(response)
    return _of_session(session)


def keep_nowhere(response: Response) -> None:
    """Have nobody keep an answer that holds what opens something."""
    response.headers["cache-control"] = "no-store"


@router.delete("/session", status_code=204)
async def sign_out(request: Request, response: Response) -> None:
    """End the session. One that has ended already stays so."""
    token = find_session_token(request)
    drop_session(response, request)
    if token is None:
        return
    try:
        session = await _session(request, token)
    except SignInNeeded:
        return
    await access.sign_out(session.hub, token, address=address_of(request), source="api")


class Switch(Given):
    """Which tenant to look at."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tenant": "default"}]})

    tenant: str = Field(description="Its id or its slug.", max_length=100)


@router.post("/session/tenant")
async def switch_tenant(request: Request, body: Switch) -> Me:
    """Look at another of one's tenants from now on, in this session."""
    token = find_session_token(request)
    session = await _session(request, token)
    switched = await access.switch_tenant(
        session.hub, token or "", body.tenant, address=address_of(request), source="api"
    )
    return _of_session(switched)


@router.get("/me")
async def show_me(request: Request) -> Me:
    """Say who asks: by session or by API key."""
    token = find_session_token(request)
    if token is not None and "authorization" not in request.headers:
        return _of_session(await _session(request, token))
    call: Call = await identify(request)
    return _me(call.caller, call.hub.tenant, None, [], None)


class ProfileIn(Given):
    """What one changes about oneself; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"full_name": "Ada Example", "phone": "+1 555 0100"}]}
    )

    full_name: str | None = None
    phone: str | None = None
    slack_user_id: str | None = None
    notify_email: bool | None = None
    notify_slack: bool | None = None
    notify_sms: bool | None = None


@router.get("/me/profile")
async def show_profile(request: Request) -> PersonOut:
    """Return oneself with phone number and what one is told. For people, not for API keys."""
    session = await _session(request, find_session_token(request))
    return PersonOut.of(await get_person(session.hub, session.caller, session.user.id))


@router.patch("/me/profile")
async def change_profile(request: Request, body: ProfileIn) -> PersonOut:
    """Change one's name, numbers and what one is told. For people, not for API keys."""
    session = await _session(request, find_session_token(request))
    empty = {"phone", "slack_user_id"}
    given: dict[str, Any] = {
        name: value
        for name, value in body.model_dump(exclude_unset=True).items()
        if value is not None or name in empty
    }
    change = ProfileChange(**given)
    return PersonOut.of(await profile.change_profile(session.hub, session.caller, change))


class PasswordChange(Given):
    """The password, and the one that takes its place."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "four words of your own", "new_password": "four other words"}]
        }
    )

    current_password: SecretStr = Field(max_length=4000)
    new_password: SecretStr = Field(max_length=4000)


@router.post("/me/password", status_code=204)
async def change_password(request: Request, body: PasswordChange) -> None:
    """Change one's password. Every other session of one's own ends."""
    token = find_session_token(request)
    session = await _session(request, token)
    await profile.change_password(
        session.hub,
        token or "",
        body.current_password.get_secret_value(),
        body.new_password.get_secret_value(),
        address=address_of(request),
        source="api",
    )


class ResetWish(Given):
    """Whose password was lost."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.com"}]})

    email: str = Field(max_length=1000)


@router.post("/password-resets", status_code=202)
async def ask_for_reset(request: Request, body: ResetWish, later: BackgroundTasks) -> None:
    """Ask for a link that sets a new password. The answer is the same whether somebody has the address."""
    hub: Hub = request.app.state.hub
    address = address_of(request)
    await password_links.ask_for_reset(hub, body.email, address=address)
    later.add_task(password_links.send_reset, hub, body.email, address=address, source="api")


class NewPassword(Given):
    """A link's token and the new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "what follows /password/ in the link",
                    "password": "four words of your own",
                }
            ]
        }
    )

    token: SecretStr = Field(max_length=200)
    password: SecretStr = Field(max_length=4000)


@router.post("/password-resets/use", status_code=204)
async def use_link(request: Request, body: NewPassword) -> None:
    """Set a new password by a link's token, once. Every session of the account ends."""
    await password_links.use_link(
        request.app.state.hub,
        body.token.get_secret_value(),
        body.password.get_secret_value(),
        address=address_of(request),
        source="api",
    )


async def _session(request: Request, token: str | None) -> Session:
    if token is None:
        raise SignInNeeded
    csrf = None if request.method == "GET" else request.headers.get("x-csrf-token", "")
    hub: Hub = request.app.state.hub
    return await identify_session(hub, token, address=address_of(request), csrf=csrf, source="api")


def _of_session(session: Session) -> Me:
    places = [PlaceOut(tenant=TenantOut.of(each.tenant), role=each.role) for each in session.tenants]
    return _me(session.caller, session.hub.tenant, session.user.name, places, session.csrf_token)


def _me(
    caller: Caller,
    tenant: Tenant,
    full_name: str | None,
    places: Sequence[PlaceOut],
    csrf: str | None,
) -> Me:
    return Me(
        name=caller.name,
        full_name=full_name,
        user_id=caller.user_id,
        role=caller.role,
        permissions=[each for each in PERMISSIONS if caller.may(each)],
        is_operator=caller.is_operator,
        tenant=TenantOut.of(tenant),
        tenants=list(places) or [PlaceOut(tenant=TenantOut.of(tenant), role=caller.role)],
        csrf_token=csrf,
    )
