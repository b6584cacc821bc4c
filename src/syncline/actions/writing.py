"""Switching on what may be written to a CRM, and off again: shown first, then done. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.permissions import (
    FieldPlan,
    Wish,
    as_allowance,
    as_permissions,
    describe_fields,
    list_gone,
    list_sorts,
)
from syncline.clock import now
from syncline.connectors.base import Capabilities
from syncline.connectors.registry import get_platform
from syncline.domain.agreement import brief
from syncline.domain.mapping import ObjectMap
from syncline.domain.records import RECORD_TYPES, RecordType
from syncline.engine.remotes import Remote, read_mapping
from syncline.engine.terms import find_access
from syncline.errors import Invalid
from syncline.store import allowances, definitions, differing, properties, runs, waiting, writing
from syncline.store.allowances import Allowance
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.differing import Missing
from syncline.store.keys import ObjectKeys
from syncline.store.waiting import Filter, WaitingCount
from syncline.store.writing import Permission, Stopped

#: The kinds of record that belong to others, by columns of their own.
_BELONGING = frozenset({"contact", "deal", "activity", "task"})


@dataclass(frozen=True, slots=True)
class AllowPlan:
    """What would follow from allowing something. Nothing has been changed."""

    connection: str
    object: str
    record_type: str
    #: The fields asked for, or all that are mapped.
    fields: list[FieldPlan]
    #: 'create', 'archive', 'associate', 'merge', as far as asked for.
    scopes: list[str]
    #: Why records cannot be created; None when they can, or nobody asked.
    create_problem: str | None
    #: Records whose values here are not those agreed on, in fields that are newly allowed.
    differing: int
    #: Records that live here and that the CRM does not have, where making them becomes possible.
    missing: int
    #: True when sending to this connection begins with it.
    starts: bool
    #: Why nothing is sent though it is allowed; None when it is.
    stop: str | None

    @property
    def problem(self) -> str | None:
        """Why it cannot be allowed as asked for."""
        if self.create_problem is not None:
            return self.create_problem
        refused = [each for each in self.fields if each.state == "refused" and each.was_named]
        if refused:
            return " ".join(f"{each.field} {each.reason}." for each in refused)
        if not self.scopes and not any(each.state != "refused" for each in self.fields):
            return f"No field of {self.object} can be written."
        return None


@dataclass(frozen=True, slots=True)
class Allowed:
    plan: AllowPlan
    #: Records that wait to be sent because of it.
    queued: int


@dataclass(frozen=True, slots=True)
class Forbidden:
    connection: str
    object: str
    #: Permissions that were taken back.
    removed: int
    #: Rows of the queue that nothing allowed any more.
    dropped: int


async def plan_allow(hub: Hub, name: str, wish: Wish) -> AllowPlan:
    """Say what would follow. Asks the CRM for its property of our ids where creating is wanted.

    Raises `NotFound`, `Invalid` for an object that cannot be written or has not been synced, and
    `PauseConnection` for a paused connection.
    """
    connection = await hub.get_connection(name)
    objects, problem = await _ask(hub, connection, wish)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        plan, _ = await _plan(conn, connection, objects, wish, problem)
        return plan


async def allow(hub: Hub, name: str, wish: Wish, *, by: str) -> Allowed:
    """Allow what is wished, and queue what differs in what is newly allowed, or may newly be made.

    May be repeated. Raises as `plan_allow`, and `Invalid` when something asked for by name cannot be allowed;
    then nothing is.
    """
    connection = await hub.get_connection(name)
    objects, problem = await _ask(hub, connection, wish)
    keys = _keys(connection, wish.object)
    kind = objects[wish.object].record_type
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await writing.lock(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
        plan, gain = await _plan(conn, connection, objects, wish, problem)
        if plan.problem is not None:
            raise Invalid(plan.problem)
        permissions = as_permissions(wish, [each.field for each in plan.fields if each.state != "refused"])
        await writing.allow(conn, permissions, keys=keys, record_type=kind, by=by, now=now())
        if plan.starts:
            await writing.enable(
                conn,
                keys={"tenant_id": hub.tenant_id, "connection_id": connection.id},
                enabled=True,
                now=now(),
            )
        queued = await _queue(conn, RECORD_TYPES[kind], gain, keys)
    return Allowed(plan, queued)


async def forbid(hub: Hub, name: str, wish: Wish) -> Forbidden:
    """Take back what is wished, or everything of an object; what nothing allows any more leaves the queue.

    Where all fields were allowed, the others stay so, by name. May be repeated.
    """
    connection = await hub.get_connection(name)
    keys = _keys(connection, wish.object)
    mapping = _find_mappings(connection, wish.object)[wish.object]
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await writing.lock(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
        known = [each for each in await _list_permissions(conn, connection) if each.object == wish.object]
        settable = frozenset(await definitions.list_settable(conn, **keys))
        gone, instead = list_gone(known, wish, mapping, settable)
        for permission in instead:
            await writing.allow(
                conn,
                [(permission.scope, permission.field)],
                keys=keys,
                record_type=permission.record_type,
                by=permission.allowed_by,
                now=permission.allowed_at,
            )
        removed = await writing.forbid(conn, gone, keys=keys)
        dropped = await writing.drop_unallowed(conn, tenant_id=hub.tenant_id, connection_id=connection.id)
    return Forbidden(name, wish.object, removed, dropped)


@dataclass(frozen=True, slots=True)
class _Gain:
    """What becomes possible by a wish."""

    fields: list[str]
    #: What may newly be made; None where nothing may, or could before.
    missing: Missing | None


async def _plan(
    conn: Conn,
    connection: Connection,
    objects: Mapping[str, ObjectMap],
    wish: Wish,
    create_problem: str | None,
) -> tuple[AllowPlan, _Gain]:
    """Return the plan, and what becomes possible by it."""
    mapping = objects[wish.object]
    kind, keys = mapping.kind, _keys(connection, wish.object)
    known = await _list_permissions(conn, connection)
    found = await properties.list_known(conn, **keys)
    if not found:
        raise Invalid(
            f"{wish.object} of {connection.name} has not been synced, so that its properties are not known. "
            f"Run `syncline sync {connection.name} --object {wish.object}` first."
        )
    settable = frozenset(each.name for each in found if each.is_settable)
    capabilities = get_platform(connection.platform).capabilities
    before = await allowances.find_allowance(conn, **keys)
    fields = describe_fields(mapping, found, wish, before)
    after = as_allowance(before, wish, [each.field for each in fields if each.state != "refused"])
    gain = _find_gain(objects, wish.object, settable, before, after, capabilities)
    if await runs.find_last_success(conn, **keys) is None:
        # What the CRM has is not known before that: whoever is there already would be made a second time.
        gain = replace(gain, missing=None)
    newly = gain.fields
    count = await differing.count_differing(
        conn, kind, newly, long=await _find_long(conn, kind, newly, keys), keys=keys
    )
    starts = wish.starts and not known and not connection.writes_enabled
    stop = await allowances.find_stop(conn, tenant_id=connection.tenant_id, connection_id=connection.id)
    tenant_stop = (await writing.get_stopped(conn, tenant_id=connection.tenant_id)).stopped_at
    if starts and tenant_stop is None:
        stop = None  # what was off is switched on by this
    if wish.create and create_problem is None and wish.object in capabilities.needs_parent:
        create_problem = None if after.associate else _needs_parent(connection.name, wish.object)
    plan = AllowPlan(
        connection.name,
        wish.object,
        mapping.record_type,
        fields,
        wish.scopes,
        create_problem,
        count,
        0 if gain.missing is None else await differing.count_missing(conn, gain.missing, keys=keys),
        starts,
        stop,
    )
    return plan, gain


def _find_gain(
    objects: Mapping[str, ObjectMap],
    name: str,
    settable: frozenset[str],
    before: Allowance,
    after: Allowance,
    capabilities: Capabilities,
) -> _Gain:
    """Say what becomes possible. A record is made of the fields that may be written; of none it is not."""
    mapping = objects[name]
    had, has = (_list_writable(mapping, each, settable) for each in (before, after))
    sorts = list_sorts(objects, name)
    missing = None
    if sorts is not None and after.create and has and not (before.create and had):
        missing = Missing(mapping.kind, sorts[0], sorts[1], name in capabilities.needs_parent)
    return _Gain(sorted(set(has).difference(had)), missing)


def _list_writable(mapping: ObjectMap, allowance: Allowance, settable: frozenset[str]) -> list[str]:
    push = find_access(mapping, allowance, settable).push
    return [name for name in mapping.kind.content if name in push and name != "archived_at"]


async def _queue(conn: Conn, kind: RecordType, gain: _Gain, keys: ObjectKeys) -> int:
    queued = 0
    if gain.fields:
        long = await _find_long(conn, kind, gain.fields, keys)
        queued = await differing.queue_differing(conn, kind, gain.fields, long=long, keys=keys, now=now())
    if gain.missing is not None:
        queued += await differing.queue_missing(conn, gain.missing, keys=keys, now=now())
    return queued


async def _find_long(
    conn: Conn, kind: RecordType, fields: Sequence[str], keys: ObjectKeys
) -> list[tuple[UUID, str]]:
    """Find the long texts that differ: a base has their digest only, which is made here."""
    names = [name for name in fields if name in kind.long]
    found: list[tuple[UUID, str]] = []
    page = await differing.list_long(conn, kind, names, keys=keys) if names else []
    while page:
        found += [(each.record_id, each.field) for each in page if brief(each.value) != each.agreed]
        page = await differing.list_long(conn, kind, names, keys=keys, after=page[-1].record_id)
    return found


async def _ask(hub: Hub, connection: Connection, wish: Wish) -> tuple[Mapping[str, ObjectMap], str | None]:
    """Return the connection's mapping, and what stands in the way of creating. No transaction is open."""
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        objects = _find_mappings(connection, wish.object)
        _require_belonging(wish, objects[wish.object])
        if wish.merge and wish.object not in remote.connector.capabilities.mergeable:
            raise Invalid(f"{wish.object} of {remote.name} cannot be merged: the CRM offers no way to.")
        return objects, await _find_create_problem(remote, wish)


async def _find_create_problem(remote: Remote, wish: Wish) -> str | None:
    """Say why records cannot be made once only: the CRM's property of our ids is missing."""
    if wish.object in remote.connector.capabilities.found_by_content:
        return None  # what was made is found by what it holds
    wanted = remote.connector.external_id_property(wish.object)
    if wanted is None:
        raise Invalid(f"{wish.object} of {remote.name} cannot be written: the CRM takes none.")
    if not wish.create:
        return None
    [plan] = await remote.connector.plan_properties(wish.object, [wanted])
    if plan.state == "exists":
        return None
    if plan.state == "differs":
        return f"The CRM has a property {wanted.name} that cannot hold our ids: {plan.reason}."
    return (
        f"The CRM has no property {wanted.name} yet, without which a record could be made twice. "
        f"Run `syncline properties apply {remote.name} --object {wish.object}` first."
    )


def _needs_parent(name: str, object_name: str) -> str:
    return (
        f"The CRM takes {object_name} only together with what they belong to. Allow both: "
        f"`syncline writing allow {name} --object {object_name} --create --associate`."
    )


def _find_mappings(connection: Connection, object_name: str) -> Mapping[str, ObjectMap]:
    objects = read_mapping(connection, get_platform(connection.platform)).objects
    if object_name not in objects:
        known = ", ".join(objects)
        raise Invalid(f"{connection.name} has no mapped object called {object_name}. Mapped are: {known}.")
    return objects


def _require_belonging(wish: Wish, mapping: ObjectMap) -> None:
    if wish.associate and mapping.record_type not in _BELONGING:
        raise Invalid(f"A {mapping.record_type} belongs to no other record here; allow it of those that do.")


def _keys(connection: Connection, object_name: str) -> ObjectKeys:
    return {
        "tenant_id": connection.tenant_id,
        "connection_id": connection.id,
        "object_name": object_name,
    }


async def _list_permissions(conn: Conn, connection: Connection) -> list[Permission]:
    return await writing.list_permissions(conn, tenant_id=connection.tenant_id, connection_id=connection.id)


@dataclass(frozen=True, slots=True)
class WritingState:
    """What may be written to a connection, and whether it is sent."""

    connection: Connection
    permissions: list[Permission]
    #: Why nothing is sent now, in a sentence; None when it is.
    stop: str | None
    #: All writing of the tenant.
    stopped: Stopped
    waiting: list[WaitingCount]


async def show_writing(hub: Hub, name: str) -> WritingState:
    """Return what may be written to a connection. Raises `NotFound`."""
    connection = await hub.get_connection(name)
    keys = {"tenant_id": hub.tenant_id, "connection_id": connection.id}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return WritingState(
            connection,
            await writing.list_permissions(conn, **keys),
            await allowances.find_stop(conn, **keys),
            await writing.get_stopped(conn, tenant_id=hub.tenant_id),
            await waiting.list_counts(conn, Filter(connection_id=connection.id), tenant_id=hub.tenant_id),
        )


async def stop_writing(hub: Hub, name: str | None, *, by: str) -> bool:
    """Stop sending to a connection, or (None) to all of the tenant; False where it was stopped already.

    What changes meanwhile is queued. A call that is under way ends; no other begins.
    """
    return await _switch(hub, name, on=False, by=by)


async def resume_writing(hub: Hub, name: str | None) -> bool:
    """Let it go on, one connection or the tenant; False where nothing had stopped it."""
    return await _switch(hub, name, on=True, by="")


async def _switch(hub: Hub, name: str | None, *, on: bool, by: str) -> bool:
    connection = None if name is None else await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if connection is not None:
            return await writing.enable(
                conn,
                keys={"tenant_id": hub.tenant_id, "connection_id": connection.id},
                enabled=on,
                now=now(),
            )
        if on:
            return await writing.resume(conn, tenant_id=hub.tenant_id)
        return await writing.stop(conn, tenant_id=hub.tenant_id, by=by, now=now())
