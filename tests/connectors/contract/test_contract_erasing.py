"""Erasing persons: gone for good as far as the CRM can be asked, again without harm, and nobody else."""

from __future__ import annotations

import pytest
from imitated import Crm, Failure, Imitation

from syncline.errors import Invalid, PauseConnection, RetryLater

pytestmark = pytest.mark.anyio

#: Answers that prove that nothing was done.
_REFUSALS: set[Failure] = {"limited", "token", "forbidden"}


def test_persons_are_objects_that_there_are_and_say_how_they_are_known(imitation: Imitation) -> None:
    capabilities = imitation.crm.platform.capabilities
    names = {each.name: each.record_type for each in capabilities.objects}
    for name, persons in capabilities.persons.items():
        assert names[name] == "contact"
        assert persons.emails
        assert all(path for path in (*persons.emails, *persons.phones))
        assert persons.left_behind is None or len(persons.left_behind) > 20


async def test_a_person_who_was_erased_is_there_no_more_and_nobody_else_is_missing(crm: Crm) -> None:
    capabilities = crm.platform.capabilities
    for name, persons in capabilities.persons.items():
        if persons.left_behind is None:
            continue
        gone, also, *_ = sorted(await crm.living(name))
        before = await crm.living(name)
        outcomes = await crm.connector.erase_many(name, [gone, also])
        assert [(each.key, each.failure) for each in outcomes] == [(gone, None), (also, None)]
        assert await crm.living(name) == before - {gone, also}
        page = await crm.connector.read_many(name, [gone, also], await crm.names(name))
        assert [each for each in page.records if each.archived_ms is None] == []


async def test_erasing_again_and_erasing_somebody_unknown_is_no_failure(crm: Crm) -> None:
    for name, persons in crm.platform.capabilities.persons.items():
        if persons.left_behind is None:
            continue
        gone = min(await crm.living(name))
        await crm.connector.erase_many(name, [gone])
        before = await crm.living(name)
        again = await crm.fresh().erase_many(name, [gone, crm.unknown_id(name)])
        assert [each.failure for each in again] == [None, None]
        assert await crm.living(name) == before


async def test_what_is_no_person_is_not_erased(crm: Crm) -> None:
    capabilities = crm.platform.capabilities
    for each in crm.objects:
        persons = capabilities.persons.get(each.name)
        if persons is not None and persons.left_behind is not None:
            continue
        before = await crm.living(each.name)
        with pytest.raises(Invalid):
            await crm.connector.erase_many(each.name, sorted(before)[:1])
        assert await crm.living(each.name) == before


async def test_a_failure_of_the_connection_is_raised_while_nobody_was_erased(crm: Crm) -> None:
    for name, persons in crm.platform.capabilities.persons.items():
        if persons.left_behind is None:
            continue
        before = await crm.living(name)
        for failure in _REFUSALS & set(crm.failures):
            async with crm.meeting(failure, "some-other-token-0123") as connector:
                with pytest.raises((RetryLater, PauseConnection)):
                    await connector.erase_many(name, [min(before)])
        assert await crm.living(name) == before
