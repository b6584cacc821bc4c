"""Erasing a person: shown first, confirmed by typing the address, then carried out here and in the CRMs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.referring import label_of, refer
from syncline.clock import now
from syncline.connectors.registry import get_platform
from syncline.domain.callers import Caller
from syncline.domain.records import RECORD_TYPES
from syncline.domain.subject import Ref
from syncline.engine.barring import Order, put_order
from syncline.engine.erase import Eraser
from syncline.engine.persons import Person, Sought, find_person, persons_of
from syncline.errors import Invalid, NotFound
from syncline.store import connections, edits, sweeping
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.personal import PLACES, Place, raw_place, values_of
from syncline.store.remote_erasures import RemoteState

#: How long a preview looks through texts, all in all: what is not counted then is searched all the same.
_LOOK_SECONDS = 8.0
#: What happens before somebody knows better.
_BACKUPS = "Backups made before keep the person until they are thrown away: docs/erasure.md says what to do."
_LEFT_OUT = "Whoever asked for it left this CRM out."
_NOT_SHOWN = (
    "It has them only since the choice was shown; a person has to say whether it is erased here, too."
)
_BY_NAME = "Texts that name the person without an address or a number are not recognised."


@dataclass(frozen=True, slots=True)
class Here:
    """What one table has of a person."""

    table: str
    #: Rows that go, or are blanked.
    own: int
    #: Other rows in whose texts an address or a number is taken out; None where nobody has counted.
    mentions: int | None


@dataclass(frozen=True, slots=True)
class There:
    """What one CRM has of a person."""

    connection: str
    platform: str
    #: Object → records.
    records: Mapping[str, int]
    can_erase: bool
    #: What the CRM keeps all the same.
    left_behind: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What erasing somebody would do. Changes nothing."""

    label: str
    #: What has to be typed to confirm it.
    confirm: str
    contact_ids: list[UUID]
    emails: list[str]
    phones: list[str]
    here: list[Here]
    there: list[There]
    #: What stays, in sentences.
    remains: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Wanted:
    """An erasure that somebody asks for."""

    who: str
    #: As typed: has to be `Preview.confirm`.
    confirm: str
    #: Leaves the CRMs alone; else those named in `connections`, or all that have the person.
    only_here: bool = False
    connections: Sequence[str] | None = None
    #: Those whose person was shown when it was chosen; of one that has them only since, somebody has to say.
    #: None where nothing was shown: then whoever asks has spoken of all.
    offered: Sequence[str] | None = None


async def preview_erasure(hub: Hub, who: str) -> Preview:
    """Return what would be removed where, and what cannot be. Raises `NotFound`, `Invalid`.

    `who` is a contact's id, an address, or `connection:object:id` of a CRM.
    """
    sought = await find_sought(hub, who)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        person = await find_person(conn, sought, tenant_id=hub.tenant_id)
        known = await connections.list_all(conn, tenant_id=hub.tenant_id)
        label = await _label_of(conn, hub, person)
    there = _describe_there(known, person.subject.refs)
    return Preview(
        label,
        _confirmation(person, who),
        person.subject.contact_ids,
        person.subject.emails,
        person.subject.phones,
        await _count_here(hub, person),
        there,
        _list_remains(person, there),
    )


async def erase_person(hub: Hub, caller: Caller, wanted: Wanted) -> UUID:
    """Order a person to be erased, and return the erasure's id. From now on nobody stores them again.

    It is carried out by a worker, or at once by `carry_out`. Raises `Forbidden`, `NotFound`, and `Invalid`
    for what was not confirmed.
    """
    caller.require("erase")
    sought = await find_sought(hub, wanted.who)
    vault = hub.vault()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        person = await find_person(conn, sought, tenant_id=hub.tenant_id)
        _require_confirmed(person, wanted)
        known = await connections.list_all(conn, tenant_id=hub.tenant_id)
        order = Order(caller.name, caller.source, *_choose(known, wanted))
        erasure_id = await put_order(conn, vault, person.subject, order, tenant_id=hub.tenant_id, now=now())
        details = {"connections": sorted(each.name for each in known if order.there[each.id] == "wanted")}
        await note(conn, caller, "erasure.ordered", str(erasure_id), details)
    return erasure_id


async def carry_out(hub: Hub, erasure_id: UUID) -> bool:
    """Go on with an erasure now, as a worker would; returns whether nothing is left to do."""
    async with hub.remotes() as remotes:
        eraser = Eraser(hub.db, remotes, hub.location.admin_url)
        return await eraser.go_on(hub.tenant_id, erasure_id)


async def find_sought(hub: Hub, who: str) -> Sought:
    """Turn what somebody typed into whom they mean. Raises `NotFound`, `Invalid`."""
    text = who.strip()
    if "@" in text and ":" not in text:
        return Sought(emails=(text,))
    found = await refer(hub, text)
    if found.record is not None:
        if found.record.record_type != "contact":
            raise Invalid(f"Only persons can be erased: {text!r} is a {found.record.record_type}.")
        return Sought(contact_ids=(found.record.record_id,))
    if found.remote is None:
        raise NotFound(f"Nobody is known here by {text!r}.")
    remote = found.remote
    if persons_of(remote.connection, remote.object) is None:
        raise Invalid(f"{remote.object} of {remote.connection.name} are no persons.")
    return Sought(refs=(Ref(remote.connection.id, remote.object, remote.remote_id),))


def _confirmation(person: Person, who: str) -> str:
    """Return the address to type: the one that was asked for, else the first, else what was asked for."""
    text = who.strip()
    if "@" in text and ":" not in text:
        return text.lower()
    return person.subject.emails[0] if person.subject.emails else text


def _require_confirmed(person: Person, wanted: Wanted) -> None:
    expected = _confirmation(person, wanted.who)
    if set(person.of_colleagues) >= {expected}:
        raise Invalid(
            "That is a colleague's address, and colleagues are not erased. Name the contact by its id.",
            fields={"who": "a colleague's address"},
        )
    if wanted.confirm.strip().lower() != expected.lower():
        raise Invalid(
            "Nobody was erased: to confirm, type exactly what the preview names.",
            fields={"confirm": "is not what the preview names"},
        )


def _choose(known: Sequence[Connection], wanted: Wanted) -> tuple[dict[UUID, RemoteState], dict[UUID, str]]:
    """Return what is asked of each connection, and why nothing is asked of the others."""
    if wanted.connections is not None:
        unknown = sorted(set(wanted.connections) - {each.name for each in known})
        if unknown:
            raise NotFound(f"There is no connection called {', '.join(unknown)}.")
    there: dict[UUID, RemoteState] = {}
    reasons: dict[UUID, str] = {}
    for each in known:
        is_meant = wanted.connections is None or each.name in wanted.connections
        there[each.id] = "wanted" if is_meant and not wanted.only_here else "kept"
        if there[each.id] == "kept" and wanted.offered is not None and each.name not in wanted.offered:
            there[each.id] = "review"
        if there[each.id] != "wanted":
            reasons[each.id] = _LEFT_OUT if there[each.id] == "kept" else _NOT_SHOWN
    return there, reasons


async def _label_of(conn: Conn, hub: Hub, person: Person) -> str:
    for contact_id in person.subject.contact_ids:
        row = await edits.find_row(conn, RECORD_TYPES["contact"], contact_id, tenant_id=hub.tenant_id)
        if row is not None and (label := label_of(row)):
            return label
    return person.subject.emails[0] if person.subject.emails else ""


async def _count_here(hub: Hub, person: Person) -> list[Here]:
    values = values_of(person.subject)
    keys = {"tenant_id": hub.tenant_id}
    ends_at = time.monotonic() + _LOOK_SECONDS
    counted: list[Here] = []
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        raws = await sweeping.list_raw_tables(conn, **keys)
        places = [*((each, "") for each in PLACES), *((raw_place(each.table), each.object) for each in raws)]
        for place, object_name in places:
            asked = {**values, "object": object_name}
            own = await sweeping.count_own(conn, place, asked, **keys)
            mentions = await _count_mentions(conn, place, asked, hub.tenant_id, ends_at - time.monotonic())
            if own or mentions != 0:
                counted.append(Here(place.name, own, mentions))
    return counted


async def _count_mentions(
    conn: Conn, place: Place, values: Mapping[str, Any], tenant_id: UUID, seconds: float
) -> int | None:
    if seconds <= 0.05:
        return None
    return await sweeping.count_within(conn, place, values, tenant_id=tenant_id, seconds=seconds)


def _describe_there(known: Sequence[Connection], refs: Sequence[Ref]) -> list[There]:
    there: list[There] = []
    for connection in known:
        records: dict[str, int] = {}
        can, left = False, None
        for ref in refs:
            if ref.connection_id != connection.id:
                continue
            persons = persons_of(connection, ref.object)
            if persons is not None:
                records[ref.object] = records.get(ref.object, 0) + 1
                can, left = persons.left_behind is not None, persons.left_behind
        if records:
            there.append(There(connection.name, connection.platform, records, can, left))
    return there


def _list_remains(person: Person, there: Sequence[There]) -> list[str]:
    remains = [f"{each.connection}: {each.left_behind}" for each in there if each.left_behind]
    remains += [
        f"{each.connection}: {get_platform(each.platform).capabilities.label} offers no way to erase; "
        "delete the person there by hand."
        for each in there
        if not each.can_erase
    ]
    if person.shared_phones:
        remains.append("A number that others have as well stays where it is theirs, and may come back.")
    if person.shared_emails:
        remains.append("An address that others have as well stays where it is theirs, and may come back.")
    if person.named_deals:
        remains.append(f"{person.named_deals} deals have the name in their own; rename them.")
    return [*remains, _BY_NAME, _BACKUPS]
