"""What a CRM's answer to a write means: what is agreed on by it, what it kept instead, what is tried again.

Decides, and stores nothing.
"""

from __future__ import annotations

from typing import Any

from syncline.connectors.writes import WriteOutcome
from syncline.domain.mapping import Mapper
from syncline.domain.verdicts import same
from syncline.engine.intents import ARCHIVED, GONE, Intents, Item, put_off
from syncline.errors import NotFound, PauseConnection, RetryLater
from syncline.store.queue import Aside

#: How long what was sent and not answered may still be on its way, or be missing where one looks for it.
ARRIVES_SECONDS = 15.0


def note_success(
    mapper: Mapper, intents: Intents, item: Item, outcome: WriteOutcome
) -> tuple[dict[str, Any], bool]:
    """Return the answer as it is stored, and whether it told all that was written."""
    answer: dict[str, Any] = {
        "id": item.change_id,
        "state": "done",
        "remote_id": outcome.remote_id,
        "record_id": item.row.record_id,
    }
    if item.action == "archived":
        if item.row.what != "deleted":
            answer["base"] = {ARCHIVED: [item.values[ARCHIVED]]}
        return answer, True
    told = {} if outcome.record is None else outcome.record.properties
    # What the answer does not tell was perhaps passed over: nothing is agreed on there.
    untold = frozenset[str]() if item.write is None else item.write.properties.keys() - told.keys()
    known = {name: each for name, each in {**item.properties, **told}.items() if name not in untold}
    theirs = mapper.map(known)
    base: dict[str, list[Any]] = {}
    kept: dict[str, Any] = {}
    for name, value in item.values.items():
        if name not in theirs.values:
            continue
        found = theirs.values[name]
        base[name] = intents.pair(name, value, theirs.theirs.get(name, found))
        if not same(found, value):
            kept[name] = found
    answer["base"] = base
    if kept:
        answer["kept"] = kept
    return answer, not untold


def note_failure(item: Item, outcome: WriteOutcome) -> tuple[Aside, list[dict[str, Any]]]:
    """Return how the row is put aside, and the answer as it is stored: none while it may have arrived."""
    failure = outcome.failure
    assert failure is not None  # noqa: S101 - asked before
    refused = {
        "id": item.change_id,
        "state": "refused",
        "reason": str(failure),
        "remote_id": item.row.remote_id,
    }
    if isinstance(failure, RetryLater):
        answer = [{**refused, "reason": "It was not sent."}] if outcome.unwritten else []
        after = failure.after_seconds
        if item.together is not None and not outcome.unwritten:
            # Nothing makes it once only: whoever looks too early for it finds nothing, and sends it again.
            after = max(after or 0.0, ARRIVES_SECONDS)
        return put_off(item.row, str(failure), after=after), answer
    if isinstance(failure, PauseConnection):
        return Aside(item.row, "pending", str(failure)), [refused]
    if isinstance(failure, NotFound):
        return put_off(item.row, GONE, most=3), [refused]
    if item.action == "created" and outcome.existing_id is not None:
        reason = "The CRM has a record with the same unique value, which is looked at first."
        return put_off(item.row, reason, most=3), [refused]
    return Aside(item.row, "parked", str(failure)), [refused]
