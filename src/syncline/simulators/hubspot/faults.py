"""What can go wrong between a client and HubSpot, and how it looks. Knows nothing of when."""

from __future__ import annotations

from syncline.simulators.answers import Answer, encode
from syncline.simulators.faults import gateway_page
from syncline.simulators.hubspot.answers import ApiError
from syncline.simulators.hubspot.limits import burst_reached

KINDS = (
    "429", "423", "477", "500", "502", "503", "504", "524", "html-200", "html-502",
    "reset", "reset-after-commit", "truncated", "slow",
)  # fmt: skip
_HOST = "api.hubapi.com"


def answer_of(kind: str, correlation_id: str) -> Answer:
    """Return the answer of a fault that is an answer in place of the real one."""
    if kind == "html-200":
        return gateway_page(200, "Just a moment...", _HOST)
    if kind in {"html-502", "524"}:
        title = "524: A timeout occurred" if kind == "524" else "502: Bad gateway"
        return gateway_page(int(kind[-3:]), title, _HOST)
    error = _ERRORS[kind]
    answer = Answer(error.status, encode(error.envelope(correlation_id)))
    if kind == "477":
        answer.headers.append((b"retry-after", b"1"))
    return answer


_ERRORS = {
    "429": burst_reached(),
    "423": ApiError(423, "The resource is locked while another change is being made.", "LOCKED"),
    "477": ApiError(477, "Migration in progress", "MIGRATION_IN_PROGRESS"),
    "500": ApiError(500, "internal error"),
    "502": ApiError(502, "Bad gateway"),
    "503": ApiError(503, "Service temporarily unavailable"),
    "504": ApiError(504, "The request took too long and was stopped"),
}
