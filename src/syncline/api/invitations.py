"""Invitations to a tenant, over the API: made, sent again, taken back, accepted."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, SecretStr

from syncline import clock
from syncline.actions import invitations
from syncline.actions.invitations import Invited
from syncline.api.calls import Call, needs
from syncline.api.session import Me, address_of, begin, keep_nowhere
from syncline.api.shapes import Given, Shape
from syncline.domain.callers import Role
from syncline.store.invitations import Invitation, InvitationState

router = APIRouter(prefix="/api/v1/invitations", tags=["people"])
_MANAGES: Call = needs("people:manage")

_EXAMPLE: dict[str, Any] = {
    "id": "01a1ff1c-9969-7718-b2f2-dafaf958e8de",
    "email": "grace@example.com",
    "role": "rep",
    "status": "open",
    "invited_by": "ada@example.com",
    "created_at": "2026-11-01T09:00:00Z",
    "sent_at": "2026-11-01T09:00:01Z",
    "expires_at": "2026-11-08T09:00:00Z",
}


class InvitationOut(Shape):
    """An invitation; its link is known to whoever it was sent to."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    email: str
    role: Role
    status: InvitationState
    invited_by: str
    created_at: datetime
    sent_at: datetime | None
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> InvitationOut:
        return cls(
            id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            status=invitation.state_at(clock.now()),
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            sent_at=invitation.sent_at,
            expires_at=invitation.expires_at,
        )


class InvitationsOut(Shape):
    """The tenant's invitations, the newest first."""

    items: list[InvitationOut]


class InvitedOut(Shape):
    """An invitation just made or renewed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"invitation": _EXAMPLE, "mailed": True, "link": None}]}
    )

    invitation: InvitationOut
    mailed: bool
    link: str | None = Field(description="To be handed on, where no mail could be sent. Shown once.")

    @classmethod
    def of(cls, invited: Invited) -> InvitedOut:
        return cls(invitation=InvitationOut.of(invited.invitation), mailed=invited.mailed, link=invited.link)


@router.get("")
async def list_invitations(call: Call = _MANAGES) -> InvitationsOut:
    """List the tenant's invitations, also those that no longer hold."""
    found = await invitations.list_invitations(call.hub, call.caller)
    return InvitationsOut(items=[InvitationOut.of(each) for each in found])


class InvitationIn(Given):
    """Whom to invite."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "grace@example.com", "role": "rep"}]})

    email: str = Field(max_length=1000)
    role: str = "rep"


@router.post("", status_code=201)
async def invite(
    request: Request, response: Response, body: InvitationIn, call: Call = _MANAGES
) -> InvitedOut:
    """Invite somebody by mail. The link works for seven days."""
    keep_nowhere(response)
    base = str(request.base_url)
    return InvitedOut.of(
        await invitations.invite(call.hub, call.caller, body.email, body.role, base_url=base)
    )


class Acceptance(Given):
    """An invitation's token, and who accepts it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "what follows /invitation/ in the link",
                    "full_name": "Grace Example",
                    "password": "four words of your own",
                }
            ]
        }
    )

    token: SecretStr = Field(max_length=200)
    full_name: str = Field(default="", max_length=1000)
    password: SecretStr = Field(
        max_length=4000, description="A new one; for somebody with an account, theirs."
    )


@router.post("/accept", status_code=201)
async def accept(request: Request, response: Response, body: Acceptance) -> Me:
    """Accept an invitation and sign in."""
    token = await invitations.accept_invitation(
        request.app.state.hub,
        body.token.get_secret_value(),
        full_name=body.full_name,
        password=body.password.get_secret_value(),
        address=address_of(request),
        user_agent=request.headers.get("user-agent"),
        source="api",
    )
    return await begin(request, response, token)


@router.post("/{invitation_id}/resend")
async def resend(
    invitation_id: UUID, request: Request, response: Response, call: Call = _MANAGES
) -> InvitedOut:
    """Send an invitation again, with a new link. The one before is of no more use."""
    keep_nowhere(response)
    base = str(request.base_url)
    return InvitedOut.of(
        await invitations.resend_invitation(call.hub, call.caller, invitation_id, base_url=base)
    )


@router.delete("/{invitation_id}", status_code=204)
async def revoke(invitation_id: UUID, call: Call = _MANAGES) -> None:
    """Take an invitation back."""
    await invitations.revoke_invitation(call.hub, call.caller, invitation_id)
