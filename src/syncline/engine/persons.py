"""Finds out who a person is: the contacts they are, what belongs to these, and how the CRMs know them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import msgspec

from syncline.connectors.base import Persons
from syncline.connectors.registry import get_platform
from syncline.domain.identifiers import email
from syncline.domain.phones import to_e164
from syncline.domain.subject import Ref, Subject
from syncline.engine.remotes import read_mapping
from syncline.errors import SettingInvalid
from syncline.store import connections, payloads, persons, sweeping, tenants
from syncline.store.connections import Connection
from syncline.store.db import Conn

_CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Sought:
    """By what somebody is looked for; all of it is one person."""

    contact_ids: tuple[UUID, ...] = ()
    emails: tuple[str, ...] = ()
    #: Remote records that are no contact here.
    refs: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was found."""

    subject: Subject
    #: Addresses and numbers of theirs that others have as well: they stay, and are not kept out.
    shared_emails: list[str] = field(default_factory=list[str])
    shared_phones: list[str] = field(default_factory=list[str])
    of_colleagues: list[str] = field(default_factory=list[str])
    #: Deals whose own names hold the person's name.
    named_deals: int = 0


async def find_person(conn: Conn, sought: Sought, *, tenant_id: UUID) -> Person:
    """Find everything that says who a person is, by indexes. Texts are not searched for them yet."""
    known = {each.id: each for each in await connections.list_all(conn, tenant_id=tenant_id)}
    region = (await tenants.get_settings(conn, tenant_id=tenant_id)).default_region
    emails = {each.strip().lower() for each in sought.emails}
    ids = await persons.list_contacts(conn, sought.contact_ids, sorted(emails), tenant_id=tenant_id)
    refs = [*sought.refs, *await persons.list_refs(conn, ids, tenant_id=tenant_id)]
    written, numbers = await persons.list_texts(conn, ids, tenant_id=tenant_id)
    emails |= written
    for ref_emails, ref_numbers in [await _read_payload(conn, each, known) for each in refs]:
        emails |= ref_emails
        numbers |= ref_numbers
    lines = {text: line for text in numbers if (line := to_e164(text, region)) is not None}
    taken, of_colleagues = await persons.list_taken_emails(conn, sorted(emails), ids, tenant_id=tenant_id)
    shared = taken | of_colleagues
    busy = await persons.list_taken_phones(conn, sorted(set(lines.values())), ids, tenant_id=tenant_id)
    phones = sorted({line for line in lines.values() if line not in busy})
    subject = Subject(
        contact_ids=ids,
        emails=sorted(emails - shared),
        phones=phones,
        numbers=sorted(text for text, line in lines.items() if line not in busy),
    )
    subject.activity_ids = await persons.list_activities(conn, ids, phones, tenant_id=tenant_id)
    subject.task_ids = await persons.list_tasks(conn, ids, tenant_id=tenant_id)
    subject.add_refs(refs)
    done = [*subject.activity_ids, *subject.task_ids]
    subject.add_refs(await persons.list_refs(conn, done, tenant_id=tenant_id))
    return Person(
        subject,
        shared_emails=sorted(shared),
        of_colleagues=sorted(of_colleagues),
        shared_phones=sorted(busy),
        named_deals=await persons.count_named_deals(conn, ids, tenant_id=tenant_id),
    )


async def widen(conn: Conn, subject: Subject, *, tenant_id: UUID) -> None:
    """Add to a person what has become theirs since they were found: records here and there, addresses."""
    sought = Sought(tuple(subject.contact_ids), tuple(subject.emails))
    since = (await find_person(conn, sought, tenant_id=tenant_id)).subject
    subject.contact_ids = sorted({*subject.contact_ids, *since.contact_ids})
    subject.activity_ids = sorted({*subject.activity_ids, *since.activity_ids})
    subject.task_ids = sorted({*subject.task_ids, *since.task_ids})
    subject.emails = sorted({*subject.emails, *since.emails})
    subject.phones = sorted({*subject.phones, *since.phones})
    subject.numbers = sorted({*subject.numbers, *since.numbers})
    subject.add_refs(since.refs)


async def find_unlinked(conn: Conn, subject: Subject, *, tenant_id: UUID) -> list[Ref]:
    """Return mirrors of a person that are linked to nobody. Reads every table of persons.

    A payload that only mentions them is somebody else's: who it is of is told by its own addresses.
    """
    found: list[Ref] = []
    looked_for = [each for each in subject.needles() if "@" in each.text]
    if not looked_for:
        return found
    for raw in await sweeping.list_raw_tables(conn, tenant_id=tenant_id):
        if raw.object in get_platform(raw.platform).capabilities.persons:
            found += await persons.list_unlinked(
                conn,
                payloads.table_of(raw.platform, raw.object),
                tenant_id=tenant_id,
                object_name=raw.object,
                contact_ids=subject.contact_ids,
                texts=[each.text for each in looked_for],
                patterns=[each.pattern for each in looked_for],
            )
    known = {each.id: each for each in await connections.list_all(conn, tenant_id=tenant_id)}
    theirs = {email(each) for each in subject.emails}
    return [
        each
        for each in found
        if not theirs.isdisjoint(map(email, (await _read_payload(conn, each, known))[0]))
    ]


def persons_of(connection: Connection, object_name: str) -> Persons | None:
    """Return how persons are known in an object of a connection; None for an object that holds none."""
    platform = get_platform(connection.platform)
    declared = platform.capabilities.persons.get(object_name)
    if declared is not None:
        return declared
    try:
        mapping = read_mapping(connection, platform).objects.get(object_name)
    except SettingInvalid:
        return None
    return Persons() if mapping is not None and mapping.record_type == _CONTACT else None


async def _read_payload(conn: Conn, ref: Ref, known: dict[UUID, Connection]) -> tuple[set[str], set[str]]:
    connection = known.get(ref.connection_id)
    declared = None if connection is None else persons_of(connection, ref.object)
    emails: set[str] = set()
    numbers: set[str] = set()
    if connection is None or declared is None:
        return emails, numbers
    table = await payloads.ensure_table(conn, connection.platform, ref.object)
    for text in await persons.list_payloads(
        conn, table, [ref.remote_id], tenant_id=connection.tenant_id, connection_id=ref.connection_id
    ):
        payload = msgspec.json.decode(text)
        for path in declared.emails:
            found = (each.strip().lower() for value in _walk(payload, path) for each in value.split(";"))
            emails |= {each for each in found if "@" in each}
        for path in declared.phones:
            numbers |= {each.strip() for each in _walk(payload, path) if each.strip()}
    return emails, numbers


def _walk(value: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield the texts at the end of a path; see `base.Persons`."""
    if not path:
        if isinstance(value, str | int):
            yield str(value)
        return
    step, *rest = path
    if step == "*" and isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _walk(each, rest)
    elif isinstance(value, dict):
        yield from _walk(cast("dict[str, Any]", value).get(step), rest)
