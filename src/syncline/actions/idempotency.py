"""Doing a request once however often it is sent: the answer is kept for a day under the key it came with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.errors import Busy, Invalid
from syncline.store import idempotency
from syncline.store.idempotency import Kept

KEPT_FOR = timedelta(hours=24)
#: A request that has not ended by then never will: its process has died.
_GIVEN_UP_AFTER = timedelta(minutes=15)
_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request that is being answered for the first time."""

    hub: Hub
    caller: str
    key: str
    request_hash: bytes

    async def keep(
        self, status: int, content_type: str | None, location: str | None, body: bytes | None
    ) -> None:
        """Keep the answer; without its `body` it cannot be given again, and is said to have been given."""
        answer = Kept(self.request_hash, "done", status, content_type, location, body)
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await idempotency.keep(
                conn,
                self.key,
                answer,
                tenant_id=self.hub.tenant_id,
                caller=self.caller,
                expires_at=now() + KEPT_FOR,
            )

    async def release(self) -> None:
        """Let it be sent again: nothing was done."""
        async with self.hub.db.transaction(tenant_id=self.hub.tenant_id) as conn:
            await idempotency.release(
                conn, self.key, self.request_hash, tenant_id=self.hub.tenant_id, caller=self.caller
            )


class KeyReused(Invalid):
    """This Idempotency-Key came with another request before. Use a new key for a new request."""


async def begin(hub: Hub, caller: Caller, key: str, request_hash: bytes) -> Repeatable | Kept:
    """Take a request's key; or return what was answered when it came before.

    Raises `Invalid` for what is no key, `KeyReused`, and `Busy` while the first is being answered.
    """
    if not 0 < len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Invalid(f"An Idempotency-Key is 1 to {_LONGEST_KEY} printable ASCII characters.")
    whose = f"key:{caller.key_id}" if caller.key_id else f"user:{caller.user_id or caller.name}"
    at = now()
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        before = await idempotency.claim(
            conn,
            key,
            request_hash,
            tenant_id=hub.tenant_id,
            caller=whose,
            now=at,
            expires_at=at + _GIVEN_UP_AFTER,
        )
    if before is None:
        return Repeatable(hub, whose, key, request_hash)
    if before.request_hash != request_hash:
        raise KeyReused
    if before.state == "running":
        raise Busy("A request with this Idempotency-Key is being answered. Wait for it, then ask again.")
    if before.body is None:
        raise Busy(
            "The request with this Idempotency-Key was done. Its answer is not kept, since it held a secret "
            "or was too long: look at what it made, or use a new key."
        )
    return before
