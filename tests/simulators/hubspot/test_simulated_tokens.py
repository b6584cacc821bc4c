"""Tokens, scopes and OAuth, with the refusals a client has to understand."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hub import NOW_MS, Hub

from syncline.simulators.hubspot.auth import CLIENT_ID, CLIENT_SECRET
from syncline.simulators.hubspot.values import iso

pytestmark = pytest.mark.anyio

CONTACTS = "/crm/v3/objects/contacts"
TOKEN_PATHS = ("/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token")
CLIENT = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


async def refused(hub: Hub, token: str, path: str = CONTACTS) -> tuple[int, dict[str, Any]]:
    return await hub.refused("GET", path, headers={"authorization": f"Bearer {token}"})


async def issue(hub: Hub, path: str = TOKEN_PATHS[1], **form: str) -> dict[str, Any]:
    answer = await hub.http.post(path, data=CLIENT | form)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic abc", ""])
async def test_an_unknown_token_is_told_what_is_missing(hub: Hub, header: str):
    status, error = await hub.refused("GET", CONTACTS, headers={"authorization": header})
    assert (status, error["category"]) == (401, "INVALID_AUTHENTICATION")
    assert error["message"].startswith("Authentication credentials not found.")


async def test_an_expired_token_is_told_since_when(hub: Hub):
    hub.world.auth.add_token("short", expires_in_seconds=10)
    hub.clock.advance(85)
    status, error = await refused(hub, "short")
    assert (status, error["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert error["message"] == "The OAuth token used to make this call expired 75 second(s) ago."
    assert error["context"] == {"expire time": [iso(NOW_MS + 10_000)]}


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        (CONTACTS, "crm.objects.contacts.read"),
        ("/crm/v3/objects/calls", "crm.objects.contacts.read"),
        ("/crm/objects/2026-03/deals", "crm.objects.deals.read"),
        ("/crm/v3/objects/cars", "crm.objects.custom.read"),
        ("/crm/v3/properties/companies", "crm.schemas.companies.read"),
        ("/crm/v3/pipelines/deals", "crm.schemas.deals.read"),
        ("/crm/v3/owners", "crm.objects.owners.read"),
        ("/crm/v3/schemas", "crm.schemas.custom.read"),
    ],
)
async def test_a_missing_scope_is_named(hub: Hub, path: str, scope: str):
    hub.world.auth.add_token("narrow", ["oauth"])
    status, error = await refused(hub, "narrow", path)
    assert (status, error["category"]) == (403, "MISSING_SCOPES")
    assert scope in error["errors"][0]["context"]["requiredGranularScopes"]
    hub.world.auth.add_token("narrow", [scope])
    answer = await hub.http.get(path, headers={"authorization": "Bearer narrow"})
    assert answer.status_code == 200


async def test_reading_is_not_writing(hub: Hub):
    hub.world.auth.add_token("reader", ["crm.objects.contacts.read", "crm.schemas.contacts.read"])
    headers = {"authorization": "Bearer reader"}
    for path in (CONTACTS, f"{CONTACTS}/merge", "/crm/v3/properties/contacts"):
        assert (await hub.refused("POST", path, json={}, headers=headers))[0] == 403


@pytest.mark.parametrize("path", TOKEN_PATHS)
async def test_a_code_becomes_tokens_once(hub: Hub, path: str):
    code = hub.world.auth.issue_code(["crm.objects.contacts.read"], redirect_uri="https://hub.test/back")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://hub.test/back"}
    grant = await issue(hub, path, **form)
    assert grant["token_type"] == "bearer"
    assert grant["expires_in"] == 1800
    assert grant["hub_id"] == hub.world.portal_id
    assert set(grant["scopes"]) == {"oauth", "crm.objects.contacts.read"}
    headers = {"authorization": f"Bearer {grant['access_token']}"}
    assert (await hub.http.get(CONTACTS, headers=headers)).status_code == 200
    assert (await hub.http.post(path, data=CLIENT | form)).json()["status"] == "BAD_AUTH_CODE"


async def test_a_person_s_consent_leads_back_with_a_code(hub: Hub):
    query = {"client_id": CLIENT_ID, "redirect_uri": "https://hub.test/back", "state": "s1", "scope": "oauth"}
    answer = await hub.http.get("/oauth/authorize", params=query)
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (answer.status_code, back["state"]) == (302, ["s1"])
    form = {
        "grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": "https://hub.test/back",
    }  # fmt: skip
    assert (await issue(hub, **form))["scopes"] == ["oauth"]


async def test_a_refresh_token_gives_fresh_tokens_as_long_as_it_is_not_revoked(hub: Hub):
    refresh_token = hub.world.auth.issue_refresh_token()
    first = await issue(hub, grant_type="refresh_token", refresh_token=refresh_token)
    second = await issue(hub, grant_type="refresh_token", refresh_token=refresh_token)
    assert first["access_token"] != second["access_token"]
    assert first["refresh_token"] == refresh_token
    assert hub.world.auth.refreshes == 2
    hub.world.auth.revoke(refresh_token)
    assert (await refused(hub, second["access_token"]))[0] == 401
    form = CLIENT | {"grant_type": "refresh_token", "refresh_token": refresh_token}
    answer = await hub.http.post("/oauth/v3/token", data=form)
    assert answer.status_code == 400
    assert answer.json() | {"correlationId": ""} == {
        "error": "invalid_grant",
        "error_description": "refresh token is invalid, expired or revoked",
        "status": "BAD_REFRESH_TOKEN",
        "message": "refresh token is invalid, expired or revoked",
        "correlationId": "",
    }


async def test_an_access_token_lives_as_long_as_is_set(hub: Hub):
    hub.world.auth.lifetime_seconds = 60
    grant = await issue(hub, grant_type="refresh_token", refresh_token=hub.world.auth.issue_refresh_token())
    hub.clock.advance(59)
    headers = {"authorization": f"Bearer {grant['access_token']}"}
    assert (await hub.http.get(CONTACTS, headers=headers)).status_code == 200
    hub.clock.advance(1)
    assert (await refused(hub, grant["access_token"]))[0] == 401


async def test_a_wrong_client_secret_gets_nothing(hub: Hub):
    form = CLIENT | {"client_secret": "wrong", "grant_type": "refresh_token"}
    assert (await hub.http.post("/oauth/v3/token", data=form)).status_code == 401


async def test_a_token_can_be_asked_what_it_is_and_be_revoked(hub: Hub):
    grant = await issue(hub, grant_type="refresh_token", refresh_token=hub.world.auth.issue_refresh_token())
    about = await hub.get(f"/oauth/v1/access-tokens/{grant['access_token']}")
    assert (about["hub_id"], about["token_type"]) == (hub.world.portal_id, "access")
    told = await hub.http.post("/oauth/v3/token/introspect", data={"token": grant["access_token"]})
    assert told.json()["active"]
    assert (await hub.get(f"/oauth/v1/refresh-tokens/{grant['refresh_token']}"))["client_id"] == CLIENT_ID
    assert (await hub.http.delete(f"/oauth/v1/refresh-tokens/{grant['refresh_token']}")).status_code == 204
    told = await hub.http.post("/oauth/v3/token/introspect", data={"token": grant["access_token"]})
    assert told.json() == {"active": False}
