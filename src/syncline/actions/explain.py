"""Why a record is not syncing: everything that is known of it, connection by connection, and what follows.

Reads only, and asks no CRM. What it shows holds personal data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syncline.actions.hub import Hub
from syncline.actions.reasons import (
    ConflictView,
    FieldView,
    ReadView,
    Reason,
    RecordView,
    Side,
    conclude,
    list_reasons,
)
from syncline.actions.referring import Referred, label_of, refer
from syncline.clock import from_ms, to_ms
from syncline.connectors.registry import get_platform
from syncline.domain.changes import Copy, find_change
from syncline.domain.mapping import Mapper
from syncline.domain.mapping_file import ConnectionMapping
from syncline.domain.merge import Access
from syncline.domain.records import RECORD_TYPES, RecordType
from syncline.domain.values import write_moment
from syncline.engine.lookups import load_lookups
from syncline.engine.remotes import read_mapping
from syncline.engine.terms import find_access
from syncline.errors import RecordUnreadable, SettingInvalid
from syncline.store import (
    allowances,
    conflicts,
    definitions,
    drift,
    edits,
    health,
    payloads,
    runs,
    traces,
    waiting,
    writing,
)
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys, ObjectKeys
from syncline.store.traces import LastRead, Link, Tombstone


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a record, why it does not sync, and the command that mends the first reason."""

    record: RecordView | None
    sides: list[Side]
    #: In the order in which they stand in the way.
    reasons: list[Reason]
    conclusion: str
    command: str | None


async def explain(hub: Hub, text: str, *, connection: str | None = None) -> Explanation:
    """Explain the record that `text` means, towards every connection or the one named.

    Raises `NotFound` and `Invalid` as `referring.refer` does.
    """
    subject = await refer(hub, text, connection=connection)
    found = await hub.list_connections([] if connection is None else [connection])
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        record = await _look_at_record(conn, hub, subject)
        assembly = _Assembly(conn, hub, subject, record)
        sides = [side for each in found for side in await assembly.look_at(each)]
    reasons = list_reasons(record, sides)
    conclusion, command = conclude(record, sides, reasons)
    return Explanation(record, sides, reasons, conclusion, command)


async def _look_at_record(conn: Conn, hub: Hub, subject: Referred) -> RecordView | None:
    if subject.record is None:
        return None
    kind, record_id = RECORD_TYPES[subject.record.record_type], subject.record.record_id
    row = await edits.find_row(conn, kind, record_id, tenant_id=hub.tenant_id)
    if row is None:
        return RecordView(kind.name, record_id, "", exists=False, row={})
    return RecordView(
        kind.name,
        record_id,
        label_of(row),
        exists=True,
        row=row,
        archived_at=row.get("archived_at"),
        merged_into=row.get("merged_into"),
    )


class _Assembly:
    """Puts together what is known of one record, within one transaction."""

    def __init__(self, conn: Conn, hub: Hub, subject: Referred, record: RecordView | None) -> None:
        self._conn = conn
        self._hub = hub
        self._subject = subject
        self._record = record

    async def look_at(self, connection: Connection) -> list[Side]:
        """Return what is known towards one connection: a side per primary link, or one without any."""
        remote = self._subject.remote
        links = [each for each in await self._list_links() if each.connection_id == connection.id]
        primary = [each for each in links if each.is_primary]
        if self._record is None:
            if remote is None or remote.connection.id != connection.id:
                return []
            return [await self._side(connection, remote.object, remote.remote_id, None, [])]
        others = [each.remote_id for each in links if not each.is_primary]
        if not primary:
            return [await self._unlinked(connection)]
        return [await self._side(connection, each.object, each.remote_id, each, others) for each in primary]

    async def _list_links(self) -> list[Link]:
        if self._record is None:
            return []
        return await traces.list_links(
            self._conn, self._record.record_type, self._record.record_id, tenant_id=self._hub.tenant_id
        )

    async def _unlinked(self, connection: Connection) -> Side:
        """Return the side of a CRM that does not have the record, by the object it would be there."""
        mapping = _read_mapping(connection)
        name = None
        if mapping is not None and self._record is not None:
            row = self._record.row
            name = next(
                (
                    each.object
                    for each in mapping.objects.values()
                    if each.record_type == self._record.record_type
                    and (not each.constants or row.get("type") in each.constants.values())
                ),
                None,
            )
        return await self._side(connection, name, None, None, [])

    async def _side(
        self,
        connection: Connection,
        object_name: str | None,
        remote_id: str | None,
        link: Link | None,
        others: Sequence[str],
    ) -> Side:
        conn, tenant_id, record = self._conn, self._hub.tenant_id, self._record
        keys: ConnectionKeys = {"tenant_id": tenant_id, "connection_id": connection.id}
        side = Side(
            connection.name,
            connection.platform,
            object_name,
            remote_id,
            is_linked=link is not None,
            linked_at=None if link is None else link.linked_at,
            others=list(others),
            status=connection.status,
            paused_reason=connection.paused_reason,
            writes_enabled=connection.writes_enabled,
        )
        stopped = await writing.get_stopped(conn, tenant_id=tenant_id)
        side.stopped_by = None if stopped.stopped_at is None else stopped.stopped_by or "somebody"
        side.tombstones = await self._list_tombstones(connection, object_name, remote_id)
        if record is not None:
            wanted = waiting.Filter(connection.id, record.record_type, record.record_id)
            rows = await waiting.list_waiting(conn, wanted, tenant_id=tenant_id, limit=1)
            side.queued = rows[0] if rows else None
            side.conflicts = [
                ConflictView(each.id, each.field, each.found_at)
                for each in await conflicts.list_conflicts(
                    conn,
                    conflicts.Filter(connection.id, record.record_type, record.record_id),
                    tenant_id=tenant_id,
                )
            ]
            side.changes = await traces.list_changes(conn, record.record_id, **keys)
            side.drift = await drift.list_drift(
                conn, drift.Filter(connection.id, record_id=record.record_id), tenant_id=tenant_id
            )
        if object_name is not None:
            await self._look_at_object(side, connection, object_name, link)
        return side

    async def _list_tombstones(
        self, connection: Connection, object_name: str | None, remote_id: str | None
    ) -> list[Tombstone]:
        found = await traces.list_tombstones(
            self._conn,
            tenant_id=self._hub.tenant_id,
            record_id=None if self._record is None else self._record.record_id,
            connection_id=connection.id,
            object_name=object_name,
            remote_id=remote_id,
        )
        return [each for each in found if each.connection_id == connection.id]

    async def _look_at_object(
        self, side: Side, connection: Connection, object_name: str, link: Link | None
    ) -> None:
        conn = self._conn
        keys: ObjectKeys = {
            "tenant_id": self._hub.tenant_id,
            "connection_id": connection.id,
            "object_name": object_name,
        }
        side.allowance = await allowances.find_allowance(conn, **keys)
        for each in await traces.list_last_runs(conn, [*runs.READING_MODES, "push"], **keys):
            if each.mode == "push":
                side.last_push = each
            else:
                side.last_pull = each
        if side.remote_id is None:
            return
        side.parked = await traces.find_parked(conn, side.remote_id, **keys)
        if not await health.has_table(conn, "raw", f"{connection.platform}_{object_name}"):
            return
        table = payloads.table_of(connection.platform, object_name)
        last = await traces.find_last_read(
            conn,
            table,
            side.remote_id,
            tenant_id=self._hub.tenant_id,
            connection_id=connection.id,
        )
        if last is None:
            return
        side.read = ReadView(last.synced_at, last.archived_at, last.archived_reason, last.merged_into)
        mapping = _read_mapping(connection)
        if mapping is not None and link is not None and object_name in mapping.objects:
            side.fields = await self._compare_fields(side, connection, mapping, link, last, keys)

    async def _compare_fields(
        self,
        side: Side,
        connection: Connection,
        mapping: ConnectionMapping,
        link: Link,
        last: LastRead,
        keys: ObjectKeys,
    ) -> list[FieldView]:
        """Compare field by field what was read last with what stands here and what was agreed on."""
        conn, record = self._conn, self._record
        if record is None or not record.exists:
            return []
        object_map = mapping.objects[link.object]
        lookups = await load_lookups(
            conn,
            tenant_id=keys["tenant_id"],
            connection_id=keys["connection_id"],
            currency=connection.settings.get("currency"),
            places=object_map.stages,
        )
        try:
            theirs = get_platform(connection.platform).recall(link.object, last.raw.encode())
        except RecordUnreadable:
            return []
        mapped = Mapper(object_map, lookups).map(theirs.properties)
        mapped.values["archived_at"] = (
            None if last.archived_at is None else write_moment(from_ms(to_ms(last.archived_at)))
        )
        settable = frozenset(await definitions.list_settable(conn, **keys))
        access = find_access(object_map, side.allowance, settable)
        properties = {each.field: each.property for each in object_map.fields}
        return list_fields(
            RECORD_TYPES[record.record_type],
            record.row,
            mapped.values,
            mapped.theirs,
            link,
            access,
            properties,
        )


def list_fields(
    kind: RecordType,
    row: dict[str, Any],
    values: dict[str, Any],
    read: dict[str, Any],
    link: Link,
    access: Access,
    properties: dict[str, str],
) -> list[FieldView]:
    """Return every field that is mapped, as both sides have it, in the order of the record's fields."""
    ours, theirs = Copy(row), Copy(values, read)
    views: list[FieldView] = []
    for name in kind.content:
        if name not in values or not (name in access.pull or name in access.push):
            continue
        change = find_change(name, kind, link.base, ours, theirs, link.sent or {})
        pair = link.base.get(name)
        views.append(
            FieldView(
                name,
                properties.get(name),
                row.get(name),
                values[name],
                None if pair is None else pair[0],
                "agreed" if change is None else change.state,
                name in access.push,
            )
        )
    return views


def _read_mapping(connection: Connection) -> ConnectionMapping | None:
    """Return the mapping that holds; None for one that cannot be followed, which other commands tell of."""
    try:
        return read_mapping(connection, get_platform(connection.platform))
    except SettingInvalid:
        return None
