"""The people of a tenant and invitations, over the API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from syncline.actions import people
from syncline.actions.password_links import reset_person
from syncline.actions.people import PersonChange
from syncline.api.calls import Call, needs
from syncline.api.shapes import Given, Shape
from syncline.domain.callers import Role
from syncline.store.memberships import Person

router = APIRouter(prefix="/api/v1/people", tags=["people"])
_MANAGES: Call = needs("people:manage")

_EXAMPLE: dict[str, Any] = {
    "id": "01a1ff1c-9969-7718-b2f2-dafaf958e8de",
    "email": "ada@example.com",
    "full_name": "Ada Example",
    "phone": None,
    "slack_user_id": None,
    "role": "manager",
    "is_active": True,
    "owner_id": None,
    "max_active_leads": 20,
    "notify_email": True,
    "notify_slack": True,
    "notify_sms": False,
    "has_password": True,
    "created_at": "2026-11-01T09:00:00Z",
    "updated_at": "2026-11-01T09:00:00Z",
    "last_login_at": None,
}


class PersonOut(Shape):
    """Somebody of the tenant."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    email: str
    full_name: str
    phone: str | None
    slack_user_id: str | None
    role: Role
    is_active: bool
    owner_id: UUID | None = Field(
        description="The owner whose records are theirs, beside those of owners with the same address."
    )
    max_active_leads: int
    notify_email: bool
    notify_slack: bool
    notify_sms: bool
    has_password: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, person: Person) -> PersonOut:
        return cls(**asdict(person))


class PeopleOut(Shape):
    """Everybody of the tenant, by name."""

    items: list[PersonOut]


@router.get("")
async def list_people(call: Call = _MANAGES) -> PeopleOut:
    """List everybody of the tenant, also those who are switched off."""
    found = await people.list_people(call.hub, call.caller)
    return PeopleOut(items=[PersonOut.of(each) for each in found])


@router.get("/{person_id}")
async def get_person(person_id: UUID, call: Call = _MANAGES) -> PersonOut:
    """Return somebody of the tenant."""
    return PersonOut.of(await people.get_person(call.hub, call.caller, person_id))


class PersonIn(Given):
    """What to change about somebody; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "manager"}]})

    role: str = "rep"
    is_active: bool = True
    owner_id: UUID | None = None
    max_active_leads: int = 20
    notify_email: bool = True
    notify_slack: bool = True
    notify_sms: bool = False


@router.patch("/{person_id}")
async def change_person(person_id: UUID, body: PersonIn, call: Call = _MANAGES) -> PersonOut:
    """Change somebody's role, whether they may come in, and what is theirs. It holds at once.

    The only admin of a tenant stays one.
    """
    change = PersonChange(**body.model_dump(exclude_unset=True))
    return PersonOut.of(await people.change_person(call.hub, call.caller, person_id, change))


class ResetOut(Shape):
    """What became of a link for a new password."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mailed": True, "link": None}]})

    mailed: bool
    link: str | None = Field(description="To be handed on, where no mail can be sent. Shown once.")


@router.post("/{person_id}/password-reset", status_code=201)
async def reset_password(
    person_id: UUID, request: Request, response: Response, call: Call = _MANAGES
) -> ResetOut:
    """Send somebody a link by which they set a new password."""
    response.headers["cache-control"] = "no-store"
    sent = await reset_person(call.hub, call.caller, person_id, base_url=str(request.base_url))
    return ResetOut(mailed=sent.mailed, link=sent.link)
