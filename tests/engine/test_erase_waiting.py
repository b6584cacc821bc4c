"""An erasure waits for answers that are out, goes on by itself, and hears of what was made after all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from mortal import push_and_die
from test_erase_under_way import UPSERT, Two, two

from syncline.clock import now
from syncline.engine.erase import Eraser, serve_erasures
from syncline.engine.removing import BEING_WRITTEN
from syncline.store import erasing

__all__ = ["two"]

pytestmark = pytest.mark.anyio


async def test_who_is_found_at_a_crm_under_our_own_id_after_all_is_erased_there(two: Two) -> None:
    """A process that stood still made them, and died: nobody would ever hear of its answer."""
    assert await push_and_die(two.other, answered="upsert")
    await two.one.execute("delete from sync.remote_changes where tenant_id = %(tenant_id)s")
    erasure_id = await two.order()
    assert await two.go_on(erasure_id)
    assert not two.is_erased_everywhere()
    await two.other.pull("contacts", full=True)
    assert await two.go_on(erasure_id)
    assert two.is_erased_everywhere()
    assert await two.left_here() == 0


async def test_an_erasure_that_has_waited_in_vain_is_gone_on_with_by_the_worker(two: Two) -> None:
    hold = two.gate.hold(UPSERT, answered=False)
    pushing = asyncio.create_task(two.other.push())
    await hold.wait()
    erasure_id = await two.order()
    assert not await two.go_on(erasure_id)
    [row] = await two.one.select("select state, problem, not_before from sync.erasures")
    assert (row["state"], row["problem"]) == ("removing", BEING_WRITTEN)
    assert row["not_before"] < now() + timedelta(minutes=2)
    async with two.one.db.statement() as conn:
        assert await erasing.list_open(conn, row["not_before"]) == [(two.one.tenant_id, erasure_id)]
    await two.age()
    await two.one.execute("update sync.erasures set not_before = now() where tenant_id = %(tenant_id)s")
    stop = asyncio.Event()
    eraser = Eraser(two.one.db, two.one.remotes, two.admin_url)
    working = asyncio.create_task(serve_erasures(eraser, two.one.db, stop))
    async with asyncio.timeout(60):
        while (await two.one.select("select state from sync.erasures"))[0]["state"] != "done":
            await asyncio.sleep(0.05)
    hold.release()
    await pushing
    async with asyncio.timeout(60):
        while not two.is_erased_everywhere():
            await asyncio.sleep(0.05)
    stop.set()
    await working
    assert await two.left_here() == 0
