"""A mapping seen, checked, compared, let hold and taken back, as a person does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from syncline.actions.connect import Connected
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.mapping import apply_mapping, check_mapping_of, compare_mapping, show_mapping
from syncline.actions.sync import Unseen, sync
from syncline.connectors.registry import get_platform
from syncline.domain.mapping_file import load_mapping
from syncline.domain.plain_yaml import read_yaml
from syncline.engine.write import Target
from syncline.errors import Invalid
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio

ANN = Editor("Ann")
MOBILE = b"""
version: 1
policy: review
objects:
  contacts:
    fields:
      phone: mobilephone
      job_title: off
      status:
        property: hs_lead_status
        choices:
          {NEW: new, OPEN: open, IN_PROGRESS: busy, OPEN_DEAL: busy, UNQUALIFIED: lost, CONNECTED: met,
           ATTEMPTED_TO_CONTACT: tried, BAD_TIMING: later}
      sales_script_version: {direction: pull, policy: theirs}
"""


@dataclass
class Watch(Unseen):
    """Remembers how far it came."""

    moves: list[tuple[str, int, int | None]] = field(default_factory=list[tuple[str, int, int | None]])

    def moved(self, _: str, object_name: str, target: Target) -> None:
        self.moves.append((object_name, target.counts.read, target.expected))


@pytest.fixture
async def synced(hub: Hub, connect: Callable[..., Awaitable[Connected]]) -> Hub:
    await connect(objects=("owners", "contacts"))
    await sync(hub, names=["acme"], objects=["owners", "contacts"])
    return hub


async def phones(admin: psycopg.AsyncConnection[Any]) -> list[Any]:
    async with admin.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select phone, job_title from crm.contacts order by id")
        return await cursor.fetchall()


async def test_the_default_is_shown_as_a_file_that_changes_nothing(synced: Hub):
    shown = await show_mapping(synced, "acme")
    assert (shown.document, shown.version, shown.pending, shown.fault) == (None, 1, [], None)
    assert all(each.is_default and each.policy == "newest" for each in shown.fields)
    default = get_platform("hubspot").mapping
    assert load_mapping(read_yaml(shown.text), default) == load_mapping(None, default)
    # Each line that is commented out is the default, too.
    whole = shown.text.replace("      # ", "      ").replace("# policy", "policy")
    assert load_mapping(read_yaml(whole), default) == load_mapping(None, default)
    found = await compare_mapping(synced, "acme", shown.text.encode())
    assert found.is_nothing


async def test_a_mapping_is_compared_applied_shown_and_taken_back(
    synced: Hub, admin: psycopg.AsyncConnection[Any], world: World
):
    before = await phones(admin)
    calls = sum(world.stats.values())
    found = await compare_mapping(synced, "acme", MOBILE)
    assert {each.field: (each.old, each.new) for each in found.fields} == {
        "phone": ("phone", "mobilephone"),
        "job_title": ("jobtitle", "off"),
        "status": ("hs_lead_status", "hs_lead_status (choice)"),
        "sales_script_version": ("sales_script_version", "sales_script_version (pull only)"),
    }
    assert found.policy is not None
    assert found.policy[1]["rule"] == "review"
    assert await phones(admin) == before

    watch = Watch()
    [done] = await apply_mapping(synced, "acme", MOBILE, by=ANN, progress=watch)
    assert (done.object, done.outcome) == ("contacts", "success")
    assert done.run is not None
    assert done.run.records_updated == found.effects["contacts"].changed > 0
    assert watch.moves[-1] == ("contacts", done.run.records_read, done.run.records_read)
    assert sum(world.stats.values()) == calls
    # The fields that are off keep what they had.
    after = await phones(admin)
    assert [row["job_title"] for row in after] == [row["job_title"] for row in before]
    assert [row["phone"] for row in after] != [row["phone"] for row in before]
    cursor = await admin.execute(
        "select distinct actor from crm.change_log where run_id = %s", (done.run.id,)
    )
    assert await cursor.fetchall() == [("Ann",)]

    shown = await show_mapping(synced, "acme")
    own = {each.field: each for each in shown.fields if not each.is_default}
    assert set(own) == {"phone", "job_title", "status", "sales_script_version"}
    assert own["job_title"].property is None
    assert own["sales_script_version"].policy == "theirs"
    assert own["phone"].policy == "review"
    default = get_platform("hubspot").mapping
    assert load_mapping(read_yaml(shown.text), default) == load_mapping(read_yaml(MOBILE), default)
    # Once more there is nothing to do,
    assert await apply_mapping(synced, "acme", MOBILE, by=ANN) == []
    assert (await show_mapping(synced, "acme")).version == 2
    # and without it all is as it was.
    await apply_mapping(synced, "acme", None, by=ANN)
    assert await phones(admin) == before
    assert (await show_mapping(synced, "acme")).document is None


async def test_a_mapping_that_does_not_fit_is_named_field_by_field_and_refused(synced: Hub):
    text = b"""{version: 1, objects: {contacts: {fields: {
      phone: fone, job_title: {property: hs_object_id}, vsl_watched: createdate, created_at: off}}}}"""
    findings = await check_mapping_of(synced, "acme", text)
    errors = {(each.field, each.property) for each in findings if each.level == "error"}
    assert errors == {("phone", "fone"), ("job_title", "hs_object_id"), ("vsl_watched", "createdate")}
    with pytest.raises(Invalid, match=r"contacts.phone \(fone\): The CRM has no such property"):
        await apply_mapping(synced, "acme", text, by=ANN)
    assert (await show_mapping(synced, "acme")).version == 1


async def test_the_default_has_no_errors_in_any_account(synced: Hub):
    assert [each for each in await check_mapping_of(synced, "acme") if each.level == "error"] == []


async def test_objects_that_were_never_read_are_said_to_be_so(synced: Hub):
    findings = await check_mapping_of(synced, "acme")
    assert "deals" in {each.object for each in findings if each.field == ""}


async def test_a_paused_connection_can_be_mapped_anew(synced: Hub, admin: psycopg.AsyncConnection[Any]):
    await admin.execute("update sync.connections set status = 'paused', paused_reason = 'For a test.'")
    [done] = await apply_mapping(synced, "acme", MOBILE, by=ANN)
    assert done.outcome == "success"


async def test_a_mapping_that_no_longer_parses_is_shown_with_its_fault_and_can_be_replaced(
    synced: Hub, admin: psycopg.AsyncConnection[Any]
):
    await admin.execute("""update sync.connections set mapping = '{"version": 1, "objects": {"cars": {}}}'""")
    shown = await show_mapping(synced, "acme")
    assert shown.fault is not None
    assert "objects.cars" in shown.fault
    with pytest.raises(Invalid, match=r"objects\.cars"):
        await check_mapping_of(synced, "acme")
    await apply_mapping(synced, "acme", MOBILE, by=ANN)
    assert (await show_mapping(synced, "acme")).fault is None


def test_the_example_of_the_page_can_be_followed():
    page = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    mapping = load_mapping(read_yaml(example), get_platform("hubspot").mapping)
    fields = {each.field: each for each in mapping.objects["contacts"].fields}
    assert fields["phone"].property == "mobilephone"
    assert fields["status"].choices["NO"] is None
    assert "lead_source" not in fields
    assert mapping.policy.rule_for("contact", "status") == "theirs"
