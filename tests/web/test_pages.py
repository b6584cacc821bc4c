"""Every page in a real browser: it answers, fits a phone, can be used by anybody, and is light."""

from __future__ import annotations

from typing import Any

import pytest
from looking import SIGNED_IN, examine, look
from playwright.async_api import Browser, Request
from site_process import ADMIN
from visiting import Site, Visit

pytestmark = pytest.mark.anyio

#: Kilobytes over the wire of a first load, without and with charts.
PLAIN_KB, CHARTS_KB = 150, 350

SIGNED_OUT = ("/sign-in", "/forgot-password", "/help", "/help/two-way", "/help/connectors/hubspot")


@pytest.mark.parametrize("path", SIGNED_IN)
async def test_a_page_can_be_used_by_anybody_anywhere(visit: Visit, axe: str, path: str) -> None:
    await look(await visit(), path, axe)


@pytest.mark.parametrize("path", SIGNED_OUT)
async def test_a_page_for_everybody_can_be_used_by_anybody_anywhere(
    visit: Visit, axe: str, path: str
) -> None:
    await look(await visit(None), path, axe)


async def test_a_run_and_its_undo_can_be_used_by_anybody(visit: Visit, axe: str, site: Site) -> None:
    [(run,)] = site.execute(
        "select id from sync.runs where object = 'companies' and mode = 'backfill' limit 1"
    )
    visitor = await visit()
    await look(visitor, f"/runs/{run}", axe)
    await look(visitor, f"/runs/{run}/undo", axe)


async def test_a_conflict_can_be_used_by_anybody(visit: Visit, axe: str, site: Site) -> None:
    [(conflict,)] = site.execute("select id from sync.conflicts where status = 'open' limit 1")
    await look(await visit(), f"/conflicts/{conflict}", axe)


async def test_an_error_says_what_to_do(visit: Visit, axe: str, site: Site) -> None:
    visitor = await visit()
    response = await visitor.page.goto(f"{site.url}/nowhere")
    assert response is not None
    assert response.status == 404
    assert await visitor.page.get_by_role("link", name="Overview").is_visible()
    await visitor.page.evaluate(axe)
    assert await examine(visitor.page) == []
    visitor.complaints.clear()  # the browser itself complains of the status


@pytest.mark.parametrize(
    ("path", "email", "most"),
    [("/sign-in", None, PLAIN_KB), ("/queue", ADMIN, PLAIN_KB), ("/conflicts", ADMIN, PLAIN_KB),
     ("/", ADMIN, CHARTS_KB), ("/syncs/acme/contacts", ADMIN, CHARTS_KB),
     ("/dashboard", ADMIN, PLAIN_KB), ("/dashboard/total_sales", ADMIN, CHARTS_KB),
     ("/dashboard/pipeline", ADMIN, CHARTS_KB)],
)  # fmt: skip
async def test_a_first_load_is_light(
    browser: Browser, site: Site, states: dict[str, Any], path: str, email: str | None, most: int
) -> None:
    context = await browser.new_context(storage_state=states[email] if email is not None else None)
    page = await context.new_page()
    finished: list[Request] = []
    page.on("requestfinished", lambda each: finished.append(each))  # noqa: PLW0108 - it marks functions
    await page.goto(site.url + path)
    await page.wait_for_function("document.readyState === 'complete'")
    sizes = {
        each.url: (await each.sizes())["responseBodySize"] for each in finished if "/live" not in each.url
    }
    await context.close()
    assert len(sizes) > 3
    assert sum(sizes.values()) < most * 1000, sizes
