"""The people of a tenant: taken in, changed, kept out, invited, and the passwords they set."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from pydantic import SecretStr

from colleagues import HOME, PASSWORD, add, caller_of, enter, make_tenant, operator, session_of
from letterbox import Letterbox, open_letterbox
from syncline.actions.access import sign_in
from syncline.actions.audit import list_audit
from syncline.actions.first_admin import has_people, make_first_admin
from syncline.actions.hub import Hub
from syncline.actions.invitations import (
    accept_as,
    accept_invitation,
    invite,
    list_invitations,
    look_at_invitation,
    resend_invitation,
    revoke_invitation,
)
from syncline.actions.password_links import (
    ask_for_reset,
    look_at_link,
    reset_person,
    send_reset,
    set_password_of,
    use_link,
)
from syncline.actions.people import (
    PersonChange,
    add_person,
    change_person,
    find_person_by_email,
    get_person,
    list_people,
    set_active_everywhere,
)
from syncline.actions.profile import ProfileChange, change_profile
from syncline.clock import now
from syncline.errors import AlreadyExists, Forbidden, Invalid, LimitReached, NotFound, SignInNeeded

pytestmark = pytest.mark.anyio

BASE = "https://hub.example.com"
NEW = "four words of hers"


@asynccontextmanager
async def mailing(hub: Hub) -> AsyncGenerator[tuple[Hub, Letterbox]]:
    """The installation with a mail server."""
    async with open_letterbox() as box:
        more = {
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{box.port}"),
            "mail_from": "Syncline <syncline@example.com>",
            "public_url": BASE,
        }
        yield replace(hub, settings=hub.settings.model_copy(update=more)), box


def token_in(link: str | None) -> str:
    assert link is not None
    return link.rpartition("/")[2]


async def accept(hub: Hub, token: str, password: str = NEW, name: str = "Grace Example") -> str:
    return await accept_invitation(hub, token, full_name=name, password=password, address=HOME)


async def test_people_are_listed_with_their_columns_and_changed(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    email = await add(hub, "ada")
    person = await find_person_by_email(hub, boss, email.upper())
    assert (person.role, person.is_active, person.max_active_leads) == ("rep", True, 20)
    assert (person.notify_email, person.notify_slack, person.notify_sms) == (True, True, False)
    change = PersonChange(role="manager", max_active_leads=5, notify_sms=True)
    changed = await change_person(hub, boss, person.id, change)
    assert (changed.role, changed.max_active_leads, changed.notify_sms) == ("manager", 5, True)
    assert [each.full_name for each in await list_people(hub, boss)] == ["Ada", "Boss"]


async def test_a_fault_is_told_with_its_field(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    assert boss.user_id is not None
    for change, field in (
        (PersonChange(role="owner"), "role"),
        (PersonChange(max_active_leads=-1), "max_active_leads"),
        (PersonChange(owner_id=uuid4()), "owner_id"),
        (PersonChange(role="rep"), "role"),
        (PersonChange(is_active=False), "is_active"),
    ):
        with pytest.raises(Invalid) as wrong:
            await change_person(hub, boss, boss.user_id, change)
        assert set(wrong.value.fields) == {field}


async def test_an_admin_may_go_when_another_stays(hub: Hub):
    boss, other = await caller_of(hub, "boss", "admin"), await caller_of(hub, "other", "admin")
    assert boss.user_id is not None
    assert other.user_id is not None
    await change_person(hub, boss, boss.user_id, PersonChange(role="rep"))
    with pytest.raises(Invalid):
        await change_person(hub, other, other.user_id, PersonChange(is_active=False))


async def test_who_is_no_admin_manages_nobody(hub: Hub):
    manager = await caller_of(hub, "ada", "manager")
    person = await find_person_by_email(hub, operator(hub), await add(hub, "grace"))
    for work in (
        list_people(hub, manager),
        get_person(hub, manager, person.id),
        change_person(hub, manager, person.id, PersonChange(role="admin")),
        invite(hub, manager, "x@example.com", "rep", base_url=BASE),
        list_invitations(hub, manager),
        reset_person(hub, manager, person.id, base_url=BASE),
        add_person(hub, manager, "x@example.com", "X", "admin"),
    ):
        with pytest.raises(Forbidden):
            await work


async def test_people_of_another_tenant_are_nobody_here(hub: Hub):
    acme = await make_tenant(hub, "acme")
    theirs = await caller_of(acme, "ada", "admin")
    boss = await caller_of(hub, "boss", "admin")
    assert theirs.user_id is not None
    assert [each.email for each in await list_people(hub, boss)] == ["boss@example.com"]
    with pytest.raises(NotFound):
        await get_person(hub, boss, theirs.user_id)
    with pytest.raises(NotFound):
        await change_person(hub, boss, theirs.user_id, PersonChange(role="rep"))
    with pytest.raises(NotFound):
        await reset_person(hub, boss, theirs.user_id, base_url=BASE)
    with pytest.raises(NotFound):
        await find_person_by_email(hub, boss, "ada@example.com")


async def test_somebody_changes_themselves_and_nothing_they_may_not(hub: Hub):
    ada = await caller_of(hub, "ada")
    change = ProfileChange(
        full_name=" Ada Example ", phone="+1 555 0100", slack_user_id="U123", notify_slack=False
    )
    changed = await change_profile(hub, ada, change)
    assert (changed.full_name, changed.phone, changed.slack_user_id) == ("Ada Example", "+1 555 0100", "U123")
    assert (changed.role, changed.notify_slack, changed.notify_email) == ("rep", False, True)
    assert (await change_profile(hub, ada, ProfileChange(phone=" "))).phone is None
    with pytest.raises(Invalid) as wrong:
        await change_profile(hub, ada, ProfileChange(full_name="", phone="1\n2", slack_user_id="<!here>"))
    assert set(wrong.value.fields) == {"full_name", "phone", "slack_user_id"}


async def test_an_invitation_is_mailed_accepted_once_and_signs_in(hub: Hub):
    async with mailing(hub) as (mailed, box):
        boss = await caller_of(mailed, "boss", "admin")
        invited = await invite(mailed, boss, "Grace@Example.com", "manager", base_url="http://ignored")
        assert (invited.mailed, invited.link) == (True, None)
        assert box.letters[0]["to"] == "Grace@Example.com"
        link = box.links()[0]
        assert link.startswith(f"{BASE}/invitation/")
        offer = await look_at_invitation(mailed, token_in(link))
        assert (offer.tenant.slug, offer.role, offer.has_account) == ("default", "manager", False)
        with pytest.raises(Invalid) as weak:
            await accept(mailed, token_in(link), "short", "")
        assert set(weak.value.fields) == {"full_name", "password"}
        session = await session_of(mailed, await accept(mailed, token_in(link)))
        assert (session.user.name, session.caller.role) == ("Grace Example", "manager")
        with pytest.raises(NotFound):
            await accept(mailed, token_in(link))
        with pytest.raises(AlreadyExists):
            await invite(mailed, boss, "grace@example.com", "rep", base_url=BASE)
    assert (await list_invitations(hub, boss))[0].accepted_at is not None


async def test_without_mail_the_link_is_shown_to_whoever_invites(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    invited = await invite(hub, boss, "grace@example.com", "rep", base_url="http://10.0.0.1:8750/")
    assert not invited.mailed
    assert invited.link is not None
    assert invited.link.startswith("http://10.0.0.1:8750/invitation/")
    assert token_in(invited.link) not in repr(invited)
    await accept(hub, token_in(invited.link))


async def test_a_mail_server_that_fails_leaves_the_link_to_be_handed_on(hub: Hub):
    async with mailing(hub) as (mailed, box):
        boss = await caller_of(mailed, "boss", "admin")
        box.refusal = "451 not now"
        invited = await invite(mailed, boss, "grace@example.com", "rep", base_url=BASE)
        assert (invited.mailed, box.letters) == (False, [])
        await accept(mailed, token_in(invited.link))


async def test_an_invitation_sent_again_has_a_new_link(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    first = await invite(hub, boss, "grace@example.com", "rep", base_url=BASE)
    with pytest.raises(AlreadyExists):
        await invite(hub, boss, "GRACE@example.com", "rep", base_url=BASE)
    second = await resend_invitation(hub, boss, first.invitation.id, base_url=BASE)
    with pytest.raises(NotFound):
        await look_at_invitation(hub, token_in(first.link))
    await revoke_invitation(hub, boss, first.invitation.id)
    for dead in (accept(hub, token_in(second.link)), revoke_invitation(hub, boss, first.invitation.id)):
        with pytest.raises(NotFound):
            await dead
    with pytest.raises(NotFound):
        await resend_invitation(hub, boss, first.invitation.id, base_url=BASE)


async def test_an_invitation_holds_for_seven_days(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    invited = await invite(hub, boss, "grace@example.com", "rep", base_url=BASE)
    with time_machine.travel(now() + timedelta(days=7, seconds=1), tick=True):
        with pytest.raises(NotFound):
            await accept(hub, token_in(invited.link))
        assert (await list_invitations(hub, boss))[0].state_at(now()) == "expired"
        again = await invite(hub, boss, "grace@example.com", "manager", base_url=BASE)
        await accept(hub, token_in(again.link))


async def test_the_link_alone_opens_no_account_that_was_there(hub: Hub):
    acme = await make_tenant(hub, "acme")
    email = await add(acme, "ada", "admin")
    boss = await caller_of(hub, "boss", "admin")
    invited = await invite(hub, boss, email, "rep", base_url=BASE)
    assert (await look_at_invitation(hub, token_in(invited.link))).has_account
    with pytest.raises(Invalid) as wrong:
        await accept(hub, token_in(invited.link), NEW)
    assert set(wrong.value.fields) == {"password"}
    await enter(hub, email, PASSWORD)
    session = await session_of(hub, await accept(hub, token_in(invited.link), PASSWORD))
    assert (session.hub.tenant_id, session.caller.role) == (hub.tenant_id, "rep")
    assert {each.slug for each in session.tenants} == {"default", "acme"}


async def test_guessing_the_password_of_an_invited_account_is_slowed_down(hub: Hub):
    email = await add(await make_tenant(hub, "acme"), "ada")
    invited = await invite(hub, await caller_of(hub, "boss", "admin"), email, "rep", base_url=BASE)
    for _ in range(5):
        with pytest.raises(Invalid):
            await accept(hub, token_in(invited.link), "a wrong guess of it")
    with pytest.raises(LimitReached):
        await accept(hub, token_in(invited.link), PASSWORD)


async def test_who_is_signed_in_accepts_what_is_for_them(hub: Hub):
    acme = await make_tenant(hub, "acme")
    session = await session_of(hub, await enter(hub, await add(acme, "ada")))
    stranger = await session_of(hub, await enter(hub, await add(acme, "eve")))
    boss = await caller_of(hub, "boss", "admin")
    invited = await invite(hub, boss, "ada@example.com", "rep", base_url=BASE)
    with pytest.raises(Forbidden):
        await accept_as(hub, stranger, token_in(invited.link))
    assert (await accept_as(hub, session, token_in(invited.link))).slug == "default"


async def test_who_was_kept_out_comes_back_by_invitation(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    ada = await caller_of(hub, "ada", "manager")
    assert ada.user_id is not None
    await change_person(hub, boss, ada.user_id, PersonChange(is_active=False))
    invited = await invite(hub, boss, "ada@example.com", "rep", base_url=BASE)
    session = await session_of(hub, await accept(hub, token_in(invited.link), PASSWORD))
    assert session.caller.role == "rep"


async def test_a_lost_password_is_set_anew_by_a_link_once_within_an_hour(hub: Hub):
    async with mailing(hub) as (mailed, box):
        email = await add(mailed, "ada")
        token = await enter(mailed, email)
        await ask_for_reset(mailed, email, address=HOME)
        await send_reset(mailed, email.upper(), address=HOME)
        link = token_in(box.links()[0])
        assert box.links()[0].startswith(f"{BASE}/password/")
        assert await look_at_link(mailed, link) == email
        with pytest.raises(Invalid) as weak:
            await use_link(mailed, link, email, address=HOME)
        assert set(weak.value.fields) == {"password"}
        await use_link(mailed, link, NEW, address=HOME)
        assert box.letters[-1]["subject"] == "Your password for Syncline was changed"
        with pytest.raises(NotFound):
            await use_link(mailed, link, NEW, address=HOME)
        with pytest.raises(SignInNeeded):
            await session_of(mailed, token)
        await enter(mailed, email, NEW)
        await send_reset(mailed, email, address=HOME)
        later = now() + timedelta(hours=1, seconds=1)
        with time_machine.travel(later, tick=True), pytest.raises(NotFound):
            await look_at_link(mailed, token_in(box.links()[-1]))


async def test_asking_for_a_link_tells_nobody_whether_there_is_an_account(hub: Hub):
    async with mailing(hub) as (mailed, box):
        await add(mailed, "ada")
        for email in ("ada@example.com", "nobody@example.com"):
            assert await ask_for_reset(mailed, email, address=HOME) is None
            assert await send_reset(mailed, email, address=HOME) is None
        assert [each["to"] for each in box.letters] == ["ada@example.com"]
        with pytest.raises(Invalid):
            await ask_for_reset(mailed, "no address", address=HOME)
        for email in ("ada@example.com", "nobody@example.com"):
            for _ in range(4):
                await ask_for_reset(mailed, email, address=HOME)
            with pytest.raises(LimitReached):
                await ask_for_reset(mailed, email, address=HOME)


async def test_a_mail_server_that_is_away_is_nobodys_error(hub: Hub):
    async with mailing(hub) as (mailed, box):
        email = await add(mailed, "ada")
        box.refusal = "451 not now"
        await send_reset(mailed, email, address=HOME)
    await send_reset(hub, email, address=HOME)


async def test_the_link_of_an_account_of_several_tenants_is_shown_to_no_admin_of_one(hub: Hub):
    acme = await make_tenant(hub, "acme")
    boss = await caller_of(hub, "boss", "admin")
    email = await add(hub, "ada")
    ada = await find_person_by_email(hub, boss, email)
    alone = await reset_person(hub, boss, ada.id, base_url=BASE)
    await use_link(hub, token_in(alone.link), NEW, address=HOME)
    await add(acme, "ada")
    with pytest.raises(Forbidden):
        await reset_person(hub, boss, ada.id, base_url=BASE)
    assert (await reset_person(hub, operator(hub), ada.id, base_url=BASE)).link is not None
    async with mailing(hub) as (mailed, box):
        sent = await reset_person(mailed, boss, ada.id, base_url=BASE)
        assert (sent.mailed, sent.link) == (True, None)
        assert box.letters[0]["to"] == email


async def test_the_link_of_an_operator_is_shown_to_operators_only(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    email = await add(hub, "ada", operator=True)
    ada = await find_person_by_email(hub, boss, email)
    with pytest.raises(Forbidden):
        await reset_person(hub, boss, ada.id, base_url=BASE)
    with pytest.raises(Forbidden):
        await set_password_of(hub, boss, ada.id, NEW)


async def test_taking_somebody_in_twice_never_changes_their_password(hub: Hub):
    acme = await make_tenant(hub, "acme")
    email = await add(acme, "ada")
    added = await add_person(hub, operator(hub), email, "Somebody Else", "rep", password=NEW)
    assert (added.token, added.person.full_name) == (None, "Ada")
    await enter(hub, email, PASSWORD)
    with pytest.raises(AlreadyExists):
        await add_person(hub, operator(hub), email, "Ada", "rep")


async def test_the_first_admin_is_made_once_however_often_it_is_asked_for(hub: Hub):
    assert not await has_people(hub)
    made = await make_first_admin(hub, operator(hub), "ada@example.com", "ada")
    assert (made.person.role, made.person.has_password) == ("admin", False)
    again = await make_first_admin(hub, operator(hub), "Ada@example.com", "ada")
    assert again.person.id == made.person.id
    assert again.token not in (None, made.token)
    await use_link(hub, again.token or "", NEW, address=HOME)
    assert (await make_first_admin(hub, operator(hub), "ada@example.com", "ada")).token is None
    await make_first_admin(hub, operator(hub), "ada@example.com", "ada", password="five words of the boss")
    token = await sign_in(hub, "ada@example.com", "five words of the boss", address=HOME, user_agent=None)
    assert (await session_of(hub, token)).user.is_operator
    with pytest.raises(Invalid):
        await make_first_admin(hub, operator(hub), "eve@example.com", "eve", password="short")
    assert len(await list_people(hub, operator(hub))) == 1


async def test_what_is_done_to_people_stands_in_the_audit_without_their_data(hub: Hub):
    boss = await caller_of(hub, "boss", "admin")
    invited = await invite(hub, boss, "grace@example.com", "rep", base_url=BASE)
    session = await session_of(hub, await accept(hub, token_in(invited.link)))
    await change_person(hub, boss, session.user.id, PersonChange(role="manager"))
    await change_profile(hub, session.caller, ProfileChange(phone="+1 555 0199"))
    entries = (await list_audit(hub, boss)).entries
    assert [each.action for each in entries][:5] == [
        "person.profile_changed",
        "person.role_changed",
        "session.began",
        "invitation.accepted",
        "invitation.created",
    ]
    role = entries[1]
    assert (role.actor, role.source, role.address) == ("boss@example.com", "web", HOME)
    assert (role.subject, role.details) == (str(session.user.id), {"role": ["rep", "manager"]})
    told = str([(each.subject, each.details) for each in entries])
    for secret in ("555 0199", "5550199", NEW, token_in(invited.link), "grace@example.com", "Grace Example"):
        assert secret not in told


async def test_an_operator_keeps_somebody_out_of_every_tenant_at_once(hub: Hub):
    acme = await make_tenant(hub, "acme")
    boss = await caller_of(hub, "boss", "admin")
    email = await add(acme, "ada")
    await add(hub, "ada")
    token = await enter(acme, email)
    ada = await find_person_by_email(hub, boss, email)
    with pytest.raises(Forbidden):
        await set_active_everywhere(hub, boss, ada.id, is_active=False)
    assert not (await set_active_everywhere(hub, operator(hub), ada.id, is_active=False)).is_active
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)
    with pytest.raises(SignInNeeded):
        await enter(hub, email)
    await set_active_everywhere(hub, operator(hub), ada.id, is_active=True)
    await enter(hub, email)
