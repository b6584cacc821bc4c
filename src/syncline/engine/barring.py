"""Erasures asked for, and lifted: who is kept out from then on, and what CRMs are asked. Removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from uuid import UUID

import msgspec

from syncline import clock
from syncline.clock import new_id
from syncline.domain import identifiers
from syncline.domain.identifiers import Identifier
from syncline.domain.sealing import Vault
from syncline.domain.subject import Ref, Subject
from syncline.engine.persons import Sought, find_person, persons_of
from syncline.engine.remotes import Remote
from syncline.errors import NotFound
from syncline.store import (
    barred,
    connections,
    erasing,
    erasures,
    merging,
    payloads,
    persons,
    remote_erasures,
)
from syncline.store.barred import Hashed
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.keys import ConnectionKeys
from syncline.store.remote_erasures import NewRemote, RemoteState
from syncline.store.under_way import Making

#: A connection's setting: what it does about persons who were erased in another CRM.
FOLLOWING = "erasures"
_NO_ERASURE = "This kind of CRM offers no way to erase."
_GONE = "It was erased there."
_FOUND_LATER = "It was found only when it was looked for everywhere, and this CRM was left out."
_CONNECTED_SINCE = (
    "It was connected after the erasure was ordered; a person has to say whether it is erased here, too."
)
_STATES: Mapping[str, RemoteState] = {"wanted": "wanted", "review": "review"}


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for an erasure, and what each CRM is asked."""

    by: str
    source: str
    #: Connection → what is to become of the person there; a connection that is not named is left alone.
    there: Mapping[UUID, RemoteState]
    #: Why, where that is not plain.
    reasons: Mapping[UUID, str]
    #: What a CRM has said is gone there already.
    gone: frozenset[Ref] = frozenset()


async def put_order(
    conn: Conn, vault: Vault, subject: Subject, order: Order, *, tenant_id: UUID, now: datetime
) -> UUID:
    """Write down that a person is to be erased; from the commit on nobody stores them again.

    What is here is removed afterwards, by whoever goes on with it: it is never forgotten again.
    """
    erasure_id = new_id()
    key = vault.open(
        await barred.ensure_key(conn, vault.seal(identifiers.new_hash_key()), tenant_id=tenant_id, now=now)
    )
    hashed = _hash(key, list(subject.identifiers()))
    await erasing.insert(
        conn,
        erasure_id,
        tenant_id=tenant_id,
        by=order.by,
        source=order.source,
        subject=vault.seal(msgspec.json.encode(subject)),
        proof=sorted(proof_of(each) for each in hashed),
        wanted=order.there,
        now=now,
    )
    hashed += _hash(key, _records_of(subject))
    await barred.bar(conn, hashed, tenant_id=tenant_id, erasure_id=erasure_id, now=now)
    known = await connections.list_all(conn, tenant_id=tenant_id)
    await _bar_refs(conn, key, known, subject.refs, tenant_id=tenant_id, erasure_id=erasure_id, now=now)
    rows = [row for each in subject.refs if (row := _ask(each, known, order)) is not None]
    await remote_erasures.insert_remotes(conn, rows, tenant_id=tenant_id, erasure_id=erasure_id, now=now)
    return erasure_id


async def follow_erasure(conn: Conn, remote: Remote, object_name: str, remote_id: str) -> UUID | None:
    """Order what a CRM says was erased there to be erased here; None for what is nobody who is known here.

    What the other CRMs are asked, each connection's setting says: a person has to say so unless it is set.
    """
    tenant_id = remote.tenant_id
    if persons_of(remote.connection, object_name) is None:
        return None
    ref = Ref(remote.connection_id, object_name, remote_id)
    ids = await persons.list_linked(conn, [ref], tenant_id=tenant_id)
    if not ids and not await persons.is_mirrored(
        conn, payloads.table_of(remote.platform_name, object_name), ref, tenant_id=tenant_id
    ):
        return None
    found = await find_person(conn, Sought(contact_ids=tuple(ids), refs=(ref,)), tenant_id=tenant_id)
    known = await connections.list_all(conn, tenant_id=tenant_id)
    there: dict[UUID, RemoteState] = {each.id: following_of(each) for each in known}
    reasons = {
        id_: f"It was erased in {remote.name}; a person has to say whether it is here, too."
        for id_, state in there.items()
        if state == "review"
    }
    order = Order(remote.name, "webhook", there, reasons, frozenset({ref}))
    return await put_order(conn, remote.vault, found.subject, order, tenant_id=tenant_id, now=clock.now())


def following_of(connection: Connection) -> RemoteState:
    """Return what a connection does about persons who were erased in another CRM."""
    chosen = str(connection.settings.get(FOLLOWING, ""))
    return "wanted" if chosen == "everywhere" else "kept" if chosen == "here" else "review"


async def add_found(
    conn: Conn, vault: Vault, subject: Subject, refs: Sequence[Ref], *, tenant_id: UUID, erasure_id: UUID
) -> None:
    """Add what was found of a person later, `refs` among it: kept out, and asked of CRMs as was ordered."""
    at = clock.now()
    key = await _open_key(conn, vault, tenant_id=tenant_id)
    hashed = _hash(key, list(subject.identifiers()))
    proof = sorted(proof_of(each) for each in hashed)
    hashed += _hash(key, _records_of(subject))
    await barred.bar(conn, hashed, tenant_id=tenant_id, erasure_id=erasure_id, now=at)
    await _ask_too(conn, key, refs, {}, tenant_id=tenant_id, erasure_id=erasure_id, now=at)
    sealed = vault.seal(msgspec.json.encode(subject))
    await erasing.keep_subject(conn, erasure_id, sealed, proof, tenant_id=tenant_id)


async def add_makings(conn: Conn, makings: Sequence[Making], *, tenant_id: UUID, erasure_id: UUID) -> None:
    """Have a person looked for where they were just being made, and erased there if they were."""
    known = await connections.list_all(conn, tenant_id=tenant_id)
    order = await _recall_order(conn, known, tenant_id=tenant_id, erasure_id=erasure_id)
    rows: list[NewRemote] = []
    for each in makings:
        row = _ask(Ref(each.connection_id, each.object, ""), known, order)
        if row is not None:
            rows.append(replace(row, remote_id=None, record_id=each.record_id))
    await remote_erasures.insert_remotes(
        conn, rows, tenant_id=tenant_id, erasure_id=erasure_id, now=clock.now()
    )


async def add_made(
    conn: Conn, vault: Vault, made: Mapping[UUID, Ref], *, tenant_id: UUID, within: UUID | None = None
) -> None:
    """Have erased again who was made at a CRM all the same, by a call that was under way: id of ours → there.

    Also where the erasure was done with long ago. `within`: the erasure that is just gone on with.
    """
    at = clock.now()
    key = await _open_key(conn, vault, tenant_id=tenant_id)
    for record_id, ref in made.items():
        hashed = _hash(key, [identifiers.record(str(record_id))])
        for erasure_id in await barred.list_erasures(conn, hashed, tenant_id=tenant_id):
            await remote_erasures.name_remote(
                conn,
                erasure_id,
                record_id,
                ref.remote_id,
                tenant_id=tenant_id,
                connection_id=ref.connection_id,
                object_name=ref.object,
            )
            await _ask_too(
                conn, key, [ref], {ref: record_id}, tenant_id=tenant_id, erasure_id=erasure_id, now=at
            )
            await erasures.bury(
                conn,
                [ref.remote_id],
                tenant_id=tenant_id,
                connection_id=ref.connection_id,
                object_name=ref.object,
                record_type="contact",
                now=at,
            )
            if erasure_id != within:  # whoever goes on with it keeps their claim
                await erasing.reopen(conn, erasure_id, tenant_id=tenant_id, now=at)


async def ask_since(
    conn: Conn,
    key: bytes,
    kept_out: Mapping[Ref, Sequence[Hashed]],
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> None:
    """Ask a CRM that was connected after an erasure was ordered, and has the person; or have somebody say so.

    `kept_out`: what it was just about to bring of them, and by what that was known. Once for each record,
    also where the erasure was done with long ago.
    """
    at = clock.now()
    ids = await barred.list_erasures(conn, sorted({*chain(*kept_out.values())}), tenant_id=tenant_id)
    ordered = await erasing.list_ordered_before(conn, ids, connection_id, tenant_id=tenant_id)
    if not ordered:
        return
    keys: ConnectionKeys = {"tenant_id": tenant_id, "connection_id": connection_id}
    for object_name in {each.object for each in kept_out}:
        refs = {each.remote_id: each for each in kept_out if each.object == object_name}
        asked = await merging.find_tombstones(conn, **keys, object_name=object_name, remote_ids=list(refs))
        for remote_id in sorted(refs.keys() - asked.keys()):
            ref = refs[remote_id]
            for erasure_id in await barred.list_erasures(conn, kept_out[ref], tenant_id=tenant_id):
                if erasure_id in ordered:
                    await _ask_too(conn, key, [ref], {}, tenant_id=tenant_id, erasure_id=erasure_id, now=at)
                    await erasing.reopen(conn, erasure_id, tenant_id=tenant_id, now=at)
        await erasures.bury(conn, list(refs), **keys, object_name=object_name, record_type="contact", now=at)


async def _ask_too(
    conn: Conn,
    key: bytes,
    refs: Sequence[Ref],
    record_ids: Mapping[Ref, UUID],
    *,
    tenant_id: UUID,
    erasure_id: UUID,
    now: datetime,
) -> None:
    known = await connections.list_all(conn, tenant_id=tenant_id)
    await _bar_refs(conn, key, known, refs, tenant_id=tenant_id, erasure_id=erasure_id, now=now)
    order = await _recall_order(conn, known, tenant_id=tenant_id, erasure_id=erasure_id)
    rows = [
        replace(row, record_id=record_ids.get(each))
        for each in refs
        if (row := _ask(each, known, order)) is not None
    ]
    await remote_erasures.insert_remotes(conn, rows, tenant_id=tenant_id, erasure_id=erasure_id, now=now)


async def _recall_order(
    conn: Conn, known: Sequence[Connection], *, tenant_id: UUID, erasure_id: UUID
) -> Order:
    """Return what CRMs were to be asked; of one that was connected since a person has to say so."""
    wanted = await erasing.find_wanted(conn, erasure_id, tenant_id=tenant_id)
    there: dict[UUID, RemoteState] = {}
    reasons: dict[UUID, str] = {}
    for each in known:
        there[each.id] = _STATES.get(wanted.get(each.id, ""), "kept")
        if each.id not in wanted and await erasing.list_ordered_before(
            conn, [erasure_id], each.id, tenant_id=tenant_id
        ):
            there[each.id] = "wanted" if following_of(each) == "wanted" else "review"
            if there[each.id] == "review":
                reasons[each.id] = _CONNECTED_SINCE
        elif there[each.id] == "kept":
            reasons[each.id] = _FOUND_LATER
    return Order("", "", there, reasons)


async def _open_key(conn: Conn, vault: Vault, *, tenant_id: UUID) -> bytes:
    """Return the key that identifiers are hashed with, of a tenant somebody of whom has been erased."""
    sealed = await barred.find_key(conn, tenant_id=tenant_id)
    if sealed is None:
        raise NotFound("Nobody has been erased here.")
    return vault.open(sealed)


async def lift(
    conn: Conn, vault: Vault, wanted: Sequence[Identifier], *, tenant_id: UUID, by: str, now: datetime
) -> list[UUID]:
    """Let a person's data in again; returns the erasures that kept it out. Brings nothing back by itself."""
    sealed = await barred.find_key(conn, tenant_id=tenant_id)
    if sealed is None:
        return []
    key = vault.open(sealed)
    ids = await barred.list_erasures(conn, _hash(key, wanted), tenant_id=tenant_id)
    if not ids:
        return []
    lifted = await barred.lift(conn, ids, tenant_id=tenant_id)
    gone = await barred.list_tombstones(conn, tenant_id=tenant_id)
    back = [
        (connection_id, object_name, remote_id)
        for connection_id, object_name, remote_id, account in gone
        if _hash(key, [identifiers.remote(account, object_name, remote_id)])[0] in lifted
    ]
    await barred.unbury(conn, back, tenant_id=tenant_id)
    await erasing.mark_lifted(conn, ids, tenant_id=tenant_id, by=by, now=now)
    return ids


async def find_kept_out(
    conn: Conn, vault: Callable[[], Vault], wanted: Sequence[Identifier], *, tenant_id: UUID
) -> set[Identifier]:
    """Return those of `wanted` that must not be stored, for whoever makes records by another way."""
    sealed = await barred.pass_gate(conn, tenant_id=tenant_id)
    if sealed is None:
        return set()
    hashes = dict(zip(_hash(vault().open(sealed), wanted), wanted, strict=True))
    found = await barred.list_barred(conn, list(hashes), tenant_id=tenant_id)
    return {hashes[each] for each in found}


async def list_proofs(
    conn: Conn, vault: Vault, wanted: Sequence[Identifier], *, tenant_id: UUID
) -> list[str]:
    """Return what a receipt holds of a person who is known by `wanted`."""
    sealed = await barred.find_key(conn, tenant_id=tenant_id)
    return [] if sealed is None else [proof_of(each) for each in _hash(vault.open(sealed), wanted)]


def proof_of(hashed: Hashed) -> str:
    return f"{hashed.kind}:{hashed.hash.hex()}"


def _hash(key: bytes, wanted: Sequence[Identifier]) -> list[Hashed]:
    return [Hashed(each.kind, identifiers.hash_identifier(key, each)) for each in wanted]


def _records_of(subject: Subject) -> list[Identifier]:
    return [identifiers.record(str(each)) for each in subject.record_ids]


async def _bar_refs(
    conn: Conn,
    key: bytes,
    known: Sequence[Connection],
    refs: Sequence[Ref],
    *,
    tenant_id: UUID,
    erasure_id: UUID,
    now: datetime,
) -> None:
    accounts = {each.id: f"{each.platform}:{each.account_id or each.id}" for each in known}
    wanted = [
        identifiers.remote(accounts[each.connection_id], each.object, each.remote_id)
        for each in refs
        if each.connection_id in accounts
    ]
    await barred.bar(conn, _hash(key, wanted), tenant_id=tenant_id, erasure_id=erasure_id, now=now)


def _ask(ref: Ref, known: Sequence[Connection], order: Order) -> NewRemote | None:
    """Return what is asked of a CRM about one record; None for what is no person."""
    connection = next((each for each in known if each.id == ref.connection_id), None)
    persons = None if connection is None else persons_of(connection, ref.object)
    if connection is None or persons is None:
        return None
    state: RemoteState = "done" if ref in order.gone else order.there.get(connection.id, "kept")
    reason = _GONE if ref in order.gone else order.reasons.get(connection.id)
    if persons.left_behind is None and state in ("wanted", "review"):
        state, reason = "kept", _NO_ERASURE
    return NewRemote(
        connection.id,
        connection.name,
        connection.platform,
        ref.object,
        ref.remote_id,
        state,
        reason,
        persons.left_behind,
    )
