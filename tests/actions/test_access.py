"""Who comes in, by password, session and key, and who no longer does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from psycopg import AsyncCursor

from colleagues import HOME, PASSWORD, add, caller_of, enter, make_tenant, operator, session_of
from syncline.actions.access import (
    identify_key,
    identify_session,
    open_session,
    sign_in,
    sign_out,
    switch_tenant,
)
from syncline.actions.api_keys import create_key, list_keys, make_key, revoke_key
from syncline.actions.audit import list_audit
from syncline.actions.hub import Hub, open_hub
from syncline.actions.people import PersonChange, change_person, find_person_by_email
from syncline.actions.profile import change_password
from syncline.actions.tenants import resume_tenant, suspend_tenant
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import AlreadyExists, Forbidden, Invalid, LimitReached, SignInNeeded
from syncline.store.db import Database

pytestmark = pytest.mark.anyio

WRONG = "not their password"
Admin = psycopg.AsyncConnection[Any]


async def test_somebody_signs_in_is_known_and_signs_out(hub: Hub):
    token = await enter(hub, await add(hub, "ada", "manager"))
    session = await session_of(hub, token)
    assert (session.caller.name, session.caller.role) == ("ada@example.com", "manager")
    assert (session.caller.source, session.caller.address) == ("web", HOME)
    assert session.hub.tenant_id == hub.tenant_id
    assert [each.slug for each in session.tenants] == ["default"]
    await sign_out(hub, token)
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)
    await sign_out(hub, token)


async def test_an_address_is_known_in_whatever_case_and_a_password_only_as_it_is(hub: Hub):
    await add(hub, "ada")
    assert await enter(hub, "  ADA@Example.COM ")
    with pytest.raises(SignInNeeded):
        await enter(hub, "ada@example.com", PASSWORD.upper())


async def test_nothing_that_could_be_used_is_stored(hub: Hub, admin: Admin):
    email = await add(hub, "ada", "admin")
    token = await enter(hub, email)
    key = await create_key(hub, (await session_of(hub, token)).caller, "reports", None, "rep", None)
    stored = ""
    for table in ("users", "sessions", "api_keys", "audit_log", "attempts"):
        rows = await (await admin.execute(f"select t::text from app.{table} t".encode())).fetchall()
        stored += str(rows)
    assert PASSWORD not in stored
    assert token not in stored
    assert key not in stored
    assert key[-43:] not in stored


async def test_a_request_that_changes_something_carries_the_sessions_token(hub: Hub):
    token = await enter(hub, await add(hub, "ada"))
    other = await enter(hub, await add(hub, "grace"))
    right = (await session_of(hub, token)).csrf_token
    wrong = (await session_of(hub, other)).csrf_token
    await identify_session(hub, token, address=HOME, csrf=right, source="api")
    for given in (wrong, "", token, right[:-1], "ünlikely"):
        with pytest.raises(Forbidden):
            await identify_session(hub, token, address=HOME, csrf=given, source="api")


async def test_a_session_ends_when_nobody_uses_it_for_two_weeks(hub: Hub):
    token = await enter(hub, await add(hub, "ada"))
    start = now()
    for day in (13, 26):
        with time_machine.travel(start + timedelta(days=day), tick=True):
            await session_of(hub, token)
    with time_machine.travel(start + timedelta(days=40, hours=1), tick=True), pytest.raises(SignInNeeded):
        await session_of(hub, token)


async def test_a_session_ends_after_three_months_however_much_it_is_used(hub: Hub):
    token = await enter(hub, await add(hub, "ada"))
    start = now()
    for day in range(10, 90, 10):
        with time_machine.travel(start + timedelta(days=day), tick=True):
            await session_of(hub, token)
    with time_machine.travel(start + timedelta(days=90, minutes=1), tick=True):
        with pytest.raises(SignInNeeded):
            await session_of(hub, token)
        await enter(hub, "ada@example.com")


async def test_what_ended_by_age_is_forgotten(hub: Hub, admin: Admin):
    await enter(hub, await add(hub, "ada"))
    with time_machine.travel(now() + timedelta(days=15), tick=True):
        await enter(hub, "ada@example.com")
    assert await _count(admin, "app.sessions") == 1


async def test_after_five_failures_even_the_right_password_waits(hub: Hub):
    email = await add(hub, "ada")
    for _ in range(5):
        with pytest.raises(SignInNeeded):
            await enter(hub, email, WRONG)
    with pytest.raises(LimitReached) as limited:
        await enter(hub, email)
    assert limited.value.limit == "attempts"
    assert limited.value.after_seconds is not None
    assert 880 < limited.value.after_seconds <= 900
    with time_machine.travel(now() + timedelta(minutes=15, seconds=1), tick=True):
        await enter(hub, email)


async def test_failures_count_for_one_account_from_one_address(hub: Hub):
    ada, grace = await add(hub, "ada"), await add(hub, "grace")
    for _ in range(5):
        with pytest.raises(SignInNeeded):
            await enter(hub, ada, WRONG)
    await enter(hub, grace)
    await enter(hub, ada, address="192.0.2.2")


async def test_a_success_forgives_what_was_tried_before(hub: Hub):
    email = await add(hub, "ada")
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(SignInNeeded):
                await enter(hub, email, WRONG)
        await enter(hub, email)


async def test_guesses_at_once_at_several_processes_are_counted_together(hub: Hub, keyed: Settings):
    email = await add(hub, "ada")
    async with open_hub(keyed, application_name="another") as another:
        tries = [enter(each, email, WRONG) for each in (hub, another) * 6]
        ended = await asyncio.gather(*tries, return_exceptions=True)
    kinds = [type(each) for each in ended]
    assert (kinds.count(SignInNeeded), kinds.count(LimitReached)) == (5, 7)


async def test_an_address_that_tries_many_accounts_is_stopped(hub: Hub, admin: Admin):
    await admin.execute(
        "insert into app.attempts (id, purpose, account, address, tried_at)"
        " select gen_random_uuid(), 'sign_in', sha256(n::text::bytea), %s, now()"
        " from generate_series(1, 100) n",
        [HOME],
    )
    email = await add(hub, "ada")
    with pytest.raises(LimitReached):
        await enter(hub, email)
    await enter(hub, email, address="192.0.2.2")


@asynccontextmanager
async def recorded(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[str]]:
    """Write down every statement of the block."""
    found: list[str] = []
    execute: Callable[..., Any] = AsyncCursor.execute

    async def record(self: Any, query: Any, *parameters: Any, **options: Any) -> Any:
        found.append(str(query))
        return await execute(self, query, *parameters, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AsyncCursor, "execute", record)
        yield found


async def test_an_unknown_address_costs_the_same_work_as_a_wrong_password(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    email = await add(hub, "ada")
    compared: list[str | None] = []
    works: list[list[str]] = []
    answers: list[str] = []

    from syncline.actions import access, passwords

    async def check(password: str, password_hash: str | None) -> bool:
        compared.append(password_hash)
        return await passwords.check_password(password, password_hash)

    monkeypatch.setattr(access, "check_password", check)
    for given in (email, "nobody@example.com", "no address at all", "nul\0@example.com"):
        async with recorded(monkeypatch) as statements:
            with pytest.raises(SignInNeeded) as refused:
                await enter(hub, given, WRONG)
        works.append(statements)
        answers.append(str(refused.value))
    assert works[0]
    assert all(work == works[0] for work in works)
    assert len(set(answers)) == 1
    assert [each is None for each in compared] == [False, True, True, True]


async def test_comparing_with_nothing_takes_a_hash_like_any_other(monkeypatch: pytest.MonkeyPatch):
    from argon2 import PasswordHasher

    from syncline.actions.passwords import check_password

    made: list[str] = []
    verify = PasswordHasher.verify

    def count(self: PasswordHasher, hashed: str, password: str) -> bool:
        made.append(hashed)
        return verify(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", count)
    assert not await check_password(WRONG, None)
    assert len(made) == 1
    assert made[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_an_attempt_that_failed_stands_in_the_audit_of_the_account(hub: Hub):
    await add(hub, "ada")
    boss = await caller_of(hub, "boss", "admin")
    for email in ("ada@example.com", "nobody@example.com"):
        with pytest.raises(SignInNeeded):
            await enter(hub, email, WRONG)
    found = [each for each in (await list_audit(hub, boss)).entries if each.action == "session.refused"]
    assert [(each.actor, each.address) for each in found] == [("ada@example.com", HOME)]


async def test_a_new_role_holds_from_the_next_request_on(hub: Hub):
    token = await enter(hub, await add(hub, "ada", "manager"))
    person = await find_person_by_email(hub, operator(hub), "ada@example.com")
    await change_person(hub, operator(hub), person.id, PersonChange(role="rep"))
    assert (await session_of(hub, token)).caller.role == "rep"


async def test_somebody_switched_off_is_out_at_once_and_does_not_come_back(hub: Hub):
    token = await enter(hub, await add(hub, "ada"))
    person = await find_person_by_email(hub, operator(hub), "ada@example.com")
    await change_person(hub, operator(hub), person.id, PersonChange(is_active=False))
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)
    with pytest.raises(Forbidden):
        await enter(hub, "ada@example.com")
    await change_person(hub, operator(hub), person.id, PersonChange(is_active=True))
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)
    await enter(hub, "ada@example.com")


async def test_a_new_password_ends_every_other_session(hub: Hub):
    email = await add(hub, "ada")
    here, there = await enter(hub, email), await enter(hub, email)
    with pytest.raises(Invalid) as wrong:
        await change_password(hub, here, WRONG, "four other words", address=HOME)
    assert set(wrong.value.fields) == {"current_password"}
    with pytest.raises(Invalid) as weak:
        await change_password(hub, here, PASSWORD, email, address=HOME)
    assert set(weak.value.fields) == {"new_password"}
    await change_password(hub, here, PASSWORD, "four other words", address=HOME)
    await session_of(hub, here)
    with pytest.raises(SignInNeeded):
        await session_of(hub, there)
    with pytest.raises(SignInNeeded):
        await enter(hub, email)
    await enter(hub, email, "four other words")


async def test_a_hash_made_with_less_work_is_made_anew(hub: Hub, admin: Admin):
    from argon2 import PasswordHasher

    email = await add(hub, "ada")
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await admin.execute("update app.users set password_hash = %s", [weak])
    await enter(hub, email)
    row = await (await admin.execute("select password_hash from app.users")).fetchone()
    assert row is not None
    assert "m=65536" in row[0]
    await enter(hub, email)


async def test_somebody_of_two_tenants_switches_between_them_and_to_no_other(hub: Hub):
    acme, secret = await make_tenant(hub, "acme"), await make_tenant(hub, "secret")
    email = await add(hub, "ada", "manager")
    await add(acme, "ada", "rep")
    token = await enter(hub, email)
    assert {each.slug for each in (await session_of(hub, token)).tenants} == {"default", "acme"}
    there = await switch_tenant(hub, token, "acme")
    assert (there.caller.role, there.hub.tenant_id) == ("rep", acme.tenant_id)
    assert (await session_of(hub, token)).hub.tenant_id == acme.tenant_id
    for closed in ("secret", str(secret.tenant_id), "nowhere"):
        with pytest.raises(Forbidden):
            await switch_tenant(hub, token, closed)


async def test_a_suspended_tenant_lets_nobody_in_until_it_goes_on(hub: Hub):
    acme = await make_tenant(hub, "acme")
    caller = await caller_of(acme, "ada", "admin")
    token, key = await enter(acme, "ada@example.com"), await create_key(acme, caller, "k", None, "rep", None)
    await suspend_tenant(hub, operator(hub), "acme")
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)
    with pytest.raises(SignInNeeded):
        await identify_key(hub, key, address=HOME)
    with pytest.raises(Forbidden):
        await enter(hub, "ada@example.com")
    await resume_tenant(hub, operator(hub), "acme")
    await session_of(hub, token)
    await identify_key(hub, key, address=HOME)


async def test_a_key_opens_its_own_tenant_and_no_other(hub: Hub):
    acme = await make_tenant(hub, "acme")
    key = await create_key(acme, operator(acme), "reports", ["records:read"], "manager", None)
    found, caller = await identify_key(hub, key, address=HOME)
    assert (found.tenant.slug, caller.tenant_id) == ("acme", acme.tenant_id)
    assert (caller.name, caller.role, caller.scopes) == ("key:reports", "manager", {"records:read"})
    assert not caller.is_operator
    # The same secret under another tenant's name is nobody's.
    ours = await create_key(hub, operator(hub), "reports", None, "rep", None)
    with pytest.raises(SignInNeeded):
        await identify_key(hub, ours[:31] + key[31:], address=HOME)
    assert [each.name for each in await list_keys(hub, operator(hub))] == ["reports"]


async def test_a_key_ends_when_it_is_revoked_or_has_expired(hub: Hub):
    made = await make_key(hub, operator(hub), "a", None, "rep", None)
    until = await create_key(hub, operator(hub), "b", None, "rep", now() + timedelta(days=1))
    await identify_key(hub, until, address=HOME)
    await revoke_key(hub, operator(hub), made.key.id)
    with pytest.raises(SignInNeeded):
        await identify_key(hub, made.token, address=HOME)
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=True), pytest.raises(SignInNeeded):
        await identify_key(hub, until, address=HOME)


@pytest.mark.parametrize("text", ["", "syncline_", "x" * 75, "syncline_" + "é" * 66, "\udc80", "a\0b"])
async def test_what_is_no_key_is_refused_like_one_that_is_unknown(hub: Hub, text: str):
    with pytest.raises(SignInNeeded, match="not valid, or no longer"):
        await identify_key(hub, text, address=HOME)


async def test_the_use_of_a_key_is_written_down_once_a_minute(hub: Hub, admin: Admin):
    key = await create_key(hub, operator(hub), "a", None, "rep", None)

    async def used() -> Any:
        return (await list_keys(hub, operator(hub)))[0].last_used_at

    await identify_key(hub, key, address="192.0.2.9")
    first = await used()
    assert first is not None
    await identify_key(hub, key, address=HOME)
    assert await used() == first
    with time_machine.travel(now() + timedelta(seconds=61), tick=True):
        await identify_key(hub, key, address=HOME)
        assert await used() > first


async def test_a_key_is_never_good_for_more_than_whoever_made_it(hub: Hub):
    caller = await caller_of(hub, "ada", "admin")
    await add(hub, "grace", "admin")
    key = await create_key(hub, caller, "mine", None, "admin", None)
    assert (await identify_key(hub, key, address=HOME))[1].role == "admin"
    assert caller.user_id is not None
    await change_person(hub, operator(hub), caller.user_id, PersonChange(role="rep"))
    assert (await identify_key(hub, key, address=HOME))[1].role == "rep"
    await change_person(hub, operator(hub), caller.user_id, PersonChange(is_active=False))
    with pytest.raises(SignInNeeded):
        await identify_key(hub, key, address=HOME)


async def test_keys_are_made_by_admins_with_names_of_their_own(hub: Hub):
    with pytest.raises(Forbidden):
        await create_key(hub, await caller_of(hub, "ada", "manager"), "k", None, "rep", None)
    await create_key(hub, operator(hub), "k", None, "rep", None)
    with pytest.raises(AlreadyExists):
        await create_key(hub, operator(hub), "k", None, "rep", None)
    with pytest.raises(Invalid) as wrong:
        await create_key(hub, operator(hub), " ", ["no:such"], "owner", now() - timedelta(days=1))
    assert set(wrong.value.fields) == {"name", "scopes", "role", "expires_at"}


async def test_whose_records_are_own_is_known_by_address_and_by_hand(hub: Hub, admin: Admin):
    rows = await (
        await admin.execute(
            "insert into crm.owners (tenant_id, id, email) select %s, gen_random_uuid(), e"
            " from unnest(array['Ada@Example.com', 'old.ada@example.com', 'grace@example.com']) e"
            " returning id, email",
            [hub.tenant_id],
        )
    ).fetchall()
    owners = {email: owner for owner, email in rows}
    caller = await caller_of(hub, "ada")
    assert caller.owner_ids == {owners["Ada@Example.com"]}
    assert caller.user_id is not None
    change = PersonChange(owner_id=owners["old.ada@example.com"])
    await change_person(hub, operator(hub), caller.user_id, change)
    token = await enter(hub, "ada@example.com")
    assert (await session_of(hub, token)).caller.owner_ids == {
        owners["Ada@Example.com"],
        owners["old.ada@example.com"],
    }


async def test_a_session_begins_in_the_tenant_that_is_served_and_else_in_one_that_is_open(hub: Hub):
    acme = await make_tenant(hub, "acme")
    await add(acme, "ada")
    token = await enter(hub, "ada@example.com")
    assert (await session_of(hub, token)).hub.tenant_id == acme.tenant_id
    with pytest.raises(Forbidden):
        await open_session(hub, (await session_of(hub, token)).user.id, [], address=None, user_agent=None)


async def test_two_databases_see_one_session(hub: Hub, db: Database):
    token = await enter(hub, await add(hub, "ada"))
    other = replace(hub, db=db)
    await sign_out(other, token)
    with pytest.raises(SignInNeeded):
        await session_of(hub, token)


async def _count(admin: Admin, table: str) -> int:
    row = await (await admin.execute(f"select count(*) from {table}".encode())).fetchone()
    return 0 if row is None else int(row[0])


async def test_a_browsers_name_of_itself_is_kept_short_and_plain(hub: Hub, admin: Admin):
    email = await add(hub, "ada")
    await sign_in(hub, email, PASSWORD, address=HOME, user_agent="x\x07" * 1000)
    row = await (await admin.execute("select user_agent from app.sessions")).fetchone()
    assert row == ("x" * 150,)


async def test_one_line_of_ipv6_is_one_place(hub: Hub):
    email = await add(hub, "ada")
    for number in range(5):
        with pytest.raises(SignInNeeded):
            await enter(hub, email, WRONG, address=f"2001:db8:1:2::{number + 1:x}")
    with pytest.raises(LimitReached):
        await enter(hub, email, address="2001:db8:1:2:ffff::1")
    await enter(hub, email, address="2001:db8:1:3::1")


async def test_the_right_password_at_many_places_at_once_is_right_at_all_of_them(hub: Hub):
    email = await add(hub, "ada")
    tokens = await asyncio.gather(*(enter(hub, email) for _ in range(12)))
    assert len(set(tokens)) == 12


async def test_an_attempt_that_nobody_decided_counts_as_wrong(hub: Hub, admin: Admin):
    email = await add(hub, "ada")
    await admin.execute(
        "insert into app.attempts (id, purpose, account, address, tried_at)"
        " select gen_random_uuid(), 'sign_in', sha256('ada@example.com'), %s, now() - interval '16 seconds'"
        " from generate_series(1, 5)",
        [HOME],
    )
    with pytest.raises(LimitReached):
        await enter(hub, email)
