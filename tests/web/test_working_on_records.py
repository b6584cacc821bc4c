"""Records as people work with them: found, changed in place, moved on the board, imported, taken back."""

from __future__ import annotations

import pytest
from looking import OF_RECORDS, look
from site_process import MANAGER, REP
from visiting import Site, Visit

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", OF_RECORDS)
async def test_a_page_of_records_can_be_used_by_anybody_anywhere(visit: Visit, axe: str, path: str) -> None:
    await look(await visit(), path, axe)


@pytest.mark.parametrize("part", ["", "/crms", "/changes", "/edit"])
@pytest.mark.parametrize("plural", ["contacts", "deals", "activities"])
async def test_a_record_can_be_used_by_anybody_anywhere(
    visit: Visit, axe: str, site: Site, plural: str, part: str
) -> None:
    [(record,)] = site.execute(f"select id from crm.{plural} where archived_at is null order by id limit 1")
    await look(await visit(), f"/{plural}/{record}{part}", axe)


async def test_a_list_is_filtered_by_its_form_and_kept_as_a_view(visit: Visit, site: Site) -> None:
    page = await (await visit()).go("/contacts")
    await page.get_by_text("Filter", exact=True).click()
    await page.locator("select[name=field]").select_option("lifecycle_stage")
    await page.locator("input[name=value]").fill("lead")
    await page.get_by_role("button", name="Add the filter").click()
    await page.wait_for_url("**/contacts?filter=*")
    [(count,)] = site.execute(
        "select count(*) from crm.contacts where lifecycle_stage = 'lead' and archived_at is null"
        " and merged_into is null"
    )
    assert await page.get_by_text(f"{count} contacts matching").is_visible()
    await page.get_by_text("Views", exact=True).click()
    await page.get_by_label("Save what is shown as").fill("Leads")
    await page.get_by_role("button", name="Save the view").click()
    await page.get_by_role("heading", name="Leads").wait_for()
    assert await page.get_by_text(f"{count} contacts matching").is_visible()


async def test_a_value_is_changed_where_it_stands(visit: Visit, site: Site) -> None:
    [(record, name)] = site.execute(
        "select id, name from crm.companies where archived_at is null order by name limit 1"
    )
    visitor = await visit()
    page = await visitor.go("/companies?sort=name")
    await page.get_by_label(f"Change City of {name}").click()
    box = page.get_by_label("City", exact=True)
    await box.fill("Trondheim")
    await box.press("Enter")
    await page.locator("td", has_text="Trondheim").wait_for()
    assert site.execute("select city from crm.companies where id = %(id)s", id=record) == [("Trondheim",)]
    await visitor.go(f"/companies/{record}/changes")
    await page.get_by_role("button", name="Take back").first.click()
    await page.get_by_text("Taken back, here and wherever it may be written.").wait_for()
    [(city,)] = site.execute("select city from crm.companies where id = %(id)s", id=record)
    assert city != "Trondheim"


async def test_what_somebody_else_changed_meanwhile_is_not_overwritten(visit: Visit, site: Site) -> None:
    [(record,)] = site.execute("select id from crm.companies where archived_at is null order by id limit 1")
    visitor = await visit()
    page = await visitor.go(f"/companies/{record}/edit")
    site.execute("update crm.companies set industry = 'Meanwhile' where id = %(id)s", id=record)
    await page.get_by_label("Industry").fill("Mine")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("It was changed by somebody else since you read it").wait_for()
    visitor.complaints.clear()  # the browser itself complains of the status
    assert site.execute("select industry from crm.companies where id = %(id)s", id=record) == [("Meanwhile",)]


async def test_a_wrong_value_is_told_beside_its_field(visit: Visit) -> None:
    visitor = await visit()
    page = await visitor.go("/deals/new")
    await page.get_by_label("Name").fill("A deal")
    await page.get_by_label("Company").fill("Nobody has such a name")
    await page.get_by_role("button", name="Make it").click()
    await page.get_by_text("There is no such company.").wait_for()
    assert await page.get_by_label("Name").input_value() == "A deal"
    visitor.complaints.clear()


async def test_a_note_is_written_from_the_record_it_is_about(visit: Visit, site: Site) -> None:
    [(record,)] = site.execute(
        "select id from crm.contacts where archived_at is null order by id desc limit 1"
    )
    page = await (await visit()).go(f"/contacts/{record}")
    await page.get_by_role("link", name="Write a note").click()
    await page.get_by_label("Subject").fill("They asked for a second quote")
    await page.get_by_role("button", name="Make it").click()
    await page.wait_for_url(f"**/contacts/{record}")
    await page.get_by_role("link", name="They asked for a second quote").wait_for()
    assert site.execute(
        "select contact_id, type from crm.activities where subject = 'They asked for a second quote'"
    ) == [(record, "note")]


async def test_a_deal_is_moved_by_dragging_and_by_its_menu(visit: Visit, site: Site) -> None:
    page = await (await visit()).go("/board")
    columns = page.locator("[data-stage]")
    first, second = columns.nth(0), columns.nth(1)
    there = await second.get_attribute("data-stage")
    card = first.locator("[data-deal]").first
    deal = await card.get_attribute("data-deal")
    await card.drag_to(second.locator("header"))
    await page.get_by_text("Moved.").wait_for()
    assert site.execute("select stage_id::text from crm.deals where id = %(id)s::uuid", id=deal) == [(there,)]
    back = await first.get_attribute("data-stage")
    assert back is not None
    await page.locator(f'[data-deal="{deal}"] select').select_option(back)
    await page.locator(f'[data-stage="{back}"] [data-deal="{deal}"]').wait_for()
    assert site.execute("select stage_id::text from crm.deals where id = %(id)s::uuid", id=deal) == [(back,)]


async def test_many_records_are_changed_after_a_look_and_taken_back(visit: Visit, site: Site) -> None:
    page = await (await visit(MANAGER)).go("/tasks")
    await page.get_by_label("Choose all on this page").check()
    await page.get_by_role("button", name="Change those chosen").click()
    await page.get_by_role("textbox", name="Priority").fill("Whenever")
    await page.get_by_role("button", name="Show what would change").click()
    await page.get_by_role("heading", name="What would be done").wait_for()
    assert site.execute("select count(*) from crm.tasks where priority = 'Whenever'") == [(0,)]
    await page.get_by_role("button", name="Do it for").click()
    await page.get_by_text("Success").wait_for()
    [(changed,)] = site.execute("select count(*) from crm.tasks where priority = 'Whenever'")
    assert changed > 0
    await page.locator("summary", has_text="Take it back").click()
    await page.get_by_role("button", name="Take it back").click()
    await page.get_by_text("Success").wait_for()
    assert site.execute("select count(*) from crm.tasks where priority = 'Whenever'") == [(0,)]


async def test_a_file_is_imported_after_a_look_and_taken_back(visit: Visit, site: Site) -> None:
    lines = ["E-mail,First name,Tier"]
    lines += [f"imported{number}@north.example,Number {number},gold" for number in range(30)]
    lines.append("no address,Nobody,gold")
    visitor = await visit(MANAGER)
    page = await visitor.go("/import")
    await page.get_by_label("File").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    )
    await page.get_by_role("button", name="Read it").click()
    await page.get_by_label("Custom field for Tier").fill("tier")
    await page.get_by_role("button", name="Plan anew").click()
    await page.get_by_text("Planned anew.").wait_for()
    assert await page.get_by_text("cannot be read", exact=True).first.is_visible()
    await page.get_by_role("button", name="Import", exact=True).click()
    await page.get_by_text("30 made").wait_for()
    wanted = "select count(*) from crm.contacts where email like 'imported%%@north.example' and {}"
    living = wanted.format("archived_at is null and custom_fields ->> 'tier' = 'gold'")
    assert site.execute(living) == [(30,)]
    await page.locator("summary", has_text="Take it back").click()
    await page.get_by_role("button", name="Take it back").click()
    await page.get_by_text("Success").wait_for()
    assert site.execute(living) == [(0,)]


async def test_an_import_that_was_given_up_says_why_and_goes_on(visit: Visit, site: Site) -> None:
    visitor = await visit(MANAGER)
    page = await visitor.go("/import")
    await page.get_by_label("File").set_input_files(
        {"name": "one.csv", "mimeType": "text/csv", "buffer": b"E-mail\ngiven-up@north.example\n"}
    )
    await page.get_by_role("button", name="Read it").click()
    await page.get_by_role("button", name="Import", exact=True).click()
    await page.get_by_text("1 made").wait_for()
    site.execute(
        "update app.batches set state = 'partial', terms = terms || '{\"reason\": \"It rained.\"}'"
        " where planned_at = (select max(planned_at) from app.batches) returning id"
    )
    await page.reload()
    assert await page.get_by_text("It rained.").is_visible()
    await page.get_by_role("button", name="Go on with it").click()
    await page.get_by_text("Success").wait_for()
    assert not await page.get_by_text("It rained.").is_visible()


async def test_a_change_made_in_sql_appears_on_an_open_page(visit: Visit, site: Site) -> None:
    [(record,)] = site.execute("select id from crm.contacts where archived_at is null order by email limit 1")
    page = await (await visit()).go(f"/contacts/{record}")
    await page.locator('#live[data-state="on"]').wait_for()
    site.execute("update crm.contacts set job_title = 'Chief of everything' where id = %(id)s", id=record)
    await page.get_by_text("Chief of everything").first.wait_for()


async def test_a_rep_sees_nothing_of_somebody_elses(visit: Visit, site: Site) -> None:
    [(others,)] = site.execute(
        "select id from crm.contacts where owner_id is not null and archived_at is null limit 1"
    )
    visitor = await visit(REP)
    response = await visitor.page.goto(f"{site.url}/contacts/{others}")
    assert response is not None
    assert response.status == 404
    visitor.complaints.clear()
    page = await visitor.go("/contacts")
    assert await page.get_by_role("link", name="Import").count() == 0
    assert await page.locator(f'a[href="/contacts/{others}"]').count() == 0
