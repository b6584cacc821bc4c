"""Ending a run that somebody no longer wants, in whichever process it runs.

The wish stands in the run's row, and is seen at each commit and every second between. What is committed
stays; the next run goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from syncline.engine.write import Target
from syncline.errors import RetryLater, RunCancelled
from syncline.store import runs

LOOK_SECONDS = 1.0
#: How long a run may go on to its next commit; then the chunk in hand is given up.
GRACE_SECONDS = 5.0


@asynccontextmanager
async def heed_cancel(target: Target) -> AsyncGenerator[None]:
    """Let the block be ended by whoever cancels its run: behind a commit, or soon. Raises `RunCancelled`."""
    block = asyncio.current_task()
    assert block is not None  # noqa: S101 - a coroutine always runs in a task
    cut_off = asyncio.Event()
    watching = asyncio.create_task(_watch(target, block, cut_off))
    try:
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    except asyncio.CancelledError:
        # Ours only if nobody else asked for the end as well.
        if cut_off.is_set() and block.uncancel() == 0:
            raise RunCancelled from None
        raise


async def _watch(target: Target, block: asyncio.Task[None], cut_off: asyncio.Event) -> None:
    while not target.is_cancelled:
        await asyncio.sleep(LOOK_SECONDS)
        with suppress(RetryLater):
            async with target.db.transaction(tenant_id=target.tenant_id) as conn:
                if await runs.is_cancelled(conn, target.run_id, tenant_id=target.tenant_id):
                    target.is_cancelled = True
    await asyncio.sleep(GRACE_SECONDS)
    cut_off.set()
    block.cancel()
