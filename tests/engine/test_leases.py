from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from made_rows import make_connection

from syncline.engine.lease import hold_lease
from syncline.errors import Busy, LeaseLost
from syncline.store import leases
from syncline.store.db import Database

pytestmark = pytest.mark.anyio


async def take(
    db: Database, tenant_id: UUID, connection_id: UUID, holder: str, *, seconds: float = 60
) -> int | None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        return await leases.take(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose="pull:contacts",
            holder=holder,
            seconds=seconds,
        )


async def require(db: Database, tenant_id: UUID, connection_id: UUID, fence: int) -> None:
    async with db.transaction(tenant_id=tenant_id) as conn:
        await leases.require(
            conn, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", fence=fence
        )


async def test_a_lease_that_is_held_is_not_given_to_another(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    assert await take(db, tenant_id, connection_id, "one") == 1
    assert await take(db, tenant_id, connection_id, "other") is None


async def test_taking_ones_own_lease_again_fences_out_the_earlier_self(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    first = await take(db, tenant_id, connection_id, "one")
    second = await take(db, tenant_id, connection_id, "one")
    assert first is not None
    assert second is not None
    assert second > first
    await require(db, tenant_id, connection_id, second)
    with pytest.raises(LeaseLost):
        await require(db, tenant_id, connection_id, first)


async def test_an_expired_lease_is_taken_over_and_its_old_holder_cannot_write(
    db: Database, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    old = await take(db, tenant_id, connection_id, "stalled", seconds=0)
    assert old is not None
    await require(db, tenant_id, connection_id, old)  # nobody has taken over yet
    new = await take(db, tenant_id, connection_id, "other")
    assert new == old + 1
    with pytest.raises(LeaseLost):
        await require(db, tenant_id, connection_id, old)
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert not await leases.extend(
            conn,
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose="pull:contacts",
            fence=old,
            seconds=60,
        )
        await leases.release(
            conn, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", fence=old
        )
    await require(db, tenant_id, connection_id, new)


async def test_nobody_takes_a_lease_while_a_chunk_is_being_written_under_it(
    db: Database, tenant_id: UUID
) -> None:
    connection_id = await make_connection(db, tenant_id)
    fence = await take(db, tenant_id, connection_id, "one", seconds=0)
    assert fence is not None
    async with db.transaction(tenant_id=tenant_id) as conn:
        await leases.require(
            conn, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", fence=fence
        )
        async with asyncio.timeout(5):
            assert await take(db, tenant_id, connection_id, "other") is None
    assert await take(db, tenant_id, connection_id, "other") is not None


async def test_a_fence_never_comes_twice_even_after_giving_back(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    fences = []
    for _ in range(3):
        async with hold_lease(
            db, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", seconds=60
        ) as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]
    with pytest.raises(LeaseLost):
        await require(db, tenant_id, connection_id, 3)


async def test_ten_who_want_a_lease_at_once_get_it_one_after_another(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    fences = await asyncio.gather(*(take(db, tenant_id, connection_id, f"w{n}") for n in range(10)))
    assert sorted(fence for fence in fences if fence is not None) == [1]


async def test_purposes_do_not_exclude_one_another(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    keys = {"tenant_id": tenant_id, "connection_id": connection_id, "seconds": 60.0}
    async with hold_lease(db, purpose="pull:contacts", **keys), hold_lease(db, purpose="pull:deals", **keys):
        with pytest.raises(Busy):
            async with hold_lease(db, purpose="pull:deals", **keys):
                pass


async def test_a_held_lease_outlives_its_term_by_its_heartbeat(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    async with hold_lease(
        db, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", seconds=0.6
    ):
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert await take(db, tenant_id, connection_id, "other") is None


async def test_a_block_that_lost_its_lease_is_stopped(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)

    async def block() -> None:
        async with hold_lease(
            db, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts", seconds=0.6
        ) as lease:
            # The same holder again: as a second process that was restored from a snapshot would be.
            assert await take(db, tenant_id, connection_id, lease.holder) is not None
            await asyncio.sleep(30)

    with pytest.raises(LeaseLost):
        await block()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_lease_is_given_back_when_the_block_fails(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    keys = {"tenant_id": tenant_id, "connection_id": connection_id, "purpose": "pull:contacts"}
    with pytest.raises(ZeroDivisionError):
        async with hold_lease(db, seconds=60, **keys):
            raise ZeroDivisionError
    async with db.transaction(tenant_id=tenant_id) as conn:
        assert await leases.find_holder(conn, **keys) is None


async def test_a_lease_of_one_tenant_is_out_of_sight_for_another(db: Database, tenant_id: UUID) -> None:
    connection_id = await make_connection(db, tenant_id)
    assert await take(db, tenant_id, connection_id, "one") == 1
    async with db.transaction(tenant_id=UUID(int=7)) as conn:
        found = await leases.find_holder(
            conn, tenant_id=tenant_id, connection_id=connection_id, purpose="pull:contacts"
        )
    assert found is None
