"""Persons erased in a CRM in Postgres: the row, or the columns that a setting names."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from small_crm import Crm, Server, small_crm
from syncline.errors import ParkRecord

pytestmark = pytest.mark.anyio


@pytest.fixture
async def crm(server: Server) -> AsyncGenerator[Crm]:
    async with small_crm(server, companies=2, contacts=4, deals=2, activities=2) as made:
        yield made


async def referred_to(crm: Crm) -> str:
    """Return a contact that a deal points to, which the tables do not let go."""
    await crm.run("alter table deals drop constraint if exists deals_contact_id_fkey")
    await crm.run(
        "alter table deals add constraint deals_contact_id_fkey"
        " foreign key (contact_id) references contacts (id) on delete restrict"
    )
    await crm.run("update deals set contact_id = (select id from contacts order by id limit 1)")
    [row] = await crm.run("select id::text from contacts order by id limit 1")
    return str(row["id"])


async def test_a_row_that_others_need_is_not_deleted_and_fails_alone(crm: Crm) -> None:
    needed = await referred_to(crm)
    [other] = await crm.run("select id::text from contacts order by id desc limit 1")
    refused, done = await crm.connector().erase_many("contacts", [needed, other["id"]])
    assert isinstance(refused.failure, ParkRecord)
    assert done.failure is None
    left = await crm.run("select id::text from contacts where id::text = any(%s)", [needed, other["id"]])
    assert [row["id"] for row in left] == [needed]


async def test_the_columns_that_a_setting_names_are_emptied_and_the_row_stays(crm: Crm) -> None:
    needed = await referred_to(crm)
    await crm.run("update contacts set first_name = coalesce(first_name, ''), phone = '+14155552671'")
    await crm.run("alter table contacts alter column first_name set not null")
    connector = crm.connector(erase_columns="email, phone, first_name,last_name")
    [outcome] = await connector.erase_many("contacts", [needed])
    assert outcome.failure is None
    [row] = await crm.run(
        "select email, phone, first_name, last_name from contacts where id::text = %s", needed
    )
    assert row == {"email": None, "phone": None, "first_name": "", "last_name": None}


async def test_a_column_that_is_not_there_is_told(crm: Crm) -> None:
    [row] = await crm.run("select id::text from contacts limit 1")
    [outcome] = await crm.connector(erase_columns="e_mail").erase_many("contacts", [row["id"]])
    assert "e_mail" in str(outcome.failure)
    assert isinstance(outcome.failure, ParkRecord)
