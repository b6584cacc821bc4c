"""Many small writes for one call of the contract: some at once, each with an outcome, and when to stop.

Pipedrive has no batches. Knows no object and no body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from syncline.connectors.pipedrive.failures import CallRefused, Forbidden, describe
from syncline.connectors.writes import WriteOutcome
from syncline.errors import (
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

_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be written."""

    position: int
    key: str
    remote_id: str | None
    #: Writes it, and returns what became of it; raises what the call raised.
    run: Callable[[], Awaitable[WriteOutcome]]
    #: False for what must not be sent twice.
    is_repeatable: bool = True
    #: Texts that no message may repeat.
    values: frozenset[str] = frozenset()


class Rounds:
    """The outcomes of what one call writes. Once the connection fails, what is left is not sent."""

    def __init__(self) -> None:
        #: Position → outcome.
        self.outcomes: dict[int, WriteOutcome] = {}
        self._stopped: SynclineError | None = None
        self._is_undecided = True

    async def run(self, chains: Iterable[Sequence[Step]]) -> None:
        """Carry out chains beside each other, and the steps of a chain one after another.

        Raises `LeaseLost` when all that was under way has ended.
        """
        limit = asyncio.Semaphore(_AT_ONCE)

        async def follow(chain: Sequence[Step]) -> None:
            async with limit:
                for step in chain:
                    await self._take(step)

        await asyncio.gather(*(follow(each) for each in chains))
        if isinstance(self._stopped, LeaseLost):
            raise self._stopped

    def list_outcomes(self) -> list[WriteOutcome]:
        """Return the outcomes in order. Raises what stopped it when nothing can have been written."""
        if self._stopped is not None and self._is_undecided:
            raise self._stopped
        return [self.outcomes[position] for position in sorted(self.outcomes)]

    async def _take(self, step: Step) -> None:
        if self._stopped is not None:
            self._note(step, WriteOutcome(step.key, step.remote_id, failure=self._stopped, unwritten=True))
            return
        try:
            self._note(step, await step.run())
            self._is_undecided = False
        except (RetryLater, PauseConnection) as error:
            if isinstance(error, Forbidden) and not error.of_token:
                self._refuse(step, f"Pipedrive does not allow it: {describe(error.failure, step.values)}")
                return
            unsent = isinstance(error, PauseConnection | RateLimited) or (
                isinstance(error, Unavailable) and error.unsent
            )
            self._stopped = self._stopped or error
            self._is_undecided &= unsent or step.is_repeatable
            self._note(step, WriteOutcome(step.key, step.remote_id, failure=error, unwritten=unsent))
        except NotFound:
            gone = NotFound("Pipedrive does not find the record.")
            self._is_undecided = False
            self._note(step, WriteOutcome(step.key, step.remote_id, failure=gone, unwritten=True))
        except CallRefused as error:
            said = describe(error.failure, step.values) or "no reason given"
            self._refuse(step, f"Pipedrive refused the record: {said}")
        except ParkRecord as error:
            self._is_undecided = False
            self._note(step, WriteOutcome(step.key, step.remote_id, failure=error, unwritten=True))

    def _refuse(self, step: Step, reason: str) -> None:
        self._is_undecided = False
        failure = RecordRejected(f"{reason.rstrip('. ')}.", remote_id=step.remote_id)
        self._note(step, WriteOutcome(step.key, step.remote_id, failure=failure, unwritten=True))

    def _note(self, step: Step, outcome: WriteOutcome) -> None:
        self.outcomes[step.position] = outcome
