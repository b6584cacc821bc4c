"""Writing to a CRM without batches: one call a record, an outcome each, and when to stop. Knows no CRM."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from syncline.connectors.writes import WriteOutcome
from syncline.errors import (
    AlreadyExists,
    Invalid,
    LeaseLost,
    NotFound,
    ParkRecord,
    PauseConnection,
    RateLimited,
    RecordRejected,
    RetryLater,
    SynclineError,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be written."""

    key: str
    #: The record it is about; None for one that is to be made.
    remote_id: str | None
    #: Writes it and returns what became of it. Raises what the call raised: `Invalid` is a refusal.
    run: Callable[[], Awaitable[WriteOutcome]]
    #: False for what must not be sent twice, as a create that nothing makes unique.
    is_repeatable: bool = True


async def write_singly(steps: Sequence[Step]) -> list[WriteOutcome]:
    """Carry out steps one after another; one outcome each, in their order. See `base.Connector.write_many`.

    One that is refused fails alone. Once the connection fails the rest is not sent. Raises that failure
    while nothing has been written, so that all of it may be sent again.
    """
    outcomes: list[WriteOutcome] = []
    stopped: SynclineError | None = None
    for step in steps:
        if stopped is not None:
            outcomes.append(WriteOutcome(step.key, step.remote_id, failure=stopped, unwritten=True))
            continue
        try:
            outcomes.append(await step.run())
        except LeaseLost:
            raise
        except (RetryLater, PauseConnection) as error:
            is_unsent = _is_unsent(error)
            if (step.is_repeatable or is_unsent) and not any(each.failure is None for each in outcomes):
                raise
            stopped = error
            outcomes.append(WriteOutcome(step.key, step.remote_id, failure=error, unwritten=is_unsent))
        except (NotFound, AlreadyExists, ParkRecord, Invalid) as error:
            outcomes.append(_refused(step, error))
    return outcomes


def _is_unsent(error: SynclineError) -> bool:
    """Tell whether a failure proves that nothing was written."""
    refused = isinstance(error, PauseConnection | RateLimited)
    return refused or (isinstance(error, Unavailable) and error.unsent)


def _refused(step: Step, error: SynclineError) -> WriteOutcome:
    if isinstance(error, Invalid):
        error = RecordRejected(str(error), remote_id=step.remote_id)
    return WriteOutcome(step.key, step.remote_id, failure=error, unwritten=True)
