"""One person whom three CRMs of three kinds have is erased in all of them, and stays away."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
import simulated
import test_pipedrive_sync as pipedrive
import test_postgres_sync as postgres

from small_crm import small_crm
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.sealing import Vault, new_key
from syncline.engine.barring import Order, put_order
from syncline.engine.erase import Eraser
from syncline.engine.persons import Sought, find_person
from syncline.store.db import Database
from syncline.store.urls import DatabaseUrls

pytestmark = pytest.mark.anyio

EMAIL, SECOND, PHONE = "petra@people.example", "p.private@people.example", "+14155552671"


async def test_a_person_of_three_crms_is_erased_in_all_of_them(
    db: Database, settings: Settings, tenant_id: UUID, database_urls: DatabaseUrls, server: Any
) -> None:
    vault = Vault([new_key()])
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        first, second = simulated.world_of(contacts=3), pipedrive.world_of(contacts=3)
        crm = await enter(small_crm(server, companies=1, contacts=3, deals=0, activities=0))
        one = await enter(simulated.mirror_of(first, db, settings, tenant_id, name="one", vault=vault))
        two = await enter(pipedrive.mirror_of(second, db, settings, tenant_id, vault=vault))
        three = await enter(postgres.mirror_of_crm(crm, db, settings, tenant_id, vault=vault))
        in_one = first.create("contacts", {"email": EMAIL, "firstname": "Petra", "lastname": "Fall"}).id
        addresses = [
            {"value": EMAIL, "primary": True, "label": "work"},
            {"value": SECOND, "primary": False, "label": "home"},
        ]
        phones = [{"value": PHONE, "primary": True, "label": "work"}]
        given = {"first_name": "Petra", "last_name": "Fall", "emails": addresses, "phones": phones}
        in_two = second.create("persons", given).id
        await crm.run(
            "insert into contacts (email, first_name, last_name) values (%s, 'Petra', 'Fall')", EMAIL
        )
        for mirror, name in ((one, "contacts"), (two, "persons"), (three, "contacts")):
            await mirror.pull(name)
        async with db.transaction(tenant_id=tenant_id) as conn:
            person = await find_person(conn, Sought(emails=(SECOND,)), tenant_id=tenant_id)
            assert person.subject.contact_ids == []  # nobody is known by it here
            person = await find_person(conn, Sought(emails=(EMAIL,)), tenant_id=tenant_id)
            assert len(person.subject.contact_ids) == 1
            assert person.subject.emails == sorted((EMAIL, SECOND))
            assert person.subject.phones == [PHONE]
            there = dict.fromkeys((one.connection_id, two.connection_id, three.connection_id), "wanted")
            order = Order("test", "cli", there, {})  # type: ignore[arg-type]
            erasure_id = await put_order(conn, vault, person.subject, order, tenant_id=tenant_id, now=now())
        assert await Eraser(db, one.remotes, database_urls.admin).go_on(tenant_id, erasure_id)

        rows = await one.select("select connection, state, remote_id from sync.remote_erasures order by 1")
        assert {(row["state"], row["remote_id"]) for row in rows} == {("done", None)}
        assert len(rows) == 3
        assert in_one in first.store("contacts").erased
        assert in_two not in second.truth("persons")
        assert await crm.run("select from contacts where email = %s", EMAIL) == []
        for text in (EMAIL, SECOND):
            assert await count(one, text) == 0

        # Made anew in one of them, by the address nobody knew but another CRM.
        second.create("persons", {**given, "emails": [{**addresses[1], "primary": True}], "phones": []})
        await crm.run(
            "insert into contacts (email, first_name, last_name, phone) values ('', 'Petra', 'Fall', %s)",
            PHONE,
        )
        await two.pull("persons", full=True)
        await three.pull("contacts", full=True)
        for text in (EMAIL, SECOND, PHONE):
            assert await count(one, text) == 0


async def count(mirror: simulated.Mirror, text: str) -> int:
    [row] = await mirror.select(
        "select (select count(*) from crm.contacts c where c::text like %(like)s)"
        " + (select count(*) from raw.hubspot_contacts r where r.raw::text like %(like)s)"
        " + (select count(*) from raw.pipedrive_persons r where r.raw::text like %(like)s)"
        " + (select count(*) from raw.postgres_contacts r where r.raw::text like %(like)s)"
        " + (select count(*) from sync.links l where l.base::text like %(like)s)"
        " + (select count(*) from crm.change_log l where l.changes::text like %(like)s) as found",
        like=f"%{text}%",
    )
    return int(row["found"])
