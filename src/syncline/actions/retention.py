"""How long a tenant keeps what: shown, set, and carried out on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.domain.retention import DEFAULTS, Subject, read_subject
from syncline.engine.retain import open_retention
from syncline.store import retention
from syncline.store.retention import Night


@dataclass(frozen=True, slots=True)
class Kept:
    """How long one thing is kept."""

    subject: Subject
    #: None is for ever.
    keep_days: int | None
    is_default: bool
    default_days: int | None
    #: What goes after that.
    what: str


@dataclass(frozen=True, slots=True)
class Overview:
    kept: list[Kept]
    #: When it was last carried out; None before the first night.
    latest: Night | None


@dataclass(frozen=True, slots=True)
class Tidied:
    """What goes, or has gone."""

    at: datetime
    #: Subject → rows.
    removed: Mapping[Subject, int]
    #: Months of the change log that went whole.
    dropped_months: list[str]
    #: What could not be done, in words.
    problem: str | None


async def show_retention(hub: Hub) -> Overview:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        keeps = await retention.list_keeps(conn, tenant_id=hub.tenant_id)
        latest = await retention.find_latest(conn, tenant_id=hub.tenant_id)
    kept = [
        Kept(
            each.subject,
            each.keep_days,
            each.is_default,
            DEFAULTS[each.subject].keep_days,
            DEFAULTS[each.subject].what,
        )
        for each in keeps.values()
    ]
    return Overview(kept, latest)


async def set_retention(
    hub: Hub, caller: Caller, subject: str, keep_days: int | None, *, default: bool = False
) -> Overview:
    """Keep something for so many days from now on; None is for ever, `default` goes back to that.

    Raises `Forbidden`, `Invalid`.
    """
    caller.require("settings:write")
    chosen = read_subject(subject)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if default:
            await retention.forget(conn, chosen, tenant_id=hub.tenant_id)
        else:
            await retention.put(conn, chosen, keep_days, tenant_id=hub.tenant_id, by=caller.name, now=now())
        days = DEFAULTS[chosen].keep_days if default else keep_days
        await note(conn, caller, "retention.set", chosen, {"keep_days": days})
    return await show_retention(hub)


async def run_retention(hub: Hub, caller: Caller, *, dry_run: bool) -> Tidied:
    """Count what is too old, or take it away now. Raises `Forbidden`."""
    caller.require("settings:write")
    at = now()
    async with open_retention(hub.db, hub.location.admin_url) as (retaining, problem):
        if dry_run:
            return Tidied(at, await retaining.count(hub.tenant_id, at), [], problem)
        dropped = await retaining.drop_months(at)
        removed = await retaining.tidy(hub.tenant_id, at)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        gone = {name: count for name, count in removed.items() if count}
        await note(conn, caller, "retention.run", None, {"removed": gone, "months": dropped})
    return Tidied(at, removed, dropped, problem)
