"""What people do in the pages, done by a browser: each flow from its first click to what is then so."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from site_process import ADMIN, MANAGER, PASSWORD, REP
from visiting import Site, Visit, sign_in

pytestmark = pytest.mark.anyio

#: Long enough for a machine that has much else to do.
_PATIENCE_MS = 20_000


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=_PATIENCE_MS)


async def test_whoever_signs_in_comes_to_the_page_they_wanted_and_out_again(browser: Browser, site: Site):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{site.url}/queue")
    await expect(page).to_have_url(f"{site.url}/sign-in?next=/queue")
    await page.get_by_label("E-mail").fill(MANAGER)
    await page.get_by_label("Password").fill("certainly not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("wrong")
    await expect(page.get_by_label("E-mail")).to_have_value(MANAGER)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(f"{site.url}/queue")
    await page.locator("summary.who", has_text="Maria").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status").first).to_contain_text("signed out")
    await page.goto(f"{site.url}/queue")
    await expect(page).to_have_url(re.compile("/sign-in"))
    await context.close()


async def test_a_sync_that_is_asked_for_is_done_and_seen_without_loading_the_page_again(
    visit: Visit, site: Site
):
    page = await (await visit()).go("/syncs")
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    before = site.execute("select count(*) from sync.runs where object = 'owners'")[0][0]
    await page.get_by_role("button", name="Sync: owners of acme").click()
    row = page.locator("#row-acme-owners")
    await expect(row).to_contain_text("just now")
    await expect(row).to_contain_text("Up to date")
    assert site.execute("select count(*) from sync.runs where object = 'owners'")[0][0] == before + 1


async def test_what_cannot_be_done_is_said_and_the_page_stays(visit: Visit):
    visitor = await visit()
    page = await visitor.go("/syncs")
    row = page.locator("#row-acme-owners")
    # In one turn of the page, so that no refresh of the row comes in between.
    await page.get_by_role("button", name="Sync: owners of acme").evaluate(
        "each => { each.form.elements['object'].value = 'nothing'; each.click() }"
    )
    await expect(page.locator("#toasts")).to_contain_text("has no object called 'nothing'")
    await expect(row).to_be_visible()
    visitor.complaints.clear()  # the browser itself complains of the status


async def test_a_change_is_on_an_open_page_within_moments(visit: Visit, site: Site):
    page = await (await visit()).go("/sales-pipeline")
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    [(deal, tenant)] = site.execute("select id, tenant_id from crm.deals where status = 'open' limit 1")
    site.execute(
        "update crm.deals set name = 'Renamed while somebody looks', updated_at = now()"
        " where id = %(id)s and tenant_id = %(tenant)s",
        id=deal,
        tenant=tenant,
    )
    await expect(page.get_by_text("Renamed while somebody looks")).to_be_visible()


async def test_conflicts_are_decided_by_keys(visit: Visit, site: Site):
    page = await (await visit(MANAGER)).go("/conflicts")
    fields = page.locator("[data-review] .conflict")
    count = await fields.count()
    for key in "jojt":
        await page.keyboard.press(key)
    await expect(page.locator("[data-decided]")).to_have_text("2")
    chosen = [await fields.nth(number).get_attribute("id") for number in (0, 1)]
    await page.keyboard.press("u")
    await expect(page.locator("[data-decided]")).to_have_text("1")
    await page.keyboard.press("t")
    await page.get_by_role("button", name="Save what is chosen").click()
    await expect(page.get_by_role("status").first).to_contain_text("decided")
    assert await fields.count() == count - 2
    ids = [str(each).removeprefix("conflict-") for each in chosen]
    rows = site.execute(
        "select resolution, resolved_by from sync.conflicts where id = any(%(ids)s::uuid[])", ids=ids
    )
    assert sorted(rows) == [("ours", MANAGER), ("theirs", MANAGER)]


async def test_what_the_crm_refused_is_tried_again_or_dropped(visit: Visit, site: Site):
    page = await (await visit()).go("/queue?state=parked")
    await expect(page.get_by_text("must have at most 20 characters")).to_have_count(2)
    rows = page.locator("tr[id^=waiting-]")
    dropped = str(await rows.last.get_attribute("id"))[-36:]
    await rows.last.locator("summary", has_text="Drop").click()
    colleague = await (await visit(MANAGER)).go("/queue?state=parked")
    await colleague.get_by_role("button", name="Try now").first.click()
    await expect(colleague.get_by_role("status").first).to_contain_text("tried at once")
    await expect(rows).to_have_count(1)  # looked at anew, while somebody is being asked
    await page.get_by_role("button", name="Take it out").click()
    await expect(page.get_by_role("status").first).to_contain_text("taken out")
    assert site.execute("select 1 from sync.queue where record_id = %(id)s", id=dropped) == []
    assert site.execute("select count(*) from sync.queue where state = 'parked'") == [(0,)]


async def test_a_crm_is_connected_step_by_step_and_removed_again(visit: Visit, site: Site):
    visitor = await visit()
    page = await visitor.go("/connections/new")
    await page.get_by_role("link", name="HubSpot").click()
    await page.get_by_label("What to call it").fill("second")
    await page.get_by_label("Token").fill("pat-na1-wrong")
    await page.locator("summary", has_text="More settings").click()
    await page.get_by_label("Address").fill(site.crm_url)
    await page.get_by_role("button", name="Only try it").click()
    await expect(page.locator("#found")).to_contain_text("does not serve")
    await page.get_by_label("Token").fill(site.token)
    await page.get_by_role("button", name="Only try it").click()
    await expect(page.locator("#found")).to_contain_text("it serves")
    await page.get_by_label("Owners", exact=True).check()
    await page.get_by_role("button", name="Connect and sync").click()
    await expect(page).to_have_url(f"{site.url}/connections/second/first")
    await expect(page.get_by_text("Everything is here.")).to_be_visible(timeout=3 * _PATIENCE_MS)
    await page.goto(f"{site.url}/connections/second")
    await page.get_by_role("button", name="Check it").click()
    await expect(page.locator("#checked")).to_contain_text("all well")
    await page.locator("summary", has_text="Pause").click()
    await page.get_by_role("button", name="Pause it").click()
    await expect(page.get_by_text("This connection is paused.")).to_be_visible()
    await page.get_by_role("button", name="Use it again").click()
    await expect(page.get_by_text("second is used again.")).to_be_visible()
    await page.get_by_role("link", name="Settings", exact=True).last.click()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_text("Type second to say that you mean it.")).to_be_visible()
    visitor.complaints.clear()  # the browser itself complains of the status
    await page.get_by_label("Type second").fill("second")
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_role("status").first).to_contain_text("no longer connected")
    assert site.execute("select count(*) from sync.connections where name = 'second'") == [(0,)]


async def test_a_mapping_is_checked_by_line_previewed_and_applied(visit: Visit):
    visitor = await visit()
    page = await visitor.go("/connections/acme/mapping")
    editor = page.get_by_label("Mapping", exact=True)
    good = (
        "version: 1\npolicy: review\nobjects:\n  contacts:\n    fields:\n"
        "      job_title: {property: jobtitle, direction: pull}\n"
    )
    await editor.fill(good.replace("direction: pull", "direction: sideways"))
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_role("alert").first).to_contain_text("Line 6")
    visitor.complaints.clear()  # the browser itself complains of the status
    await editor.fill(good.replace("contacts:", "contacts: ["))
    await page.get_by_role("button", name="Check").click()
    await expect(page.get_by_role("alert").first).to_contain_text("Line ")
    visitor.complaints.clear()
    await editor.fill(good)
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("heading", name="What would change")).to_be_visible()
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_role("status").first).to_contain_text("The mapping holds")


async def test_writing_is_allowed_after_a_look_and_taken_back(visit: Visit, site: Site):
    page = await (await visit()).go("/connections/acme/writing")
    await page.get_by_role("link", name="Change what is written of companies").click()
    await page.get_by_label("City", exact=True).check()
    await page.get_by_role("button", name="Look at what would follow").click()
    await expect(page.get_by_text("What would follow", exact=True)).to_be_visible()
    await expect(page.get_by_label("City", exact=True)).to_be_checked()
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("status").first).to_contain_text("Writing of companies is allowed")
    assert site.execute("select field from sync.writing where object = 'companies'") == [("city",)]
    await page.get_by_role("link", name="Change what is written of companies").click()
    await page.locator("summary", has_text="Write nothing of it").click()
    await page.get_by_role("button", name="Only read it").click()
    await expect(page.get_by_role("status").first).to_contain_text("no longer written")
    assert site.execute("select count(*) from sync.writing where object = 'companies'") == [(0,)]


async def test_brakes_and_schedules_are_set_and_nonsense_is_pointed_at(visit: Visit):
    visitor = await visit()
    page = await visitor.go("/connections/acme/brakes")
    await page.locator("#change_count").fill("120")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_contain_text("from the next run on")
    await page.goto(f"{visitor.site.url}/connections/acme/schedules")
    row = page.locator("tr", has_text="Meetings").first
    await row.locator("input[name=cron]").fill("whenever")
    await row.get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    visitor.complaints.clear()
    row = page.locator("tr", has_text="Meetings").first
    await row.locator("input[name=cron]").fill("*/30 * * * *")
    await row.get_by_role("button").click()
    await expect(page.locator("tr", has_text="Meetings").first).to_contain_text("every 30 minutes")


async def test_somebody_is_invited_accepts_and_becomes_a_manager(visit: Visit, browser: Browser, site: Site):
    page = await (await visit()).go("/settings/people")
    await page.get_by_label("E-mail").fill("nina@example.com")
    await page.get_by_role("button", name="Invite").click()
    link = (await page.locator("#invitation-link").inner_text()).strip()
    context = await browser.new_context()
    guest = await context.new_page()
    await guest.goto(link)
    await guest.get_by_label("Your name").fill("Nina New")
    await guest.get_by_label("Choose a password").fill("short")
    await guest.get_by_role("button", name="Accept").click()
    await expect(guest.get_by_text("at least 12 characters").first).to_be_visible()
    await guest.get_by_label("Choose a password").fill(PASSWORD)
    await guest.get_by_role("button", name="Accept").click()
    await expect(guest.get_by_role("heading", name="Overview")).to_be_visible()
    await expect(guest.get_by_role("link", name="Settings")).to_have_count(0)
    await page.goto(f"{site.url}/settings/people")
    await page.get_by_role("link", name="Nina New").click()
    await page.get_by_label("Role").select_option("manager")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("tr", has_text="Nina New")).to_contain_text("manager")
    await guest.reload()
    await expect(guest.get_by_role("link", name="Audit")).to_be_visible()
    await context.close()


async def test_a_key_is_shown_once_and_revoked(visit: Visit, site: Site):
    page = await (await visit()).go("/settings/keys")
    await page.get_by_label("Who uses it").fill("reporting")
    await page.get_by_role("button", name="Make the key").click()
    key = (await page.locator("#new-key").inner_text()).strip()
    assert len(key) > 20
    await page.goto(f"{site.url}/settings/keys")
    await expect(page.get_by_role("rowheader", name="reporting")).to_be_visible()
    assert key not in await page.content()
    await page.locator("summary", has_text="Revoke").click()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.locator("tr", has_text="reporting")).to_contain_text("revoked")


async def test_the_tenant_is_set_switched_and_shown_as_it_begins(
    visit: Visit, site: Site, states: dict[str, Any]
):
    page = await (await visit()).go("/settings")
    await page.get_by_label("Time zone").select_option("Europe/Berlin")
    await page.get_by_label("Currency").fill("EUR")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_contain_text("Saved")
    visitor = await visit(None)
    await sign_in(visitor.page, site, ADMIN)
    await visitor.page.get_by_role("button", name="Open Empty Ltd").click()
    await expect(visitor.page.get_by_text("Nothing is connected yet")).to_be_visible()
    await expect(visitor.page.get_by_role("link", name="Connect a CRM")).to_be_visible()


async def test_light_and_dark_are_kept(visit: Visit):
    page = await (await visit()).go("/audit")
    await page.locator("summary.who", has_text="Ada").click()
    await page.get_by_role("button", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"


async def test_everything_is_reached_by_keys(visit: Visit):
    page = await (await visit()).go("/audit")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await expect(page.get_by_role("heading", name="Sync status")).to_be_visible()


async def test_the_navigation_opens_on_a_phone(visit: Visit):
    page = await (await visit(width=390, height=844)).go("/queue")
    link = page.get_by_role("link", name="Sync status")
    await expect(link).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await link.click()
    await expect(page.get_by_role("heading", name="Sync status")).to_be_visible()


async def test_a_rep_sees_no_more_than_they_may(visit: Visit, site: Site):
    visitor = await visit(REP)
    page = await visitor.go("/")
    for name in ("Settings", "Audit", "Conflicts", "Connections"):
        await expect(page.get_by_role("link", name=name)).to_have_count(0)
    response = await page.goto(f"{site.url}/settings/keys")
    assert response is not None
    assert response.status == 403
    await expect(page.get_by_role("alert")).to_contain_text("admin")
    visitor.complaints.clear()  # the browser itself complains of the status


async def test_what_a_run_did_is_shown_before_it_is_taken_back(visit: Visit, site: Site):
    [(run,)] = site.execute("select id from sync.runs where object = 'notes' and mode = 'backfill' limit 1")
    page = await (await visit(MANAGER)).go(f"/runs/{run}")
    await page.get_by_role("link", name="Look at undoing it").click()
    await expect(page.get_by_role("heading", name="Undo this run?")).to_be_visible()
    await page.get_by_role("button", name="Undo the run").click()
    await expect(page.get_by_role("status").first).to_contain_text("taken back")


@pytest.mark.parametrize("path", ["/drift", "/parked", "/queue"])
async def test_a_rep_does_not_see_what_waits_of_everybodys_records(visit: Visit, site: Site, path: str):
    visitor = await visit(REP)
    response = await visitor.page.goto(f"{site.url}{path}")
    assert response is not None
    assert response.status == 403
    visitor.complaints.clear()


@pytest.mark.parametrize(
    "back", ["/%09/evil.example", "//evil.example", "/%5Cevil.example", "https://evil.example"]
)
async def test_nothing_leads_away_from_here_by_a_made_up_way_back(visit: Visit, back: str):
    page = await (await visit()).go(f"/contacts/new?back={back}")
    target = await page.get_by_role("link", name="Cancel").evaluate("link => new URL(link.href).host")
    assert target == await page.evaluate("location.host")
