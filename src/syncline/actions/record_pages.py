"""Lists of records: filtered, searched, in an order, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.actions.seeing import MAX_PAGE, PAGE, Record, get_fields, make_records, owners_seen
from syncline.domain.callers import Caller
from syncline.domain.filters import Archived, Filter, Place, Sort, read_place, read_sort, write_place
from syncline.domain.phones import to_e164
from syncline.domain.record_fields import RecordFields
from syncline.domain.records import RECORD_TYPES
from syncline.errors import Invalid
from syncline.store import record_lists, search, tenants
from syncline.store.db import Conn
from syncline.store.record_lists import Listing, Row
from syncline.store.search import Seen

#: Of a search, so many matches are looked at; the more precise it is, the fewer there are.
MAX_MATCHES = 1_000
#: How far a list is counted.
MAX_COUNT = 10_000
_MAX_SEARCH = 200
_SEPARATORS = re.compile(r"""[\s@.,;:()\[\]{}<>"'/\\|+\-_&!?#%*=~`]+""")
_DIGITS = re.compile(r"\d")
_NUMBER = re.compile(r"\+?[\d\s().\-/]{6,30}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is to show."""

    filters: Sequence[Filter] = ()
    #: A field, with '-' before it for the last first; None for the order that the kind has by itself.
    sort: str | None = None
    search: str | None = None
    archived: Archived = "no"


@dataclass(frozen=True, slots=True)
class Page:
    fields: RecordFields
    records: list[Record]
    sort: Sort
    #: Where the next page begins; None after the last one.
    after: str | None
    #: True where a search matches more than are looked at.
    is_cut: bool = False


async def list_records(
    hub: Hub,
    caller: Caller,
    record_type: str,
    wanted: Wanted | None = None,
    *,
    limit: int = PAGE,
    after: str | None = None,
) -> Page:
    """Return a page of the records that the caller may see. Raises `NotFound`, `Invalid`, `Forbidden`."""
    caller.require("records:read")
    fields, wanted = get_fields(record_type), wanted or Wanted()
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(f"A page has 1 to {MAX_PAGE} records.", fields={"limit": f"1 to {MAX_PAGE}."})
    sort = read_sort(fields, wanted.sort)
    place = None if after is None else read_place(sort, after)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        listing, is_cut = await find_listing(conn, hub, caller, fields, wanted)
        rows = await record_lists.list_page(
            conn, listing, sort, after=place, limit=limit + 1, tenant_id=hub.tenant_id
        )
        records = await make_records(conn, hub, caller, fields, [each.row for each in rows[:limit]])
    more = write_place(sort, _place_of(rows[limit - 1])) if len(rows) > limit else None
    return Page(fields, records, sort, more, is_cut)


async def count_records(hub: Hub, caller: Caller, record_type: str, wanted: Wanted | None = None) -> int:
    """Return how many records there are, counting no further than one beyond `MAX_COUNT`."""
    caller.require("records:read")
    fields = get_fields(record_type)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        listing, _ = await find_listing(conn, hub, caller, fields, wanted or Wanted())
        return await record_lists.count(conn, listing, at_most=MAX_COUNT + 1, tenant_id=hub.tenant_id)


def _place_of(row: Row) -> Place:
    return Place(row.place, UUID(row.row["id"]))


async def find_listing(
    conn: Conn, hub: Hub, caller: Caller, fields: RecordFields, wanted: Wanted
) -> tuple[Listing, bool]:
    """Return which records are meant, and whether a search matched more than are looked at."""
    ids, is_cut = None, False
    if wanted.search is not None and wanted.search.strip():
        ids = list[UUID]()
        for archived in _STATES[wanted.archived]:
            seen = Seen(hub.tenant_id, _sorted(owners_seen(caller)), archived=archived)
            ids += await find_matches(conn, fields, wanted.search, seen, limit=MAX_MATCHES + 1)
        is_cut = len(ids) > MAX_MATCHES
        ids = ids[:MAX_MATCHES]
    listing = Listing(fields, tuple(wanted.filters), wanted.archived, owners_seen(caller), ids)
    return listing, is_cut


_STATES: Mapping[Archived, tuple[bool, ...]] = {"no": (False,), "only": (True,), "any": (False, True)}


def _sorted(owner_ids: frozenset[UUID] | None) -> list[UUID] | None:
    return None if owner_ids is None else sorted(owner_ids)


async def find_matches(conn: Conn, fields: RecordFields, text: str, seen: Seen, *, limit: int) -> list[UUID]:
    """Return ids of records that a search means: by number, address, or words of their names; each once."""
    text = text.strip()
    if len(text) > _MAX_SEARCH or "\x00" in text:
        raise Invalid(f"A search has at most {_MAX_SEARCH} characters.", fields={"search": "It is too long."})
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("That is no text.", fields={"search": "It holds half a character."}) from None
    if fields.name == "owner":
        return await search.find_owners(conn, text, seen, limit=limit)
    found: dict[UUID, None] = {}
    if _NUMBER.fullmatch(text) and len(_DIGITS.findall(text)) >= 7 and "phone_e164" in fields.kind.fields:
        region = (await tenants.get_settings(conn, tenant_id=seen.tenant_id)).default_region
        number = to_e164(text, region)
        if number is not None:
            kind = RECORD_TYPES[fields.name]
            found |= dict.fromkeys(await search.find_by_phone(conn, kind, number, seen, limit=limit))
    if fields.name == "contact" and not any(each.isspace() for each in text):
        found |= dict.fromkeys(await search.find_by_address(conn, text, seen, limit=limit))
    words = [each for each in _SEPARATORS.split(text) if each][:10]
    if len(words) == 1 and len(words[0]) == 1:
        # Half of all words begin with some letters: whoever has typed one is not done.
        found |= dict.fromkeys(await search.find_by_name(conn, fields.kind, words[0], seen, limit=limit))
    elif words:
        found |= dict.fromkeys(await search.find_by_words(conn, fields.name, words, seen, limit=limit))
    return list(found)[:limit]


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search over everything found of one kind."""

    fields: RecordFields
    records: list[Record]
    #: True where there are more.
    is_cut: bool


async def search_everything(hub: Hub, caller: Caller, text: str, *, limit: int = 5) -> list[Hits]:
    """Return the first few matches of each kind, kinds without any left out. Raises `Invalid`."""
    caller.require("records:read")
    seen = Seen(hub.tenant_id, _sorted(owners_seen(caller)))
    hits: list[Hits] = []
    if not text.strip():
        return hits
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        for name in ("contact", "company", "deal", "task", "activity", "owner"):
            fields = get_fields(name)
            ids = await find_matches(conn, fields, text, seen, limit=limit + 1)
            if not ids:
                continue
            listing = Listing(fields, owner_ids=owners_seen(caller), ids=ids[:limit])
            rows = await record_lists.list_page(
                conn,
                listing,
                read_sort(fields, None),
                after=None,
                limit=limit,
                tenant_id=hub.tenant_id,
            )
            records = await make_records(conn, hub, caller, fields, [each.row for each in rows])
            hits.append(Hits(fields, records, len(ids) > limit))
    return hits
