"""What somebody filled in after a run made a record spares it, though the run left that field empty."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from opened import opened
from simulated import Mirror, truth, world_of
from test_undo import contact, contact_of, edit, pushed, reasons

from syncline.actions.hub import Hub
from syncline.actions.undo import plan_undo, undo
from syncline.config import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def both(settings: Settings) -> AsyncGenerator[tuple[Hub, Mirror]]:
    async with opened(world_of(contacts=4, companies=1, deals=1), settings) as made:
        await made[1].sync("owners", "contacts")
        yield made


async def make_here(mirror: Mirror, email: str) -> None:
    await mirror.execute(
        "insert into crm.contacts (tenant_id, id, email, first_name)"
        " values (%(tenant_id)s, gen_random_uuid(), %(email)s, 'Neu')",
        email=email,
    )


async def test_a_record_that_a_pull_made_stays_with_what_was_filled_in_here_since(both: tuple[Hub, Mirror]):
    hub, mirror = both
    kept, back, gone = (
        mirror.world.create("contacts", {"email": f"{name}@there.example"}).id
        for name in ("kept", "back", "gone")
    )
    run = await mirror.pull("contacts")
    ids = {each: (await contact_of(mirror, each))["id"] for each in (kept, back, gone)}
    await edit(mirror, kept, job_title="By a person")
    await edit(mirror, back, job_title="By a person")
    await edit(mirror, back, job_title=None)
    shown = await plan_undo(hub, run.id)
    assert reasons(shown) == [("edited", "")]
    done = await undo(hub, run.id, by="test")
    assert reasons(done) == [("edited", "")]
    assert "job_title" in done.undone.left[0].what.reason
    archived = {each: (await contact(mirror, ids[each]))["archived_at"] is not None for each in ids}
    assert archived == {kept: False, back: True, gone: True}


@pytest.mark.parametrize("where", ["here", "there", "custom", "nowhere"])
async def test_a_record_that_a_push_made_stays_with_what_was_filled_in_since(
    both: tuple[Hub, Mirror], where: str
):
    """What the CRM filled in by itself, as it made it, is nobody's edit."""
    hub, mirror = both
    await mirror.make_unique("contacts")
    await mirror.allow("contacts", "create", "archive")
    before = set(mirror.world.store("contacts").living)
    await make_here(mirror, "one@here.example")
    run_id = await pushed(hub)
    [made] = set(mirror.world.store("contacts").living) - before
    mirror.world.update("contacts", made, {"lifecyclestage": "lead"})  # as the account does
    await mirror.pull("contacts")
    assert (await contact_of(mirror, made))["lifecycle_stage"] == "lead"
    if where == "here":
        await edit(mirror, made, job_title="By a person")
    elif where == "custom":
        await mirror.execute(
            """update crm.contacts set custom_fields = '{"tier": "gold"}' where email = 'one@here.example'"""
        )
    elif where == "there":
        mirror.world.update("contacts", made, {"jobtitle": "By a person"})
        await mirror.pull("contacts")
    done = await undo(hub, run_id, by="test")
    is_spared = where != "nowhere"
    assert reasons(done) == ([("edited", "")] if is_spared else [])
    assert (str(made) in truth(mirror.world, "contacts")) is is_spared


async def test_custom_fields_that_a_run_changed_are_put_back(both: tuple[Hub, Mirror]):
    hub, mirror = both
    made = mirror.world.store("contacts").living[0]
    record = await contact_of(mirror, made)
    run_id: UUID = (await mirror.pull("contacts")).id
    await _log_as(mirror, record, run_id, {"tier": ["silver", "gold"]})
    await undo(hub, run_id, by="test")
    assert (await contact_of(mirror, made))["custom_fields"]["tier"] == "silver"


async def _log_as(mirror: Mirror, record: dict[str, Any], run_id: UUID, custom: dict[str, list[str]]) -> None:
    """Have a run have changed custom fields."""
    for key, (old, new) in custom.items():
        for value, run in ((old, None), (new, run_id)):
            async with mirror.db.transaction(tenant_id=mirror.tenant_id) as conn:
                await conn.execute("select app.set_run(%(run)s::uuid)", {"run": run})
                await conn.execute(
                    "update crm.contacts set custom_fields ="
                    " custom_fields || jsonb_build_object(%(key)s::text, %(value)s::text) where id = %(id)s",
                    {"key": key, "value": value, "id": record["id"]},
                )
