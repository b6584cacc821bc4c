"""A person looks at two records, sees what would be lost, and merges them here and at the CRM."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from opened import opened
from simulated import Mirror, truth, world_of

from syncline.actions.duplicates import dismiss_duplicate, list_duplicates, restore_duplicate
from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.actions.undo import plan_undo
from syncline.actions.uniting import (
    MergePlan,
    find_survivor,
    merge_duplicates,
    merge_there,
    plan_merge,
    set_following,
    show_following,
)
from syncline.config import Settings
from syncline.errors import Busy, Invalid, NotFound

pytestmark = pytest.mark.anyio

ADA = Editor("ada")
MEG = {"email": "meg@harbour.example", "firstname": "Meg", "lastname": "Harbour"}


@pytest.fixture
async def both(settings: Settings) -> AsyncGenerator[tuple[Hub, Mirror]]:
    async with opened(world_of(), settings) as made:
        await made[1].pull("contacts")
        yield made


async def twice(mirror: Mirror) -> tuple[UUID, UUID]:
    """Make her twice, with one telephone number; returns both records of ours, the older first."""
    made = [
        mirror.world.create("contacts", MEG | more).id
        for more in (
            {"jobtitle": "Captain", "phone": "+15550100"},
            {"email": "m@port.example", "jobtitle": "Pilot", "phone": "+15550100", "city": "Hull"},
        )
    ]
    await mirror.pull("contacts")
    found = await mirror.records("contacts", "contacts")
    one, other = (found[str(each)]["id"] for each in made)
    await mirror.execute("update crm.contacts set created_at = '2020-01-01' where id = %(id)s", id=one)
    return one, other


def lost(plan: MergePlan) -> dict[str, object]:
    return {each.field: each.value for each in plan.lost}


async def test_a_plan_shows_both_sides_the_survivor_and_what_is_lost_and_changes_nothing(
    both: tuple[Hub, Mirror],
):
    hub, mirror = both
    one, other = await twice(mirror)
    plan = await plan_merge(hub, other, one)
    assert (plan.survivor, plan.merged, plan.strength) == (one, other, "likely")
    assert plan.reasons == ["the same name and telephone number"]
    assert lost(plan) == {"email": "m@port.example", "job_title": "Pilot"}
    [job] = [each for each in plan.fields if each.field == "job_title"]
    assert (job.one, job.other, job.result) == ("Pilot", "Captain", "Captain")
    [there] = plan.there
    assert there.has_both
    assert "--merge" in str(there.problem)
    turned = await plan_merge(hub, one, other, survivor=other, choices={"job_title": one})
    assert (turned.survivor, turned.taken) == (other, ["job_title"])
    assert lost(turned) == {"email": "meg@harbour.example", "job_title": "Pilot"}
    assert await mirror.select("select from crm.contacts where merged_into is not null") == []


async def test_candidates_are_listed_with_reasons_until_somebody_says_no(both: tuple[Hub, Mirror]):
    hub, mirror = both
    one, other = await twice(mirror)
    [found] = (await list_duplicates(hub)).candidates
    assert {found.one.record_id, found.other.record_id} == {one, other}
    assert (found.strength, found.one.connections) == ("likely", ["main"])
    assert {found.one.label, found.other.label} == {"Meg Harbour"}
    assert await dismiss_duplicate(hub, one, other, by=ADA)
    assert (await list_duplicates(hub)).candidates == []
    assert (await plan_merge(hub, one, other)).is_dismissed
    assert await restore_duplicate(hub, other, one)
    assert len((await list_duplicates(hub)).candidates) == 1
    with pytest.raises(Invalid):
        await list_duplicates(hub, "deal")


async def test_a_merge_is_made_as_it_was_shown_or_not_at_all(both: tuple[Hub, Mirror]):
    hub, mirror = both
    one, other = await twice(mirror)
    plan = await plan_merge(hub, one, other)
    await mirror.execute("update crm.contacts set job_title = 'Since' where id = %(id)s", id=other)
    with pytest.raises(Busy):
        await merge_duplicates(hub, plan, by=ADA)
    done = await merge_duplicates(hub, await plan_merge(hub, one, other), by=ADA)
    assert (done.survivor, done.there) == (one, [])
    assert await find_survivor(hub, other, one) == (one, other)
    log = await mirror.select("select actor, action from crm.change_log where source = 'cli'")
    assert {(row["actor"], row["action"]) for row in log} == {("ada", "merged")}


async def test_nothing_is_merged_when_a_crm_that_was_asked_for_may_not(both: tuple[Hub, Mirror]):
    hub, mirror = both
    one, other = await twice(mirror)
    with pytest.raises(Invalid, match="--merge"):
        await merge_duplicates(hub, await plan_merge(hub, one, other), in_crm=True, by=ADA)
    await mirror.allow("contacts", "merge")
    await mirror.execute("update sync.connections set writes_enabled = false where tenant_id = %(tenant_id)s")
    with pytest.raises(Invalid, match="switched off"):
        await merge_duplicates(hub, await plan_merge(hub, one, other), in_crm=True, by=ADA)
    assert await find_survivor(hub, one, other) is None


async def test_a_merge_at_the_crm_is_a_run_and_its_undo_says_that_it_cannot_come_back(
    both: tuple[Hub, Mirror],
):
    hub, mirror = both
    one, other = await twice(mirror)
    await mirror.allow("contacts", "merge")
    done = await merge_duplicates(hub, await plan_merge(hub, one, other), in_crm=True, by=ADA)
    [outcome] = done.there
    assert outcome.state == "done"
    assert outcome.run_id is not None
    assert list(truth(mirror.world, "contacts")) == [outcome.remote_id]
    [run] = await mirror.select("select * from sync.runs where id = %(id)s", id=outcome.run_id)
    assert (run["status"], run["requested_by"]) == ("success", "ada")
    undone = await plan_undo(hub, outcome.run_id)
    assert [(each.what.why, each.record_id) for each in undone.undone.left] == [("lost", one)]
    assert "merged at the CRM" in undone.undone.left[0].what.reason
    assert undone.undone.taken == []


async def test_what_was_merged_here_only_is_merged_at_the_crm_later(both: tuple[Hub, Mirror]):
    hub, mirror = both
    one, other = await twice(mirror)
    await merge_duplicates(hub, await plan_merge(hub, one, other), by=ADA)
    with pytest.raises(Invalid, match="--merge"):
        await merge_there(hub, other, by=ADA)
    await mirror.allow("contacts", "merge")
    [outcome] = await merge_there(hub, other, by=ADA)
    assert outcome.state == "done"
    with pytest.raises(NotFound):
        await merge_there(hub, other, by=ADA)


async def test_a_connection_says_what_it_does_about_merges_elsewhere(both: tuple[Hub, Mirror]):
    hub, _ = both
    assert (await show_following(hub, "main")).following == "here"
    assert (await set_following(hub, "main", "review")).following == "review"
    assert (await show_following(hub, "main")).following == "review"
    with pytest.raises(Invalid):
        await set_following(hub, "main", "sometimes")


async def test_two_of_different_kinds_or_of_none_are_refused(both: tuple[Hub, Mirror]):
    hub, mirror = both
    one, other = await twice(mirror)
    company = uuid4()
    await mirror.execute(
        "insert into crm.companies (tenant_id, id, name) values (%(tenant_id)s, %(id)s, 'Harbour')",
        id=company,
    )
    for pair, error in (((one, one), Invalid), ((one, company), Invalid), ((one, uuid4()), NotFound)):
        with pytest.raises(error):
            await plan_merge(hub, *pair)
    with pytest.raises(Invalid):
        await plan_merge(hub, one, other, survivor=company)
    with pytest.raises(Invalid):
        await plan_merge(hub, one, other, choices={"shoe": other})
