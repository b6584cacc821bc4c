"""Everything that is known of a person, for the person: as one JSON document, as a page, or both in a ZIP.

What is about them is given whole. Of what is somebody else's and mentions an address or a number of theirs,
only the lines that do.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from syncline.actions.audit import note
from syncline.actions.erase import find_sought
from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.domain.excerpts import Excerpts
from syncline.domain.person_page import page_of
from syncline.engine.persons import Person, find_person, find_unlinked
from syncline.errors import NotFound
from syncline.store import connections, sweeping
from syncline.store.db import Conn
from syncline.store.personal import PLACES, Place, raw_place, values_of

Format = Literal["json", "html", "zip"]
FORMATS: tuple[Format, ...] = ("json", "html", "zip")

_encode = msgspec.json.Encoder(decimal_format="number").encode
#: Tables of machinery and what they are called for the person.
_TITLES: Mapping[str, str] = {
    "crm.contacts": "Who you are",
    "crm.activities": "Calls, e-mails, meetings and notes",
    "crm.tasks": "To-dos",
    "crm.deals": "Deals",
    "crm.companies": "Companies whose texts mention you",
    "crm.field_history": "Values over time",
    "crm.change_log": "What was changed",
    "crm.notifications": "Notifications",
    "sync.conflicts": "Conflicts between systems",
    "sync.decisions": "Values that were overruled",
    "sync.drift": "Differences between systems",
    "sync.links": "Which record you are in which system",
    "sync.queue": "What waits to be written to a system",
    "sync.remote_changes": "What was written to a system",
    "sync.parked": "What could not be read whole",
    "sync.merges": "Records that were made one",
    "sync.not_duplicates": "Records that are not one",
    "sync.inbox": "Messages of systems",
    "sync.runs": "Runs whose errors mention you",
    "raw.associations": "What you belong to in the systems",
    "app.audit_log": "What was done on your account",
    "crm.deal_contacts": "Deals that you belong to",
    "app.batches": "Edits and imports that mention you",
    "app.batch_rows": "What waits to be imported or changed",
    "app.saved_views": "Lists that people look for you with",
    "app.idempotency": "Answers that are kept for a day, in case a request comes twice",
    "sync.deliveries": "What other programs were told",
}


@dataclass(frozen=True, slots=True)
class Section:
    """What one table knows."""

    name: str
    title: str
    place: Place
    values: Mapping[str, Any]
    #: Rows that are not this person's are another person, whatever they mention.
    is_of_others: bool = False


async def export_person(
    hub: Hub, caller: Caller, who: str, *, kind: Format = "json"
) -> AsyncGenerator[bytes]:
    """Yield a document about a person, part by part. `who` as for `erase.find_sought`.

    Raises `Forbidden`, `Invalid`, and `NotFound` where nothing is known of them, before the first part.
    """
    caller.require("erase")
    sought = await find_sought(hub, who)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        person = await find_person(conn, sought, tenant_id=hub.tenant_id)
        subject = person.subject
        subject.add_refs(await find_unlinked(conn, subject, tenant_id=hub.tenant_id))
        if not subject.record_ids and not subject.refs:
            raise NotFound("Nothing is known here of that person.")
        await note(conn, caller, "person.exported", None, {"contacts": len(subject.contact_ids), "as": kind})
    at = now()
    if kind == "json":
        async for part in _stream_json(hub, person, at):
            yield part
        return
    document = b"".join([part async for part in _stream_json(hub, person, at)])
    page = page_of(msgspec.json.decode(document)).encode()
    yield page if kind == "html" else _pack(document, page, at)


async def _stream_json(hub: Hub, person: Person, at: datetime) -> AsyncGenerator[bytes]:
    """Yield `{"about": …, "known": {table: {"title", "rows": […], "mentions": […]}}}`, a row at a time."""
    subject = person.subject
    excerpts = Excerpts(subject.needles())
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await connections.list_all(conn, tenant_id=hub.tenant_id)
        sections = await _list_sections(hub, person)
        about = {
            "exported_at": at,
            "tenant": hub.tenant.label,
            "contact_ids": subject.contact_ids,
            "emails": subject.emails,
            "phones": subject.phones,
            "systems": {str(each.id): f"{each.name} ({each.platform})" for each in known},
        }
        yield b'{"about":' + _encode(about) + b',"known":{'
        behind = b""
        for section in sections:
            is_empty = True
            async for part in _stream_section(conn, section, excerpts, hub.tenant_id):
                yield behind + part if is_empty else part
                is_empty, behind = False, b","
        yield b"}}\n"


async def _stream_section(
    conn: Conn, section: Section, excerpts: Excerpts, tenant_id: UUID
) -> AsyncGenerator[bytes]:
    """Yield what one table knows; nothing where that is nothing."""
    head = _encode(section.name) + b':{"title":' + _encode(section.title) + b',"rows":['
    is_open = False
    async for row in sweeping.stream_whole(conn, section.place, section.values, tenant_id=tenant_id):
        yield (b"," if is_open else head) + _encode(row)
        is_open = True
    behind = b'],"mentions":['
    if not section.is_of_others:
        async for row in sweeping.stream_mentions(conn, section.place, section.values, tenant_id=tenant_id):
            found = excerpts.of_row(row["told"])
            if found:
                yield (b"" if is_open else head) + behind + _encode({"id": row["id"], "found": found})
                is_open, behind = True, b","
    if is_open:
        yield b"]}" if behind == b"," else behind + b"]}"


async def _list_sections(hub: Hub, person: Person) -> list[Section]:
    values = values_of(person.subject)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        raws = await sweeping.list_raw_tables(conn, tenant_id=hub.tenant_id)
    own = {each.name: each for each in PLACES}
    names = [name for name in _TITLES if name in own] + [name for name in own if name not in _TITLES]
    sections = [
        Section(name, _TITLES.get(name, name), own[name], values, name == "crm.contacts") for name in names
    ]
    for each in raws:
        place = raw_place(each.table)
        title = f"What {each.platform} says of you: {each.object}"
        sections.append(Section(place.name, title, place, {**values, "object": each.object}, True))
    return sections


def _pack(document: bytes, page: bytes, at: datetime) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("person.json", document), ("person.html", page)):
            archive.writestr(zipfile.ZipInfo(name, at.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
