"""How much one run may write to a CRM before a person is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.engine import shield
from syncline.engine.brakes import Limit, read_limits
from syncline.store import connections


@dataclass(frozen=True, slots=True)
class BrakeSettings:
    connection: str
    #: `create`, `change`, `delete` → the limit that holds.
    limits: dict[str, Limit]
    #: A field that each side wrote so often within so many minutes is held.
    flip_times: int
    flip_minutes: int


async def show_brakes(hub: Hub, name: str) -> BrakeSettings:
    """Return the limits of a connection. Raises `NotFound`."""
    found = await hub.get_connection(name)
    times, window = shield.read_limits(found.settings)
    return BrakeSettings(name, read_limits(found.settings), times, int(window.total_seconds()) // 60)


async def set_brakes(
    hub: Hub, name: str, limits: dict[str, Limit], *, flips: tuple[int, int] | None = None
) -> BrakeSettings:
    """Set the limits that are named, leave the others, and return what holds from the next run on.

    Raises `NotFound`, and `SettingInvalid` for what is no limit; then nothing is set.
    """
    found = await hub.get_connection(name)
    given: dict[str, Any] = dict(found.settings.get("brakes") or {})
    given |= {kind: {"count": limit.count, "share": limit.share} for kind, limit in limits.items()}
    settings: dict[str, Any] = {"brakes": given}
    if flips is not None:
        settings["flip_flop"] = {"times": flips[0], "minutes": flips[1]}
    read_limits(settings)
    shield.read_limits(settings)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.put_settings(conn, found.id, settings, tenant_id=hub.tenant_id, now=now())
    return await show_brakes(hub, name)
