"""HubSpot records by list and by batch read, with any number of properties. Knows no search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import (
    Records,
    Unreadable,
    read_owners,
    read_records,
    recall_owner,
    recall_record,
)
from syncline.connectors.hubspot.objects import modified_property
from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord
from syncline.errors import Unavailable

OWNERS = "owners"
#: HubSpot refuses longer URLs with 414; about 16,200 characters were still accepted (2024).
_LONGEST_PROPERTIES = 15_000
_ID_ONLY = "hs_object_id"


@dataclass(frozen=True, slots=True)
class Asked:
    """An object and the properties to read of it, sorted, without repetition."""

    object_name: str
    names: tuple[str, ...]
    joined: str

    @property
    def is_wide(self) -> bool:
        """Whether the names are too long for a URL."""
        return len(self.joined) > _LONGEST_PROPERTIES


@lru_cache(maxsize=256)
def _ask(object_name: str, properties: tuple[str, ...]) -> Asked:
    # What merging and ordering need comes along, so that a payload is the same whoever asked for it.
    names = tuple(sorted({*properties, _ID_ONLY, modified_property(object_name), "hs_merged_object_ids"}))
    return Asked(object_name, names, ",".join(names))


def ask(object_name: str, properties: Sequence[str]) -> Asked:
    return _ask(object_name, tuple(properties))


class Listed(NamedTuple):
    """A page of the object list."""

    #: As listed: with ids only when the properties asked for are too many for a URL.
    listed: Records
    #: With all properties asked for.
    full: Records
    #: Our time when the call began.
    began_ms: int


async def list_records(api: Api, asked: Asked, after: str, *, archived: bool = False) -> Listed:
    """Read a page of the object list as HubSpot orders it.

    More properties than a URL holds are read by batch; ids that vanish in between are left out.
    """
    began_ms = to_ms(now())
    if asked.object_name == OWNERS:
        owners = await _list_owners(api, after, archived=archived)
        return Listed(owners, owners, began_ms)
    query = {"limit": "100", "properties": _ID_ONLY if asked.is_wide else asked.joined}
    if after:
        query["after"] = after
    if archived:
        query["archived"] = "true"
    response = await api.call("GET", "list", object_name=asked.object_name, query=query)
    listed = read_records(response.body)
    full = await widen(api, asked, listed, archived=archived) if asked.is_wide else listed
    return Listed(listed, full, began_ms)


async def list_ids(api: Api, object_name: str, after: str, *, limit: int = 100) -> Records:
    """Read a page of the object list with nothing but ids."""
    if object_name == OWNERS:
        return await _list_owners(api, after, archived=False)
    query = {"limit": str(limit), "properties": _ID_ONLY}
    if after:
        query["after"] = after
    return read_records((await api.call("GET", "list", object_name=object_name, query=query)).body)


async def widen(api: Api, asked: Asked, found: Records, *, archived: bool = False) -> Records:
    """Read the records of a page again with all properties, in the order of the page."""
    ids = [each.remote_id for each in found.records]
    records: dict[str, RemoteRecord] = {}
    unreadable: list[Unreadable] = list(found.unreadable)
    for start in range(0, len(ids), 100):
        read = await read_batch(api, asked, ids[start : start + 100], archived=archived)
        records.update((each.remote_id, each) for each in read.records)
        unreadable.extend(read.unreadable)
    ordered = [records[each] for each in ids if each in records]
    return Records(ordered, unreadable, found.after, found.total)


async def read_batch(api: Api, asked: Asked, ids: Iterable[str], *, archived: bool = False) -> Records:
    """Read up to 100 records by id, in any order. Ids that do not exist are left out (HTTP 207)."""
    unique = list(dict.fromkeys(ids))
    if asked.object_name == OWNERS:
        return await _read_owners(api, frozenset(unique))
    if not unique:
        return Records([], [])
    response = await api.call(
        "POST",
        "batch_read",
        object_name=asked.object_name,
        query={"archived": "true"} if archived else None,
        json={"inputs": [{"id": each} for each in unique], "properties": asked.names},
    )
    return read_records(response.body)


async def read_page(api: Api, asked: Asked, ids: Sequence[str]) -> Page:
    """Read records by id as a page. See `base.Connector.read_many`."""
    began_ms = to_ms(now())
    found = await read_batch(api, asked, ids)
    return Page(found.records, began_ms, unreadable=found.unreadable)


async def archived_page(api: Api, asked: Asked, after: str) -> Page:
    """Read a page of archived records by HubSpot's own cursor."""
    listed, full, began_ms = await list_records(api, asked, after, archived=True)
    guard_progress(after, listed.after)
    # This list holds nothing else, so a record that does not say so is archived all the same.
    records = [
        each
        if each.archived_ms is not None
        else msgspec.structs.replace(each, archived_ms=each.updated_ms or began_ms)
        for each in full.records
    ]
    return Page(records, began_ms, listed.after, None, full.unreadable)


async def _list_owners(api: Api, after: str, *, archived: bool) -> Records:
    query = {"limit": "100", "archived": "true" if archived else "false"}
    if after:
        query["after"] = after
    return read_owners((await api.call("GET", "owners", query=query)).body)


async def _read_owners(api: Api, ids: frozenset[str]) -> Records:
    """Pick owners out of the list: they have no batch read, and an account has few."""
    picked: list[RemoteRecord] = []
    unreadable: list[Unreadable] = []
    after = ""
    while True:
        found = await _list_owners(api, after, archived=False)
        picked.extend(each for each in found.records if each.remote_id in ids)
        unreadable.extend(each for each in found.unreadable if each[0] in ids)
        if found.after is None or len(picked) == len(ids):
            return Records(picked, unreadable)
        guard_progress(after, found.after)
        after = found.after


def recall(object_name: str, payload: bytes) -> RemoteRecord:
    """Read a payload as it was stored. See `base.Platform.recall`."""
    return recall_owner(payload) if object_name == OWNERS else recall_record(payload)


def guard_progress(after: str, following: str | None) -> None:
    """Raise `Unavailable` when a list would send us in a circle."""
    if following is not None and following == after:
        raise Unavailable("HubSpot's list repeats its cursor; it was left so as not to run in a circle.")
