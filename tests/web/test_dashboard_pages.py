"""The pages of numbers in a real browser: cards, filters, drill-down, pictures to take away, settings."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree as ET

import httpx2
import pytest
from looking import examine, look
from playwright.async_api import Page, expect
from site_process import ADMIN, MANAGER, REP
from visiting import Site, Visit, enter, sign_in

from syncline.store.reports import REPORTS
from syncline.web.dashboard_settings import WORDS

pytestmark = pytest.mark.anyio

#: Long enough for a machine that has much else to do.
_PATIENCE_MS = 20_000
_PNG = b"\x89PNG\r\n\x1a\n"
_METRICS = [report.name for report in REPORTS.values() if report.number]
_YEAR = "period=last-365"


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=_PATIENCE_MS)


async def _numbers(page: Page) -> None:
    """Wait until the numbers have taken the place of their frame."""
    await expect(page.locator("a.measure")).to_have_count(len(_METRICS))
    await expect(page.locator(".bone")).to_have_count(0)


@pytest.mark.parametrize(
    "path",
    [
        f"/dashboard?now=1&{_YEAR}",
        f"/dashboard/pipeline?{_YEAR}",
        "/dashboard/forecast",
        f"/dashboard/activity?{_YEAR}",
        "/dashboard/sync",
        f"/dashboard/total_sales?{_YEAR}",
        f"/dashboard/deals_by_stage?{_YEAR}",
        f"/dashboard/sales_script_performance?{_YEAR}",
        f"/dashboard/win_rate/records?{_YEAR}",
        "/settings/metrics",
        "/settings/rates",
    ],
)
async def test_a_page_of_numbers_can_be_used_by_anybody_anywhere(visit: Visit, axe: str, path: str):
    await look(await visit(), path, axe)


async def test_the_frame_comes_first_and_the_numbers_take_its_place_without_a_jump(visit: Visit, axe: str):
    page = await (await visit()).go(f"/dashboard?{_YEAR}")
    await expect(page.locator(".measure")).to_have_count(len(_METRICS))
    await _numbers(page)
    heights = await page.locator(".measure:not(.measure-wide)").evaluate_all(
        "all => [...new Set(all.map(each => Math.round(each.getBoundingClientRect().height)))]"
    )
    # The frame of a card is as high as a card with its number.
    assert min(heights) >= 140
    await page.evaluate(axe)
    assert await examine(page) == []


async def test_every_metric_has_a_page_with_its_number_its_records_and_what_it_means(
    site: Site,
):
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        await enter(client, MANAGER)
        for name in _METRICS:
            answer = await client.get(f"/dashboard/{name}?{_YEAR}")
            assert answer.status_code == 200, name
            assert REPORTS[name].label in answer.text
            assert f"/dashboard/{name}.csv" in answer.text, name
            told = await client.get(f"/dashboard/{name}.csv?{_YEAR}")
            rows = list(csv.reader(io.StringIO(told.text.removeprefix("\ufeff"))))
            assert len(rows) > 1, name
        assert (await client.get("/dashboard/no_such_metric")).status_code == 404
        whole = await client.get(f"/dashboard.csv?{_YEAR}")
        assert len(list(csv.reader(io.StringIO(whole.text)))) == len(_METRICS) + 1


async def test_filters_are_in_the_address_and_go_along_from_page_to_page(visit: Visit, site: Site):
    page = await (await visit()).go("/dashboard")
    await page.get_by_label("Period").select_option("year")
    await expect(page).to_have_url(re.compile("period=year"))
    await page.get_by_label("Owner").select_option(index=1)
    await expect(page).to_have_url(re.compile("owner="))
    owner = await page.get_by_label("Owner").input_value()
    await _numbers(page)
    await page.locator("a.measure", has_text="Deals won").click()
    await expect(page.get_by_role("heading", name="Deals won", level=1)).to_be_visible()
    await expect(page.get_by_label("Period")).to_have_value("year")
    await expect(page.get_by_label("Owner")).to_have_value(owner)
    await page.get_by_role("navigation", name="Where you are").get_by_role("link", name="Dashboard").click()
    await expect(page.get_by_label("Owner")).to_have_value(owner)
    await page.get_by_role("link", name="Forecast", exact=True).click()
    await expect(page.get_by_label("Owner")).to_have_value(owner)
    await page.get_by_role("link", name="Pipeline", exact=True).click()
    await expect(page.get_by_label("Period")).to_have_value("year")
    await page.get_by_role("link", name="Clear").click()
    await expect(page).to_have_url(f"{site.url}/dashboard/pipeline")


async def test_other_days_are_chosen_by_keys_and_what_is_wrong_with_them_is_said(visit: Visit, site: Site):
    visitor = await visit()
    page = await visitor.go("/dashboard/total_sales")
    first = page.get_by_label("First day")
    await expect(first).to_be_hidden()
    await page.get_by_label("Period").focus()
    await page.keyboard.press("End")  # the last choice: other days
    await expect(first).to_be_visible()
    await first.fill("2026-03-01")
    await page.get_by_label("Last day").fill("2026-03-31")
    await page.get_by_role("button", name="Show", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("from=2026-03-01&until=2026-03-31"))
    await expect(page.get_by_text("Mar 1 \N{EN DASH} 31, 2026").first).to_be_visible()
    await page.get_by_label("Last day").fill("2026-02-01")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.get_by_text("The last day lies before the first.")).to_be_visible()
    await expect(page.get_by_label("Last day")).to_have_attribute("aria-invalid", "true")
    visitor.complaints.clear()  # the browser itself complains of the status


async def test_a_number_leads_to_its_records_and_those_to_their_pages(visit: Visit, site: Site):
    [(won,)] = site.execute(
        "select count(*) from crm.deals where status = 'won' and archived_at is null and merged_into is null"
        " and closed_at > now() - interval '360 days'"
    )
    assert won > 0
    page = await (await visit()).go(f"/dashboard/deals_won?{_YEAR}")
    await page.get_by_role("link", name="All of them").click()
    rows = page.locator("main tbody tr")
    assert await rows.count() >= won
    async with page.expect_download() as told:
        await page.get_by_role("link", name="CSV").click()
    file = await (await told.value).path()
    lines = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    assert len(lines) == await rows.count()
    name = await rows.first.get_by_role("link").inner_text()
    await rows.first.get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(name)


async def test_a_part_of_the_series_leads_to_its_own_records(visit: Visit):
    page = await (await visit()).go(f"/dashboard/new_contacts?{_YEAR}")
    await page.locator("summary", has_text="As a table").last.click()
    row = page.locator("#metric .measure-table tbody tr").last
    count = int((await row.locator("td").inner_text()).replace(",", ""))
    await row.get_by_role("link").click()
    await expect(page.get_by_role("link", name="Of the whole period")).to_be_visible()
    assert await page.locator("main tbody tr").count() == min(count, 100)


async def test_a_chart_is_taken_away_as_a_picture_and_as_a_drawing(visit: Visit, site: Site):
    # In the dark: what is taken away is light all the same.
    page = await (await visit(theme="dark")).go(f"/dashboard/new_contacts?{_YEAR}")
    menu = page.locator("summary", has_text="Export").last
    await menu.click()
    async with page.expect_download() as drawn:
        await page.get_by_role("button", name="Picture (PNG)").click()
    picture = await drawn.value
    assert re.fullmatch(r"new-contacts-[\d-]+\.png", picture.suggested_filename)
    data = (await picture.path()).read_bytes()
    assert data.startswith(_PNG)
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (2400, 1260)
    await menu.click()
    async with page.expect_download() as drawn:
        await page.get_by_role("button", name="Drawing (SVG)").click()
    drawing = await drawn.value
    root = ET.fromstring((await drawing.path()).read_text())
    texts = " ".join("".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "New contacts: " in texts
    assert "2026" in texts
    assert site.execute("select label from app.tenants where slug = 'default'")[0][0] in texts
    paper = next(each for each in root.iter() if each.get("fill", "").startswith("rgb"))
    assert paper.get("fill") == "rgb(255, 255, 255)"


async def test_a_link_to_what_is_seen_is_copied(visit: Visit):
    page = await (await visit()).go(f"/dashboard/win_rate?{_YEAR}")
    await page.locator("summary", has_text="Export").last.click()
    await page.get_by_role("button", name="Copy the link").click()
    await expect(page.locator("#toasts")).to_contain_text("link")


async def test_a_chart_is_drawn_anew_when_the_page_turns_dark_and_when_numbers_change(
    visit: Visit, site: Site
):
    page = await (await visit()).go(f"/dashboard/new_contacts?{_YEAR}")
    chart = page.locator("[data-chart=series-chart]")
    table = page.locator("#metric .measure-table tbody")
    await page.locator("summary", has_text="As a table").last.click()
    await expect(chart.locator("canvas")).to_be_visible()
    before = await _pixels(page)
    await page.locator("summary.who", has_text="Ada").click()
    await page.get_by_role("button", name="Dark").click()
    await page.wait_for_function(
        "before => document.querySelector('canvas').toDataURL() !== before", arg=before
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")
    value = page.locator(".measure-first .stat-value")
    shown = int((await value.inner_text()).replace(",", ""))
    [(tenant,)] = site.execute("select tenant_id from app.tenants where slug = 'default'")
    site.execute(
        "insert into crm.contacts (tenant_id, id, first_name, created_at, updated_at)"
        " values (%(tenant)s, gen_random_uuid(), 'Counted at once', now(), now())",
        tenant=tenant,
    )
    await expect(value).to_have_text(f"{shown + 1:,}")
    await expect(chart.locator("canvas")).to_be_visible()
    assert len(await _pixels(page)) > 1000
    # What was opened is open still.
    await expect(table).to_be_visible()
    site.execute(
        "delete from crm.contacts where tenant_id = %(tenant)s and first_name = 'Counted at once'",
        tenant=tenant,
    )


async def _pixels(page: Page) -> str:
    return await page.evaluate("document.querySelector('canvas').toDataURL()")


async def test_a_tenant_without_records_is_told_so_on_every_page(visit: Visit, site: Site):
    page = (await visit(None)).page
    await sign_in(page, site, ADMIN)
    await page.get_by_role("button", name="Open Empty Ltd").click()
    await page.goto(f"{site.url}/dashboard")
    await _numbers(page)
    await expect(page.locator("a.measure", has_text="Win rate")).to_contain_text("No deal was won or lost.")
    for path in ("pipeline", "forecast", "activity", "sync", "win_rate", "deals_by_stage"):
        await page.goto(f"{site.url}/dashboard/{path}")
        await expect(page.locator(".empty").first).to_be_visible()


async def test_a_rep_sees_own_numbers_and_chooses_nobody_elses(visit: Visit, site: Site):
    visitor = await visit(REP)
    page = await visitor.go(f"/dashboard?{_YEAR}")
    options = await page.get_by_label("Owner").locator("option").all_inner_texts()
    assert options == ["Mine and nobody's", "Only mine"]
    await _numbers(page)
    [(owner,)] = site.execute("select id from crm.owners order by id limit 1")
    answer = await page.goto(f"{site.url}/dashboard/total_sales?owner={owner}")
    assert answer is not None
    assert answer.status == 422
    await expect(page.get_by_text("There is no such owner.")).to_be_visible()
    [(foreign, seen)] = site.execute(
        "select count(*) filter (where owner_id is not null), count(*) filter (where owner_id is null)"
        " from crm.deals where status = 'won' and closed_at > now() - interval '360 days'"
        " and archived_at is null and merged_into is null"
    )
    assert foreign > 0
    await page.goto(f"{site.url}/dashboard/deals_won/records?{_YEAR}")
    rows = page.locator("main tbody tr")
    assert seen <= await rows.count() < seen + foreign
    visitor.complaints.clear()  # the browser itself complains of the status


_OTHERS = {
    "owner": """
insert into crm.owners (tenant_id, id, first_name, email)
values (%(tenant)s, gen_random_uuid(), 'Foreign', 'foreign@example.com') returning id
""",
    "pipeline": """
insert into crm.pipelines (tenant_id, id, key, label, object)
values (%(tenant)s, gen_random_uuid(), 'foreign-' || gen_random_uuid(), 'Foreign', 'deals') returning id
""",
}


@pytest.fixture
def others(site: Site) -> dict[str, str]:
    """Ids of what another tenant filters by."""
    [(tenant,)] = site.execute("select tenant_id from app.tenants where slug = 'empty'")
    return {name: str(site.execute(statement, tenant=tenant)[0][0]) for name, statement in _OTHERS.items()}


async def test_what_is_another_tenants_is_as_absent_as_what_never_was(site: Site, others: dict[str, str]):
    nobody = "01a1ffcf-0000-7000-8000-000000000000"
    asked = {**others, "connection": "elsewhere"}
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        await enter(client, MANAGER)
        for name, value in asked.items():
            for path in ("/dashboard", "/dashboard/total_sales", "/dashboard/pipeline"):
                one = await client.get(path, params={name: value})
                two = await client.get(path, params={name: nobody})
                assert one.status_code == two.status_code == 422, (path, name)
                assert f"There is no such {name}." in one.text, (path, name)
                assert "Foreign" not in one.text
        for path in ("/parts/dashboard", "/dashboard.csv", "/dashboard/deals_won.csv"):
            assert (await client.get(path, params={"owner": others["owner"]})).status_code == 400, path


async def test_words_decide_what_counts_and_what_contradicts_itself_is_said(visit: Visit):
    visitor = await visit()
    page = await visitor.go("/settings/metrics")
    for _, label, _ in WORDS:
        await expect(page.get_by_label(label, exact=True)).to_be_visible()
    await page.get_by_label("Qualified", exact=True).fill("Yes\nhot, HOT")
    await page.get_by_label("Not qualified").fill("hot")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Qualified", exact=True)).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("cannot be qualified and unqualified at once")).to_be_visible()
    visitor.complaints.clear()  # the browser itself complains of the status
    await page.get_by_label("Not qualified").fill("no")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_contain_text("Saved")
    await expect(page.get_by_label("Qualified", exact=True)).to_have_value("yes\nhot")


async def test_rates_are_given_and_taken_away_and_money_is_told_in_their_currency(visit: Visit, site: Site):
    visitor = await visit()
    page = await visitor.go("/settings/rates")
    await page.locator("input[name=from_currency]").fill("USD")
    await page.locator("input[name=rate]").fill("many")
    await page.get_by_label("In", exact=True).fill("CHF")
    await page.get_by_role("button", name="Give it").click()
    await expect(page.get_by_text("Give a number, such as 1.0842.")).to_be_visible()
    visitor.complaints.clear()  # the browser itself complains of the status
    await page.locator("input[name=rate]").fill("0.5")
    await page.get_by_label("From day").fill("2020-01-01")
    await page.get_by_role("button", name="Give it").click()
    await expect(page.get_by_role("status").first).to_contain_text("1 USD is 0.5 CHF")
    await page.locator("input[type=file]").set_input_files(
        [
            {
                "name": "rates.csv",
                "mimeType": "text/csv",
                "buffer": b"currency,to,date,rate\nEUR,CHF,2020-01-01,nope\n",
            }
        ]
    )
    await page.get_by_role("button", name="Import").click()
    await expect(page.get_by_text("Line 2 cannot be read")).to_be_visible()
    visitor.complaints.clear()
    await page.locator("input[type=file]").set_input_files(
        [
            {
                "name": "rates.csv",
                "mimeType": "text/csv",
                "buffer": b"currency,to,date,rate\nEUR,CHF,2020-01-01,0.9\n",
            }
        ]
    )
    await page.get_by_role("button", name="Import").click()
    await expect(page.get_by_role("status").first).to_contain_text("1 rate is new")
    await visitor.go("/dashboard/pipeline_value")
    await page.get_by_label("Currency").select_option("CHF")
    await expect(page).to_have_url(re.compile("currency=CHF"))
    await expect(page.locator(".measure-first .stat-value")).to_contain_text("CHF")
    for code in ("USD", "EUR"):
        await visitor.go("/settings/rates")
        await page.locator("tr", has_text=code).locator("summary", has_text="Remove").first.click()
        await page.locator("tr", has_text=code).get_by_role("button", name="Remove the rate").first.click()
        await expect(page.get_by_role("status").first).to_contain_text("The rate is gone")


async def test_only_admins_set_what_numbers_are_counted_by(site: Site):
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        token = await enter(client, MANAGER)
        for path in ("/settings/metrics", "/settings/rates"):
            assert (await client.get(path)).status_code == 403
            assert (await client.post(path, data={"csrf_token": token})).status_code == 403


async def test_the_numbers_are_there_without_scripts(site: Site):
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        await enter(client, MANAGER)
        frame = await client.get(f"/dashboard?{_YEAR}")
        assert f"/dashboard?{_YEAR}&amp;now=1" in frame.text
        whole = await client.get(f"/dashboard?{_YEAR}&now=1")
        assert whole.text.count('class="measure"') + whole.text.count('class="measure measure-wide"') == 22


async def test_the_first_chart_is_drawn_of_what_the_crm_brought(visit: Visit):
    page = await (await visit()).go("/connections/acme/first")
    await expect(page.locator("[data-chart=first-chart] canvas")).to_be_visible()
    await page.get_by_role("link", name="Open the dashboard").click()
    await expect(page.get_by_label("Connection")).to_have_value("acme")
