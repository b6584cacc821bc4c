"""What Pipedrive's statuses, headers and settings mean."""

from typing import Any

import msgspec
import pytest
from tiny_pipedrive import Tiny, ok

from syncline.connectors.pipedrive.failures import CallRefused, Forbidden, explain_failure, read_quota
from syncline.connectors.pipedrive.platform import PIPEDRIVE, authorize
from syncline.connectors.transport import Request, Response, Token
from syncline.errors import (
    Invalid,
    NotFound,
    PauseConnection,
    RateLimited,
    ScopeMissing,
    SettingInvalid,
    SynclineError,
    TokenRejected,
    Unavailable,
)

pytestmark = pytest.mark.anyio


def explain(status: int, body: Any = None, **headers: str) -> SynclineError:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body or {"success": False})
    return explain_failure(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, encoded
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, CallRefused), (401, TokenRejected), (402, PauseConnection), (403, Forbidden), (404, NotFound),
        (405, Invalid), (410, NotFound), (415, Invalid), (422, CallRefused), (423, Unavailable),
        (500, Unavailable), (501, Invalid), (503, Unavailable), (504, Unavailable),
    ],
)  # fmt: skip
def test_each_status_says_what_to_do(status: int, kind: type[SynclineError]):
    assert isinstance(explain(status), kind)


def test_a_page_instead_of_an_answer_means_that_we_are_shut_out():
    error = explain(403, b"<!DOCTYPE html><html>Attention Required! | Cloudflare</html>")
    assert isinstance(error, RateLimited)
    assert not error.daily
    assert (error.after_seconds or 0) >= 600


def test_a_missing_scope_is_told_from_a_record_that_may_not_be_touched():
    scope = explain(403, {"success": False, "error": "Scope and URL mismatch"})
    assert isinstance(scope, Forbidden)
    assert scope.of_token
    record = explain(403, {"success": False, "error": "You do not have permission"})
    assert isinstance(record, ScopeMissing)
    assert isinstance(record, Forbidden)
    assert not record.of_token


@pytest.mark.parametrize(
    ("headers", "daily"),
    [
        ({}, False),
        ({"x_ratelimit_remaining": "0"}, False),
        ({"x_ratelimit_remaining": "12"}, True),
        ({"x_ratelimit_remaining": "12", "x_daily_ratelimit_token_remaining": "500"}, False),
        ({"x_ratelimit_remaining": "0", "x_daily_ratelimit_token_remaining": "0"}, True),
    ],
)
def test_a_used_up_day_is_told_from_a_used_up_burst(headers: dict[str, str], daily: bool):
    error = explain(429, **headers)
    assert isinstance(error, RateLimited)
    assert error.daily is daily


def test_the_wait_is_as_told_or_else_the_window():
    assert getattr(explain(429, retry_after="7"), "after_seconds", None) == 7
    assert getattr(explain(429, x_ratelimit_reset="1"), "after_seconds", None) == 1
    assert getattr(explain(429, x_ratelimit_reset="1795000000"), "after_seconds", None) == 2
    assert getattr(explain(503, retry_after="30"), "after_seconds", None) == 30


def test_messages_quote_no_values():
    error = explain(400, {"success": False, "error": "'jane' <jane@example.com> +372 5551 2345 is taken"})
    assert not {"jane", "5551"} & set(str(error).replace("@", " ").split())
    assert "is taken" in str(error)


def test_headers_tell_burst_and_day():
    facts = read_quota(
        {
            "x-ratelimit-limit": "40",
            "x-ratelimit-remaining": "39",
            "x-daily-ratelimit-token-limit": "60000",
            "x-daily-ratelimit-token-remaining": "59990",
        }
    )
    assert (facts.limit, facts.remaining, facts.daily_limit, facts.daily_remaining) == (40, 39, 60000, 59990)
    assert facts.window is not None
    assert facts.window.total_seconds() == 2
    assert read_quota({}).limit is None


@pytest.mark.parametrize(
    ("settings", "calls", "tokens"),
    [
        ({}, 20, 30_000),
        ({"plan": "growth", "seats": "3"}, 40, 180_000),
        ({"plan": "Ultimate", "seats": "10"}, 120, 2_100_000),
    ],
)
def test_plan_and_seats_decide_the_quota(settings: dict[str, str], calls: int, tokens: int):
    assert PIPEDRIVE.quotas is not None
    burst, search = PIPEDRIVE.quotas(settings)
    assert (burst.limit, burst.daily_limit) == (calls, tokens)
    assert (search.limit, search.daily_limit) == (10, None)
    PIPEDRIVE.make(Tiny({}).send, settings)


@pytest.mark.parametrize("settings", [{"plan": "gold"}, {"seats": "0"}, {"seats": "many"}])
def test_a_plan_that_cannot_be_is_refused(settings: dict[str, str]):
    with pytest.raises(SettingInvalid):
        PIPEDRIVE.make(Tiny({}).send, settings)


def test_personal_tokens_have_a_header_of_their_own():
    assert authorize(Token("0f" * 20)) == ("x-api-token", "0f" * 20)
    assert authorize(Token("v1u:app")) == ("authorization", "Bearer v1u:app")


async def test_an_answer_without_data_is_asked_for_again():
    tiny = Tiny({("GET", "/v1/users/me"): [ok(None), b"", ok({"company_id": 7, "company_domain": "acme"})]})
    account = await tiny.connector.check()
    assert (account.account_id, account.url) == ("7", "https://acme.pipedrive.com")
    assert len(tiny.requests) == 3
    with pytest.raises(Unavailable):
        await Tiny({("GET", "/v1/users/me"): ok(None)}).connector.check()


async def test_a_code_becomes_tokens_and_a_refresh_keeps_the_token_it_is_made_by():
    asked: list[Request] = []

    async def send(request: Request) -> Response:
        asked.append(request)
        body = {"access_token": "a", "expires_in": 3599, "scope": "base,deals:full"}
        if (request.form or {}).get("grant_type") == "authorization_code":
            body["refresh_token"] = "r"
        return Response(200, {}, msgspec.json.encode(body))

    oauth = PIPEDRIVE.oauth
    assert oauth is not None
    grant = await oauth.exchange_code(send, "id", "secret", "https://hub.example.com/back", "code")
    assert grant.token.refresh_token == "r"
    assert grant.scopes == {"base", "deals:full"}
    again = await oauth.refresh(send, "id", "secret", grant.token)
    assert again.token.refresh_token == "r"
    assert {each.origin for each in asked} == {"https://oauth.pipedrive.com"}
    assert {each.basic for each in asked} == {("id", "secret")}
    assert not any(each.authorized for each in asked)
    with pytest.raises(TokenRejected):
        await oauth.refresh(send, "id", "secret", Token("a"))
    assert isinstance(explain(400, {"error": "invalid_grant"}), TokenRejected)
