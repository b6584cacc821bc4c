"""Errors within a stream that has begun: the same words as everywhere, in an event."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from syncline.api.problems import explain
from syncline.errors import SynclineError

_log = structlog.get_logger(__name__)


def tell_error(error: Exception) -> dict[str, Any]:
    """Return an error as problem+json has it; of what was not expected only that it happened."""
    if isinstance(error, SynclineError):
        return msgspec.json.decode(explain(error).body)
    _log.error("stream_failed", exc_info=error)
    return {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong inside Syncline; its log says what.",
    }
