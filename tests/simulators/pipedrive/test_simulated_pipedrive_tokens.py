"""Tokens: headers, the query, OAuth with Basic, refreshes, scopes, and how they end."""

from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
from pipe import V1, V2, Pipe

from syncline.simulators.pipedrive.auth import CLIENT_ID, CLIENT_SECRET, DEFAULT_TOKEN

pytestmark = pytest.mark.anyio

BASIC = {"authorization": "Basic " + b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()}
ME = f"{V1}/users/me"


async def status(pipe: Pipe, path: str = ME, **headers: str) -> int:
    return (await pipe.http.get(path, headers={"x-api-token": ""} | headers)).status_code


async def test_without_a_token_nothing_is_answered(pipe: Pipe):
    answer = await pipe.http.get(ME, headers={"x-api-token": "wrong"})
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized access"
    assert answer.json()["errorCode"] == 401


async def test_an_api_token_is_no_bearer_and_may_stand_in_the_query(pipe: Pipe):
    assert await status(pipe, authorization=f"Bearer {DEFAULT_TOKEN}") == 401
    assert await status(pipe, f"{ME}?api_token={DEFAULT_TOKEN}") == 200
    pipe.world.settings.query_tokens = False
    assert await status(pipe, f"{ME}?api_token={DEFAULT_TOKEN}") == 401


async def test_a_revoked_token_is_refused(pipe: Pipe):
    pipe.world.auth.revoke(DEFAULT_TOKEN)
    assert (await pipe.http.get(ME)).status_code == 401


async def consent(pipe: Pipe, **more: str) -> str:
    query = {"client_id": CLIENT_ID, "redirect_uri": "http://here.example/back", "state": "s1"} | more
    answer = await pipe.http.get("/oauth/authorize", params=query)
    assert answer.status_code == 302
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s1"]
    return back["code"][0]


async def token(pipe: Pipe, **form: str):
    return await pipe.http.post("/oauth/token", data=form, headers=BASIC)


async def test_the_code_flow_ends_in_a_token_and_the_company_s_address(pipe: Pipe):
    code = await consent(pipe)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://here.example/back"}
    answer = (await token(pipe, **form)).json()
    assert answer["api_domain"] == "http://pipe.test"
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert "contacts:full" in answer["scope"].split(",")
    assert await status(pipe, authorization=f"Bearer {answer['access_token']}") == 200
    assert (await token(pipe, **form)).json()["error"] == "invalid_grant"


async def test_a_code_lives_five_minutes(pipe: Pipe):
    code = await consent(pipe)
    pipe.clock.advance(301)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://here.example/back"}
    assert (await token(pipe, **form)).status_code == 400


async def test_a_client_proves_itself_by_basic_only(pipe: Pipe):
    form = {"grant_type": "refresh_token", "refresh_token": pipe.world.auth.issue_refresh_token(),
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}  # fmt: skip
    assert (await pipe.http.post("/oauth/token", data=form)).status_code == 401
    wrong = {"authorization": "Basic " + b64encode(b"x:y").decode()}
    assert (await pipe.http.post("/oauth/token", data=form, headers=wrong)).status_code == 401


async def test_a_refresh_keeps_the_refresh_token_which_dies_when_unused(pipe: Pipe):
    refresh = pipe.world.auth.issue_refresh_token()
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    first = (await token(pipe, **form)).json()
    assert first["refresh_token"] == refresh
    pipe.clock.advance(59 * 86_400)
    second = (await token(pipe, **form)).json()
    assert second["access_token"] != first["access_token"]
    assert pipe.world.auth.refreshes == 2
    pipe.clock.advance(61 * 86_400)
    assert (await token(pipe, **form)).json()["error"] == "invalid_grant"


async def test_an_access_token_expires_after_an_hour(pipe: Pipe):
    grant = pipe.world.auth.issue_access_token(pipe.world.auth.issue_refresh_token())
    assert await status(pipe, authorization=f"Bearer {grant.token}") == 200
    pipe.clock.advance(3600)
    assert await status(pipe, authorization=f"Bearer {grant.token}") == 401


async def test_revoking_the_refresh_token_ends_its_access_tokens(pipe: Pipe):
    refresh = pipe.world.auth.issue_refresh_token()
    grant = pipe.world.auth.issue_access_token(refresh)
    await pipe.http.post("/oauth/revoke", data={"token": refresh}, headers=BASIC)
    assert await status(pipe, authorization=f"Bearer {grant.token}") == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"{V2}/persons", "contacts:read"), ("POST", f"{V2}/persons", "contacts:full"),
        ("GET", f"{V2}/deals", "deals:full"), ("GET", f"{V2}/stages", "admin"),
        ("GET", f"{V2}/activities", "activities:read"), ("GET", f"{V1}/leads", "leads:read"),
        ("GET", f"{V1}/users", "users:read"), ("POST", f"{V2}/personFields", "contact-fields:full"),
        ("GET", f"{V2}/itemSearch?term=xx", "search:read"), ("POST", f"{V1}/webhooks", "webhooks:full"),
        ("PUT", f"{V1}/deals/1/merge", "deals:full"), ("GET", f"{V2}/activityFields", "admin"),
    ],
)  # fmt: skip
async def test_an_app_may_do_what_its_scopes_say(pipe: Pipe, method: str, path: str, scope: str):
    pipe.world.auth.add_token("allowed", ["base", scope])
    pipe.world.auth.add_token("forbidden", ["base", "products:read"])
    headers = {"x-api-token": ""}
    allowed = await pipe.http.request(
        method, path, json={}, headers=headers | {"authorization": "Bearer allowed"}
    )
    assert allowed.status_code != 403
    answer = await pipe.http.request(
        method, path, json={}, headers=headers | {"authorization": "Bearer forbidden"}
    )
    assert (answer.status_code, answer.json()["errorCode"]) == (403, 403)


async def test_reading_scopes_do_not_write(pipe: Pipe):
    pipe.world.auth.add_token("reader", ["contacts:read"])
    headers = {"x-api-token": "", "authorization": "Bearer reader"}
    answer = await pipe.http.post(f"{V2}/persons", json={"name": "A"}, headers=headers)
    assert answer.status_code == 403
    assert (await pipe.http.get(ME, headers=headers)).status_code == 200
