"""What can go wrong between a client and Pipedrive, and how it looks. Knows nothing of when."""

from __future__ import annotations

from syncline.simulators.answers import Answer, encode
from syncline.simulators.faults import gateway_page
from syncline.simulators.pipedrive.answers import ApiError

KINDS = (
    "429", "500", "501", "502", "503", "504", "html-200", "html-403", "html-502", "empty-200",
    "reset", "reset-after-commit", "truncated", "slow",
)  # fmt: skip
_HOST = "api.pipedrive.com"
_TITLES = {"html-200": "Just a moment...", "html-403": "Access denied", "html-502": "502: Bad gateway"}
_ERRORS = {
    "500": ApiError(500, "Internal server error"),
    "501": ApiError(501, "Not implemented"),
    "502": ApiError(502, "Bad gateway"),
    "503": ApiError(503, "Service temporarily unavailable", "Scheduled maintenance"),
    "504": ApiError(504, "Gateway timeout"),
}


def answer_of(kind: str) -> Answer:
    """Return the answer of a fault that is an answer in place of the real one."""
    if kind in _TITLES:
        return gateway_page(int(kind[-3:]), _TITLES[kind], _HOST)
    if kind == "empty-200":
        return Answer(200, encode({"success": True, "data": None}))
    if kind == "429":
        body = {"success": False, "error": "Rate limit exceeded", "errorCode": 429}
        # With requests left it would mean that the day's tokens are gone.
        headers = [
            (b"x-ratelimit-limit", b"100"),
            (b"x-ratelimit-remaining", b"0"),
            (b"x-ratelimit-reset", b"1"),
        ]
        return Answer(429, encode(body), headers=headers)
    error = _ERRORS[kind]
    return Answer(error.status, encode(error.envelope()))
