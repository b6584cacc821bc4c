"""Reading all pages of something, and what every record that is read must be like."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from imitated import Crm

from syncline.connectors.base import Connector
from syncline.connectors.reads import SERIAL, Page, Walk
from syncline.connectors.records import RemoteRecord

#: No way of reading has more pages here; whoever asks for more goes in a circle.
_MOST_PAGES = 60
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


async def pages_of(
    connector: Connector,
    object_name: str,
    names: Sequence[str],
    walk: Walk = SERIAL,
    after: str = "",
    until: str = "",
) -> dict[str, Page]:
    """Return the pages of one range, by the cursor each was asked for with."""
    found: dict[str, Page] = {}
    cursor: str | None = after
    while cursor is not None:
        assert cursor not in found, "the same cursor came twice"
        assert len(found) < _MOST_PAGES
        found[cursor] = await connector.walk_page(object_name, names, walk, cursor, until)
        cursor = found[cursor].after
    return found


async def read_all(crm: Crm, object_name: str) -> dict[str, RemoteRecord]:
    """Return every living record with every property, by the plainest way."""
    pages = await pages_of(crm.connector, object_name, await crm.names(object_name))
    return {each.remote_id: each for page in pages.values() for each in page.records}


async def archived_of(crm: Crm, object_name: str) -> dict[str, RemoteRecord]:
    names = await crm.names(object_name)
    found: dict[str, RemoteRecord] = {}
    cursor: str | None = ""
    for _ in range(_MOST_PAGES):
        page = await crm.connector.archived_page(object_name, names, cursor)
        found |= {each.remote_id: each for each in page.records}
        cursor = page.after
        if cursor is None:
            return found
    raise AssertionError("the archived records have no end")


async def ids_of(connector: Connector, object_name: str, walk: Walk = SERIAL) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    for _ in range(_MOST_PAGES):
        ids, cursor = await connector.list_ids(object_name, cursor, "", walk)
        found += ids
        if cursor is None:
            return found
    raise AssertionError("the ids have no end")


def unplain(payload: bytes) -> list[str]:
    """Return what is wrong with a payload: keys out of order, or text that Postgres cannot store."""
    problems: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if names != sorted(names):
            problems.append(f"keys are not in order: {names}")
        texts = [*names, *(each for _, each in pairs if isinstance(each, str))]
        if any(_UNSTORABLE.search(each) for each in texts):
            problems.append("holds text that Postgres cannot store")
        return dict(pairs)

    json.loads(payload.decode(), object_pairs_hook=check)
    return problems
