"""The pages as plain HTTP has them: forms that work without scripts, headers, and what is turned away."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncGenerator

import httpx2
import pytest
from site_process import ADMIN, MANAGER, PASSWORD, REP
from visiting import Site, enter

from syncline.web.app import ROUTERS
from syncline.web.guard import CONTENT_SECURITY_POLICY

pytestmark = pytest.mark.anyio

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
#: Pages that need no signing in.
_OPEN = (
    "/sign-in",
    "/forgot-password",
    "/help",
    "/password/{token}",
    "/invitation/{token}",
    "/help/{name:path}",
)


@pytest.fixture
async def client(site: Site) -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        yield client


async def test_a_form_works_without_scripts(client: httpx2.AsyncClient, site: Site):
    token = await enter(client, MANAGER)
    answer = await client.post(
        "/syncs/start", data={"csrf_token": token, "connection": "acme", "object": "tasks"}
    )
    assert answer.status_code == 303
    page = await client.get(answer.headers["location"])
    assert "A sync of tasks is asked for" in page.text
    assert "A sync of tasks is asked for" not in (await client.get("/syncs")).text
    asked = site.execute(
        "select count(*) from sync.runs where object = 'tasks' and requested_by = %(by)s", by=MANAGER
    )
    assert asked == [(1,)]


async def test_a_form_without_its_token_changes_nothing(client: httpx2.AsyncClient, site: Site):
    await enter(client)
    before = site.execute("select count(*) from sync.runs")
    for token in ("", "wrong", "AAAA"):
        answer = await client.post("/syncs/start", data={"csrf_token": token, "object": "calls"})
        assert answer.status_code == 403
        assert "no longer valid" in answer.text
    assert site.execute(
        "select count(*) from sync.runs where requested_by = %(by)s and object = 'calls'", by=ADMIN
    ) == [(0,)]
    assert before[0][0] > 0


async def test_a_token_looks_different_on_every_page(client: httpx2.AsyncClient):
    first = await enter(client)
    second = _TOKEN.search((await client.get("/account")).text)
    assert second is not None
    assert second[1] != first


async def test_a_form_sent_by_another_site_is_turned_away(client: httpx2.AsyncClient):
    token = await enter(client)
    for headers in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}):
        answer = await client.post("/sign-out", data={"csrf_token": token}, headers=headers)
        assert answer.status_code == 403
    assert (await client.get("/account")).status_code == 200


@pytest.mark.parametrize(
    "wanted", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example"]
)
async def test_signing_in_leads_to_no_other_site(client: httpx2.AsyncClient, wanted: str):
    answer = await client.post("/sign-in", data={"email": REP, "password": PASSWORD, "next": wanted})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/welcome"


async def test_every_page_but_a_few_sends_strangers_to_sign_in(client: httpx2.AsyncClient):
    paths = {each.path for router in ROUTERS for each in router.routes}  # type: ignore[attr-defined]
    assert len(paths) > 60
    for path in sorted(paths - set(_OPEN)):
        concrete = re.sub(r"\{[^}]+\}", "00000000-0000-7000-8000-000000000001", path)
        answer = await client.get(concrete)
        assert answer.status_code in {303, 401, 405}, f"{path} answered {answer.status_code}"
        if answer.status_code == 303:
            assert answer.headers["location"].startswith("/sign-in"), path


async def test_a_part_that_a_stranger_asks_for_sends_the_page_to_sign_in(client: httpx2.AsyncClient):
    answer = await client.get("/parts/syncs", headers={"hx-request": "true"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"].startswith("/sign-in")


async def test_every_answer_says_what_a_browser_may_do_with_it(client: httpx2.AsyncClient):
    await enter(client)
    for path in ("/", "/sign-in", "/nowhere", "/healthz", "/api/v1/openapi.json"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"


async def test_a_page_is_packed_and_kept_by_nobody_and_a_bundled_file_for_good(client: httpx2.AsyncClient):
    await enter(client)
    page = await client.get("/", headers={"accept-encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert page.headers["cache-control"] == "no-store"
    style = re.search(r'href="(/static/app-[^"]+\.css)"', page.text)
    assert style is not None
    file = await client.get(style[1], headers={"accept-encoding": "gzip"})
    assert file.headers["content-encoding"] == "gzip"
    assert "immutable" in file.headers["cache-control"]
    plain = await client.get(style[1], headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == file.content
    assert len(gzip.compress(plain.content)) < 120_000


@pytest.mark.parametrize("name", ["../page.py", "manifest.json", "..%2fpage.py", "nothing.css"])
async def test_no_other_file_is_served(client: httpx2.AsyncClient, name: str):
    assert (await client.get(f"/static/{name}")).status_code == 404


async def test_help_shows_no_file_but_the_documentation(client: httpx2.AsyncClient):
    for name in ("../README", "..%2fREADME", "%2fetc%2fpasswd", "decisions/../../README", "nothing"):
        assert (await client.get(f"/help/{name}")).status_code == 404, name


async def test_wrong_input_is_told_beside_its_field(client: httpx2.AsyncClient):
    token = await enter(client)
    answer = await client.post(
        "/settings",
        data={
            "csrf_token": token,
            "label": "Default",
            "time_zone": "UTC",
            "currency": "money",
            "region": "US",
        },
    )
    assert answer.status_code == 422
    assert "three letters" in answer.text
    assert 'value="money"' in answer.text


async def test_an_error_of_the_api_stays_what_it_was(client: httpx2.AsyncClient):
    answer = await client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_stream_ends_with_the_session_that_opened_it_or_is_refused(client: httpx2.AsyncClient):
    assert (await client.get("/live?topics=run")).status_code == 303
    await enter(client)
    async with client.stream("GET", "/live?topics=run,nonsense") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        async for line in answer.aiter_lines():
            assert line == ": here"
            break
