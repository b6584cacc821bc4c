"""Turning what a person types into the record that is meant: an id of ours, an address, or a CRM's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.connectors.registry import get_platform
from syncline.domain.records import RECORD_TYPES
from syncline.errors import Invalid, NotFound
from syncline.store import edits, finding
from syncline.store.connections import Connection
from syncline.store.finding import Found, FoundRemote


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote record, by the connection, its object and its id there."""

    connection: Connection
    object: str
    remote_id: str


@dataclass(frozen=True, slots=True)
class Referred:
    """What is meant. At least one of `record` and `remote` is there."""

    record: Found | None
    #: What people call the record; empty where it has no name or is gone.
    label: str
    #: The remote record that was named, where one was.
    remote: Remote | None


async def refer(hub: Hub, text: str, *, connection: str | None = None) -> Referred:
    """Find the record that `text` means: our id, an e-mail address, or `[connection:][object:]id` of a CRM.

    Raises `NotFound`, and `Invalid` when several could be meant, naming them.
    """
    wanted = text.strip()
    record_id = _as_id(wanted)
    if record_id is not None:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            found = await finding.find_record(conn, record_id, tenant_id=hub.tenant_id)
        if found is None:
            raise NotFound(f"There is no record {wanted}, and there was none.")
        return await _of_record(hub, found, None)
    if "@" in wanted:
        async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
            candidates = await finding.list_by_email(conn, wanted, tenant_id=hub.tenant_id)
        if not candidates:
            raise NotFound(f"No contact and no owner has the address {wanted}.")
        return await _of_record(hub, _require_one(candidates), None)
    return await _refer_remote(hub, wanted, connection)


async def _refer_remote(hub: Hub, text: str, name: str | None) -> Referred:
    if not text:
        raise Invalid("Name a record: its id here, an e-mail address, or connection:id.")
    known = {each.name: each for each in await hub.list_connections([] if name is None else [name])}
    chosen = None if name is None else known[name]
    parts = text.split(":")
    for cut in range(len(parts) - 1, 0, -1):  # a connection's name may hold a colon
        if chosen is None and ":".join(parts[:cut]) in known:
            chosen, parts = known[":".join(parts[:cut])], parts[cut:]
            break
    object_name = parts[0] if len(parts) == 2 else None
    if len(parts) > 2 or (len(parts) == 2 and chosen is None):
        raise Invalid(f"There is no connection for {text!r}. There are: {', '.join(known) or 'none'}.")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await finding.list_by_remote(
            conn,
            parts[-1],
            tenant_id=hub.tenant_id,
            connection_id=None if chosen is None else chosen.id,
            object_name=object_name,
        )
    by_id = {each.id: each for each in known.values()}
    remotes = [each for each in found if each.connection_id in by_id]
    if not remotes and chosen is not None and object_name is not None:
        get_platform(chosen.platform)
        return Referred(None, "", Remote(chosen, object_name, parts[-1]))
    if not remotes:
        hint = "" if object_name else " Name its object as well: connection:object:id."
        raise NotFound(f"Nothing is known here of a remote record {text!r}.{hint}")
    one = _require_one_remote(remotes, by_id)
    remote = Remote(by_id[one.connection_id], one.object, one.remote_id)
    if one.record_id is None or one.record_type is None:
        return Referred(None, "", remote)
    return await _of_record(hub, Found(one.record_type, one.record_id), remote)


def _require_one(candidates: Sequence[Found]) -> Found:
    if len(candidates) > 1:
        listed = ", ".join(f"{each.record_type} {each.record_id}" for each in candidates)
        raise Invalid(f"Several records have that address; name one by its id: {listed}.")
    return candidates[0]


def _require_one_remote(found: Sequence[FoundRemote], by_id: dict[UUID, Connection]) -> FoundRemote:
    if len(found) > 1:
        listed = ", ".join(
            f"{by_id[each.connection_id].name}:{each.object}:{each.remote_id}" for each in found
        )
        raise Invalid(f"Several remote records have that id; name one: {listed}.")
    return found[0]


async def _of_record(hub: Hub, found: Found, remote: Remote | None) -> Referred:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        row = await edits.find_row(
            conn, RECORD_TYPES[found.record_type], found.record_id, tenant_id=hub.tenant_id
        )
    return Referred(found, "" if row is None else label_of(row), remote)


def label_of(row: dict[str, object]) -> str:
    """Return what people call a record: its name, else its subject or address."""
    names = [str(row[key]) for key in ("first_name", "last_name") if row.get(key)]
    for text in (row.get("name"), " ".join(names), row.get("subject"), row.get("email"), row.get("domain")):
        if text and str(text).strip():
            return str(text).strip()
    return ""


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
