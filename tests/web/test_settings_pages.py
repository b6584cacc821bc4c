"""What an admin does: telling addresses, erasing and exporting persons, merging, switching tenants."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from looking import look, look_at
from playwright.async_api import Browser, Page, expect
from serving_pages import serve_pages
from site_process import ADMIN, PASSWORD
from visiting import Site, Visit, sign_in_at

from receiver import Receiver, receiving
from syncline.actions.connect import Wish, connect_token
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.server import in_loop

pytestmark = pytest.mark.anyio

_PATIENCE_MS = 30_000


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving(lambda: int(time.time() * 1000)) as opened:
        yield opened


async def test_an_address_is_told_looked_after_and_forgotten(
    visit: Visit, site: Site, receiver: Receiver, axe: str
):
    visitor = await visit()
    page = await visitor.go("/settings/webhooks")
    await page.get_by_label("Name").fill("warehouse")
    await page.get_by_label("Address").fill("http://hooks.example.com/plain")
    await page.get_by_role("button", name="Add it").click()
    await expect(page.locator("#url-fault")).to_contain_text("https")
    visitor.complaints.clear()  # the browser itself complains of the status
    await page.get_by_label("Address").fill(receiver.url)
    await page.get_by_label("A person was erased").check()
    await page.get_by_role("button", name="Add it").click()
    secret = (await page.locator("#new-secret").inner_text()).strip()
    assert secret.startswith("whsec_")

    await page.get_by_role("button", name="Send a test").click()
    await receiver.wait_for(1)
    assert receiver.deliveries[0].headers["syncline-event"] == "test"
    await expect(page.locator("#deliveries tr", has_text="test")).to_contain_text("Delivered")
    assert secret not in await page.content()
    await page.get_by_role("button", name="Send again").first.click()
    await expect(page.get_by_role("status").first).to_contain_text("sent again at once")
    await receiver.wait_for(2)
    await look_at(page, "a subscription", axe)
    await page.set_viewport_size({"width": 1280, "height": 900})

    await page.get_by_label("Which").select_option("")
    await page.get_by_label("What happened since").fill("2026-01-01T00:00")
    await page.locator("form", has_text="What happened since").get_by_role("button").click()
    await expect(page.get_by_role("status").first).to_contain_text("1 delivery will be sent again")
    await receiver.wait_for(3)

    await page.get_by_label("Name").fill("warehouse 2")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="warehouse 2")).to_be_visible()
    await _confirm(page, "New secret", "Make another")
    assert (await page.locator("#new-secret").inner_text()).strip() != secret
    await _confirm(page, "Pause", "Pause it")
    await expect(page.get_by_text("This one is paused.")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await _confirm(page, "Remove", "Remove it")
    await expect(page.get_by_role("status").first).to_contain_text("told nothing more")
    assert site.execute("select count(*) from sync.subscriptions") == [(0,)]


async def _confirm(page: Page, label: str, sure: str) -> None:
    await page.locator("summary", has_text=label).click()
    await page.get_by_role("button", name=sure, exact=True).click()


async def test_a_delivery_that_fails_says_why(visit: Visit, receiver: Receiver, site: Site):
    receiver.always = 410
    page = await (await visit()).go("/settings/webhooks")
    await page.get_by_label("Name").fill("gone")
    await page.get_by_label("Address").fill(receiver.url)
    await page.get_by_role("button", name="Add it").click()
    await page.get_by_role("button", name="Send a test").click()
    row = page.locator("#deliveries tr", has_text="test")
    await expect(row).to_contain_text("Given up")
    await expect(row).to_contain_text("410")
    await expect(row.locator('[data-label="Took"]')).to_have_text(re.compile(r"\d (ms|s)"))
    await _confirm(page, "Remove", "Remove it")


def _somebody(site: Site) -> tuple[str, str]:
    [(record, email)] = site.execute(
        "select c.id::text, c.email from crm.contacts c join sync.links l on l.record_id = c.id"
        " and l.tenant_id = c.tenant_id where c.email is not null and c.archived_at is null"
        " and not exists (select from sync.conflicts f where f.record_id = c.id)"
        " and not exists (select from crm.contacts o where o.id <> c.id and o.phone_e164 = c.phone_e164)"
        " order by c.id desc limit 1"
    )
    return record, email


async def test_a_person_is_exported_from_their_record(visit: Visit, site: Site, tmp_path: Path):
    record, email = _somebody(site)
    page = await (await visit()).go(f"/contacts/{record}")
    await page.get_by_role("link", name="Export or erase this person").click()
    await expect(page.get_by_label("Who", exact=True)).to_have_value(record)
    assert email not in page.url
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Export what is known").click()
    download = await started.value
    await download.save_as(tmp_path / "person.zip")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "person.zip").read_bytes())) as packed:
        document = json.loads(packed.read("person.json"))
        assert email in document["about"]["emails"]
        assert "crm.contacts" in document["known"]


async def test_a_person_is_erased_after_a_look_and_by_typing_it(
    browser: Browser, settings: Settings, axe: str, tmp_path: Path
):
    world = World(5)
    world.populate(contacts=6, companies=2, owners=1)
    async with serve_pages(settings) as served, in_loop(world) as crm_url:
        await connect_token(
            served.hub, Wish("hubspot", "acme", crm_url, ("owners", "contacts")), DEFAULT_TOKEN
        )
        await sync(served.hub, requested_by="test")
        context = await browser.new_context(reduced_motion="reduce")
        page = await context.new_page()
        await sign_in_at(page, served.url, ADMIN, PASSWORD)
        email = await _email_of_somebody(served.hub)
        await _order_erasure(page, served.url, email, axe)
        await expect(page.get_by_text("nothing is left to do")).to_be_visible()
        await expect(page.get_by_text("Erased", exact=True).first).to_be_visible()
        assert email not in await page.content()
        assert email not in {each.get("email") for each in world.store("contacts").records.values()}
        await look_at(page, "an erasure", axe)
        await page.set_viewport_size({"width": 1280, "height": 900})
        async with page.expect_download() as started:
            await page.get_by_role("link", name="Download the receipt").click()
        await (await started.value).save_as(tmp_path / "receipt.json")
        receipt = json.loads((tmp_path / "receipt.json").read_text())
        assert receipt["state"] == "done"
        assert receipt["proof"]["identifiers"]
        assert email not in json.dumps(receipt)
        await _find_and_let_in(page, served.url, email)
        await context.close()


async def _email_of_somebody(hub: Hub) -> str:
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        cursor = await conn.execute(
            "select email from crm.contacts where tenant_id = %(tenant_id)s and email is not null limit 1",
            {"tenant_id": hub.tenant_id},
        )
        row = await cursor.fetchone()
        assert row is not None
        return str(row[0])


async def _order_erasure(page: Page, url: str, email: str, axe: str) -> None:
    """Look at what erasing would do, mistype the confirmation, then confirm it."""
    await page.goto(f"{url}/settings/erasure")
    await page.get_by_label("Who", exact=True).fill("nobody@nowhere.example")
    await page.get_by_role("button", name="Export what is known").click()
    await expect(page.locator("#who-fault")).to_contain_text("Nothing is known")
    await page.get_by_label("Who", exact=True).fill(email)
    await page.get_by_role("button", name="Look at what").click()
    await expect(page.get_by_role("heading", name="What goes here")).to_be_visible()
    await expect(page.locator("tr", has_text="crm.contacts")).to_contain_text("1")
    await expect(page.get_by_label("acme")).to_be_checked()
    await expect(page.get_by_text("Backups made before")).to_be_visible()
    await look_at(page, "the look before an erasure", axe)
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.get_by_label("To confirm").fill("something else")
    await page.get_by_role("button", name="Erase for good").click()
    await expect(page.locator("#confirm-fault")).to_contain_text("not what the preview names")
    await page.get_by_label("To confirm").fill(email)
    await page.get_by_role("button", name="Erase for good").click()


async def _find_and_let_in(page: Page, url: str, email: str) -> None:
    await page.goto(f"{url}/settings/erasure")
    await page.get_by_label("Address or telephone number").fill(email)
    await page.get_by_role("button", name="Find").click()
    await expect(page.get_by_role("status").first).to_contain_text("1 erasure")
    await page.get_by_label("Address or telephone number").fill(email)
    await page.get_by_role("button", name="Consent has returned").click()
    await expect(page.get_by_role("status").first).to_contain_text("kept out no longer")


async def test_how_long_things_are_kept_is_set_counted_and_carried_out(visit: Visit, site: Site, axe: str):
    visitor = await visit()
    page = await visitor.go("/settings/retention")
    days = page.get_by_label("Days to keep Notifications, or forever")
    await days.fill("soon")
    await days.press("Enter")
    await expect(page.locator("#fault-notifications")).to_contain_text("forever")
    visitor.complaints.clear()  # the browser itself complains of the status
    days = page.get_by_label("Days to keep Notifications, or forever")
    await days.fill("30")
    await days.press("Enter")
    await expect(page.get_by_role("status").first).to_contain_text("Saved")
    assert site.execute("select keep_days from app.retention where subject = 'notifications'") == [(30,)]
    await page.get_by_role("button", name="Count what would go now").click()
    await expect(page.get_by_role("heading", name="What would go now")).to_be_visible()
    await look_at(page, "the count of what would go", axe)
    await page.set_viewport_size({"width": 1280, "height": 900})
    await _confirm(page, "Tidy now", "Tidy now")
    await expect(page.get_by_role("status").first).to_contain_text("went.")
    await page.get_by_role("button", name="Back to 90 days").click()
    assert site.execute("select count(*) from app.retention where subject = 'notifications'") == [(0,)]


async def test_two_that_are_one_are_merged_as_shown(visit: Visit, site: Site, axe: str):
    [(one, other)] = site.execute(
        "select min(id::text), max(id::text) from (select id from crm.contacts where archived_at is null"
        " and merged_into is null and id not in (select record_id from sync.conflicts where record_id is not"
        " null) order by id limit 2) two"
    )
    titles = {one: "Buyer of one", other: "Head of buying"}
    for record, title in titles.items():
        site.execute(
            "update crm.contacts set job_title = %(to)s where id = %(id)s::uuid", to=title, id=record
        )
    visitor = await visit()
    await look(visitor, f"/duplicates/{one}/{other}", axe)
    page = visitor.page
    await page.set_viewport_size({"width": 1280, "height": 900})
    goes = await page.locator("input[type=radio][name=survivor]:checked").get_attribute("value")
    stays = other if goes == one else one
    await page.locator(f"input[type=radio][name=survivor][value='{stays}']").check()
    await page.wait_for_url(f"**survivor={stays}**")
    # What was chosen before stands until something else is chosen.
    lost = page.locator("section", has_text="What would not stand any more")
    await expect(lost.locator("del", has_text=titles[stays])).to_be_visible()
    await page.locator(f"input[type=radio][name='take:job_title'][value='{stays}']").check()
    await page.wait_for_url(f"**job_title={stays}**")
    await expect(lost.locator("del", has_text=titles[str(goes)])).to_be_visible()
    # It may not be written there, so nothing there is asked to merge.
    await expect(page.get_by_text("It is not allowed").first).to_be_visible()
    await page.locator("summary", has_text="Merge").click()
    await expect(page.get_by_text("cannot be taken back as a whole")).to_be_visible()
    await page.get_by_role("button", name="Merge as shown").click()
    await expect(page.get_by_role("status").first).to_contain_text("The two are one now")
    rows = site.execute(
        "select id::text, merged_into::text, job_title from crm.contacts where id in"
        " (%(one)s::uuid, %(other)s::uuid) order by merged_into nulls first",
        one=one,
        other=other,
    )
    assert rows[0] == (stays, None, titles[stays])
    assert rows[1][:2] == (goes, stays)
    await visitor.go(f"/contacts/{goes}")
    await expect(page.get_by_role("link", name="Go to the one that stayed")).to_be_visible()


async def test_a_pair_is_said_not_to_be_one_and_to_be_one_after_all(visit: Visit, site: Site):
    rows = site.execute(
        "select id::text from crm.contacts where archived_at is null and merged_into is null"
        " order by id desc limit 2"
    )
    page = await (await visit()).go(f"/duplicates/{rows[0][0]}/{rows[1][0]}")
    await page.get_by_role("button", name="They are not the same").click()
    await expect(page.get_by_role("status").first).to_contain_text("not the same")
    await page.goto(f"{site.url}/duplicates/{rows[0][0]}/{rows[1][0]}")
    await expect(page.get_by_text("Somebody said that they are not the same")).to_be_visible()
    await page.get_by_role("button", name="They may be the same").click()
    await expect(page.get_by_role("status").first).to_contain_text("may be the same again")


async def test_the_tenant_is_switched_from_any_page_and_back(visit: Visit, site: Site):
    visitor = await visit(None)
    page = visitor.page
    await page.goto(f"{site.url}/sign-in?next=/contacts")
    await page.get_by_label("E-mail").fill("ada@example.com")
    await page.get_by_label("Password").fill("correct horse battery staple")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    for label, other in (("Empty Ltd", False), ("Default", True)):
        await page.locator("nav details.dd summary.who").first.click()
        await page.get_by_role("button", name=label).click()
        await expect(page.get_by_role("status").first).to_contain_text(f"You are now in {label}")
        await page.goto(f"{site.url}/contacts")
        assert (await page.locator("a.row-link").count() > 0) is other
