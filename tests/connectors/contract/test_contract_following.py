"""Following: what changed since a moment arrives, however much it is, and nothing is promised too soon."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from imitated import Crm, Imitation
from walked import read_all

from syncline.connectors.reads import Page
from syncline.connectors.records import RemoteRecord

pytestmark = pytest.mark.anyio


async def changes_of(crm: Crm, name: str, since_ms: int, until_ms: int | None = None) -> list[Page]:
    names = await crm.names(name)
    return [page async for page in crm.connector.changed_pages(name, names, since_ms, until_ms)]


def records_of(pages: Sequence[Page]) -> dict[str, RemoteRecord]:
    return {each.remote_id: each for page in pages for each in page.records}


def assert_promises_are_kept(pages: Sequence[Page], since_ms: int) -> None:
    """A page that says “complete to” comes after every change before that moment."""
    times: dict[str, int] = {}
    for page in pages:
        for each in page.records:
            times[each.remote_id] = each.updated_ms or 0
    told: set[str] = set()
    complete_ms = since_ms
    for page in pages:
        told |= {each.remote_id for each in page.records}
        if page.complete_to_ms is None:
            continue
        complete_ms = max(complete_ms, page.complete_to_ms)
        late = [key for key, ms in times.items() if since_ms <= ms < complete_ms and key not in told]
        assert late == []
    assert pages[-1].complete_to_ms is not None
    assert all(page.after is None for page in pages)


async def test_what_changed_is_told_with_the_same_bytes(crm: Crm) -> None:
    for each in crm.objects:
        if not (await crm.connector.get_object(each.name)).incremental:
            continue  # every run lists it
        everything = records_of(await changes_of(crm, each.name, 0))
        assert everything.keys() == await crm.living(each.name), each.name
        changed = sorted(await crm.living(each.name))[:2]
        last_ms = max(one.updated_ms or 0 for one in everything.values())
        await crm.touch(each.name, changed)
        pages = await changes_of(crm, each.name, last_ms + 1)
        found = records_of(pages)
        assert found.keys() >= set(changed), each.name
        assert all((found[key].updated_ms or 0) > last_ms for key in changed)
        assert_promises_are_kept(pages, last_ms + 1)
        by_id = await crm.connector.read_many(each.name, changed, await crm.names(each.name))
        for record in by_id.records:
            assert record.payload == found[record.remote_id].payload, each.name


async def test_any_number_of_changes_may_have_one_moment(imitation: Imitation, server: object) -> None:
    async with imitation.opened(server, "crowded") as crm:
        name = crm.crowded
        ids = await crm.living(name)
        assert len(ids) >= crm.crowd
        before = records_of(await changes_of(crm, name, 0))
        since_ms = max(each.updated_ms or 0 for each in before.values()) + 1
        await crm.touch(name, sorted(ids))
        added = await crm.add(name)
        pages = await changes_of(crm, name, since_ms)
        found = records_of(pages)
        assert found.keys() == ids | set(added)
        [moment_ms] = {found[each].updated_ms for each in ids}
        assert moment_ms is not None
        assert_promises_are_kept(pages, since_ms)
        at_once = records_of(await changes_of(crm, name, moment_ms, moment_ms))
        assert at_once.keys() >= ids


async def test_a_window_has_an_end(crm: Crm) -> None:
    name = crm.crowded
    everything = records_of(await changes_of(crm, name, 0))
    times = sorted(each.updated_ms or 0 for each in everything.values())
    middle_ms = times[len(times) // 2]
    pages = await changes_of(crm, name, times[0], middle_ms)
    wanted = {key for key, each in everything.items() if (each.updated_ms or 0) <= middle_ms}
    assert records_of(pages).keys() >= wanted
    assert len(records_of(pages)) < len(everything)
    # Ours to promise is the window, and not what may yet change after it.
    assert all((page.complete_to_ms or 0) <= middle_ms + 1 for page in pages)


async def test_nothing_changed_is_told_too(crm: Crm) -> None:
    name = crm.crowded
    everything = records_of(await changes_of(crm, name, 0))
    last_ms = max(each.updated_ms or 0 for each in everything.values())
    pages = await changes_of(crm, name, last_ms + 60_000)
    assert not any(page.records for page in pages)
    assert all(page.complete_to_ms is None or page.complete_to_ms >= last_ms for page in pages)


async def test_a_long_absence_is_caught_up_with(imitation: Imitation, server: object) -> None:
    async with imitation.opened(server, "crowded") as crm:
        name = crm.crowded
        pages = await changes_of(crm, name, 0)
        found = records_of(pages)
        # What has no time of change is found by reading everything, as every run does the first time.
        dated = {key for key, each in (await read_all(crm, name)).items() if each.updated_ms is not None}
        assert found.keys() == dated
        assert len(dated) > len(await crm.living(name)) // 2
        assert_promises_are_kept(pages, 0)
        # Up to the CRM's own present, so that the next look need not begin at the beginning.
        latest_ms = max(each.updated_ms or 0 for each in found.values())
        assert max(page.complete_to_ms or 0 for page in pages) >= latest_ms
