"""Alerts in a real browser: seen at a glance, acknowledged, rules tried before they hold, channels tried."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest
from looking import look
from playwright.async_api import expect
from site_process import MANAGER
from visiting import Site, Visit

pytestmark = pytest.mark.anyio
#: Those that look otherwise while an alert is open.
PAGES = ("/", "/alerts", "/settings/notifications")
_RULES = """
insert into app.alert_rules (tenant_id, document, changed_at, changed_by)
select tenant_id,
  'alerts: [{name: seen_in_pages, condition: contacts_synced_24h >= 0, notify: "role:manager"}]',
  now(), 'test'
from app.tenants where slug = 'default'
on conflict (tenant_id) do update set document = excluded.document
returning tenant_id
"""
_OPEN = """
insert into sync.alerts (tenant_id, id, rule, severity, condition, metric, state, since_at, opened_at, value,
  worst, latest, told)
select tenant_id, gen_random_uuid(), 'seen_in_pages', 'critical', 'contacts_synced_24h >= 0',
  'contacts_synced_24h', 'open', now(), now(), 1, 2, 2, '{role:manager}'
from app.tenants where slug = 'default'
on conflict do nothing
"""
_FIND = "select id from sync.alerts where rule = 'seen_in_pages' and state = 'open'"
_TOLD = """
insert into crm.notifications (tenant_id, id, notification_type, template_name, recipient, subject, body,
  status, error_message, retry_count, created_at, not_before)
select tenant_id, gen_random_uuid(), 'email', 'alert.opened', 'ada@example.com', 'Alert: not delivered', '',
  'failed', 'The mail server did not take the message.', 15, now(), now()
from app.tenants where slug = 'default'
returning id
"""


@pytest.fixture
def alert(site: Site) -> Generator[Any]:
    """An open alert that stays so: the site's own worker finds that its rule holds. Gone behind the test."""
    site.execute(_RULES)
    site.execute(_OPEN)
    yield site.execute(_FIND)[0][0]
    site.execute("delete from app.alert_rules returning tenant_id")
    site.execute("delete from sync.alerts where rule = 'seen_in_pages'")
    site.execute("delete from crm.notifications where subject = 'Alert: not delivered'")


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_about_alerts_can_be_used_by_anybody_anywhere(
    visit: Visit, axe: str, alert: Any, path: str
) -> None:
    await look(await visit(), path, axe)


async def test_an_alert_can_be_used_by_anybody_anywhere(visit: Visit, axe: str, alert: Any) -> None:
    await look(await visit(), f"/alerts/{alert}", axe)


async def test_an_open_alert_is_seen_at_a_glance_and_acknowledged(
    visit: Visit, site: Site, alert: Any
) -> None:
    visitor = await visit(MANAGER)
    page = visitor.page
    await page.goto(f"{site.url}/alerts")
    await expect(page.get_by_role("link", name="seen_in_pages")).to_be_visible()
    await page.get_by_role("link", name="seen_in_pages").click()
    await page.get_by_role("button", name="Acknowledge").click()
    await expect(page.get_by_text("looks after it")).to_be_visible()
    await page.goto(f"{site.url}/")
    # This one, and whatever the shipped rules find wrong with the site as it looks at itself.
    count = site.execute("select count(*) from sync.alerts where state = 'open'")[0][0]
    side = page.get_by_role("navigation", name="Main")
    await expect(side.get_by_role("link", name=re.compile(rf"Alerts\s*{count}$"))).to_be_visible()
    await expect(
        page.get_by_text("1 alert is open" if count == 1 else f"{count} alerts are open")
    ).to_be_visible()


async def test_rules_are_tried_refused_with_their_faults_saved_and_taken_back(
    visit: Visit, site: Site
) -> None:
    visitor = await visit()
    page = visitor.page
    await page.goto(f"{site.url}/alerts/rules")
    given = "alerts:\n  - {name: many_conflicts, condition: conflict_count_24h >= 0, notify: role:manager}\n"
    await page.get_by_label("Rules", exact=True).fill(given.replace("role:manager", "slack:nowhere"))
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("many_conflicts.notify")
    visitor.complaints.clear()  # the browser itself complains of the status
    await page.get_by_label("Rules", exact=True).fill(given)
    await page.get_by_role("button", name="Check and preview").click()
    await expect(page.get_by_role("row", name="many_conflicts")).to_contain_text("would alert")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_contain_text("Saved")
    await page.get_by_role("button", name="Back to the shipped rules").click()
    await expect(page.get_by_text("The shipped rules hold again.")).to_be_visible()
    assert "low_success_rate" in await page.get_by_label("Rules", exact=True).input_value()


async def test_a_channel_is_added_tried_and_removed_and_its_address_is_not_shown_again(
    visit: Visit, site: Site
) -> None:
    visitor = await visit()
    page = visitor.page
    await page.goto(f"{site.url}/alerts/channels")
    await page.get_by_label("Kind").select_option("webhook")
    await page.get_by_label("Name").fill("pages")
    await page.get_by_label("Address").fill("http://127.0.0.1:9/hidden-path")
    await page.get_by_role("button", name="Add it").click()
    await expect(page.get_by_text("whsec_")).to_be_visible()
    assert "hidden-path" not in await page.content()
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("did not arrive")).to_be_visible()
    await page.get_by_text("Remove", exact=True).click()
    await page.get_by_role("button", name="Remove it").click()
    await expect(page.get_by_text("webhook:pages is removed")).to_be_visible()


async def test_what_did_not_arrive_is_sent_again(visit: Visit, site: Site, alert: Any) -> None:
    site.execute(_TOLD)
    page = (await visit()).page
    await page.goto(f"{site.url}/settings/notifications?status=failed")
    row = page.get_by_role("row", name="Alert: not delivered")
    await expect(row).to_contain_text("did not take the message")
    await row.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("status").first).to_contain_text("sent after all")


async def test_a_manager_sees_rules_and_channels_and_changes_none(visit: Visit, site: Site) -> None:
    page = (await visit(MANAGER)).page
    for path in ("/alerts/rules", "/alerts/channels"):
        await page.goto(site.url + path)
        assert await page.locator("main").get_by_role("button").count() == 0, path
