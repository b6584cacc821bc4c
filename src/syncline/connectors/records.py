"""A record as one CRM has it: what reading and writing have in common."""

from __future__ import annotations

from typing import Any

import msgspec


class RemoteRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as one CRM has it."""

    remote_id: str
    #: The payload to keep, as JSON text the database can store (no NUL, no lone surrogate), keys sorted,
    #: so that equal content gives equal bytes whichever endpoint it came from.
    payload: bytes
    #: Property name to value as read. A property that was asked for and is empty is None;
    #: one that was not read is absent.
    properties: dict[str, Any]
    #: Modified time at the CRM, milliseconds since 1970 UTC; None when the CRM gives none.
    updated_ms: int | None = None
    #: When it was archived there, milliseconds since 1970 UTC; None while it lives.
    archived_ms: int | None = None
    #: Ids that were merged into this record and now mean it.
    merged_ids: tuple[str, ...] = ()
    #: Our own id of it, where it was made by us and the CRM keeps that in a unique property.
    external_id: str | None = None
    #: Why `payload` differs from what was received, with the original text: (reason, original JSON).
    defect: tuple[str, str] | None = None
