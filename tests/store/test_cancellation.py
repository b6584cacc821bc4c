"""A task that is cancelled while it waits for a connection ends, at whatever moment that comes."""

from __future__ import annotations

import asyncio

import pytest

from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("ticks", range(8))
async def test_a_cancellation_that_comes_with_the_connection_is_not_lost(
    database_urls: DatabaseUrls, ticks: int
):
    never = asyncio.Event()

    async def work(db: Database) -> None:
        async with db.statement():
            await never.wait()

    async with Database.open(database_urls.app, min_size=1, max_size=1) as db:
        async with db.statement():
            waiting = asyncio.create_task(work(db))
            await asyncio.sleep(0.02)  # it is in the pool's queue now
        for _ in range(ticks):
            await asyncio.sleep(0)
        waiting.cancel()
        done, _ = await asyncio.wait([waiting], timeout=5)
        assert done
        assert waiting.cancelled()
