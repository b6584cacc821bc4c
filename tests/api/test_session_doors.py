"""Signing in, people, keys, tenants and audit over the API, as programs and browsers call it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from colleagues import PASSWORD, add, caller_of, make_tenant, operator
from identity_provider import CLIENT_ID, CLIENT_SECRET, open_provider
from letterbox import open_letterbox
from syncline.actions.api_keys import make_key
from syncline.actions.hub import Hub, open_hub
from syncline.actions.invitations import invite
from syncline.api.app import make_app
from syncline.config import Settings
from syncline.domain.callers import Role
from syncline.domain.sealing import new_key

pytestmark = pytest.mark.anyio

V1 = "/api/v1"
Open = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def hub(settings: Settings) -> AsyncGenerator[Hub]:
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


async def nothing() -> list[Any]:
    return []


@pytest.fixture
async def browser(hub: Hub) -> AsyncGenerator[Open]:
    """Opens a client of the application, with a jar for cookies of its own."""
    opened: list[httpx2.AsyncClient] = []

    def open_client(of: Hub = hub, scheme: str = "http", **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=make_app(nothing, hub=of))
        opened.append(
            httpx2.AsyncClient(transport=transport, base_url=f"{scheme}://hub.example.com", headers=headers)
        )
        return opened[-1]

    yield open_client
    for each in opened:
        await each.aclose()


async def keyed(hub: Hub, browser: Open, role: Role = "admin", scopes: list[str] | None = None) -> Any:
    made = await make_key(hub, operator(hub), f"{role} {scopes}", scopes, role, None)
    return browser(authorization=f"Bearer {made.token}")


async def sign_in(client: httpx2.AsyncClient, email: str, password: str = PASSWORD) -> httpx2.Response:
    answer = await client.post(f"{V1}/session", json={"email": email, "password": password})
    if answer.status_code == 201:
        client.headers["x-csrf-token"] = answer.json()["csrf_token"]
    return answer


async def test_a_browser_signs_in_and_out(hub: Hub, browser: Open):
    client = browser()
    answer = await sign_in(client, await add(hub, "ada", "manager"))
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("syncline=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    me = (await client.get(f"{V1}/me")).json()
    assert (me["name"], me["full_name"], me["role"]) == ("ada@example.com", "Ada", "manager")
    assert "records:bulk" in me["permissions"]
    assert "erase" not in me["permissions"]
    assert (await client.delete(f"{V1}/session")).status_code == 204
    assert (await client.get(f"{V1}/me")).status_code == 401
    assert (await client.delete(f"{V1}/session")).status_code == 204


async def test_over_https_the_cookie_is_tied_to_the_host(hub: Hub, browser: Open):
    email = await add(hub, "ada")
    cookie = (await sign_in(browser(scheme="https"), email)).headers["set-cookie"]
    assert cookie.startswith("__Host-syncline=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    # A proxy that ends TLS and is not trusted to say so.
    public = replace(hub, settings=hub.settings.model_copy(update={"public_url": "https://hub.example.com"}))
    assert "__Host-" in (await sign_in(browser(public), email)).headers["set-cookie"]


async def test_what_changes_something_by_cookie_needs_the_sessions_token(hub: Hub, browser: Open):
    client = browser()
    await sign_in(client, await add(hub, "ada", "admin"))
    token = client.headers.pop("x-csrf-token")
    for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "made up"}):
        for method, path, body in (
            ("POST", "/keys", {"name": "k"}),
            ("POST", "/invitations", {"email": "x@example.com"}),
            ("PATCH", "/me/profile", {"full_name": "Eve"}),
            ("POST", "/me/password", {"current_password": PASSWORD, "new_password": "four other words"}),
            ("DELETE", "/session", None),
            ("POST", "/session/tenant", {"tenant": "default"}),
        ):
            answer = await client.request(method, f"{V1}{path}", json=body, headers=headers)
            assert answer.status_code == 403, path
    assert (await client.get(f"{V1}/me")).status_code == 200
    made = await client.post(f"{V1}/keys", json={"name": "k"}, headers={"x-csrf-token": token})
    assert made.status_code == 201


async def test_wrong_passwords_are_answered_alike_and_then_with_a_time_to_wait(hub: Hub, browser: Open):
    client, email = browser(), await add(hub, "ada")
    known, unknown = await sign_in(client, email, "wrong"), await sign_in(client, "x@example.com", "wrong")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert known.status_code == 401
    assert "set-cookie" not in known.headers
    for _ in range(4):
        await sign_in(client, email, "wrong")
    limited = await sign_in(client, email)
    assert limited.status_code == 429
    assert limited.json()["limit"] == "attempts"
    assert 800 < int(limited.headers["retry-after"]) <= 900


async def test_a_key_says_what_it_is_good_for(hub: Hub, browser: Open):
    client = await keyed(hub, browser, "manager", ["records:read"])
    me = (await client.get(f"{V1}/me")).json()
    assert (me["name"], me["permissions"]) == ("key:manager ['records:read']", ["records:read"])
    assert (me["csrf_token"], me["user_id"]) == (None, None)
    for path in ("/people", "/keys", "/audit", "/invitations"):
        assert (await client.get(f"{V1}{path}")).status_code == 403
    assert (await browser(authorization="Bearer made-up").get(f"{V1}/me")).status_code == 401
    assert (await browser().get(f"{V1}/people")).headers["www-authenticate"] == "Bearer"


async def test_people_are_read_and_changed(hub: Hub, browser: Open):
    client = await keyed(hub, browser)
    await add(hub, "ada")
    (ada,) = (await client.get(f"{V1}/people")).json()["items"]
    assert ada["email"] == "ada@example.com"
    assert "password" not in str(ada).replace("has_password", "")
    changed = await client.patch(f"{V1}/people/{ada['id']}", json={"role": "manager", "notify_sms": True})
    assert (changed.json()["role"], changed.json()["notify_sms"]) == ("manager", True)
    assert (await client.get(f"{V1}/people/{ada['id']}")).json()["role"] == "manager"
    wrong = await client.patch(f"{V1}/people/{ada['id']}", json={"role": "owner"})
    assert wrong.status_code == 400
    assert [each["field"] for each in wrong.json()["errors"]] == ["role"]
    strange = await client.patch(f"{V1}/people/{ada['id']}", json={"password": "x"})
    assert strange.status_code == 422
    reset = await client.post(f"{V1}/people/{ada['id']}/password-reset")
    assert reset.status_code == 201
    token = reset.json()["link"].rpartition("/")[2]
    used = await browser().post(
        f"{V1}/password-resets/use", json={"token": token, "password": "four other words"}
    )
    assert used.status_code == 204
    assert (await sign_in(browser(), "ada@example.com", "four other words")).status_code == 201


async def test_an_invitation_goes_from_hand_to_hand(hub: Hub, browser: Open):
    client = await keyed(hub, browser)
    invited = await client.post(f"{V1}/invitations", json={"email": "grace@example.com", "role": "rep"})
    assert invited.status_code == 201
    assert invited.headers["cache-control"] == "no-store"
    assert invited.json()["link"].startswith("http://hub.example.com/invitation/")
    path = f"{V1}/invitations/{invited.json()['invitation']['id']}"
    again = await client.post(f"{path}/resend")
    token = again.json()["link"].rpartition("/")[2]
    grace = browser()
    body = {"token": token, "full_name": "Grace Example", "password": "four words of hers"}
    accepted = await grace.post(f"{V1}/invitations/accept", json=body)
    assert accepted.status_code == 201
    assert (await grace.get(f"{V1}/me")).json()["full_name"] == "Grace Example"
    assert (await client.delete(path)).status_code == 404
    (listed,) = (await client.get(f"{V1}/invitations")).json()["items"]
    assert listed["status"] == "accepted"
    assert token not in str(listed)


async def test_a_lost_password_comes_by_mail(hub: Hub, browser: Open):
    await add(hub, "ada")
    async with open_letterbox() as box:
        more = {
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{box.port}"),
            "mail_from": "syncline@example.com",
            "public_url": "https://hub.example.com",
        }
        client = browser(replace(hub, settings=hub.settings.model_copy(update=more)))
        answers = [
            await client.post(f"{V1}/password-resets", json={"email": email})
            for email in ("ada@example.com", "nobody@example.com")
        ]
        assert {(each.status_code, each.content) for each in answers} == {(202, b"null")}
        assert len(box.letters) == 1
        token = box.links()[0].rpartition("/")[2]
    body = {"token": token, "password": "short"}
    refused = await client.post(f"{V1}/password-resets/use", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "password")
    body["password"] = "four other words"
    assert (await client.post(f"{V1}/password-resets/use", json=body)).status_code == 204
    assert (await client.post(f"{V1}/password-resets/use", json=body)).status_code == 404


async def test_a_key_makes_no_keys(hub: Hub, browser: Open):
    client = await keyed(hub, browser)
    made = await client.post(f"{V1}/keys", json={"name": "more", "role": "admin"})
    assert made.status_code == 403
    assert [each["name"] for each in (await client.get(f"{V1}/keys")).json()["items"]] == ["admin None"]


async def test_changing_ones_profile_leaves_the_role_to_whoever_settles_it(hub: Hub, browser: Open):
    client = browser()
    email = await add(hub, "ada", "admin")
    await sign_in(client, email)
    changed = await client.patch(f"{V1}/me/profile", json={"notify_sms": True, "full_name": "Ada L."})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["role"], changed.json()["notify_sms"]) == ("admin", True)


async def test_over_https_a_cookie_that_another_host_could_set_is_no_session(hub: Hub, browser: Open):
    client = browser()
    await sign_in(client, await add(hub, "ada", "admin"))
    public = replace(hub, settings=hub.settings.model_copy(update={"public_url": "https://hub.example.com"}))
    behind = browser(public)
    behind.cookies.update(client.cookies)
    assert (await client.get(f"{V1}/me")).status_code == 200
    answer = await behind.get(f"{V1}/me", headers={"host": "hub.example.com"})
    assert answer.status_code == 401


async def test_keys_are_made_shown_once_and_ended(hub: Hub, browser: Open):
    client = browser()
    await sign_in(client, await add(hub, "ada", "admin"))
    made = await client.post(f"{V1}/keys", json={"name": "reports", "scopes": ["records:read"]})
    token, key = made.json()["token"], made.json()["key"]
    listed = await client.get(f"{V1}/keys")
    assert token[-43:] not in listed.text
    user = browser(authorization=f"Bearer {token}")
    assert (await user.get(f"{V1}/me")).status_code == 200
    assert (await client.delete(f"{V1}/keys/{key['id']}")).status_code == 204
    assert (await user.get(f"{V1}/me")).status_code == 401
    assert (await client.delete(f"{V1}/keys/{key['id']}")).status_code == 404


async def test_tenants_are_made_and_suspended_by_operators_only(hub: Hub, browser: Open):
    ada, boss = browser(), browser()
    await sign_in(ada, await add(hub, "ada", "admin"))
    await sign_in(boss, await add(hub, "boss", "admin", operator=True))
    body = {"slug": "acme", "label": "Acme", "time_zone": "Europe/Berlin"}
    assert (await ada.post(f"{V1}/tenants", json=body)).status_code == 403
    assert (await boss.post(f"{V1}/tenants", json=body)).status_code == 201
    assert (await boss.post(f"{V1}/tenants", json=body)).status_code == 409
    assert [each["slug"] for each in (await ada.get(f"{V1}/tenants")).json()["items"]] == ["default"]
    assert len((await boss.get(f"{V1}/tenants")).json()["items"]) == 2
    switched = await boss.post(f"{V1}/session/tenant", json={"tenant": "acme"})
    assert switched.json()["tenant"]["label"] == "Acme"
    assert (await ada.post(f"{V1}/session/tenant", json={"tenant": "acme"})).status_code == 403
    renamed = await boss.patch(f"{V1}/tenants/acme", json={"label": "Acme Group"})
    assert renamed.json()["label"] == "Acme Group"
    assert (await ada.patch(f"{V1}/tenants/acme", json={"label": "Mine"})).status_code == 403
    assert (await boss.post(f"{V1}/tenants/acme/suspend")).status_code == 400
    assert (await ada.post(f"{V1}/tenants/acme/suspend")).status_code == 403
    suspended = await boss.post(f"{V1}/tenants/default/suspend")
    assert suspended.json()["status"] == "suspended"
    assert (await ada.get(f"{V1}/me")).status_code == 401
    assert (await boss.post(f"{V1}/tenants/default/resume")).json()["status"] == "active"
    assert (await ada.get(f"{V1}/me")).status_code == 200
    wrong = await boss.post(
        f"{V1}/tenants",
        json={"slug": "No!", "label": "", "time_zone": "Mars", "currency": "x", "default_region": "??"},
    )
    assert {each["field"] for each in wrong.json()["errors"]} == {
        "slug", "label", "time_zone", "currency", "default_region",
    }  # fmt: skip


async def test_the_audit_is_filtered_and_paged(hub: Hub, browser: Open):
    await keyed(hub, browser)
    client = browser()
    await sign_in(client, await add(hub, "ada", "admin"))
    for number in range(5):
        await client.post(f"{V1}/keys", json={"name": f"k{number}"})
    found: list[str] = []
    after = ""
    while True:
        page = (await client.get(f"{V1}/audit?limit=2&action=key{after}")).json()
        found += [each["details"]["name"] for each in page["items"]]
        if page["after"] is None:
            break
        after = f"&after={page['after'].replace('+', '%2B')}"
    assert found == ["k4", "k3", "k2", "k1", "k0", "admin None"]
    by = await client.get(f"{V1}/audit", params={"actor": "somebody", "source": "cli"})
    assert [each["action"] for each in by.json()["items"]] == ["person.added", "key.created"]
    assert (await client.get(f"{V1}/audit?after=nowhere")).status_code == 400
    assert (await client.get(f"{V1}/audit", params={"since": "2100-01-01T00:00:00Z"})).json()["items"] == []


async def test_nothing_of_another_tenant_is_seen_or_reached(hub: Hub, browser: Open):
    acme = await make_tenant(hub, "acme")
    theirs = await caller_of(acme, "theirs", "admin")
    their_key = await make_key(acme, theirs, "their key", None, "admin", None)
    invited = await invite(acme, theirs, "their.guest@example.com", "rep", base_url="http://x")
    client = await keyed(hub, browser)
    ids = [str(theirs.user_id), str(their_key.key.id), str(invited.invitation.id)]
    for path in ("/people", "/keys", "/invitations", "/audit", "/me"):
        text = (await client.get(f"{V1}{path}")).text
        assert not any(each in text for each in (*ids, "their", "acme")), path
    for method, path in (
        ("GET", f"/people/{ids[0]}"),
        ("PATCH", f"/people/{ids[0]}"),
        ("POST", f"/people/{ids[0]}/password-reset"),
        ("DELETE", f"/keys/{ids[1]}"),
        ("POST", f"/invitations/{ids[2]}/resend"),
        ("DELETE", f"/invitations/{ids[2]}"),
    ):
        body = {"role": "rep"} if method == "PATCH" else None
        answer = await client.request(method, f"{V1}{path}", json=body)
        assert answer.status_code == 404, path
        assert "their" not in answer.text
    still = await keyed(acme, browser)
    assert len((await still.get(f"{V1}/keys")).json()["items"]) == 2
    assert (await still.get(f"{V1}/people")).json()["items"][0]["role"] == "admin"


async def test_a_provider_signs_a_browser_in(hub: Hub, browser: Open):
    await add(hub, "ada")
    async with open_provider() as provider:
        more = {
            "oidc_issuer": provider.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": SecretStr(CLIENT_SECRET),
            "public_url": "http://hub.example.com",
        }
        client = browser(replace(hub, settings=hub.settings.model_copy(update=more)))
        away = await client.get("/oidc/sign-in?next=/deals")
        query = provider.agree(away.headers["location"])
        back = await client.get("/oidc/callback", params=query)
        assert (back.status_code, back.headers["location"]) == (303, "/deals")
        assert (await client.get(f"{V1}/me")).json()["name"] == "ada@example.com"
        # The cookie that led here is gone, and so is the code.
        assert (await client.get("/oidc/callback", params=query)).status_code == 403
        assert (await client.get("/oidc/callback", params={"error": "access_denied"})).status_code == 403
    assert (await browser().get("/oidc/sign-in")).status_code == 404
    assert (await browser().get("/oidc/callback")).status_code == 404


#: What one may call before anybody knows who one is, or to find out.
_OF_EVERYBODY = {
    "/api/v1/session",
    "/api/v1/session/tenant",
    "/api/v1/me",
    "/api/v1/me/profile",
    "/api/v1/me/password",
    "/api/v1/password-resets",
    "/api/v1/password-resets/use",
    "/api/v1/invitations/accept",
    "/oidc/sign-in",
    "/oidc/callback",
}


def asks_for(route: Any) -> set[str]:
    """The permissions that a route's dependencies ask for."""
    found = {getattr(each.call, "permission", None) for each in route.dependant.dependencies}
    return {each for each in found if each is not None}


async def test_every_route_about_people_says_what_it_asks_for(hub: Hub):
    from syncline.api import audit, invitations, keys, people, session, single_sign_on, tenants

    modules = (audit, invitations, keys, people, session, single_sign_on, tenants)
    routes: list[Any] = [route for module in modules for route in module.router.routes]
    assert {route.path for route in routes if not asks_for(route)} == _OF_EVERYBODY
    del hub
