"""Two records made one, for good. v1 only: v2 has no such call (2026-08)."""

from __future__ import annotations

from typing import Any, cast

from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.failures import CallRefused, Forbidden, describe
from syncline.connectors.pipedrive.objects import CAPABILITIES
from syncline.errors import Invalid, RecordRejected

_COST = 40


async def merge_records(api: Api, object_name: str, survivor_id: str, merged_id: str) -> str:
    """Merge `merged_id` into `survivor_id`, whose values win. See `base.Connector.merge_records`."""
    if object_name not in CAPABILITIES.mergeable:
        raise Invalid(f"Pipedrive cannot merge {object_name}.")
    if not (survivor_id.isdigit() and merged_id.isdigit()) or survivor_id == merged_id:
        raise Invalid("Two different records are needed to merge one into the other.")
    try:
        answer = await api.call(
            "PUT",
            f"/v1/{object_name}/{merged_id}/merge",
            cost=_COST,
            json={"merge_with_id": int(survivor_id)},
            idempotent=False,
            may_be_empty=True,
        )
    except CallRefused as error:
        raise RecordRejected(f"Pipedrive refused to merge them: {describe(error.failure)}.") from error
    except Forbidden as error:
        if error.of_token:
            raise
        raise RecordRejected(f"Pipedrive does not allow it: {describe(error.failure)}.") from error
    told: Any = cast("dict[str, Any]", answer.data).get("id") if isinstance(answer.data, dict) else None
    return survivor_id if told is None else str(told)
