"""What a tenant may use of the installation, how much of it is used, and setting that by who runs it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.errors import Invalid, LimitReached
from syncline.store import limits, tenants
from syncline.store.db import Conn, Database, connect
from syncline.store.limits import Limits
from syncline.store.location import locate_database

__all__ = [
    "LIMITS",
    "Limits",
    "Use",
    "count_request",
    "read_use",
    "require_room",
    "require_room_within",
    "set_limits",
]

#: The limits' names in the API, and what they count.
LIMITS = {
    "requests_per_minute": "Requests to the API in a minute, of the whole tenant.",
    "requests_per_minute_per_key": "Requests to the API in a minute, of each key or session.",
    "crm_calls_per_day": "Calls to CRMs in a day (UTC), over all connections.",
    "stored_records": "Companies, contacts, deals, activities and tasks, archived ones too.",
}
#: Counting all records of a large tenant takes a moment.
_COUNT_LASTS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Use:
    """One limit, and what of it is used."""

    limit: str
    what: str
    used: int
    #: None is no limit.
    most: int | None
    #: When the count begins anew; None where it does not.
    resets_at: datetime | None


async def count_request(hub: Hub, caller: Caller) -> None:
    """Count a request of a caller, exactly over all processes. Raises `LimitReached`, naming which."""
    async with hub.db.statement() as conn:
        counted = await limits.count_request(conn, tenant_id=caller.tenant_id, caller_id=_subject(caller))
    if counted.refused_by is not None:
        whose = "This key" if counted.refused_by.endswith("per_key") else "This tenant"
        raise LimitReached(
            f"{whose} has made its {counted.most:,} requests of this minute ({counted.refused_by}). "
            f"Try again in {counted.wait_seconds:.0f} seconds.",
            limit=counted.refused_by,
            after_seconds=counted.wait_seconds,
        )


async def read_use(hub: Hub, caller: Caller | None = None) -> list[Use]:
    """Return every limit of the tenant and what of it is used now."""
    at = now()
    minute = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        most = await limits.get(conn, tenant_id=hub.tenant_id)
        calls = await limits.read_calls(conn, at.date(), tenant_id=hub.tenant_id)
        of_tenant = await limits.read_request_count(conn, hub.tenant_id)
        of_caller = 0 if caller is None else await limits.read_request_count(conn, _subject(caller))
    stored = await _count_records(hub)
    return [
        _use("requests_per_minute", of_tenant, most.requests_per_minute, minute),
        _use("requests_per_minute_per_key", of_caller, most.requests_per_minute_per_key, minute),
        _use("crm_calls_per_day", calls, most.crm_calls_per_day, midnight),
        _use("stored_records", stored, most.stored_records, None),
    ]


async def require_room(hub: Hub, more: int = 1) -> None:
    """Raise `LimitReached` unless the tenant may store `more` records."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await require_room_within(conn, hub, more)


async def require_room_within(conn: Conn, hub: Hub, more: int = 1) -> None:
    """Do as `require_room` in a transaction of the caller's: what it has made so far counts."""
    most = (await limits.get(conn, tenant_id=hub.tenant_id)).stored_records
    if most is None:
        return
    if await limits.count_records(conn, tenant_id=hub.tenant_id) + more > most:
        raise LimitReached(
            f"This tenant may store {most:,} records (stored_records), and has them. Delete some, or ask "
            "whoever runs this installation for more.",
            limit="stored_records",
        )


async def set_limits(settings: Settings, tenant: str, changes: dict[str, int | None]) -> Limits:
    """Set the limits that are named (None takes one away) and return what holds from now on.

    Needs the schema's owner: a tenant does not raise its own limits. Raises `NotFound`, `Invalid`.
    """
    for name, most in changes.items():
        if name not in LIMITS:
            raise Invalid(f"There is no limit called {name!r}. There are: {', '.join(LIMITS)}.")
        if most is not None and not 0 < most <= _HIGHEST[name]:
            raise Invalid(f"{name} has to be between 1 and {_HIGHEST[name]:,}, or none.")
    async with (
        locate_database(settings) as location,
        await connect(await location.admin_url(), application_name="syncline limits") as conn,
        conn.transaction(),
    ):
        tenant_id = (await tenants.get_tenant(conn, tenant)).tenant_id
        before = await limits.get(conn, tenant_id=tenant_id)
        after = replace(before, **changes)
        if changes:
            await limits.put(conn, after, tenant_id=tenant_id, now=now())
    return after


_HIGHEST = {
    "requests_per_minute": 2_000_000_000,
    "requests_per_minute_per_key": 2_000_000_000,
    "crm_calls_per_day": 10**15,
    "stored_records": 10**15,
}


def _use(name: str, used: int, most: int | None, resets_at: datetime | None) -> Use:
    return Use(name, LIMITS[name], used, most, resets_at)


def _subject(caller: Caller) -> UUID:
    """Return whose requests are counted together: those of a key, or of a person."""
    return caller.key_id or caller.user_id or caller.tenant_id


#: Tenant → (how many records, when they were counted), of each database.
_counts: WeakKeyDictionary[Database, dict[UUID, tuple[int, float]]] = WeakKeyDictionary()


async def _count_records(hub: Hub) -> int:
    known = _counts.setdefault(hub.db, {})
    count, counted_at = known.get(hub.tenant_id, (0, float("-inf")))
    if time.monotonic() - counted_at > _COUNT_LASTS_SECONDS:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            count = await limits.count_records(conn, tenant_id=hub.tenant_id)
        known[hub.tenant_id] = (count, time.monotonic())
    return count
