"""Finds which properties of an account a mapping's labels mean: `custom:Budget` is one of its own.

Once found, a label goes on meaning the same property, whatever people call it later.
"""

from __future__ import annotations

from dataclasses import replace

from syncline.clock import now
from syncline.domain.mapping import ObjectMap
from syncline.domain.mapping_file import LABELLED, list_labels, load_mapping
from syncline.domain.remapping import compare_mappings
from syncline.engine.remap import note_remap
from syncline.engine.remotes import Remote, read_mapping
from syncline.store import connections, definitions, payloads
from syncline.store.db import Conn, Database


async def find_names(db: Database, remote: Remote, object_name: str) -> Remote:
    """Look up an object's labels among its definitions; returns the connection as it reads from now on.

    A label that means another property than before, or the first one, leaves a change of mapping to be
    applied to the records that are here. Safe to repeat.
    """
    wanted = _list_wanted(remote, object_name)
    if not wanted:
        return remote
    async with db.transaction(tenant_id=remote.tenant_id) as conn:
        labels = [each.removeprefix(LABELLED) for each in wanted]
        found = await definitions.find_labelled(conn, labels, **remote.keys, object_name=object_name)
        names = {LABELLED + label: prop for label, prop in found.items()}
        connection = await connections.get(conn, remote.connection_id, tenant_id=remote.tenant_id)
        if connection.property_names.get(object_name, {}) != names:
            known = {**connection.property_names, object_name: names}
            connection = replace(connection, property_names=known)
            await connections.set_property_names(
                conn, connection.id, object_name, names, tenant_id=remote.tenant_id, now=now()
            )
        elif remote.connection.property_names == connection.property_names:
            return remote
        mapping = read_mapping(connection, remote.platform)
        before, after = remote.mapping.get(object_name), mapping.objects.get(object_name)
        if before is not None and after is not None:
            await _leave_to_be_applied(conn, remote, before, after)
    return replace(remote, connection=connection, mapping=mapping.objects, policy=mapping.policy)


def _list_wanted(remote: Remote, object_name: str) -> frozenset[str]:
    written = load_mapping(remote.connection.mapping, remote.platform.mapping)
    mapping = written.objects.get(object_name)
    return frozenset() if mapping is None else list_labels(mapping)


async def _leave_to_be_applied(conn: Conn, remote: Remote, before: ObjectMap, after: ObjectMap) -> None:
    if compare_mappings(before, after).is_nothing:
        return
    table = payloads.table_of(remote.platform_name, after.object)
    if await payloads.has_any(conn, table, **remote.keys):
        await note_remap(conn, remote.connection, before)
