"""Where a deal stands: the stage somebody names, and what follows from it for the deal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from syncline.actions.hub import Hub
from syncline.clock import now
from syncline.domain.callers import Caller
from syncline.domain.record_values import fault_of
from syncline.domain.values import write_moment
from syncline.store import stages
from syncline.store.db import Conn
from syncline.store.stages import Stage

#: What a deal's place is written by.
PLACE = ("pipeline", "stage")
#: Keys that say by themselves how a deal ended, where there are no pipelines to ask.
_ENDS = {"closed_won": "won", "closed_lost": "lost"}


async def list_stages(hub: Hub, caller: Caller) -> list[Stage]:
    """Return the stages that a deal can be moved to, by pipeline, in their order."""
    caller.require("records:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await stages.list_living(conn, tenant_id=hub.tenant_id)


async def place_deal(
    conn: Conn, row: Mapping[str, Any], values: Mapping[str, Any], *, tenant_id: UUID
) -> dict[str, Any]:
    """Return what is to be written of a deal for which somebody names a stage, a pipeline or both.

    A stage is named by its id, its key or its label; without a pipeline the deal's own is meant. Status and
    close date follow. Raises `Invalid` for a stage that there is not, or not once.
    """
    if not any(name in values for name in PLACE):
        return {}
    known = await stages.list_living(conn, tenant_id=tenant_id)
    named: str | None = values.get("stage")
    if named is None:
        if values.get("pipeline") is not None:
            raise fault_of({"stage": "A deal in a pipeline needs a stage as well."})
        return {**_follow(row, values, "open"), **dict.fromkeys(("pipeline", "stage"), None)} | _NOWHERE
    if not known:
        # Nothing says what stages there are: the words stand for themselves.
        status = _ENDS.get(named, "open")
        return {"stage": named, "pipeline": values.get("pipeline", row.get("pipeline"))} | _follow(
            row, values, status
        )
    stage = _choose(known, row, named, values.get("pipeline"))
    status = "won" if stage.is_won else "lost" if stage.is_closed else "open"
    placed: dict[str, Any] = {
        "pipeline": stage.pipeline,
        "stage": stage.key,
        "pipeline_id": str(stage.pipeline_id),
        "stage_id": str(stage.id),
    }
    if stage.probability is not None and "probability" not in values:
        placed["probability"] = stage.probability
    return placed | _follow(row, values, status)


_NOWHERE: dict[str, Any] = {"pipeline_id": None, "stage_id": None}


def _follow(row: Mapping[str, Any], values: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return status and close date: it closes when it is first in such a stage, and reopens without one."""
    if status == "open":
        return {"status": status, "closed_at": None}
    if "closed_at" in values:
        return {"status": status, "closed_at": values["closed_at"]}
    stands = row.get("status") == status and row.get("closed_at") is not None
    return {"status": status, "closed_at": row["closed_at"] if stands else write_moment(now())}


def _choose(known: Sequence[Stage], row: Mapping[str, Any], named: str, pipeline: str | None) -> Stage:
    among = _in_pipeline(known, row, pipeline)
    found = [each for each in among if named == str(each.id)] or [each for each in among if named == each.key]
    if not found:
        found = [each for each in among if named.strip().lower() == each.label.strip().lower()]
    own = [each for each in found if each.connection is None]
    chosen = own or found
    if len({each.pipeline_id for each in chosen}) == 1:
        return chosen[0]
    if found:
        labels = ", ".join(sorted({f"{each.pipeline} ({each.pipeline_label})" for each in chosen}))
        raise fault_of({"pipeline": f"Several pipelines have such a stage; name one of them: {labels}."})
    names = ", ".join(dict.fromkeys(each.key for each in among[:30]))
    raise fault_of({"stage": f"There is no such stage here. There are: {names or 'none'}."})


def _in_pipeline(known: Sequence[Stage], row: Mapping[str, Any], pipeline: str | None) -> list[Stage]:
    if pipeline is not None:
        wanted = pipeline.strip()
        found = [each for each in known if wanted in (str(each.pipeline_id), each.pipeline)]
        found = found or [each for each in known if wanted.lower() == each.pipeline_label.strip().lower()]
        if not found:
            names = ", ".join(dict.fromkeys(each.pipeline for each in known))
            raise fault_of({"pipeline": f"There is no such pipeline. There are: {names}."})
        return found
    if row.get("pipeline_id"):
        return [each for each in known if str(each.pipeline_id) == row["pipeline_id"]]
    of_key = [each for each in known if row.get("pipeline") == each.pipeline]
    return of_key or list(known)
