"""The terms on which one object of a connection is merged: mapping, policy, and what may be written where."""

from __future__ import annotations

from collections.abc import Container, Iterable

from syncline.domain.mapping import Lookups, Mapper, ObjectMap
from syncline.domain.merge import Access
from syncline.domain.writing import Writer
from syncline.engine.doubts import Doubts
from syncline.engine.gate import Gate
from syncline.engine.leave import Permit
from syncline.engine.lookups import load_lookups
from syncline.engine.remotes import Remote
from syncline.engine.sending import Sender
from syncline.engine.tie import Ties
from syncline.engine.together import Makers, find_objects
from syncline.engine.write import Target
from syncline.errors import NotFound
from syncline.store import allowances, connections, definitions
from syncline.store.allowances import Allowance
from syncline.store.db import Conn

#: What a deal's place at a CRM decides here, and is written with it.
_PLACE = ("pipeline_id", "stage_id", "status")
_CLOSE = "close_date"
_CLOSES = ("expected_close_date", "closed_at")


async def set_terms(conn: Conn, target: Target, remote: Remote) -> Lookups:
    """Give a run the terms that hold now, and return what references resolve to.

    An object without a mapping is mirrored only, and has none. Raises `RetryLater` when the connection's
    mapping was changed since `remote` was opened.
    """
    await connections.require_mapping(
        conn, remote.connection_id, remote.connection.mapping_version, tenant_id=remote.tenant_id
    )
    target.gate = Gate(remote.vault, remote.account)
    mapping = remote.mapping.get(target.object_name)
    if mapping is None:
        return Lookups()
    lookups = await load_lookups(conn, **target.keys, currency=remote.currency, places=mapping.stages)
    allowance = await allowances.find_allowance(conn, **target.object_keys)
    settable: Iterable[str] = ()
    is_found_by_content = target.object_name in remote.connector.capabilities.found_by_content
    if is_found_by_content or not allowance.is_nothing:
        settable = await definitions.list_settable(conn, **target.object_keys)
    target.mapper = Mapper(mapping, lookups)
    target.mapping_version = mapping.version
    target.policy = remote.policy
    target.source = remote.name
    target.access = find_access(mapping, allowance, frozenset(settable))
    if is_found_by_content:
        # Also where nothing may be written any more: what was sent before may have arrived all the same.
        writer = Writer(mapping, lookups, frozenset(settable))
        connector, recall = remote.connector, remote.platform.recall
        objects = find_objects(connector.capabilities, target.object_name, mapping.record_type)
        target.doubts = Doubts(connector, recall, mapping.kind, writer, objects, target.object_keys)
    return lookups


async def open_sender(conn: Conn, target: Target, remote: Remote) -> Sender:
    """Make what sends this object's records, on the terms that hold now. Raises `NotFound` unmapped."""
    lookups = await set_terms(conn, target, remote)
    mapping = remote.mapping.get(target.object_name)
    if mapping is None or target.mapper is None:
        raise NotFound(f"{target.object_name} of {remote.name} is not mapped; nothing of it can be written.")
    settable = frozenset(await definitions.list_settable(conn, **target.object_keys))
    names = await definitions.list_property_names(conn, **target.object_keys)
    sender = Sender(target, remote, target.mapper, Writer(mapping, lookups, settable), names)
    allowance = await allowances.find_allowance(conn, **target.object_keys)
    sender.permit = Permit(target, allowance)
    if allowance.associate:
        sender.ties = Ties(target, remote, mapping.record_type)
    if target.doubts is not None:
        sender.makers = Makers(target, remote, mapping.record_type, may_associate=allowance.associate)
    return sender


def find_access(mapping: ObjectMap, allowance: Allowance, settable: Container[str]) -> Access:
    """Say which fields may be written here, and which at the CRM, by direction, permission and definition."""
    kind = mapping.kind
    pushed_only = {each.field for each in mapping.fields if each.direction == "push"}
    pushable = {
        each.field for each in mapping.fields if each.direction != "pull" and each.property in settable
    }
    if _CLOSE in pushable:
        pushable |= set(_CLOSES)
    push = {name for name in pushable if allowance.allows(name)}
    if mapping.record_type == "deal":
        if {"pipeline", "stage"} <= push:
            push.update(_PLACE)
        else:  # half a place is none
            push -= {"pipeline", "stage", *_PLACE}
    if allowance.archive:
        push.add("archived_at")
    return Access(pull=frozenset((*kind.fields, *kind.custom)) - pushed_only, push=frozenset(push))
