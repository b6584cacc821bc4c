"""Why a record is not syncing: each reason is found, told in a sentence, and with what mends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from two_way_rows import Rows

from syncline.actions.connect import Connected
from syncline.actions.explain import Explanation, explain
from syncline.actions.hub import Hub
from syncline.actions.permissions import Wish
from syncline.actions.sync import sync
from syncline.actions.writing import allow
from syncline.errors import Invalid, NotFound
from syncline.simulators.hubspot import World

pytestmark = pytest.mark.anyio


@dataclass
class Case:
    """A contact that was read from the CRM, and what is asked of it."""

    hub: Hub
    rows: Rows
    world: World
    connection_id: UUID
    record_id: UUID
    remote_id: str

    async def explain(self) -> Explanation:
        return await explain(self.hub, str(self.record_id))

    async def codes(self) -> list[str]:
        return [each.code for each in (await self.explain()).reasons]

    async def allow(self, *fields: str, **more: Any) -> None:
        await allow(self.hub, "acme", Wish("contacts", fields, **more), by="test")

    async def edit(self, value: str = "By hand", field: str = "job_title") -> None:
        await self.rows.execute(
            f"update crm.contacts set {field} = %(value)s where id = %(id)s",  # type: ignore[arg-type]
            value=value,
            id=self.record_id,
        )

    async def require(self, code: str, command: str | None, *words: str) -> None:
        """The reason is the one that stands in the way, with its words and its command."""
        found = await self.explain()
        assert code in [each.code for each in found.reasons]
        reason = next(each for each in found.reasons if each.code == code)
        assert found.conclusion == reason.text
        assert found.command == command
        for each in words:
            assert each in found.conclusion


@pytest.fixture
async def case(hub: Hub, world: World, connect: Callable[..., Awaitable[Connected]]) -> Case:
    connection = (await connect(objects=("owners", "contacts"))).connection
    await sync(hub, objects=["owners", "contacts"])
    rows = Rows(hub)
    remote_id = str(world.store("contacts").living[3])
    [link] = await rows.select(
        "select record_id from sync.links where remote_id = %(remote_id)s and object = 'contacts'",
        remote_id=remote_id,
    )
    return Case(hub, rows, world, connection.id, link["record_id"], remote_id)


async def test_a_record_on_which_both_sides_agree_has_nothing_in_its_way(case: Case):
    found = await case.explain()
    assert found.reasons == []
    assert found.command is None
    assert "both sides agree" in found.conclusion
    [side] = found.sides
    assert (side.connection, side.object, side.remote_id) == ("acme", "contacts", case.remote_id)
    assert side.last_pull is not None
    assert {each.state for each in side.fields} == {"agreed"}
    email = next(each for each in side.fields if each.field == "email")
    assert email.ours == email.theirs == email.base
    assert (email.property, email.may_push) == ("email", False)


async def test_a_record_is_found_by_address_and_by_what_the_crm_calls_it(case: Case):
    [row] = await case.rows.select("select email from crm.contacts where id = %(id)s", id=case.record_id)
    for text in (row["email"].upper(), f"acme:{case.remote_id}", f"acme:contacts:{case.remote_id}"):
        found = await explain(case.hub, text)
        assert found.record is not None
        assert found.record.record_id == case.record_id
    found = await explain(case.hub, case.remote_id, connection="acme")
    assert found.record is not None
    for text in ("nobody@x.example", "acme:999", "7f000000-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            await explain(case.hub, text)
    with pytest.raises(Invalid, match="no connection"):
        await explain(case.hub, "other:contacts:1")
    await case.rows.execute(
        "update crm.contacts set email = 'two@x.example' where id in (select id from crm.contacts limit 2)"
    )
    with pytest.raises(Invalid, match="Several records"):
        await explain(case.hub, "two@x.example")


async def test_deleted_here(case: Case):
    await case.rows.execute("delete from crm.contacts where id = %(id)s", id=case.record_id)
    found = await case.explain()
    assert [each.code for each in found.reasons] == ["deleted", "deleted"]
    assert found.conclusion == "The contact was deleted here."
    assert "does not come back" in found.reasons[1].text


async def test_erased_for_privacy(case: Case):
    await case.rows.execute(
        "insert into sync.tombstones (tenant_id, connection_id, object, remote_id, record_type, record_id,"
        " reason, buried_at) values (%(tenant_id)s, %(connection)s, 'contacts', '77', 'contact',"
        " '00000000-0000-0000-0000-000000000000', 'erased', now())",
        connection=case.connection_id,
    )
    found = await explain(case.hub, "acme:contacts:77")
    assert [each.code for each in found.reasons] == ["erased", "never_read"] or found.reasons[
        0
    ].code == "erased"
    assert "erased for privacy" in found.conclusion


async def test_merged_into_another(case: Case):
    [other] = await case.rows.select(
        "select id from crm.contacts where id <> %(id)s limit 1", id=case.record_id
    )
    await case.rows.execute(
        "update crm.contacts set merged_into = %(other)s where id = %(id)s",
        other=other["id"],
        id=case.record_id,
    )
    await case.require("merged", f"syncline explain {other['id']}", str(other["id"]))


async def test_archived_here(case: Case):
    await case.allow(archive=True)
    await case.rows.execute(
        "update crm.contacts set archived_at = now() where id = %(id)s", id=case.record_id
    )
    assert "archived" in await case.codes()


async def test_not_at_the_crm_and_not_allowed_to_be_made_there(case: Case):
    case.record_id = await case.rows.insert("contact", email="only@here.example")
    await case.require(
        "not_linked", "syncline writing allow acme --object contacts --create", "does not have it"
    )
    # Allowed, but not in the queue
    await case.rows.execute(
        "insert into sync.writing (tenant_id, connection_id, object, record_type, scope, allowed_at,"
        " allowed_by) values (%(tenant_id)s, %(connection)s, 'contacts', 'contact', 'create', now(), 'test')",
        connection=case.connection_id,
    )
    await case.require("not_linked", None, "next edit")


async def test_one_of_several_remote_records(case: Case):
    await case.rows.execute(
        "insert into sync.links (tenant_id, connection_id, object, remote_id, record_type, record_id,"
        " is_primary, base, linked_at) values (%(tenant_id)s, %(connection)s, 'contacts', '4711', 'contact',"
        " %(record)s, false, '{}', now())",
        connection=case.connection_id,
        record=case.record_id,
    )
    found = await explain(case.hub, "acme:4711")
    assert [each.code for each in found.reasons] == ["not_primary"]
    assert f"only {case.remote_id} is written" in found.reasons[0].text


async def test_the_connection_is_paused(case: Case):
    await case.rows.execute(
        "update sync.connections set status = 'paused', paused_reason = 'The token was revoked.'"
    )
    await case.require("paused", "syncline connect hubspot --name acme", "The token was revoked.")


async def test_all_writing_is_stopped(case: Case):
    await case.allow()
    await case.rows.execute(
        "update app.tenants set writing_stopped_at = now(), writing_stopped_by = 'ann'"
        " where tenant_id = %(tenant_id)s"
    )
    # Nothing to send: it is no reason.
    assert "stopped" not in await case.codes()
    await case.edit()
    await case.require("stopped", "syncline writing resume", "ann")


async def test_writing_to_the_connection_is_switched_off(case: Case):
    await case.allow(starts=False)
    await case.edit()
    await case.require("writing_off", "syncline writing resume acme")


async def test_a_field_that_is_not_allowed(case: Case):
    await case.allow("first_name")
    await case.edit()
    await case.require(
        "not_allowed", "syncline writing allow acme --object contacts --field job_title", "job_title"
    )


async def test_a_field_that_the_crm_does_not_let_be_written(case: Case):
    await case.allow()
    await case.rows.execute("update sync.properties set read_only = true where name = 'jobtitle'")
    await case.edit()
    await case.rows.execute("delete from sync.queue")
    assert "unwritable" in await case.codes()


async def test_queued_and_retried(case: Case):
    await case.allow()
    await case.edit()
    await case.require("queued", "syncline push acme", "job_title waits")
    await case.rows.execute("update sync.queue set attempts = 2, last_error = 'The CRM did not answer.'")
    retry = f"syncline queue retry --record {case.record_id} --connection acme"
    await case.require("retrying", retry, "2 times", "The CRM did not answer.")


async def test_refused_by_the_crm(case: Case):
    await case.allow()
    await case.edit()
    await case.rows.execute(
        "update sync.queue set state = 'parked', attempts = 1, last_error = 'Not a valid job title.'"
    )
    retry = f"syncline queue retry --record {case.record_id} --connection acme"
    await case.require("refused", retry, "acme said: Not a valid job title.")


async def test_held_by_a_brake(case: Case):
    await case.allow()
    await case.edit()
    await case.rows.execute("update sync.queue set state = 'held', last_error = 'This would change much.'")
    await case.require("held", "syncline push acme --past-brake", "This would change much.")


async def test_a_conflict_waits_for_a_person(case: Case):
    ids = await case.rows.dispute(
        case.connection_id, "contact", case.record_id, case.remote_id, {"job_title": ("A", "B", "C")}
    )
    await case.require("conflict", f"syncline conflicts show {ids['job_title']}", "job_title")


async def test_it_could_not_be_read_whole(case: Case):
    await case.rows.execute(
        "insert into sync.parked (tenant_id, connection_id, object, remote_id, kind, reason, problems,"
        " first_seen_at, last_seen_at) values (%(tenant_id)s, %(connection)s, 'contacts', %(remote)s,"
        " 'value', 'These fields could not be read.', '{\"lead_score\": \"not a number\"}', now(), now())",
        connection=case.connection_id,
        remote=case.remote_id,
    )
    await case.require("unreadable", "syncline parked acme --object contacts", "lead_score: not a number")


async def send(case: Case, state: str, kept: Any = None) -> None:
    await case.rows.execute(
        "insert into sync.remote_changes (tenant_id, id, run_id, connection_id, object, remote_id,"
        " record_type, record_id, action, changes, kept, state, sent_at)"
        " values (%(tenant_id)s, gen_random_uuid(),"
        " gen_random_uuid(), %(connection)s, 'contacts', %(remote)s, 'contact', %(record)s, 'updated',"
        ' \'{"email": ["a", "b"]}\', %(kept)s, %(state)s, now())',
        connection=case.connection_id,
        remote=case.remote_id,
        record=case.record_id,
        state=state,
        kept=kept,
    )


async def test_what_was_sent_was_not_answered(case: Case):
    await send(case, "sent")
    command = f"syncline resync {case.record_id} --connection acme"
    await case.require("unanswered", command, "email")


async def test_the_crm_keeps_another_form_of_what_was_sent(case: Case):
    await send(case, "done", Jsonb({"email": "a@x.example"}))
    assert await case.codes() == ["kept_otherwise"]


async def test_the_last_run_failed(case: Case):
    await case.rows.execute(
        "update sync.runs set status = 'failed', error_details = '{\"error\": \"The CRM was down.\"}'"
        " where object = 'contacts'"
    )
    await case.require("read_failed", "syncline sync acme --object contacts", "The CRM was down.")
    await case.rows.execute("update sync.runs set mode = 'push'")
    found = await case.explain()
    assert [each.code for each in found.reasons] == ["sent_failed", "never_read"]


async def test_the_crm_does_not_have_it_any_more(case: Case):
    await case.rows.execute(
        "update raw.hubspot_contacts set archived_at = now(), archived_reason = 'archived'"
        " where remote_id = %(remote)s",
        remote=case.remote_id,
    )
    await case.require("gone_there", None, "does not have it any more: archived")


async def test_drift_that_reconcile_found(case: Case):
    await case.rows.execute(
        "insert into sync.drift (tenant_id, connection_id, object, remote_id, field, record_type, record_id,"
        " state, cause, found_at, run_id, checked_at) values (%(tenant_id)s, %(connection)s, 'contacts',"
        " %(remote)s, 'city', 'contact', %(record)s, 'open', 'unmerged', now(), gen_random_uuid(), now())",
        connection=case.connection_id,
        remote=case.remote_id,
        record=case.record_id,
    )
    await case.require("drift", f"syncline resync {case.record_id} --connection acme", "city")


async def test_what_was_read_was_not_taken_over_or_ours_not_queued(case: Case):
    command = f"syncline resync {case.record_id} --connection acme"
    await case.rows.execute(
        'update sync.links set base = base || \'{"job_title": ["Other"]}\' where record_id = %(id)s',
        id=case.record_id,
    )
    async with case.hub.db.transaction(tenant_id=case.hub.tenant_id, bulk=True) as conn:
        await conn.execute("update crm.contacts set job_title = 'Other' where id = %s", (case.record_id,))
    await case.require("unmerged", command, "job_title")
    await case.allow()
    async with case.hub.db.transaction(tenant_id=case.hub.tenant_id, bulk=True) as conn:
        await conn.execute(
            "update crm.contacts set job_title = 'Ours', first_name = 'Ours' where id = %s", (case.record_id,)
        )
        await conn.execute("delete from sync.queue")
    assert await case.codes() == ["unmerged", "unqueued"]
