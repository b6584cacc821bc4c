"""Invitations to a tenant: to which address, in which role, and whether they still hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row

from syncline.domain.callers import Role
from syncline.errors import AlreadyExists
from syncline.store.db import Conn

InvitationState = Literal["open", "accepted", "revoked", "expired"]


@dataclass(frozen=True, slots=True)
class Invitation:
    id: UUID
    email: str
    role: Role
    invited_by: str
    created_at: datetime
    #: When it was last mailed; None when the link was handed on by whoever invited.
    sent_at: datetime | None
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Tell whether it can still be accepted."""
        return self.state_at(now) == "open"

    def state_at(self, now: datetime) -> InvitationState:
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "open" if self.expires_at > now else "expired"


LIST = """
select id, email, role, invited_by, created_at, sent_at, expires_at, accepted_at, revoked_at
from app.invitations
where tenant_id = %(tenant_id)s
order by created_at desc, id desc
"""


async def list_all(conn: Conn, *, tenant_id: UUID) -> list[Invitation]:
    """Return all invitations, the newest first, also those that no longer hold."""
    async with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(LIST, {"tenant_id": tenant_id})
        return await cursor.fetchall()


FIND = """
select id, email, role, invited_by, created_at, sent_at, expires_at, accepted_at, revoked_at
from app.invitations
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s
"""


async def find_by_token(conn: Conn, token_hash: bytes, *, tenant_id: UUID) -> Invitation | None:
    async with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(FIND, {"tenant_id": tenant_id, "token_hash": token_hash})
        return await cursor.fetchone()


INSERT = """
insert into app.invitations (tenant_id, id, email, role, token_hash, invited_by, created_at, expires_at)
values (%(tenant_id)s, %(id)s, %(email)s, %(role)s, %(token_hash)s, %(invited_by)s, %(created_at)s,
  %(expires_at)s)
"""


async def insert(conn: Conn, invitation: Invitation, token_hash: bytes, *, tenant_id: UUID) -> None:
    """Write an invitation down. Raises `AlreadyExists`; the transaction is then of no more use."""
    try:
        await conn.execute(
            INSERT,
            {
                "tenant_id": tenant_id,
                "id": invitation.id,
                "email": invitation.email,
                "role": invitation.role,
                "token_hash": token_hash,
                "invited_by": invitation.invited_by,
                "created_at": invitation.created_at,
                "expires_at": invitation.expires_at,
            },
        )
    except errors.UniqueViolation:
        raise AlreadyExists(
            "This address is invited already. Send that invitation again, or revoke it first."
        ) from None


CLOSE_EXPIRED = """
update app.invitations set revoked_at = %(now)s
where tenant_id = %(tenant_id)s and email_norm = %(email)s and accepted_at is null and revoked_at is null
  and expires_at <= %(now)s
"""


async def close_expired(conn: Conn, email: str, *, tenant_id: UUID, now: datetime) -> None:
    """Make room for a new invitation of an address, as `normal_email` has it."""
    await conn.execute(CLOSE_EXPIRED, {"tenant_id": tenant_id, "email": email, "now": now})


RENEW = """
update app.invitations set token_hash = %(token_hash)s, expires_at = %(expires_at)s, sent_at = null
where tenant_id = %(tenant_id)s and id = %(id)s and accepted_at is null and revoked_at is null
returning id, email, role, invited_by, created_at, sent_at, expires_at, accepted_at, revoked_at
"""


async def renew(
    conn: Conn, invitation_id: UUID, token_hash: bytes, *, tenant_id: UUID, expires_at: datetime
) -> Invitation | None:
    """Give an invitation a new token, so that the old one is of no more use; None when it cannot be."""
    async with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(
            RENEW,
            {
                "tenant_id": tenant_id,
                "id": invitation_id,
                "token_hash": token_hash,
                "expires_at": expires_at,
            },
        )
        return await cursor.fetchone()


SET_SENT = """
update app.invitations set sent_at = %(now)s where tenant_id = %(tenant_id)s and id = %(id)s
"""


async def set_sent(conn: Conn, invitation_id: UUID, *, tenant_id: UUID, now: datetime) -> None:
    await conn.execute(SET_SENT, {"tenant_id": tenant_id, "id": invitation_id, "now": now})


ACCEPT = """
update app.invitations set accepted_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s and accepted_at is null and revoked_at is null
  and expires_at > %(now)s
"""


async def accept(conn: Conn, invitation_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Use an invitation up; False when it no longer holds."""
    done = await conn.execute(ACCEPT, {"tenant_id": tenant_id, "id": invitation_id, "now": now})
    return done.rowcount == 1


REVOKE = """
update app.invitations set revoked_at = %(now)s
where tenant_id = %(tenant_id)s and id = %(id)s and accepted_at is null and revoked_at is null
"""


async def revoke(conn: Conn, invitation_id: UUID, *, tenant_id: UUID, now: datetime) -> bool:
    """Take an invitation back; False when there is none that could be."""
    done = await conn.execute(REVOKE, {"tenant_id": tenant_id, "id": invitation_id, "now": now})
    return done.rowcount == 1
