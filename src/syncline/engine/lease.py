"""Holding a lease while something is done: takes it, keeps it alive, gives it back.

Knows when to extend; what a lease protects is the caller's matter.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from syncline.errors import Busy, LeaseLost, RetryLater
from syncline.store import leases
from syncline.store.db import Conn, Database


def make_holder() -> str:
    """Make a name that no other holder has and that tells a person where to look: host, process, number."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"


@dataclass(slots=True)
class Lease:
    """A lease that is held. `fence` proves it."""

    tenant_id: UUID
    connection_id: UUID
    purpose: str
    holder: str
    seconds: float
    fence: int
    #: True once another has taken it: stop, and write nothing.
    lost: bool = False

    async def require(self, conn: Conn) -> None:
        """Raise `LeaseLost` unless it is still held. Call it in each transaction that writes under it."""
        if self.lost:
            raise LeaseLost
        await leases.require(
            conn,
            tenant_id=self.tenant_id,
            connection_id=self.connection_id,
            purpose=self.purpose,
            fence=self.fence,
        )


@asynccontextmanager
async def hold_lease(
    db: Database,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    purpose: str,
    seconds: float,
    holder: str | None = None,
) -> AsyncGenerator[Lease]:
    """Hold a lease for the length of the block, extending it every third of `seconds`.

    Raises `Busy` when another holds it. When it is lost within the block, the block is cancelled and
    `LeaseLost` is raised in its place. A database that does not answer is borne for twice `seconds`, since
    the fence guards what is written; the lease is given back at the end, however the block ended.
    """
    name = holder or make_holder()
    async with db.transaction(tenant_id=tenant_id) as conn:
        fence = await leases.take(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose=purpose,
            holder=name,
            seconds=seconds,
        )
    if fence is None:
        raise Busy
    lease = Lease(tenant_id, connection_id, purpose, name, seconds, fence)
    block = asyncio.current_task()
    assert block is not None  # noqa: S101 - a coroutine always runs in a task
    heart = asyncio.create_task(_beat(db, lease, block))
    try:
        try:
            yield lease
        finally:
            heart.cancel()
            await asyncio.wait([heart])
            with suppress(RetryLater):  # it expires by itself
                await asyncio.shield(_give_back(db, lease))
    except asyncio.CancelledError:
        # Ours only if nobody else asked for the end as well.
        if lease.lost and block.uncancel() == 0:
            raise LeaseLost from None
        raise


async def _beat(db: Database, lease: Lease, block: asyncio.Task[None]) -> None:
    pause = lease.seconds / 3
    good_until = time.monotonic() + lease.seconds
    while True:
        await asyncio.sleep(pause)
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(lease.seconds), db.transaction(tenant_id=lease.tenant_id) as conn:
                kept = await leases.extend(
                    conn,
                    tenant_id=lease.tenant_id,
                    connection_id=lease.connection_id,
                    purpose=lease.purpose,
                    fence=lease.fence,
                    seconds=lease.seconds,
                )
        except (RetryLater, TimeoutError):
            pause = min(1.0, lease.seconds / 10)
            if time.monotonic() < good_until + lease.seconds:
                continue
            kept = False
        if not kept:
            lease.lost = True
            block.cancel()
            return
        pause, good_until = lease.seconds / 3, asked_at + lease.seconds


async def _give_back(db: Database, lease: Lease) -> None:
    async with db.transaction(tenant_id=lease.tenant_id) as conn:
        await leases.release(
            conn,
            tenant_id=lease.tenant_id,
            connection_id=lease.connection_id,
            purpose=lease.purpose,
            fence=lease.fence,
        )
