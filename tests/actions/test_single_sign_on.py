"""Signing in by a provider: who is let in, and whose word is not taken."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pydantic import SecretStr

from colleagues import HOME, add, caller_of, session_of
from identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider, open_provider
from syncline.actions.audit import list_audit
from syncline.actions.hub import Hub
from syncline.actions.people import PersonChange, change_person
from syncline.actions.single_sign_on import Arrival, arrive, depart, is_offered
from syncline.clock import now
from syncline.connectors import oidc
from syncline.errors import Forbidden, SettingInvalid, SignInNeeded, Unavailable

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider() -> AsyncGenerator[IdentityProvider]:
    async with open_provider() as opened:
        yield opened


@pytest.fixture
def offering(hub: Hub, provider: IdentityProvider) -> Hub:
    more = {
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(CLIENT_SECRET),
        "public_url": "https://hub.example.com",
    }
    return replace(hub, settings=hub.settings.model_copy(update=more))


async def come_back(hub: Hub, provider: IdentityProvider, **changed: Any) -> Arrival:
    departure = await depart(hub, "/deals?stage=won")
    query = provider.agree(departure.url)
    given: dict[str, Any] = {
        "sealed": departure.sealed,
        "code": query["code"],
        "state": query["state"],
        "issuer": query["iss"],
        **changed,
    }
    return await arrive(hub, **given, address=HOME, user_agent=None)


async def test_an_account_that_is_there_is_opened_by_a_verified_address(
    offering: Hub, provider: IdentityProvider
):
    boss = await caller_of(offering, "boss", "admin")
    await add(offering, "ada", "manager")
    provider.email = "Ada@Example.com"
    arrival = await come_back(offering, provider)
    assert arrival.wanted == "/deals?stage=won"
    session = await session_of(offering, arrival.token)
    assert (session.user.email, session.caller.role) == ("ada@example.com", "manager")
    entry = (await list_audit(offering, boss)).entries[0]
    assert (entry.actor, entry.action, entry.details) == (
        "ada@example.com",
        "session.began",
        {"by": "provider"},
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "no"},
        {"email": None},
        {"email": "nobody@example.com"},
        {"email": ["ada@example.com"]},
    ],
)
async def test_no_account_is_made_or_opened_without_one(
    offering: Hub, provider: IdentityProvider, claims: dict[str, Any]
):
    await add(offering, "ada")
    provider.claims = claims
    with pytest.raises(Forbidden):
        await come_back(offering, provider)


async def test_somebody_switched_off_is_not_let_in(offering: Hub, provider: IdentityProvider):
    boss, ada = await caller_of(offering, "boss", "admin"), await caller_of(offering, "ada")
    assert ada.user_id is not None
    await change_person(offering, boss, ada.user_id, PersonChange(is_active=False))
    with pytest.raises(Forbidden):
        await come_back(offering, provider)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example.com"},
        {"aud": "another client"},
        {"aud": [CLIENT_ID, "another client"]},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"sub": None},
        {"iat": None},
    ],
)
async def test_a_word_that_is_not_for_us_and_now_is_not_taken(
    offering: Hub, provider: IdentityProvider, claims: dict[str, Any]
):
    await add(offering, "ada")
    provider.claims = claims
    with pytest.raises(SignInNeeded):
        await come_back(offering, provider)


@pytest.mark.parametrize("signing", ["other", "none", "shared"])
async def test_a_word_that_the_provider_did_not_sign_is_not_taken(
    offering: Hub, provider: IdentityProvider, signing: str
):
    await add(offering, "ada")
    provider.signing = signing
    with pytest.raises(SignInNeeded):
        await come_back(offering, provider)


async def test_several_audiences_are_taken_when_it_was_made_for_us(offering: Hub, provider: IdentityProvider):
    await add(offering, "ada")
    provider.claims = {"aud": [CLIENT_ID, "another client"], "azp": CLIENT_ID}
    await come_back(offering, provider)


async def test_a_sign_in_that_another_browser_began_is_not_taken(offering: Hub, provider: IdentityProvider):
    await add(offering, "ada")
    other = await depart(offering)
    for changed in (
        {"sealed": other.sealed},
        {"sealed": None},
        {"sealed": "made up"},
        {"state": "made up"},
        {"state": None},
        {"code": None},
        {"code": "made up"},
        {"issuer": "https://elsewhere.example.com"},
    ):
        with pytest.raises(SignInNeeded):
            await come_back(offering, provider, **changed)


async def test_a_code_works_once_and_a_sign_in_takes_no_longer_than_ten_minutes(
    offering: Hub, provider: IdentityProvider
):
    await add(offering, "ada")
    departure = await depart(offering)
    query = provider.agree(departure.url)
    given = {"sealed": departure.sealed, "code": query["code"], "state": query["state"], "issuer": None}
    with (
        time_machine.travel(now() + timedelta(minutes=10, seconds=1), tick=True),
        pytest.raises(SignInNeeded),
    ):
        await arrive(offering, **given, address=HOME, user_agent=None)
    await arrive(offering, **given, address=HOME, user_agent=None)
    with pytest.raises(SignInNeeded):
        await arrive(offering, **given, address=HOME, user_agent=None)


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "x", "/a\nb", "/" * 2000],
)
async def test_nobody_is_sent_elsewhere_afterwards(offering: Hub, provider: IdentityProvider, wanted: str):
    await add(offering, "ada")
    departure = await depart(offering, wanted)
    query = provider.agree(departure.url)
    arrival = await arrive(
        offering,
        sealed=departure.sealed,
        code=query["code"],
        state=query["state"],
        issuer=None,
        address=HOME,
        user_agent=None,
    )
    assert arrival.wanted == "/"


async def test_a_provider_that_is_away_or_set_up_wrongly_is_told_apart(
    offering: Hub, provider: IdentityProvider
):
    departure = await depart(offering)
    query = provider.agree(departure.url)
    given = {"sealed": departure.sealed, "code": query["code"], "state": query["state"], "issuer": None}
    provider.token_status = 503
    with pytest.raises(Unavailable):
        await arrive(offering, **given, address=HOME, user_agent=None)
    provider.token_status = 200
    wrong = offering.settings.model_copy(update={"oidc_client_secret": SecretStr("wr0ng")})
    with pytest.raises(SettingInvalid) as refused:
        await arrive(replace(offering, settings=wrong), **given, address=HOME, user_agent=None)
    assert "wr0ng" not in str(refused.value)
    provider.issuer = "https://elsewhere.example.com"
    elsewhere = offering.settings.model_copy(update={"oidc_issuer": f"{provider.url}/"})
    with pytest.raises(SettingInvalid):
        await depart(replace(offering, settings=elsewhere))
    for unsafe in ("http://provider.example.com", "http://127.0.0.1.example.com"):
        with pytest.raises(SettingInvalid, match="https"):
            await oidc.discover(unsafe)


async def test_a_provider_is_not_asked_about_itself_at_every_sign_in(
    offering: Hub, provider: IdentityProvider
):
    for _ in range(3):
        await depart(offering)
    assert provider.asked == ["/.well-known/openid-configuration"]


async def test_it_is_offered_only_where_all_of_it_is_set(hub: Hub, offering: Hub):
    assert not is_offered(hub.settings)
    assert is_offered(offering.settings)
    with pytest.raises(SettingInvalid):
        await depart(hub)
