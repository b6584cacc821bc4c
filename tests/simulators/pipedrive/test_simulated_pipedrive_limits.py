"""Quotas: bursts of two seconds, searches, tokens of the day, and the wall for those who go on."""

import pytest
from pipe import V1, V2, Pipe

pytestmark = pytest.mark.anyio

PERSONS, SEARCH = f"{V2}/persons?limit=1", f"{V2}/persons/search?term=xx"


async def statuses(pipe: Pipe, count: int, path: str = PERSONS, **headers: str) -> list[int]:
    return [(await pipe.http.get(path, headers=headers)).status_code for _ in range(count)]


async def test_a_burst_is_limited_in_any_two_seconds(pipe: Pipe):
    pipe.world.settings.rate = 3
    headers = (await pipe.http.get(PERSONS)).headers
    assert [headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["3", "2", "2"]
    pipe.clock.advance(1.5)
    assert await statuses(pipe, 3) == [200, 200, 429]
    refused = await pipe.http.get(PERSONS)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json() == {"success": False, "error": "Rate limit exceeded", "errorCode": 429}
    pipe.clock.advance(0.6)
    assert await statuses(pipe, 2) == [200, 429]


async def test_each_token_has_a_burst_of_its_own_and_oauth_a_larger_one(pipe: Pipe):
    pipe.world.settings.rate = 1
    pipe.world.auth.add_token("other")
    pipe.world.auth.add_token("app", ["contacts:read"])
    assert await statuses(pipe, 2) == [200, 429]
    assert await statuses(pipe, 2, **{"x-api-token": "other"}) == [200, 429]
    bearer = {"x-api-token": "", "authorization": "Bearer app"}
    assert await statuses(pipe, 5, **bearer) == [200] * 4 + [429]


async def test_searches_have_a_burst_of_their_own(pipe: Pipe):
    pipe.world.settings.rate = 100
    assert await statuses(pipe, 11, SEARCH) == [200] * 10 + [429]
    assert await statuses(pipe, 1) == [200]
    pipe.clock.advance(2)
    pipe.world.settings.search_rate = 1
    assert await statuses(pipe, 2, SEARCH) == [200, 429]


@pytest.mark.parametrize(
    ("method", "path", "cost"),
    [
        ("GET", f"{V2}/persons", 10), ("GET", f"{V2}/persons/1", 1), ("PATCH", f"{V2}/persons/1", 5),
        ("DELETE", f"{V2}/persons/1", 3), ("GET", SEARCH, 20), ("GET", f"{V2}/deals/archived", 20),
        ("GET", f"{V2}/pipelines", 5), ("GET", f"{V2}/stages", 5), ("GET", f"{V2}/dealFields", 10),
        ("GET", f"{V1}/users/me", 2), ("GET", f"{V1}/leads", 20), ("GET", f"{V1}/leads/archived", 40),
        ("POST", f"{V1}/notes", 10), ("GET", f"{V1}/webhooks", 10), ("PUT", f"{V1}/persons/1/merge", 40),
        ("GET", f"{V1}/recents", 20), ("POST", f"{V2}/leads/x/convert/deal", 40),
    ],
)  # fmt: skip
async def test_every_call_has_its_price_whatever_comes_of_it(pipe: Pipe, method: str, path: str, cost: int):
    pipe.world.settings.daily_limit = 1000
    headers = (await pipe.http.request(method, path, json={})).headers
    assert headers["x-daily-ratelimit-token-limit"] == "1000"
    assert headers["x-daily-ratelimit-token-remaining"] == str(1000 - cost)
    assert pipe.world.calls[-1].cost == cost


async def test_the_day_s_tokens_are_the_company_s_and_come_again_at_midnight(pipe: Pipe):
    pipe.world.settings.daily_limit = 25
    pipe.world.auth.add_token("other")
    assert await statuses(pipe, 1) + await statuses(pipe, 1, **{"x-api-token": "other"}) == [200, 200]
    refused = await pipe.http.get(PERSONS)
    assert (refused.status_code, refused.json()["errorCode"]) == (429, 429)
    # Requests are left, tokens are not: that is how the one is told from the other.
    assert int(refused.headers["x-ratelimit-remaining"]) > 0
    assert await statuses(pipe, 2, f"{V2}/persons/{pipe.living('persons')[0]}") == [200, 200]
    pipe.clock.advance(86_400 - pipe.clock.ms // 1000 % 86_400 - 1)
    assert await statuses(pipe, 1) == [429]
    pipe.clock.advance(1)
    assert await statuses(pipe, 1) == [200]


async def test_headers_of_the_day_may_be_missing(pipe: Pipe):
    pipe.world.settings.daily_headers = False
    assert "x-daily-ratelimit-token-limit" not in (await pipe.http.get(PERSONS)).headers


async def test_who_ignores_refusals_meets_a_wall(pipe: Pipe):
    pipe.world.settings.rate, pipe.world.settings.wall_after = 1, 5
    pipe.world.auth.add_token("other")
    assert await statuses(pipe, 6) == [200] + [429] * 5
    walled = await pipe.http.get(PERSONS, headers={"x-api-token": "other"})
    assert (walled.status_code, walled.headers["content-type"][:9]) == (403, "text/html")
    assert walled.text.startswith("<!DOCTYPE html>")
    # Apps have a door of their own.
    pipe.world.auth.add_token("app", ["contacts:read"])
    assert await statuses(pipe, 1, **{"x-api-token": "", "authorization": "Bearer app"}) == [200]
    pipe.clock.advance(59)
    assert await statuses(pipe, 1) == [403]
    pipe.clock.advance(2)
    assert await statuses(pipe, 1) == [200]


async def test_refusals_that_are_heeded_raise_no_wall(pipe: Pipe):
    pipe.world.settings.rate, pipe.world.settings.wall_after = 1, 5
    for _ in range(12):
        assert await statuses(pipe, 2) == [200, 429]
        pipe.clock.advance(3)


async def test_a_simulated_day_passes_at_once_through_the_control(pipe: Pipe):
    pipe.world.settings.daily_limit = 10
    assert await statuses(pipe, 2) == [200, 429]
    await pipe.send("POST", "/_simulator/clock", {"advance_seconds": 86_400})
    assert await statuses(pipe, 1) == [200]
    assert (await pipe.get("/_simulator/stats"))["spent_today"] == 10
