"""Who did what, from where, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from syncline.actions import audit
from syncline.api.calls import Call, needs
from syncline.api.shapes import After, Limit, Shape
from syncline.store.audit import AuditFilter, Entry

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
_READS: Call = needs("audit:read")
_Word = Annotated[str | None, Query(max_length=300)]


class EntryOut(Shape):
    """One thing that was done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01a1ff1c-9969-7718-b2f2-dafaf958e8de",
                    "at": "2026-11-01T09:00:00Z",
                    "actor": "ada@example.com",
                    "source": "web",
                    "address": "192.0.2.7",
                    "action": "key.created",
                    "subject": "01a1ff1c-9af9-7308-a71d-e07026d2f8e8",
                    "details": {"name": "reports", "role": "manager", "scopes": None},
                }
            ]
        }
    )

    id: UUID
    at: datetime
    actor: str = Field(description="An e-mail address, 'key:' and a key's name, …")
    source: str = Field(description="The door: web, api, cli, mcp.")
    address: str | None
    action: str
    subject: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> EntryOut:
        return cls(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            source=entry.source,
            address=entry.address,
            action=entry.action,
            subject=entry.subject,
            details=dict(entry.details),
        )


class AuditOut(Shape):
    """Entries, the latest first."""

    items: list[EntryOut]
    after: str | None = Field(description="Where the next page begins; None on the last.")


@router.get("")
async def list_audit(
    *,
    call: Call = _READS,
    actor: _Word = None,
    action: Annotated[
        str | None, Query(max_length=300, description="An action, or its first part: key.")
    ] = None,
    subject: _Word = None,
    source: _Word = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: After = None,
    limit: Limit = 100,
) -> AuditOut:
    """List what was done in the tenant, the latest first."""
    wanted = AuditFilter(actor, action, subject, source, since, until)
    page = await audit.list_audit(call.hub, call.caller, wanted, after=after, limit=limit)
    return AuditOut(items=[EntryOut.of(each) for each in page.entries], after=page.next)
