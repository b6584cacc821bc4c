"""Who did what, from where: writing it down within the transaction that does it, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncline import clock
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.domain.callers import Caller
from syncline.domain.people import refuse
from syncline.errors import Invalid
from syncline.store import audit
from syncline.store.audit import AuditFilter, Entry
from syncline.store.db import Conn

_MOST = 500


async def note(
    conn: Conn,
    caller: Caller,
    action: str,
    subject: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down what a caller does, in the transaction that does it: both are committed, or neither.

    `action` is what was done to what, like 'key.created'; `subject` names it by an id or a name. Details hold
    neither secrets nor values of records. `conn` is in a transaction of the caller's tenant.
    """
    entry = Entry(
        id=clock.new_id(),
        at=clock.now(),
        actor=caller.name,
        user_id=caller.user_id,
        key_id=caller.key_id,
        source=caller.source,
        address=caller.address,
        action=action,
        subject=subject,
        details=details or {},
    )
    await audit.insert(conn, entry, tenant_id=caller.tenant_id)


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: list[Entry]
    #: Where the next page begins; None when this is the last.
    next: str | None


def _find_faults(wanted: AuditFilter | None) -> dict[str, str | None]:
    """Find words that cannot stand in a log, and that Postgres would not even look for."""
    if wanted is None:
        return {}
    words = {name: getattr(wanted, name) for name in ("actor", "action", "subject", "source")}
    return {
        name: "This is one line of text."
        for name, word in words.items()
        if word is not None and not word.isprintable()
    }


async def list_audit(
    hub: Hub,
    caller: Caller,
    wanted: AuditFilter | None = None,
    *,
    after: str | None = None,
    limit: int = 100,
) -> AuditPage:
    """Return what was done in the tenant, the latest first. Raises `Forbidden` and `Invalid`."""
    caller.require("audit:read")
    if not 1 <= limit <= _MOST:
        fault = f"Between 1 and {_MOST}."
        raise Invalid(f"The limit cannot be {limit}. {fault}", fields={"limit": fault})
    refuse(_find_faults(wanted))
    place = read_place(after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await audit.list_page(
            conn, wanted or AuditFilter(), tenant_id=hub.tenant_id, after=place, limit=limit + 1
        )
    return AuditPage(*cut(found, limit, lambda each: (each.at, each.id)))
