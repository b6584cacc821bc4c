"""A person erased: previewed, confirmed, removed here and at the CRM, proven, and kept from coming back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import msgspec
import pytest
from traces_of import Admin, somebody, where

from syncline.actions import receipts
from syncline.actions.connect import Connected, Wish, connect_token
from syncline.actions.erase import Wanted, carry_out, erase_person, preview_erasure
from syncline.actions.hub import Hub, open_hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.identifiers import needles
from syncline.engine.removing import NO_ADMINISTRATOR
from syncline.errors import Forbidden, Invalid, NotFound
from syncline.simulators.hubspot import World
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]
OBJECTS = ("owners", "contacts", "companies", "calls")


def admin_of(hub: Hub) -> Caller:
    return Caller(hub.tenant_id, "admin", "anna@example.com", "cli")


async def erase(hub: Hub, who: str, *, only_here: bool = False) -> UUID:
    """Erase somebody by their address, and carry it out."""
    erasure_id = await erase_person(hub, admin_of(hub), Wanted(who, who, only_here=only_here))
    assert await carry_out(hub, erasure_id)
    return erasure_id


def remote_of(world: World, email: str) -> int:
    store = world.store("contacts")
    return next(i for i in store.living if str(store.records[i].get("email")).lower() == email)


@pytest.fixture
async def loaded(hub: Hub, connect: Connect) -> Hub:
    await connect(objects=OBJECTS)
    await sync(hub)
    return hub


async def test_nothing_of_a_person_is_left_anywhere(loaded: Hub, admin: Admin) -> None:
    contact_id, email, phone = await somebody(admin, loaded)
    assert len(await where(admin, email)) >= 3
    await erase(loaded, email)
    assert await where(admin, email) == []
    assert await where(admin, phone) == []
    assert await where(admin, str(contact_id)) == ["crm.change_log_2026_11", "sync.tombstones"]


async def test_what_was_done_with_the_person_stays_as_a_number_without_words(
    loaded: Hub, admin: Admin
) -> None:
    contact_id, email, _ = await somebody(admin, loaded)
    query = (
        "select type, occurred_at, duration_ms, owner_id from crm.activities where id = any(%s::uuid[])"
        " order by id"
    )
    of_contact = "select id from crm.activities where contact_id = %s"
    ids = [row[0] for row in await (await admin.execute(of_contact, [contact_id])).fetchall()]
    before = await (await admin.execute(query, [ids])).fetchall()
    await erase(loaded, email)
    assert await (await admin.execute(query, [ids])).fetchall() == before
    left = await admin.execute(
        "select count(*) from crm.activities where id = any(%s::uuid[]) and (body is not null"
        " or subject is not null or to_number is not null or from_number is not null"
        " or phone_e164 is not null or contact_id is not null)",
        [ids],
    )
    assert await left.fetchone() == (0,)


async def test_the_crm_erases_the_person_too_and_the_receipt_says_so_and_not_who_it_was(
    loaded: Hub, admin: Admin, world: World
) -> None:
    contact_id, email, phone = await somebody(admin, loaded)
    remote_id = remote_of(world, email)
    receipt = await receipts.get_receipt(loaded, await erase(loaded, email))
    assert remote_id in world.store("contacts").erased
    assert [(each.state, each.remote_id) for each in receipt.there] == [("done", None)]
    assert receipt.erasure.state == "done"
    assert receipt.erasure.removed["crm.contacts"] == 1
    assert receipt.erasure.removed["raw.hubspot_contacts"] == 1
    assert receipt.erasure.requested_by == "anna@example.com"
    told = receipt.document().decode()
    assert json.loads(told)["crms"][0]["state"] == "done"
    for secret in (email, phone, str(contact_id), str(remote_id)):
        assert secret not in told
    page = await receipts.list_receipts(loaded)
    assert [each.erasure.id for each in page.receipts] == [receipt.erasure.id]


async def test_a_receipt_is_found_by_the_address_and_the_number_it_is_of(loaded: Hub, admin: Admin) -> None:
    _, email, phone = await somebody(admin, loaded)
    erasure_id = await erase(loaded, email)
    for who in (email, email.upper(), phone):
        assert [each.erasure.id for each in await receipts.find_receipts(loaded, who)] == [erasure_id]
    assert await receipts.find_receipts(loaded, "nobody@example.com") == []


async def test_a_preview_says_what_would_go_and_changes_nothing(
    loaded: Hub, admin: Admin, world: World
) -> None:
    contact_id, email, phone = await somebody(admin, loaded)
    before = await where(admin, email)
    by_address = await preview_erasure(loaded, email)
    assert by_address.confirm == email
    assert by_address.contact_ids == [contact_id]
    assert by_address.emails == [email]
    assert phone in by_address.phones
    assert {each.table for each in by_address.here} >= {"crm.contacts", "raw.hubspot_contacts", "sync.links"}
    [there] = by_address.there
    assert (there.connection, there.records, there.can_erase) == ("acme", {"contacts": 1}, True)
    assert any("30 days" in each for each in by_address.remains)
    assert any("Backups" in each for each in by_address.remains)
    by_id = await preview_erasure(loaded, str(contact_id))
    by_crm = await preview_erasure(loaded, f"acme:contacts:{remote_of(world, email)}")
    assert by_id.contact_ids == by_crm.contact_ids == [contact_id]
    assert await where(admin, email) == before


async def test_nobody_is_erased_without_the_role_or_without_typing_the_address(
    loaded: Hub, admin: Admin
) -> None:
    _, email, _ = await somebody(admin, loaded)
    manager = replace(admin_of(loaded), role="manager")
    with pytest.raises(Forbidden):
        await erase_person(loaded, manager, Wanted(email, email))
    with pytest.raises(Invalid):
        await erase_person(loaded, admin_of(loaded), Wanted(email, "yes"))
    with pytest.raises(NotFound):
        await erase_person(loaded, admin_of(loaded), Wanted(email, email, connections=["nowhere"]))
    assert (await receipts.list_receipts(loaded)).receipts == []


async def test_a_colleague_is_not_erased(loaded: Hub, admin: Admin) -> None:
    row = await (await admin.execute("select email_norm from crm.owners where email is not null")).fetchone()
    assert row is not None
    with pytest.raises(Invalid, match="colleague"):
        await erase_person(loaded, admin_of(loaded), Wanted(row[0], row[0]))


async def test_who_was_erased_here_does_not_come_back_by_reading_everything_again(
    loaded: Hub, admin: Admin, world: World
) -> None:
    _, email, phone = await somebody(admin, loaded)
    await erase(loaded, email, only_here=True)
    assert remote_of(world, email)
    await sync(loaded, full=True)
    assert await where(admin, email) == []
    assert await where(admin, phone) == []


async def test_a_person_made_anew_at_the_crm_is_not_stored_and_the_receipt_tells_of_it(
    loaded: Hub, admin: Admin, world: World
) -> None:
    _, email, _ = await somebody(admin, loaded)
    erasure_id = await erase(loaded, email, only_here=True)
    world.archive("contacts", remote_of(world, email))
    made = world.create("contacts", {"email": email, "firstname": "Somebody", "lastname": "Anew"})
    await sync(loaded, full=True)
    assert await where(admin, email) == []
    count = await admin.execute(
        "select count(*) from raw.hubspot_contacts where remote_id = %s", [str(made.id)]
    )
    assert await count.fetchone() == (0,)
    assert (await receipts.get_receipt(loaded, erasure_id)).erasure.seen_at is not None


async def test_a_record_that_mentions_the_person_is_stored_without_the_address(
    loaded: Hub, admin: Admin, world: World
) -> None:
    _, email, _ = await somebody(admin, loaded)
    await erase(loaded, email)
    made = world.create("companies", {"name": f"Heirs of {email}", "description": f"Ask {email.upper()}."})
    await sync(loaded, objects=["companies"])
    assert await where(admin, email) == []
    found = await admin.execute(
        "select c.name, r.raw -> 'properties' ->> 'description' from crm.companies c"
        " join sync.links l on l.record_id = c.id join raw.hubspot_companies r on r.remote_id = l.remote_id"
        " where l.remote_id = %s and l.object = 'companies'",
        [str(made.id)],
    )
    assert await found.fetchone() == ("Heirs of [erased]", "Ask [erased].")


async def test_texts_that_mention_the_person_lose_the_address_and_keep_the_rest(
    loaded: Hub, admin: Admin
) -> None:
    _, email, phone = await somebody(admin, loaded)
    longer = f"not{email}"
    await admin.execute(
        "update crm.companies set description = %s"
        " where id = (select id from crm.companies order by id limit 1)",
        [f"Wrote to {email}, {longer} and {phone}; 0{phone.lstrip('+')}1 is another number."],
    )
    await erase(loaded, email)
    row = await (
        await admin.execute("select description from crm.companies where description like 'Wrote to%%'")
    ).fetchone()
    assert row == (f"Wrote to [erased], {longer} and [erased]; 0{phone.lstrip('+')}1 is another number.",)


async def test_an_address_at_the_beginning_of_a_line_is_found_wherever_it_stands(
    loaded: Hub, admin: Admin
) -> None:
    """In JSON the end of a line is written as a letter, which could belong to an address."""
    _, email, _ = await somebody(admin, loaded)
    text = f"Hello,\n{email}\r\n\t{email.upper()}\n"
    await admin.execute("update crm.companies set description = %s, custom_fields = custom_fields", [text])
    await admin.execute(
        "update raw.hubspot_companies"
        " set raw = jsonb_set(raw, '{properties,description}', to_jsonb(%s::text))",
        [text],
    )
    assert len(await where(admin, email)) > 5
    await erase(loaded, email)
    assert await where(admin, email) == []


@pytest.mark.parametrize(
    "address",
    [
        "o'neil+x@people.example",
        "a/b=c{d}|e@people.example",
        '"quoted"@people.example',
        "jürgen@münchen.example",
        "back\\slash@people.example",
        "ann@[192.168.1.1]",
    ],
)
async def test_whatever_a_field_takes_as_an_address_is_taken_out_of_texts(admin: Admin, address: str) -> None:
    needle, *_ = needles([address], [])
    patterns = [needle.pattern]
    for told in (f"Ask {address}.", f"<{address.upper()}>", f"x\n{address}", f"'{address}'"):
        row = await (
            await admin.execute(
                "select app.redact_text(%(told)s, %(patterns)s::text[]),"
                " app.redact_json(to_jsonb(%(told)s::text), %(patterns)s::text[]) #>> '{}',"
                " app.mentions(to_jsonb(%(told)s::text)::text, %(texts)s::text[], %(patterns)s::text[])",
                {"told": told, "patterns": patterns, "texts": [needle.text]},
            )
        ).fetchone()
        left = told.replace(address, "[erased]").replace(address.upper(), "[erased]")
        assert row == (left, left, True), told


async def test_who_has_an_odd_address_is_not_stored_again(loaded: Hub, admin: Admin, world: World) -> None:
    address = "o'neil/petra+x=1@people.example"
    world.create("contacts", {"email": address, "firstname": "Petra"})
    await sync(loaded, objects=["contacts"])
    assert await where(admin, address) != []
    await erase(loaded, address, only_here=True)
    world.create("companies", {"name": "Acme", "description": f"Ask mailto:{address}!"})
    await sync(loaded, full=True)
    assert await where(admin, address) == []


async def test_a_number_that_others_have_as_well_is_nobodys_to_take_away(loaded: Hub, admin: Admin) -> None:
    contact_id, email, phone = await somebody(admin, loaded)
    await admin.execute(
        "update crm.contacts set phone = %s, phone_e164 = %s where id ="
        " (select id from crm.contacts where id <> %s and archived_at is null order by id limit 1)",
        [phone, phone, contact_id],
    )
    preview = await preview_erasure(loaded, email)
    assert phone not in preview.phones
    assert any("number" in each for each in preview.remains)
    await erase(loaded, email)
    assert "crm.contacts" in await where(admin, phone)
    assert await receipts.find_kept_out(loaded, [email], [phone]) == {email}


async def test_whoever_imports_can_ask_who_must_not_be_stored(loaded: Hub, admin: Admin) -> None:
    _, email, phone = await somebody(admin, loaded)
    assert await receipts.find_kept_out(loaded, [email], [phone]) == set()
    await erase(loaded, email)
    asked = [email.upper(), "somebody-else@example.com"]
    assert await receipts.find_kept_out(loaded, asked, [phone, "+4915100000000"]) == {email, phone}


async def test_a_person_whose_consent_returns_comes_back_with_the_next_full_sync(
    loaded: Hub, admin: Admin
) -> None:
    _, email, _ = await somebody(admin, loaded)
    erasure_id = await erase(loaded, email, only_here=True)
    assert await receipts.lift(loaded, admin_of(loaded), email) == [erasure_id]
    await sync(loaded, full=True)
    assert "crm.contacts" in await where(admin, email)
    erasure = (await receipts.get_receipt(loaded, erasure_id)).erasure
    assert erasure.lifted_by == "anna@example.com"
    with pytest.raises(NotFound):
        await receipts.lift(loaded, admin_of(loaded), email)


async def test_what_a_crm_does_not_do_now_waits_and_is_done_later(
    loaded: Hub, admin: Admin, world: World
) -> None:
    _, email, _ = await somebody(admin, loaded)
    remote_id = remote_of(world, email)
    await admin.execute("update app.tenants set writing_stopped_at = now(), writing_stopped_by = 'anna'")
    erasure_id = await erase_person(loaded, admin_of(loaded), Wanted(email, email))
    assert not await carry_out(loaded, erasure_id)
    waiting = await receipts.get_receipt(loaded, erasure_id)
    assert (waiting.erasure.state, [each.state for each in waiting.there]) == ("sending", ["wanted"])
    assert "stopped" in str(waiting.there[0].reason)
    assert await where(admin, email) == []
    await admin.execute("update app.tenants set writing_stopped_at = null")
    await admin.execute("update sync.erasures set not_before = now()")
    assert await carry_out(loaded, erasure_id)
    assert remote_id in world.store("contacts").erased


async def test_a_crm_that_was_ended_meanwhile_is_told_of_in_the_receipt(loaded: Hub, admin: Admin) -> None:
    _, email, _ = await somebody(admin, loaded)
    erasure_id = await erase_person(loaded, admin_of(loaded), Wanted(email, email))
    await admin.execute("delete from sync.connections")
    assert await carry_out(loaded, erasure_id)
    [there] = (await receipts.get_receipt(loaded, erasure_id)).there
    assert (there.state, there.reason) == ("kept", "The connection has been ended.")


async def test_without_the_administrative_role_the_change_log_waits_and_all_else_goes(
    keyed: Settings, loaded: Hub, admin: Admin
) -> None:
    _, email, _ = await somebody(admin, loaded)
    async with open_hub(keyed.model_copy(update={"admin_database_url": None})) as plain:
        erasure_id = await erase_person(plain, admin_of(plain), Wanted(email, email))
        assert not await carry_out(plain, erasure_id)
        waiting = (await receipts.get_receipt(plain, erasure_id)).erasure
        assert (waiting.state, waiting.problem) == ("removing", NO_ADMINISTRATOR)
    assert await where(admin, email) == ["crm.change_log_2026_11"]
    await admin.execute("update sync.erasures set not_before = now()")
    assert await carry_out(loaded, erasure_id)
    assert await where(admin, email) == []


async def test_who_it_was_is_sealed_until_nothing_is_left(loaded: Hub, admin: Admin) -> None:
    _, email, _ = await somebody(admin, loaded)
    await erase_person(loaded, admin_of(loaded), Wanted(email, email))
    row = await (await admin.execute("select subject from sync.erasures")).fetchone()
    assert row is not None
    assert email.encode() not in row[0]
    assert msgspec.json.decode(loaded.vault().open(row[0]))["emails"] == [email]


async def test_the_same_person_of_another_tenant_stays(
    keyed: Settings, loaded: Hub, admin: Admin, crm_url: str
) -> None:
    _, email, phone = await somebody(admin, loaded)
    await admin.execute(
        "insert into app.tenants (tenant_id, slug, label)"
        " values ('00000000-0000-7000-8000-000000000002', 'other', 'Other')"
    )
    counted = (
        "select (select count(*) from crm.contacts where tenant_id = %(t)s and email_norm = %(e)s),"
        " (select count(*) from raw.hubspot_contacts where tenant_id = %(t)s and email = %(e)s),"
        " (select count(*) from crm.activities where tenant_id = %(t)s and phone_e164 = %(p)s"
        "  and body is not null),"
        " (select count(*) from crm.change_log where tenant_id = %(t)s"
        "  and changes::text like '%%' || %(e)s || '%%')"
    )
    async with open_hub(keyed, tenant="other") as other:
        await connect_token(other, Wish("hubspot", "acme", crm_url, OBJECTS), DEFAULT_TOKEN)
        await sync(other)
        values = {"t": other.tenant_id, "e": email, "p": phone}
        before = await (await admin.execute(counted, values)).fetchone()
        assert before is not None
        assert all(before)
        await erase(loaded, email, only_here=True)
        assert await (await admin.execute(counted, values)).fetchone() == before
        assert (await receipts.list_receipts(other)).receipts == []
        assert await receipts.find_receipts(other, email) == []
        await sync(other, full=True)
        assert await (await admin.execute(counted, values)).fetchone() == before
    mine = await admin.execute(counted, {"t": loaded.tenant_id, "e": email, "p": phone})
    assert await mine.fetchone() == (0, 0, 0, 0)
