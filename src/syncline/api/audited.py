"""Writing down who did what through the API, where the action itself does not."""

from __future__ import annotations

from typing import Any

import structlog

from syncline.actions.audit import note
from syncline.api.calls import Call
from syncline.errors import RetryLater

_log = structlog.get_logger(__name__)


async def audit(call: Call, action: str, subject: str | None = None, **details: Any) -> None:
    """Write down what was just done. What cannot be written is told by the log: it is done all the same."""
    try:
        async with call.hub.db.transaction(tenant_id=call.hub.tenant_id) as conn:
            await note(conn, call.caller, action, subject, details)
    except RetryLater:
        _log.error("audit_not_written", action=action, subject=subject, actor=call.caller.name)
