"""A connection's name, whether it is used, its settings and its schedules, as people change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syncline.actions.connect import check_settings, chosen_objects, require_name
from syncline.actions.hub import Hub
from syncline.actions.schedules import put_default_schedules
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.engine.cron import next_after
from syncline.engine.remotes import OBJECTS_SETTING
from syncline.errors import Invalid, SettingInvalid
from syncline.store import connections, schedules, tenants
from syncline.store.connections import Connection
from syncline.store.schedules import Schedule

__all__ = [
    "change_schedule",
    "change_settings",
    "list_schedules",
    "pause",
    "rename",
    "resume",
]


async def rename(hub: Hub, name: str, new_name: str) -> Connection:
    """Give a connection another name. Raises `NotFound`, `AlreadyExists`, and `Invalid`.

    A name that a mapping's policy trusts by is not changed: the policy would mean nobody.
    """
    require_name(new_name)
    found = await hub.get_connection(name)
    for each in await hub.list_connections():
        if each.mapping is not None and _names(each.mapping.get("policy"), name):
            raise Invalid(
                f"The mapping of {each.name} names {name} in its policy. Change that first.",
                fields={"name": "is named by a mapping's policy"},
            )
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.rename(conn, found.id, new_name, tenant_id=hub.tenant_id, now=now())
    return await hub.get_connection(new_name)


async def pause(hub: Hub, name: str, *, by: str) -> Connection:
    """Stop using a connection until somebody resumes it. A run that is under way ends. Raises `NotFound`."""
    found = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.pause(conn, found.id, f"Paused by {by}.", tenant_id=hub.tenant_id, now=now())
    return await hub.get_connection(name)


async def resume(hub: Hub, name: str) -> Connection:
    """Use a connection again, whoever or whatever paused it. Raises `NotFound`.

    Where its token is the reason, the next call pauses it anew: connect again with one that serves.
    """
    found = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.resume(conn, found.id, tenant_id=hub.tenant_id, now=now())
    return await hub.get_connection(name)


async def change_settings(
    hub: Hub, name: str, *, settings: Mapping[str, str] | None = None, objects: Sequence[str] | None = None
) -> Connection:
    """Change the settings that are named ("" takes one back), and which objects are read (none means all).

    Raises `NotFound`, and `Invalid` for a setting or an object that the platform does not have.
    """
    found = await hub.get_connection(name)
    platform = get_platform(found.platform)
    changes: dict[str, Any] = dict(settings or {})
    check_settings(platform, settings or {})
    crons = {each.name: each.default_schedule for each in platform.capabilities.objects}
    if objects is not None:
        for each in objects:
            if each not in crons and not platform.capabilities.supports_custom_objects:
                raise Invalid(
                    f"{platform.capabilities.label} has no object called {each!r}.",
                    fields={"objects": f"there is no {each!r}"},
                )
        whole = set(objects) >= set(crons) or not objects
        changes[OBJECTS_SETTING] = "" if whole else ",".join(dict.fromkeys(objects))
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connections.put_settings(conn, found.id, changes, tenant_id=hub.tenant_id, now=now())
        changed = await connections.get(conn, found.id, tenant_id=hub.tenant_id)
        wanted = chosen_objects(changed, platform)
        await put_default_schedules(conn, changed, {each: crons.get(each, "0 * * * *") for each in wanted})
    return changed


async def list_schedules(hub: Hub, name: str) -> list[Schedule]:
    """Return when each object of a connection is read and reconciled. Raises `NotFound`."""
    found = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await schedules.list_schedules(conn, tenant_id=hub.tenant_id, connection_id=found.id)


async def change_schedule(
    hub: Hub, name: str, object_name: str, mode: str, *, cron: str | None = None, enabled: bool | None = None
) -> Schedule:
    """Set when an object is read (five fields, in the tenant's time zone), or switch that on or off.

    Raises `NotFound`, and `Invalid` for what is no schedule.
    """
    found = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await schedules.list_schedules(conn, tenant_id=hub.tenant_id, connection_id=found.id)
        before = next((each for each in known if (each.object, each.mode) == (object_name, mode)), None)
        zone = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).time_zone
        wanted = cron or (before.cron if before is not None else "0 * * * *")
        try:
            next_at = next_after(wanted, now(), zone)
        except SettingInvalid as error:
            raise Invalid(str(error), fields={"cron": str(error)}) from error
        await schedules.change(
            conn,
            tenant_id=hub.tenant_id,
            connection_id=found.id,
            object_name=object_name,
            mode=mode,
            cron=wanted,
            enabled=before.enabled if before is not None and enabled is None else enabled is not False,
            next_at=next_at,
        )
        after = await schedules.list_schedules(conn, tenant_id=hub.tenant_id, connection_id=found.id)
    return next(each for each in after if (each.object, each.mode) == (object_name, mode))


def _names(value: Any, name: str) -> bool:
    """Tell whether a policy names a connection anywhere."""
    if isinstance(value, dict):
        return any(_names(each, name) for each in value.values())  # pyright: ignore[reportUnknownVariableType] - JSON
    if isinstance(value, list):
        return any(_names(each, name) for each in value)  # pyright: ignore[reportUnknownVariableType] - as above
    return value == name
