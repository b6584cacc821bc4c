"""Keeps people and programs from making somebody anew who was erased: by hand, by API, by import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.domain import identifiers
from syncline.domain.record_values import fault_of
from syncline.domain.records import RecordType
from syncline.engine.barring import find_kept_out
from syncline.store.db import Conn

#: The fields of a contact that say who it is, and of other records whom they are about.
KNOWN_BY = frozenset({"email", "phone", "contact_id"})
#: Why a row of a batch is passed over.
HELD_ERASED = "It held somebody who was erased."
_REFUSAL = "This person was erased on demand. `syncline erase allow` lets them in again."


async def refuse_erased(conn: Conn, hub: Hub, kind: RecordType, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Invalid` when a contact is known by an erased address, or has none and an erased number.

    Also when another record is about a contact who is being erased.

    Rows of columns; one that holds neither is passed over.
    """
    wanted: dict[identifiers.Identifier, str] = {}
    for row in rows:
        if kind.name != "contact":
            if row.get("contact_id"):
                wanted[identifiers.record(str(row["contact_id"]))] = "contact_id"
            continue
        address, number = row.get("email"), row.get("phone_e164")
        if isinstance(address, str) and address.strip():
            wanted[identifiers.email(address)] = "email"
        elif isinstance(number, str):
            wanted[identifiers.phone(number)] = "phone"
    if not wanted:
        return
    found = await find_kept_out(conn, hub.vault, list(wanted), tenant_id=hub.tenant_id)
    if found:
        raise fault_of({wanted[each]: _REFUSAL for each in found})


async def list_erased(conn: Conn, hub: Hub, record_ids: Iterable[UUID]) -> set[UUID]:
    """Pass the gate, and return those of our records of which nothing may be stored any more."""
    wanted = {identifiers.record(str(each)): each for each in record_ids}
    found = await find_kept_out(conn, hub.vault, list(wanted), tenant_id=hub.tenant_id)
    return {wanted[each] for each in found}
