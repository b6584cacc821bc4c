"""Moving a lifecycle stage back. HubSpot moves it forward only and passes over anything else without a word,
unless it is emptied first (lifecycle guide, read 2026-08); left alone, the two sides would never agree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.reading import ask, read_batch
from syncline.connectors.writes import RemoteWrite, WriteOutcome
from syncline.errors import LeaseLost, PauseConnection, RetryLater

STAGE = "lifecyclestage"

#: (what the call is for, record id → text of the stage) → record id → outcome.
SetStages = Callable[[str, Mapping[str, str]], Awaitable[dict[str, WriteOutcome]]]


async def move_back(
    api: Api,
    object_path: str,
    written: Sequence[tuple[RemoteWrite, WriteOutcome]],
    set_stages: SetStages,
) -> dict[str, WriteOutcome]:
    """Empty and set the stages that HubSpot passed over; return key → the outcome that stands instead.

    What was passed over is read before it is touched: emptying starts workflows. A process that dies
    in between leaves the stage empty, which the next try fills.
    """
    doubtful = {
        write.remote_id: (write, outcome)
        for write, outcome in written
        if write.remote_id is not None
        and write.properties.get(STAGE)
        and outcome.record is not None
        and outcome.record.properties.get(STAGE) != write.properties[STAGE]
    }
    if not doubtful:
        return {}
    try:
        held = await read_batch(api, ask(object_path, (STAGE,)), doubtful)
    except LeaseLost:
        raise
    except (RetryLater, PauseConnection) as error:
        # Raising would lose the answers of all that has been written.
        return {
            write.key: WriteOutcome(write.key, write.remote_id, failure=error)
            for write, _ in doubtful.values()
        }
    wanted = {
        each.remote_id: str(doubtful[each.remote_id][0].properties[STAGE])
        for each in held.records
        if each.remote_id in doubtful
        and each.properties.get(STAGE) not in (None, "", doubtful[each.remote_id][0].properties[STAGE])
    }
    emptied = await set_stages("empty", dict.fromkeys(wanted, ""))
    ready = {each: stage for each, stage in wanted.items() if emptied[each].failure is None}
    outcomes = emptied | await set_stages("set", ready)
    return {
        doubtful[each][0].key: _join(doubtful[each][0], doubtful[each][1], outcome)
        for each, outcome in outcomes.items()
    }


def _join(write: RemoteWrite, first: WriteOutcome, last: WriteOutcome) -> WriteOutcome:
    """Return one outcome for the write and for the stage set after it."""
    if last.failure is not None or last.record is None or first.record is None:
        # Some of it has been written: never known not to be.
        return WriteOutcome(write.key, write.remote_id, failure=last.failure, existing_id=last.existing_id)
    record = msgspec.structs.replace(
        last.record, properties={**first.record.properties, **last.record.properties}
    )
    return WriteOutcome(write.key, last.remote_id, record, first.created)
