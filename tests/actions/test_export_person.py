"""Everything that is known of a person is exported, of this tenant and of nobody else."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from traces_of import Admin, somebody, where

from syncline.actions.connect import Connected
from syncline.actions.export_person import Format, export_person
from syncline.actions.hub import Hub, open_hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.person_page import page_of
from syncline.errors import Forbidden, NotFound

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


def admin_of(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "anna@example.com", "cli")


async def export(hub: Hub, who: str, kind: Format = "json") -> bytes:
    return b"".join([part async for part in export_person(hub, admin_of(hub), who, kind=kind)])


@pytest.fixture
async def loaded(hub: Hub, connect: Connect) -> Hub:
    await connect(objects=("owners", "contacts", "companies", "calls"))
    await sync(hub)
    return hub


async def test_every_table_that_knows_the_person_is_in_the_export(loaded: Hub, admin: Admin) -> None:
    contact_id, email, phone = await somebody(admin, loaded)
    told = json.loads(await export(loaded, email))
    assert told["about"]["emails"] == [email]
    assert phone in told["about"]["phones"]
    known = told["known"]
    assert [row["id"] for row in known["crm.contacts"]["rows"]] == [str(contact_id)]
    assert known["raw.hubspot_contacts"]["rows"][0]["raw"]["properties"]["email"].lower() == email
    assert {"crm.activities", "crm.change_log", "sync.links", "raw.hubspot_calls"} <= known.keys()
    for name in await where(admin, email):
        table = "crm.change_log" if name.startswith("crm.change_log") else name
        assert table in known, table
    assert all("tenant_id" not in row for each in known.values() for row in each["rows"])


async def test_it_holds_no_other_contact(loaded: Hub, admin: Admin) -> None:
    contact_id, email, _ = await somebody(admin, loaded)
    told = (await export(loaded, email)).decode()
    cursor = await admin.execute(
        "select email_norm from crm.contacts where id <> %s and email_norm is not null", [contact_id]
    )
    others = [row[0] for row in await cursor.fetchall()]
    assert others
    assert [each for each in others if each in told.lower()] == []


async def test_another_tenant_and_a_manager_get_nothing(keyed: Settings, loaded: Hub, admin: Admin) -> None:
    contact_id, email, _ = await somebody(admin, loaded)
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label)"
        " values ('00000000-0000-7000-8000-000000000002', 'other', 'Other')"
    )
    async with open_hub(keyed, tenant="other") as other:
        for who in (email, str(contact_id)):
            with pytest.raises(NotFound):
                await export(other, who)
    with pytest.raises(Forbidden):
        await anext(export_person(loaded, replace(admin_of(loaded), role="manager"), email))


async def test_the_zip_holds_the_document_and_a_page_that_any_browser_shows(
    loaded: Hub, admin: Admin
) -> None:
    _, email, _ = await somebody(admin, loaded)
    with zipfile.ZipFile(io.BytesIO(await export(loaded, email, "zip"))) as packed:
        assert sorted(packed.namelist()) == ["person.html", "person.json"]
        assert json.loads(packed.read("person.json"))["about"]["emails"] == [email]
        page = packed.read("person.html").decode()
    assert email in page
    assert "What hubspot says of you: contacts" in page


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_whatever_a_record_holds_it_is_text_on_the_page() -> None:
    spoiled = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    rows: list[dict[str, Any]] = [{"note": spoiled, spoiled: [spoiled, {"more": spoiled}], "empty": None}]
    about: dict[str, Any] = {
        "tenant": spoiled,
        "exported_at": "now",
        "emails": [],
        "phones": [],
        "systems": {},
    }
    known = {"title": spoiled, "rows": rows, "mentions": [{"id": None, "found": {spoiled: [spoiled]}}]}
    page = page_of({"about": about, "known": {"crm.contacts": known}})
    tags = _Tags()
    tags.feed(page)
    assert tags.names <= {"html", "meta", "title", "style", "h1", "h2", "dl", "dt", "dd"}
    assert tags.attributes <= {"lang", "charset", "name", "content", "id"}


async def test_an_export_is_written_down_without_saying_of_whom(loaded: Hub, admin: Admin) -> None:
    _, email, _ = await somebody(admin, loaded)
    await export(loaded, email)
    row = await (
        await admin.execute("select action, actor, subject, details::text from app.audit_log")
    ).fetchone()
    assert row is not None
    assert row[:3] == ("person.exported", "anna@example.com", None)
    assert email not in row[3]
