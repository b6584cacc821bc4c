"""Keeps who was erased from coming back with what a CRM says: asked once per chunk, for all its records.

A stranger who is known by an erased address is not stored at all; in every other record the address, or the
number, is taken out before it is stored. Costs one question per chunk while nobody has been erased.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from syncline.domain import identifiers
from syncline.domain.identifiers import Identifier, Needle
from syncline.domain.mapping import MappedRecord
from syncline.domain.sealing import Vault
from syncline.domain.subject import Ref
from syncline.engine import barring
from syncline.engine.prepare import Prepared
from syncline.store import barred
from syncline.store.barred import Hashed
from syncline.store.db import Conn

if TYPE_CHECKING:
    from syncline.engine.write import Target

_CONTACT, _OWNER = "contact", "owner"
_NUMBER = "phone_e164"
#: Fields that hold numbers as they were written.
_NUMBERS = ("phone", "from_number", "to_number")


@dataclass(slots=True)
class _Known:
    """How one record is known."""

    record: Prepared
    emails: set[str]
    number: str | None
    remote: Identifier
    #: Our own record, where the CRM's carries its id.
    own: Identifier | None

    def identifiers(self) -> Iterable[Identifier]:
        yield self.remote
        if self.own is not None:
            yield self.own
        yield from (identifiers.email(each) for each in self.emails)
        if self.number is not None:
            yield identifiers.phone(self.number)


@dataclass(slots=True)
class Gate:
    """What opens the key that identifiers are hashed with. `account`: a CRM and an account of it."""

    vault: Vault
    account: str
    _keys: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def open(self, sealed: bytes) -> bytes:
        if sealed not in self._keys:
            self._keys = {sealed: self.vault.open(sealed)}
        return self._keys[sealed]


async def pass_gate(target: Target, conn: Conn) -> bytes | None:
    """Pass the gate for the length of the transaction; returns the key, None where nobody is kept out.

    To be asked before anything is read that decides what is written.
    """
    if target.gate is None:
        return None
    sealed = await barred.pass_gate(conn, tenant_id=target.tenant_id)
    return None if sealed is None else target.gate.open(sealed)


async def list_erased(target: Target, conn: Conn, record_ids: Iterable[UUID]) -> set[UUID]:
    """Pass the gate, and return those of our records of which nothing may be written or stored any more.

    To be asked by whoever sends them, in the transaction that writes down what is sent, and again in the one
    that stores the answer.
    """
    key = await pass_gate(target, conn)
    if key is None:
        return set()
    hashes = {
        Hashed("record", identifiers.hash_identifier(key, identifiers.record(str(each)))): each
        for each in record_ids
    }
    found = await barred.list_barred(conn, list(hashes), tenant_id=target.tenant_id)
    return {hashes[each] for each in found}


async def list_kept_out(target: Target, conn: Conn, remote_ids: Iterable[str]) -> set[str]:
    """Pass the gate, and return those of the CRM's records of which nothing may be stored any more.

    To be asked before anything is read that is written down elsewhere: that may have been cleared already.
    """
    key = await pass_gate(target, conn)
    if key is None or target.gate is None:
        return set()
    hashes = {
        Hashed(each.kind, identifiers.hash_identifier(key, each)): remote_id
        for remote_id in remote_ids
        for each in [identifiers.remote(target.gate.account, target.object_name, remote_id)]
    }
    found = await barred.list_barred(conn, list(hashes), tenant_id=target.tenant_id)
    return {hashes[each] for each in found}


async def admit(
    target: Target,
    conn: Conn,
    key: bytes,
    records: dict[str, Prepared],
    known: Container[str],
    now: datetime,
) -> tuple[dict[str, Prepared], set[str]]:
    """Return the records that may be stored, without what must not be in them, and the ids of the others.

    `known` are the ids that are stored already: one of those stays who they are.
    """
    record_type = None if target.mapper is None else target.mapper.record_type.name
    if record_type == _OWNER:
        return records, set()
    people = [_know(target, each) for each in records.values()]
    hashes: dict[Hashed, Identifier] = {
        Hashed(each.kind, identifiers.hash_identifier(key, each)): each
        for person in people
        for each in person.identifiers()
    }
    found = await barred.list_barred(conn, list(hashes), tenant_id=target.tenant_id)
    if not found:
        return records, set()
    await barred.note_seen(conn, sorted(found), **target.keys, now=now)
    erased = {hashes[each] for each in found}
    shut_out: set[str] = set()
    for person in people:
        if _is_erased(person, record_type, erased, is_known=person.record.remote_id in known):
            shut_out.add(person.record.remote_id)
        else:
            _take_out(person, erased)
    if shut_out:
        kept_out = [each for each in people if each.record.remote_id in shut_out]
        await _tell_of(target, conn, key, kept_out, found)
        await _ask_for_made(target, conn, kept_out, erased)
    return {each: record for each, record in records.items() if each not in shut_out}, shut_out


async def _tell_of(
    target: Target, conn: Conn, key: bytes, people: Iterable[_Known], found: Container[Hashed]
) -> None:
    """Have it said of a CRM that was connected since the order that it has persons who were erased."""
    kept_out = {
        Ref(target.connection_id, target.object_name, each.record.remote_id): [
            hashed
            for identifier in each.identifiers()
            if (hashed := Hashed(identifier.kind, identifiers.hash_identifier(key, identifier))) in found
        ]
        for each in people
    }
    await barring.ask_since(conn, key, kept_out, **target.keys)


async def _ask_for_made(
    target: Target, conn: Conn, people: Iterable[_Known], erased: Container[Identifier]
) -> None:
    """Have erased there whom the CRM made for us all the same, by a call whose answer never came."""
    made = {
        UUID(each.own.value): Ref(target.connection_id, target.object_name, each.record.remote_id)
        for each in people
        if each.own is not None and each.own in erased and each.remote not in erased
    }
    if made and target.gate is not None:
        await barring.add_made(conn, target.gate.vault, made, tenant_id=target.tenant_id)


def _know(target: Target, record: Prepared) -> _Known:
    number = None if record.mapped is None else record.mapped.values.get(_NUMBER)
    account = "" if target.gate is None else target.gate.account
    address = None if record.mapped is None else record.mapped.values.get("email")
    # What is no address by our reading may be one to the CRM.
    own = {address.strip().lower()} if isinstance(address, str) and address.strip() else set[str]()
    return _Known(
        record,
        identifiers.find_emails(record.payload) | own,
        number if isinstance(number, str) else None,
        identifiers.remote(account, target.object_name, record.remote_id),
        None if record.external_id is None else identifiers.record(record.external_id),
    )


def _is_erased(person: _Known, record_type: str | None, erased: set[Identifier], *, is_known: bool) -> bool:
    """Say whether a record is somebody who was erased, and not somebody else who shares a line with them."""
    if person.remote in erased or person.own in erased:
        return True
    if record_type != _CONTACT or is_known or person.record.mapped is None:
        return False
    address = person.record.mapped.values.get("email")
    if isinstance(address, str) and address.strip():
        return identifiers.email(address) in erased
    return person.number is not None and identifiers.phone(person.number) in erased


def _take_out(person: _Known, erased: set[Identifier]) -> None:
    record = person.record
    emails = [each for each in person.emails if identifiers.email(each) in erased]
    numbers: list[str] = []
    mapped = record.mapped
    if mapped is not None and person.number is not None and identifiers.phone(person.number) in erased:
        numbers = [
            text
            for name in _NUMBERS
            if isinstance(text := mapped.values.get(name), str) and identifiers.same_line(text, person.number)
        ]
        mapped.values[_NUMBER] = None
    found = identifiers.needles(emails, numbers)
    if not found:
        return
    record.payload = identifiers.redact_json(record.payload, found)
    if record.parked is not None and record.parked.original is not None:
        original = identifiers.redact(record.parked.original, found)
        record.parked = replace(record.parked, original=original)
    if mapped is not None:
        _cut(mapped, {each.lower() for each in (*emails, *numbers)}, found)


def _cut(mapped: MappedRecord, whole: set[str], found: list[Needle]) -> None:
    for held in (mapped.values, mapped.theirs):
        for name, value in held.items():
            if isinstance(value, str):
                is_all = value.strip().lower() in whole
                held[name] = None if is_all else identifiers.redact(value, found)
