"""Looking at a page as people with other eyes, screens and keyboards do: by axe, in each theme and size."""

from __future__ import annotations

from playwright.async_api import Page
from visiting import Visitor

#: Pages for whoever signed in, and those of records; where one is made, it is added here.
SIGNED_IN = (
    "/",
    "/sales-pipeline",
    "/syncs",
    "/syncs/acme/contacts",
    "/runs",
    "/conflicts",
    "/queue",
    "/parked",
    "/drift",
    "/alerts",
    "/alerts/rules",
    "/alerts/channels",
    "/duplicates",
    "/connections",
    "/connections/new",
    "/connections/new/hubspot",
    "/connections/new/postgres",
    "/connections/acme",
    "/connections/acme/first",
    "/connections/acme/writing",
    "/connections/acme/writing/contacts",
    "/connections/acme/mapping",
    "/connections/acme/brakes",
    "/connections/acme/schedules",
    "/connections/acme/webhooks",
    "/connections/acme/settings",
    "/settings",
    "/settings/people",
    "/settings/keys",
    "/settings/limits",
    "/settings/notifications",
    "/settings/webhooks",
    "/settings/retention",
    "/settings/erasure",
    "/audit",
    "/account",
    "/welcome",
)
OF_RECORDS = (
    "/contacts",
    "/contacts?filter=lifecycle_stage:eq:lead&sort=-full_name",
    "/contacts?q=nobody+at+all",
    "/contacts/new",
    "/companies",
    "/deals",
    "/deals/new",
    "/activities",
    "/activities/new",
    "/tasks",
    "/board",
    "/search",
    "/search?q=an",
    "/import",
    "/batches",
)
#: Looked at by tests of their own.
OF_NUMBERS = (
    "/dashboard?now=1",
    "/dashboard/pipeline",
    "/dashboard/forecast",
    "/dashboard/activity",
    "/dashboard/sync",
    "/dashboard/total_sales",
    "/settings/metrics",
    "/settings/rates",
)
PAGES = (*SIGNED_IN, *OF_RECORDS, *OF_NUMBERS)

DESKTOP, PHONE = (1280, 900), (390, 844)
#: Each differs from the one before in one thing only.
SCENES = (("light", DESKTOP), ("dark", DESKTOP), ("dark", PHONE), ("light", PHONE))

_EXAMINE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .flatMap((each) => each.nodes.map((node) => [each.id, node.html.slice(0, 160), node.failureSummary]));
}"""
_TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


async def examine(page: Page) -> list[list[str]]:
    """Return what axe finds that keeps people from using a page. Axe has to be there."""
    return await page.evaluate(_EXAMINE)


async def look(visitor: Visitor, path: str, axe: str) -> None:
    """Look at a page in light and dark, on a desktop and on a phone: loaded once, then turned over."""
    page = await visitor.go(path)
    await look_at(page, path, axe)


async def look_at(page: Page, what: str, axe: str) -> None:
    """Look at a page that is open, in all four."""
    assert await page.locator("h1").count() == 1, f"{what} has no single heading"
    await page.evaluate(axe)
    for theme, (width, height) in SCENES:
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        await page.set_viewport_size({"width": width, "height": height})
        await page.evaluate(_TWO_FRAMES)
        where = f"{what}, {theme}, {width} pixels wide"
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, f"{where}: it is wider"
        assert await examine(page) == [], where
