"""Sending a batch so that one bad input fails alone, and telling from the answer what became of each.

HubSpot answers 207 with results in any order and errors that name trace ids, ids, or nothing; some faults
refuse the whole batch, which is then halved until only the bad inputs are refused. Knows no object and
no path. Facts: the batch endpoints' guides and recorded answers, read 2026-08.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.hubspot.failures import CallRefused, Failure, ObjectUnknown, RouteUnknown, Taken
from syncline.connectors.hubspot.refusals import explain, hopeless_properties, narrow
from syncline.connectors.records import RemoteRecord
from syncline.connectors.transport import Response
from syncline.connectors.writes import WriteOutcome
from syncline.errors import (
    LeaseLost,
    NotFound,
    PauseConnection,
    RateLimited,
    RetryLater,
    SynclineError,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One input of a batch."""

    #: Unique among everything one `Sending` sends.
    trace: str
    key: str
    #: As HubSpot takes it.
    body: dict[str, Any]
    #: What results and errors call it.
    names: frozenset[str]
    #: The record it is about, where there is one.
    remote_id: str | None = None
    #: Texts that no message may repeat.
    values: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """One thing HubSpot says it has done."""

    names: tuple[str, ...]
    remote_id: str | None = None
    record: RemoteRecord | None = None
    created: bool | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a batch, taken apart."""

    results: list[Result]
    #: What each problem is about, in the names that items have (none where HubSpot does not say), and itself.
    problems: list[tuple[list[str], Failure]]


class Problems(msgspec.Struct, rename="camel"):
    """The part of every batch's answer that says what went wrong."""

    errors: list[Failure] = []
    #: May be more than `errors` has.
    num_errors: int = 0

    def list_all(self) -> list[Failure]:
        """Return the errors, and one without a word when HubSpot counts more than it lists."""
        return self.errors + ([Failure()] if self.num_errors > len(self.errors) else [])


Post = Callable[[Sequence[Item]], Awaitable[Response]]
Read = Callable[[Response, Sequence[Item]], Answer]


class Sending:
    """The outcomes of what one call of the contract writes, over as many calls to HubSpot as it takes."""

    def __init__(self) -> None:
        #: Trace → outcome.
        self.outcomes: dict[str, WriteOutcome] = {}
        self._stopped: SynclineError | None = None

    async def send(self, post: Post, read: Read, items: Sequence[Item], *, repeatable: bool = True) -> None:
        """Send items as one batch, and in halves where that is refused; every item then has its outcome.

        Raises `RetryLater` and `PauseConnection` while nothing is written; after that, and where an input
        that must not be repeated may have been written, they become outcomes.
        """
        waiting: list[list[Item]] = [list(items)] if items else []
        while waiting:
            part = waiting.pop()
            if self._stopped is not None:
                self._leave(part, self._stopped, unwritten=True)
                continue
            try:
                waiting += self._settle(part, read(await post(part), part))
            except (RouteUnknown, ObjectUnknown, LeaseLost):
                raise
            except (CallRefused, Taken, NotFound) as error:
                waiting += self._refuse(part, error)
            except (RetryLater, PauseConnection) as error:
                self._stop(part, error, repeatable=repeatable)

    def _settle(self, part: list[Item], answer: Answer) -> list[list[Item]]:
        """Note what became of each item; return those that HubSpot left open, to be sent again.

        Sent again is only what is known not to have been written.
        """
        open_items = {each.trace: each for each in part}
        by_name = {name: each for each in part for name in each.names}
        unclaimed = 0
        for result in answer.results:
            item = next((by_name[name] for name in result.names if name in by_name), None)
            if item is None and len(part) == 1:
                item = part[0]
            if item is None:
                unclaimed += 1
            elif open_items.pop(item.trace, None) is not None:
                self._note(item, _written(item, result))
        unnamed: list[Failure] = []
        for names, problem in answer.problems:
            items = {by_name[name].trace: by_name[name] for name in names if name in by_name}
            for item in items.values():
                if open_items.pop(item.trace, None) is not None:
                    self._note(item, explain(problem, item.key, item.remote_id, item.values))
            if not items:
                unnamed.append(problem)
        rest = list(open_items.values())
        if unnamed and len(rest) == 1 and not unclaimed and (len(part) == 1 or unnamed[0].message):
            [item] = rest  # by itself, if there are no words that could be about it
            self._note(item, explain(unnamed[0], item.key, item.remote_id, item.values))
            return []
        if rest and unnamed and (not unclaimed or all(each.remote_id for each in rest)):
            return _halves(rest)
        for item in rest:
            self._note(item, _unmentioned(item))
        return []

    def _refuse(self, part: list[Item], error: CallRefused | Taken | NotFound) -> list[list[Item]]:
        """Note the refusal of a single item; return the parts to send instead of a refused batch."""
        failure = error.failure if isinstance(error, CallRefused | Taken) else None
        if failure is None:
            failure = Failure(message=str(error), category="OBJECT_NOT_FOUND")
        elif isinstance(error, Taken) and not failure.category:
            failure.category = "CONFLICT"
        hopeless = hopeless_properties(failure)
        bad = [each for each in part if hopeless & set(each.body.get("properties", ()))]
        if len(part) == 1:
            bad = part
        about = narrow(failure, hopeless) if hopeless and len(part) > 1 else failure
        for item in bad:
            self._note(item, explain(about, item.key, item.remote_id, item.values))
        if not bad:
            return _halves(part)
        rest = [each for each in part if each.trace not in self.outcomes]
        return [rest] if rest else []

    def _stop(self, part: list[Item], error: RetryLater | PauseConnection, *, repeatable: bool) -> None:
        unsent = isinstance(error, PauseConnection | RateLimited) or (
            isinstance(error, Unavailable) and error.unsent
        )
        has_written = any(each.failure is None for each in self.outcomes.values())
        if (repeatable or unsent) and not has_written:
            raise error
        self._stopped = error
        self._leave(part, error, unwritten=unsent)

    def _leave(self, part: list[Item], error: SynclineError, *, unwritten: bool) -> None:
        for item in part:
            self._note(item, WriteOutcome(item.key, item.remote_id, failure=error, unwritten=unwritten))

    def _note(self, item: Item, outcome: WriteOutcome) -> None:
        self.outcomes[item.trace] = outcome


def read_quiet(response: Response, part: Sequence[Item], names_of: Callable[[Failure], list[str]]) -> Answer:
    """Read an answer that lists problems only, or nothing at all (HTTP 204): the rest has been done.

    With a problem that names no input, nothing is taken for done.
    """
    found = read_as(Problems, response.body).list_all() if response.body else []
    problems = [(names_of(each), each) for each in found]
    named = {name for names, _ in problems for name in names}
    known = all(names for names, _ in problems)
    done = [each for each in part if known and not named & each.names]
    return Answer([Result(tuple(each.names), each.remote_id) for each in done], problems)


def _written(item: Item, result: Result) -> WriteOutcome:
    remote_id = result.remote_id or item.remote_id
    return WriteOutcome(item.key, remote_id, result.record, result.created)


def _unmentioned(item: Item) -> WriteOutcome:
    """Judge an item of which the answer says nothing at all."""
    if item.remote_id is not None:
        # A batch update leaves out an id that was merged away without a word (recorded answers).
        gone = NotFound("HubSpot does not know the record any more; it may have been merged into another.")
        return WriteOutcome(item.key, item.remote_id, failure=gone, unwritten=True)
    return WriteOutcome(item.key, failure=Unavailable("HubSpot did not say what became of the record."))


def _halves(items: list[Item]) -> list[list[Item]]:
    """Cut a list in two, the first half last: it is taken from the end."""
    middle = len(items) // 2
    return [part for part in (items[middle:], items[:middle]) if part]
