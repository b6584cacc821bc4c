"""Every way HubSpot says no, as the error that tells the engine what to do."""

import json
from datetime import timedelta
from typing import Any

import pytest

from syncline.connectors.hubspot.failures import RouteUnknown, explain_failure, read_quota
from syncline.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    RateLimited,
    ScopeMissing,
    SynclineError,
    TokenRejected,
    Unavailable,
)

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>"


def explain(status: int, body: Any = b"", **headers: str) -> SynclineError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return explain_failure(status, {key.replace("_", "-"): value for key, value in headers.items()}, raw)


def test_an_expired_token_can_be_told_from_a_wrong_one():
    expired = {
        "status": "error",
        "message": "The OAuth token used to make this call expired 75 second(s) ago.",
        "correlationId": "5ac58454-0000",
        "category": "EXPIRED_AUTHENTICATION",
        "context": {"expire time": ["2022-06-21T10:37:52.040Z"]},
    }
    unknown = {
        "status": "error",
        "message": "Authentication credentials not found. This API supports OAuth 2.0 authentication …",
        "correlationId": "x",
        "category": "INVALID_AUTHENTICATION",
    }
    first, second, third = explain(401, expired), explain(401, unknown), explain(401)
    assert isinstance(first, TokenRejected)
    assert first.expired
    assert isinstance(second, TokenRejected)
    assert not second.expired
    assert isinstance(third, TokenRejected)


def test_a_token_stopped_at_the_edge_is_rejected_not_unavailable():
    assert isinstance(explain(530, HTML), TokenRejected)


@pytest.mark.parametrize(
    "where",
    [
        {
            "errors": [
                {
                    "message": "One or more …",
                    "context": {"requiredGranularScopes": ["crm.objects.owners.read"]},
                }
            ]
        },
        {"context": {"requiredGranularScopes": ["crm.objects.owners.read"]}},
        {
            "context": {"requiredGranularScopes": ["crm.objects.owners.read"]},
            "errors": [{"context": {"requiredGranularScopes": ["crm.objects.owners.read"]}}],
        },
    ],
)
def test_missing_scopes_are_named(where: dict[str, Any]):
    body = {
        "status": "error",
        "message": "This app hasn't been granted …",
        "category": "MISSING_SCOPES",
    } | where
    error = explain(403, body)
    assert isinstance(error, ScopeMissing)
    assert error.scopes == ("crm.objects.owners.read",)
    assert "crm.objects.owners.read" in str(error)


def test_a_403_without_words_is_still_a_missing_scope():
    for body in (HTML, b"", {"category": "MISSING_SCOPES"}, {"context": ["odd"]}, {"errors": "odd"}):
        error = explain(403, body)
        assert isinstance(error, ScopeMissing)
        assert error.scopes == ()


@pytest.mark.parametrize(
    ("body", "daily", "seconds"),
    [
        (
            {
                "status": "error",
                "message": "You have reached your ten_secondly_rolling limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "TEN_SECONDLY_ROLLING",
                "groupName": "publicapi:private_app-api-calls-ten-secondly:1",
            },
            False,
            10.0,
        ),
        (
            {
                "message": "You have reached your daily limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "DAILY",
            },
            True,
            None,
        ),
        (
            {
                "status": "error",
                "message": "You have reached your secondly limit.",
                "category": "RATE_LIMITS",
            },
            False,
            1.0,
        ),
        (b"", False, 1.0),
        (HTML, False, 1.0),
    ],
)
def test_rate_limits_tell_the_burst_from_the_day(body: Any, daily: bool, seconds: float | None):
    error = explain(429, body)
    assert isinstance(error, RateLimited)
    assert (error.daily, error.after_seconds) == (daily, seconds)


def test_retry_after_wins_where_it_is_given():
    error = explain(429, {"policyName": "SECONDLY"}, retry_after="7")
    assert isinstance(error, RateLimited)
    assert error.after_seconds == 7
    migrating = explain(477, b"", retry_after="3600")
    assert isinstance(migrating, Unavailable)
    assert migrating.after_seconds == 3600
    endless = explain(503, HTML, retry_after="99999999")
    assert isinstance(endless, Unavailable)
    assert endless.after_seconds == 86_400
    for odd in ("soon", "-1", "nan", ""):
        error = explain(503, HTML, retry_after=odd)
        assert isinstance(error, Unavailable)
        assert error.after_seconds is None


@pytest.mark.parametrize("status", [423, 477, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526])
@pytest.mark.parametrize("body", [b"", HTML, b'{"status":"error","message":"internal error"}', b"\xff\x00"])
def test_trouble_on_their_side_is_waited_out(status: int, body: bytes):
    error = explain(status, body)
    assert isinstance(error, Unavailable)
    assert str(status) in str(error)
    if status == 423:
        assert error.after_seconds is not None
        assert error.after_seconds >= 2


def test_a_path_nobody_knows_is_told_from_a_record_nobody_has():
    for body in (HTML, b"", {"status": "error", "message": "resource not found", "correlationId": "x"}):
        assert isinstance(explain(404, body), RouteUnknown)
    error = explain(
        404,
        {
            "status": "error",
            "message": "Object not found.  objectId are usually numeric.",
            "context": {"id": ["abc"]},
            "category": "OBJECT_NOT_FOUND",
        },
    )
    assert isinstance(error, NotFound)
    assert not isinstance(error, RouteUnknown)


def test_an_unknown_object_is_not_found_though_hubspot_says_400():
    body = {
        "status": "error",
        "message": "Unable to infer object type from: butterflies",
        "correlationId": "x",
    }
    assert isinstance(explain(400, body), NotFound)


def test_a_refused_call_keeps_hubspots_words_without_values():
    body = {
        "status": "error",
        "message": 'Property values were not valid: [{"isValid":false,'
        '"message":"Email address jo@x is invalid","error":"INVALID_EMAIL","name":"email"}] '
        "for +1 415 555 0100 and jo@example.com",
        "category": "VALIDATION_ERROR",
    }
    error = explain(400, body)
    assert isinstance(error, Invalid)
    assert "Property values were not valid" in str(error)
    for value in ("jo@", "415", "INVALID_EMAIL"):
        assert value not in str(error)
    assert len(str(explain(400, {"message": "word " * 500}))) < 300


def test_a_conflict_is_something_that_exists():
    body = {"status": "error", "message": "Contact already exists. Existing ID: 6001", "category": "CONFLICT"}
    assert isinstance(explain(409, body), AlreadyExists)


@pytest.mark.parametrize("status", [400, 409, 413, 414, 415, 418, 499])
@pytest.mark.parametrize("body", [b"", HTML, b"[]", b'{"errors":[1]}', b"null"])
def test_any_other_refusal_is_the_callers_mistake(status: int, body: bytes):
    assert isinstance(explain(status, body), Invalid | AlreadyExists)


def test_a_revoked_grant_pauses_the_connection():
    body = {
        "error": "invalid_grant",
        "error_description": "refresh token is invalid, expired or revoked",
        "status": "BAD_REFRESH_TOKEN",
        "message": "missing or invalid refresh token",
    }
    error = explain(400, body)
    assert isinstance(error, TokenRejected)
    assert "grant was revoked" in str(error)
    assert not error.expired


def test_quota_headers_are_read_and_their_absence_too():
    facts = read_quota(
        {
            "x-hubspot-ratelimit-daily": "250000",
            "x-hubspot-ratelimit-daily-remaining": "249999",
            "x-hubspot-ratelimit-interval-milliseconds": "10000",
            "x-hubspot-ratelimit-max": "190",
            "x-hubspot-ratelimit-remaining": "189",
        }
    )
    assert (facts.limit, facts.window, facts.remaining) == (190, timedelta(seconds=10), 189)
    assert (facts.daily_limit, facts.daily_remaining) == (250_000, 249_999)
    empty = read_quota({"x-hubspot-ratelimit-max": "many"})
    assert (empty.limit, empty.window, empty.daily_limit) == (None, None, None)
