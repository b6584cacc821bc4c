"""Makes two records of ours one, on a person's behalf, in one transaction. Calls no CRM.

What the CRMs are to do about it is written down in the same transaction, and carried out by `unite_there`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.clock import now
from syncline.domain.identity import UNITABLE, United
from syncline.domain.records import RECORD_TYPES
from syncline.errors import Busy, Invalid, NotFound, Unavailable
from syncline.store import absorbing, merge_requests
from syncline.store.absorbing import Cause, absorb
from syncline.store.db import Conn, Database

#: How often the transaction is tried: a pull may hold the same records in another order.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Wish:
    """Which record goes into which, and what a person chose about it."""

    record_type: str
    survivor: UUID
    merged: UUID
    #: Fields of which the value of the one that goes is to stand.
    taken: Collection[str] = ()
    #: Connections whose CRM is to merge theirs as well.
    there: Sequence[UUID] = ()
    #: Versions of the records as the person saw them; None where they may have changed since.
    versions: tuple[int, int] | None = None


async def unite_records(db: Database, wish: Wish, cause: Cause, *, tenant_id: UUID) -> United:
    """Merge one record into another here, and write down what the CRMs are to do: all of it or nothing.

    Raises `NotFound`, `Invalid` for records that cannot be merged, and `Busy` when one of them was changed
    since it was looked at, or is just being made at a CRM.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
                return await _unite(conn, wish, cause, tenant_id)
        except Unavailable:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * attempt)
    raise AssertionError  # the last attempt returns or raises


async def _unite(conn: Conn, wish: Wish, cause: Cause, tenant_id: UUID) -> United:
    kind, at = RECORD_TYPES[wish.record_type], now()
    ids = [wish.survivor, wish.merged]
    rows = await absorbing.lock_rows(conn, kind, ids, tenant_id=tenant_id)
    for each in ids:
        if each not in rows:
            raise NotFound(f"There is no {kind.name} {each}.")
    require_unitable(kind.name, *(rows[each] for each in ids))
    if wish.versions is not None and wish.versions != tuple(rows[each]["version"] for each in ids):
        raise Busy("One of the records has just been changed. Look at them again.")
    if await merge_requests.has_unanswered_create(conn, kind.name, ids, tenant_id=tenant_id):
        raise Busy("One of the records is just being made at a CRM. Try again in a moment.")
    await merge_requests.put(
        conn, kind, wish.merged, wish.survivor, cause, tenant_id=tenant_id, now=at, there=wish.there
    )
    done = await absorb(
        conn, kind, wish.merged, wish.survivor, cause, tenant_id=tenant_id, now=at, taken=wish.taken
    )
    if done is None:
        raise NotFound("One of the records is gone.")
    return done.united


def require_unitable(record_type: str, *rows: dict[str, object]) -> None:
    """Raise `Invalid` unless records can be made one: living, and of a kind that others may point to."""
    if record_type not in UNITABLE:
        raise Invalid(f"Records of the kind {record_type} cannot be merged, only {', '.join(UNITABLE)}.")
    for row in rows:
        if row.get("merged_into") is not None:
            raise Invalid(f"{row['id']} was merged into {row['merged_into']} already.")
        if row.get("archived_at") is not None:
            raise Invalid(f"{row['id']} is archived. Only living records are merged.")
