"""Rate limits and their headers."""

import pytest
from hub import Hub

pytestmark = pytest.mark.anyio

CONTACTS = "/crm/v3/objects/contacts"
SEARCH = "/crm/v3/objects/contacts/search"
ASSOCIATIONS = "/crm/v4/associations/contacts/companies/batch/read"


async def statuses(hub: Hub, count: int, path: str = CONTACTS, token: str | None = None) -> list[int]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    body = {"inputs": []} if path != CONTACTS else None
    method = "GET" if path == CONTACTS else "POST"
    return [
        (await hub.http.request(method, path, json=body, headers=headers)).status_code for _ in range(count)
    ]


async def test_without_a_limit_the_headers_name_a_very_large_one(hub: Hub):
    headers = (await hub.http.get(CONTACTS)).headers
    assert int(headers["x-hubspot-ratelimit-max"]) > 1_000_000
    assert headers["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert headers["x-hubspot-correlation-id"]


async def test_a_burst_is_limited_in_any_ten_seconds(hub: Hub):
    hub.world.settings.rate = 5
    answer = await hub.http.get(CONTACTS)
    assert answer.headers["x-hubspot-ratelimit-max"] == "5"
    assert answer.headers["x-hubspot-ratelimit-remaining"] == "4"
    hub.clock.advance(6)
    assert await statuses(hub, 5) == [200, 200, 200, 200, 429]
    _, error = await hub.refused("GET", CONTACTS)
    assert (error["errorType"], error["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert error["message"] == "You have reached your ten_secondly_rolling limit."
    hub.clock.advance(4)
    assert await statuses(hub, 2) == [200, 429]
    hub.clock.advance(6)
    assert await statuses(hub, 5) == [200, 200, 200, 200, 429]


async def test_each_token_has_a_burst_of_its_own(hub: Hub):
    hub.world.settings.rate = 2
    hub.world.auth.add_token("other")
    assert await statuses(hub, 3) == [200, 200, 429]
    assert await statuses(hub, 2, token="other") == [200, 200]


async def test_searches_are_limited_by_the_second_for_the_whole_account(hub: Hub):
    hub.world.settings.rate = 190
    hub.world.auth.add_token("other")
    assert await statuses(hub, 3, SEARCH) == [200] * 3
    assert await statuses(hub, 3, SEARCH, token="other") == [200, 200, 429]
    status, error = await hub.refused("POST", SEARCH, json={})
    assert (status, error["category"], error["message"]) == (
        429, "RATE_LIMITS", "You have reached your secondly limit.",
    )  # fmt: skip
    hub.clock.advance(1)
    answer = await hub.http.post(SEARCH, json={})
    assert answer.status_code == 200
    assert "x-hubspot-ratelimit-max" not in answer.headers
    assert "x-hubspot-ratelimit-daily" in answer.headers


async def test_searches_take_nothing_from_the_burst_and_have_a_switch_of_their_own(hub: Hub):
    hub.world.settings.rate = 2
    hub.world.settings.search_rate = 0
    assert await statuses(hub, 8, SEARCH) == [200] * 8
    assert await statuses(hub, 3) == [200, 200, 429]
    hub.world.settings.search_rate = 1
    assert await statuses(hub, 2, SEARCH) == [200, 429]


async def test_associations_have_a_burst_of_their_own(hub: Hub):
    hub.world.settings.rate = 2
    hub.world.settings.association_rate = 3
    assert await statuses(hub, 4, ASSOCIATIONS) == [200, 200, 200, 429]
    assert await statuses(hub, 3) == [200, 200, 429]
    answer = await hub.http.post(ASSOCIATIONS, json={"inputs": []})
    assert answer.status_code == 429


async def test_the_day_is_limited_for_the_account_and_begins_anew(hub: Hub):
    hub.world.settings.daily_limit = 3
    answer = await hub.http.get(CONTACTS)
    assert answer.headers["x-hubspot-ratelimit-daily"] == "3"
    assert answer.headers["x-hubspot-ratelimit-daily-remaining"] == "2"
    assert await statuses(hub, 3) == [200, 200, 429]
    _, error = await hub.refused("GET", CONTACTS)
    assert (error["policyName"], error["message"]) == ("DAILY", "You have reached your daily limit.")
    hub.clock.advance(86_400)
    assert await statuses(hub, 1) == [200]


async def test_an_oauth_token_is_told_nothing_of_the_day(hub: Hub):
    hub.world.auth.add_token("oauth", expires_in_seconds=60)
    answer = await hub.http.get(CONTACTS, headers={"authorization": "Bearer oauth"})
    assert "x-hubspot-ratelimit-daily" not in answer.headers
