"""What a CRM tells of its own accord: subscribed to once, believed when proven, and never for its values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from imitated import SECRET, Crm
from imitations import IMITATIONS

from syncline.connectors.webhooks import Webhooks
from syncline.errors import Forged, Invalid

pytestmark = pytest.mark.anyio

ADDRESS = "https://hub.example.com/api/v1/webhooks/crm/main"


@pytest.fixture(params=[name for name, each in IMITATIONS.items() if each.crm.platform.webhooks is not None])
async def teller(request: pytest.FixtureRequest, server: object) -> AsyncGenerator[Crm]:
    """A CRM that sends webhooks."""
    async with IMITATIONS[request.param].opened(server) as opened:
        yield opened


def webhooks_of(crm: Crm) -> Webhooks:
    webhooks = crm.platform.webhooks
    assert webhooks is not None
    return webhooks


async def test_webhooks_are_asked_for_once_and_taken_back(crm: Crm) -> None:
    connector = crm.connector
    if not crm.platform.capabilities.makes_webhooks:
        with pytest.raises(Invalid):
            await connector.ensure_webhooks(ADDRESS, SECRET)
        with pytest.raises(Invalid):
            await connector.remove_webhooks(ADDRESS)
        return
    made = await connector.ensure_webhooks(ADDRESS, SECRET)
    assert made
    assert all(SECRET not in each for each in made)
    assert await connector.ensure_webhooks(ADDRESS, SECRET) == []
    assert await crm.fresh().ensure_webhooks(ADDRESS, SECRET) == []
    assert await connector.remove_webhooks(ADDRESS) == len(made)
    assert await connector.remove_webhooks(ADDRESS) == 0
    assert await connector.ensure_webhooks(ADDRESS, SECRET) == made


async def test_a_delivery_names_records_that_are_there(teller: Crm) -> None:
    crm, webhooks = teller, webhooks_of(teller)
    parse = webhooks.parse_for(crm.settings)
    name = crm.crowded
    ended = min(await crm.living(name))
    done: list[str] = []

    async def work() -> None:
        done.extend(await crm.add(name))
        await crm.end(name, ended)

    deliveries = await crm.deliveries(work, 1)
    account = await crm.connector.check()
    told: set[str] = set()
    for each in deliveries:
        assert len(each.body) <= webhooks.max_bytes
        webhooks.verify(each, SECRET)
        assert webhooks.find_account(each.body) in (None, account.account_id)
        events = parse(each.body)
        assert parse(each.body) == events, "told again it must be known for the same"
        assert {one.account_id for one in events} <= {"", account.account_id}
        told |= {one.remote_id for one in events if one.object == name}
    assert told & {*done, ended}
    page = await crm.connector.read_many(name, sorted(told), await crm.names(name))
    assert {one.remote_id for one in page.records if one.archived_ms is None} == told - {ended}


async def test_a_delivery_is_believed_only_with_the_secret(teller: Crm) -> None:
    webhooks = webhooks_of(teller)

    async def work() -> None:
        await teller.add(teller.crowded)

    delivery, *_ = await teller.deliveries(work, 1)
    webhooks.verify(delivery, SECRET)
    for secret in ("another-secret", SECRET + "x", SECRET[:-1], SECRET.upper()):
        with pytest.raises(Forged) as refusal:
            webhooks.verify(delivery, secret)
        assert secret not in str(refusal.value)
    for headers in (
        {},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer x"},
        {"authorization": ""},
    ):
        with pytest.raises(Forged) as refusal:
            webhooks.verify(replace(delivery, headers=headers), SECRET)
        assert SECRET not in str(refusal.value)


async def test_a_body_that_is_none_of_the_crms_is_refused(teller: Crm) -> None:
    webhooks = webhooks_of(teller)
    for body in (b"", b"null", b"\xff", b'"x"', b"12", b"{", b"[" * 5000):
        with pytest.raises(Invalid):
            webhooks.parse_for(teller.settings)(body)
        assert webhooks.find_account(body) is None


async def test_listening_tells_what_changes_from_now_on(crm: Crm) -> None:
    if not crm.platform.capabilities.listens:
        with pytest.raises(Invalid):
            async for _ in crm.connector.listen():
                pass
        return
    if crm.platform.capabilities.makes_webhooks:
        await crm.connector.ensure_webhooks(ADDRESS, SECRET)
    events = aiter(crm.connector.listen())
    async with asyncio.timeout(30):
        await anext(events)  # listening has begun
        changed, ended, *_ = sorted(await crm.living(crm.crowded))
        await crm.touch(crm.crowded, [changed])
        [made] = await crm.add(crm.crowded)
        await crm.end(crm.crowded, ended)
        told: dict[str, str] = {}
        while not told.keys() >= {changed, ended, made}:
            told |= {each.remote_id: each.kind for each in await anext(events) if each.object == crm.crowded}
    assert told[changed] in ("changed", "restored")
