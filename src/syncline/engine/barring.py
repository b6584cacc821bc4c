"""Erasures asked for, and lifted: who is kept out from then on, and what CRMs are asked. Removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
from syncline.store import barred, connections, erasing, payloads, persons, remote_erasures
from syncline.store.barred import Hashed
from syncline.store.connections import Connection
from syncline.store.db import Conn
from syncline.store.remote_erasures import NewRemote, RemoteState

#: A connection's setting: what it does about persons who were erased in another CRM.
FOLLOWING = "erasures"
_NO_ERASURE = "This kind of CRM offers no way to erase."


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for an erasure, and what each CRM is asked."""

    by: str
    source: str
    #: Connection → what is to become of the person there; a connection that is not named is left alone.
    there: Mapping[UUID, RemoteState]
    #: Why, where that is not plain.
    reasons: Mapping[UUID, str]


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
        now=now,
    )
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
    there[remote.connection_id] = "done"
    reasons = {remote.connection_id: "It was erased there."}
    reasons |= {
        id_: f"It was erased in {remote.name}; a person has to say whether it is here, too."
        for id_, state in there.items()
        if state == "review"
    }
    order = Order(remote.name, "webhook", there, reasons)
    return await put_order(conn, remote.vault, found.subject, order, tenant_id=tenant_id, now=clock.now())


def following_of(connection: Connection) -> RemoteState:
    """Return what a connection does about persons who were erased in another CRM."""
    chosen = str(connection.settings.get(FOLLOWING, ""))
    return "wanted" if chosen == "everywhere" else "kept" if chosen == "here" else "review"


async def add_refs(
    conn: Conn, vault: Vault, refs: Sequence[Ref], *, tenant_id: UUID, erasure_id: UUID, now: datetime
) -> None:
    """Add remote records of a person that were found later: kept out, and asked for as the others are."""
    sealed = await barred.find_key(conn, tenant_id=tenant_id)
    if sealed is None:
        return
    known = await connections.list_all(conn, tenant_id=tenant_id)
    key = vault.open(sealed)
    await _bar_refs(conn, key, known, refs, tenant_id=tenant_id, erasure_id=erasure_id, now=now)
    asked = await remote_erasures.list_remote(conn, [erasure_id], tenant_id=tenant_id)
    there: dict[UUID, RemoteState] = {each.id: "kept" for each in known}
    reasons = {each.id: "It was found only when it was looked for everywhere." for each in known}
    for each in asked:
        if each.state in ("wanted", "done", "refused"):
            there[each.connection_id] = "wanted"
        elif each.state == "review":
            there[each.connection_id] = "review"
    order = Order("", "", there, {id_: reasons[id_] for id_, state in there.items() if state == "kept"})
    rows = [row for each in refs if (row := _ask(each, known, order)) is not None]
    await remote_erasures.insert_remotes(conn, rows, tenant_id=tenant_id, erasure_id=erasure_id, now=now)


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
    state: RemoteState = order.there.get(connection.id, "kept")
    reason = order.reasons.get(connection.id)
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
