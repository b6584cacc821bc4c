"""Attempts to sign in, or to have a link sent, that count against whoever makes too many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from syncline.clock import new_id
from syncline.store.db import Conn

Purpose = Literal["sign_in", "reset"]


@dataclass(frozen=True, slots=True)
class Tried:
    """How often it was tried since a moment: for one account from one address, and from it at all."""

    of_account: int
    #: Of these, how many are being looked at and may yet be right.
    undecided: int
    account_since: datetime | None
    of_address: int
    address_since: datetime | None


LOCK = """
select pg_catalog.pg_advisory_xact_lock(7263017, pg_catalog.hashtext(%(address)s))
"""
COUNT = """
select count(*) filter (where account = %(account)s)::int as of_account,
  count(*) filter (where account = %(account)s and failed_at is null
                   and tried_at > %(undecided_since)s)::int as undecided,
  min(tried_at) filter (where account = %(account)s) as account_since,
  count(*)::int as of_address, min(tried_at) as address_since
from app.attempts
where purpose = %(purpose)s and address = %(address)s and tried_at > %(since)s
"""


async def count(
    conn: Conn,
    purpose: Purpose,
    account: bytes,
    *,
    address: str,
    since: datetime,
    undecided_since: datetime,
) -> Tried:
    """Count what was tried, and let nobody else try from this address until the transaction ends.

    So that guesses made at once, at several processes, are counted one after the other.
    """
    await conn.execute(LOCK, {"address": address})
    async with conn.cursor(row_factory=class_row(Tried)) as cursor:
        await cursor.execute(
            COUNT,
            {
                "purpose": purpose,
                "account": account,
                "address": address,
                "since": since,
                "undecided_since": undecided_since,
            },
        )
        found = await cursor.fetchone()
    return found or Tried(0, 0, None, 0, None)


INSERT = """
insert into app.attempts (id, purpose, account, address, tried_at)
values (%(id)s, %(purpose)s, %(account)s, %(address)s, %(now)s)
"""


async def insert(conn: Conn, purpose: Purpose, account: bytes, *, address: str, now: datetime) -> UUID:
    attempt = new_id()
    await conn.execute(
        INSERT, {"id": attempt, "purpose": purpose, "account": account, "address": address, "now": now}
    )
    return attempt


SET_FAILED = """
update app.attempts set failed_at = %(now)s where id = %(id)s
"""


async def set_failed(conn: Conn, attempt: UUID, *, now: datetime) -> None:
    await conn.execute(SET_FAILED, {"id": attempt, "now": now})


CLEAR = """
delete from app.attempts where purpose = %(purpose)s and account = %(account)s and address = %(address)s
"""


async def clear(conn: Conn, purpose: Purpose, account: bytes, *, address: str) -> None:
    """Forget what was tried for an account from an address: it succeeded."""
    await conn.execute(CLEAR, {"purpose": purpose, "account": account, "address": address})


LOCK_PURGE = "select pg_catalog.pg_try_advisory_xact_lock(7263018, 0)"


async def lock_purge(conn: Conn) -> bool:
    """Return whether this transaction is the one that may throw away what is old; others pass it by."""
    row = await (await conn.execute(LOCK_PURGE)).fetchone()
    return row == (True,)


PURGE = """
delete from app.attempts where tried_at < %(before)s
"""


async def purge(conn: Conn, *, before: datetime) -> None:
    await conn.execute(PURGE, {"before": before})


NOTE_FOR_ACCOUNT = """
select app.note_for_account(%(account)s, %(action)s, %(door)s, %(address)s, %(at)s)
"""


async def note_for_account(
    conn: Conn, email: str, action: str, *, source: str, address: str | None, at: datetime
) -> None:
    """Write what was tried with an account into the audit of each of its tenants; of nobody's, nothing.

    `email` as `normal_email` has it.
    """
    await conn.execute(
        NOTE_FOR_ACCOUNT,
        {"account": email, "action": action, "door": source, "address": address, "at": at},
    )
