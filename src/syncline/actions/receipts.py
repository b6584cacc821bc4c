"""Receipts of erasures: listed, shown, proven, gone on with; and a person let in when consent returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec

from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.paging import cut, read_place
from syncline.clock import now
from syncline.domain import identifiers
from syncline.domain.callers import Caller
from syncline.domain.identifiers import Identifier
from syncline.domain.phones import to_e164
from syncline.engine import barring
from syncline.engine.barring import FOLLOWING
from syncline.errors import Invalid, NotFound
from syncline.store import connections as connection_rows
from syncline.store import receipts, remote_erasures, tenants
from syncline.store.db import Conn
from syncline.store.receipts import Erasure
from syncline.store.remote_erasures import RemoteErasure

Following = Literal["here", "review", "everywhere"]
_FOLLOWINGS: tuple[Following, ...] = ("here", "review", "everywhere")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One erasure: when, who asked, what went, what each CRM said. Nothing of it says who it was."""

    erasure: Erasure
    there: list[RemoteErasure]

    def describe(self) -> dict[str, Any]:
        """Return it as it is downloaded."""
        erasure = self.erasure
        return {
            "id": erasure.id,
            "state": erasure.state,
            "requested_at": erasure.requested_at,
            "requested_by": erasure.requested_by,
            "source": erasure.source,
            "removed_at": erasure.removed_at,
            "completed_at": erasure.completed_at,
            "lifted_at": erasure.lifted_at,
            "lifted_by": erasure.lifted_by,
            "kept_out_at": erasure.seen_at,
            "waits_for": erasure.problem,
            "removed": dict(sorted(erasure.removed.items())),
            "crms": [
                {
                    "connection": each.connection,
                    "platform": each.platform,
                    "object": each.object,
                    "state": each.state,
                    "reason": each.reason,
                    "left_behind": each.left_behind,
                    "answered_at": each.answered_at,
                }
                for each in self.there
            ],
            "proof": {"algorithm": "HMAC-SHA256, with a key of the tenant", "identifiers": erasure.proof},
        }

    def document(self) -> bytes:
        """Return it as a JSON document."""
        return msgspec.json.format(msgspec.json.encode(self.describe()), indent=2) + b"\n"


@dataclass(frozen=True, slots=True)
class ReceiptPage:
    receipts: list[Receipt]
    #: Where the next page begins; None when this is the last.
    next: str | None


async def list_receipts(hub: Hub, *, limit: int = 50, after: str | None = None) -> ReceiptPage:
    """Return erasures, the latest first. Raises `Invalid` for a place that is none."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await receipts.list_latest(
            conn, tenant_id=hub.tenant_id, limit=limit + 1, after=read_place(after)
        )
        shown, following = cut(found, limit, lambda each: (each.requested_at, each.id))
        return ReceiptPage(await _with_crms(conn, shown, hub.tenant_id), following)


async def get_receipt(hub: Hub, erasure_id: UUID) -> Receipt:
    """Return one receipt. Raises `NotFound`."""
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await receipts.find(conn, erasure_id, tenant_id=hub.tenant_id)
        if found is None:
            raise NotFound(f"There is no erasure {erasure_id}.")
        [receipt] = await _with_crms(conn, [found], hub.tenant_id)
    return receipt


async def find_receipts(hub: Hub, who: str) -> list[Receipt]:
    """Return the erasures of a person who is known by an address or a number, the latest first."""
    vault = hub.vault()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        wanted = await _identify(conn, hub, who)
        proofs = await barring.list_proofs(conn, vault, wanted, tenant_id=hub.tenant_id)
        ids = await receipts.list_proving(conn, proofs, tenant_id=hub.tenant_id)
    return [await get_receipt(hub, each) for each in ids]


async def decide(
    hub: Hub,
    caller: Caller,
    erasure_id: UUID,
    *,
    ask: bool,
    connections: Sequence[str] | None = None,
) -> Receipt:
    """Have CRMs asked that wait for a person, or refused; or leave it. Raises `Forbidden`, `NotFound`."""
    caller.require("erase")
    await get_receipt(hub, erasure_id)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        count = await remote_erasures.decide(
            conn,
            erasure_id,
            "wanted" if ask else "kept",
            tenant_id=hub.tenant_id,
            now=now(),
            connections=connections,
        )
        if count:
            action = "erasure.asked" if ask else "erasure.left"
            await note(conn, caller, action, str(erasure_id), {"records": count})
    return await get_receipt(hub, erasure_id)


async def lift(hub: Hub, caller: Caller, who: str) -> list[UUID]:
    """Let a person in again whose consent has returned; returns the erasures that kept them out.

    What was removed is not brought back; what a CRM has comes with its next change, or a full sync.
    Raises `Forbidden`, and `NotFound` where nobody is kept out by that address or number.
    """
    caller.require("erase")
    vault = hub.vault()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        wanted = await _identify(conn, hub, who)
        lifted = await barring.lift(conn, vault, wanted, tenant_id=hub.tenant_id, by=caller.name, now=now())
        if not lifted:
            raise NotFound("Nobody is kept out by that address or number.")
        for each in lifted:
            await note(conn, caller, "erasure.lifted", str(each))
    return lifted


async def find_kept_out(hub: Hub, emails: Sequence[str], phones: Sequence[str] = ()) -> set[str]:
    """Return those addresses (lower case) and numbers (E.164) that must not be stored: they were erased.

    For whoever makes records otherwise than by a pull: forms, imports, people.
    """
    wanted = [identifiers.email(each) for each in emails if each.strip()]
    wanted += [identifiers.phone(each) for each in phones]
    if not wanted:
        return set()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        found = await barring.find_kept_out(conn, hub.vault, wanted, tenant_id=hub.tenant_id)
    return {each.value for each in found}


async def set_following(hub: Hub, caller: Caller, name: str, following: str) -> Following:
    """Set what a connection does about persons erased in another CRM. Raises `NotFound`, `Invalid`."""
    caller.require("settings:write")
    chosen: Following | None = next((each for each in _FOLLOWINGS if each == following), None)
    if chosen is None:
        raise Invalid(f"There is no {following!r}. There are: {', '.join(_FOLLOWINGS)}.")
    connection = await hub.get_connection(name)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        await connection_rows.put_settings(
            conn, connection.id, {FOLLOWING: chosen}, tenant_id=hub.tenant_id, now=now()
        )
        await note(conn, caller, "erasure.following", name, {"following": chosen})
    return chosen


async def _with_crms(conn: Conn, found: Sequence[Erasure], tenant_id: UUID) -> list[Receipt]:
    asked = await remote_erasures.list_remote(conn, [each.id for each in found], tenant_id=tenant_id)
    return [Receipt(each, [row for row in asked if row.erasure_id == each.id]) for each in found]


async def _identify(conn: Conn, hub: Hub, who: str) -> list[Identifier]:
    text = who.strip()
    if "@" in text:
        return [identifiers.email(text)]
    region = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).default_region
    number = to_e164(text, region)
    if number is None:
        raise Invalid(f"{text!r} is neither an address nor a number.", fields={"who": "no address or number"})
    return [identifiers.phone(number)]
