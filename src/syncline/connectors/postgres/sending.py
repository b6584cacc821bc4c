"""What is written, as operations, and what their answers mean as outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncline.connectors.postgres.catalogue import Table
from syncline.connectors.postgres.decode import read_answer, record_of
from syncline.connectors.postgres.describing import choices_of
from syncline.connectors.postgres.objects import REFERENCES
from syncline.connectors.postgres.places import Place, Places
from syncline.connectors.postgres.virtual import Unwritable, without_virtual
from syncline.connectors.postgres.wire import (
    ArchiveRows,
    EraseRows,
    Outcome,
    Outcomes,
    Refer,
    ReferRows,
    WriteRow,
    WriteRows,
)
from syncline.connectors.transport import Request, Send
from syncline.connectors.writes import RemoteLink, RemoteWrite, WriteOutcome
from syncline.errors import (
    AlreadyExists,
    NotFound,
    PauseConnection,
    RecordRejected,
    RetryLater,
    SynclineError,
    Unavailable,
)


async def write_many(
    send: Send, object_name: str, table: Table, writes: Sequence[RemoteWrite]
) -> list[WriteOutcome]:
    """Change and make rows: what can be repeated in one transaction, what cannot one by one after it."""
    outcomes: dict[str, WriteOutcome] = {}
    repeatable: list[RemoteWrite] = []
    once: list[RemoteWrite] = []
    for each in writes:
        try:
            values = without_virtual(object_name, each.properties, choices_of(table))
        except Unwritable as problem:
            failure = RecordRejected(str(problem))
            outcomes[each.key] = WriteOutcome(each.key, each.remote_id, failure=failure, unwritten=True)
            continue
        in_columns = replace(each, properties=values)
        if each.remote_id is None and (each.external_id is None or table.external is None):
            once.append(in_columns)
        else:
            repeatable.append(in_columns)
    if repeatable:
        await _send(send, object_name, table, repeatable, outcomes, idempotent=True)
    for number, each in enumerate(once):
        try:
            await _send(send, object_name, table, [each], outcomes, idempotent=False)
        except (RetryLater, PauseConnection) as error:
            if not outcomes and (isinstance(error, PauseConnection) or _is_unsent(error)):
                raise
            _leave(once[number:], error, outcomes)
            break
    return [outcomes[each.key] for each in writes]


def _is_unsent(error: SynclineError) -> bool:
    return isinstance(error, Unavailable) and error.unsent


def _leave(left: Sequence[RemoteWrite], error: SynclineError, outcomes: dict[str, WriteOutcome]) -> None:
    """Note what was not sent, and of the first that its answer may have been lost."""
    for number, each in enumerate(left):
        lost = number == 0 and isinstance(error, RetryLater) and not _is_unsent(error)
        outcomes[each.key] = WriteOutcome(each.key, each.remote_id, failure=error, unwritten=not lost)


async def _send(
    send: Send,
    object_name: str,
    table: Table,
    writes: Sequence[RemoteWrite],
    outcomes: dict[str, WriteOutcome],
    *,
    idempotent: bool,
) -> None:
    rows = [WriteRow(each.remote_id, dict(each.properties), each.external_id) for each in writes]
    asked = WriteRows(table.place, rows, idempotent)
    answer = await send(_request("/write", asked, idempotent=idempotent))
    found = read_answer(answer, Outcomes).outcomes
    for write, each in zip(writes, found, strict=True):
        outcomes[write.key] = _outcome(object_name, write.key, write.remote_id, each)


async def archive_many(send: Send, place: Place, remote_ids: Sequence[str]) -> list[WriteOutcome]:
    answer = await send(_request("/archive", ArchiveRows(place, list(remote_ids))))
    found = read_answer(answer, Outcomes).outcomes
    return [_outcome("", each, each, outcome) for each, outcome in zip(remote_ids, found, strict=True)]


async def erase_many(
    send: Send, place: Place, columns: tuple[str, ...], remote_ids: Sequence[str]
) -> list[WriteOutcome]:
    answer = await send(_request("/erase", EraseRows(place, list(remote_ids), columns)))
    found = read_answer(answer, Outcomes).outcomes
    return [_outcome("", each, each, outcome) for each, outcome in zip(remote_ids, found, strict=True)]


async def refer_many(
    send: Send, places: Places, path: str, pair: tuple[str, str], links: Sequence[RemoteLink]
) -> list[WriteOutcome]:
    """Set or empty references. The column is the first object's, or else the second's."""
    if not links:
        return []
    column, near = REFERENCES.get(pair), pair[0]
    refers = [Refer(each.from_id, each.to_id) for each in links]
    if column is None:
        column, near = REFERENCES.get((pair[1], pair[0])), pair[1]
        refers = [Refer(each.to, each.id) for each in refers]
    if column is None:
        failure = RecordRejected(f"{pair[0]} and {pair[1]} do not refer to each other in this CRM.")
        return [WriteOutcome(each.key, failure=failure, unwritten=True) for each in links]
    asked = ReferRows(places.of(near), column[0], refers)
    found = read_answer(await send(_request(path, asked)), Outcomes).outcomes
    return [_outcome("", each.key, None, outcome) for each, outcome in zip(links, found, strict=True)]


def _request(
    path: str, asked: WriteRows | ArchiveRows | EraseRows | ReferRows, *, idempotent: bool = True
) -> Request:
    """Return the request to write something; its path says what, and never of which row."""
    return Request("POST", path, json=asked, idempotent=idempotent, template=path)


def _outcome(object_name: str, key: str, remote_id: str | None, found: Outcome) -> WriteOutcome:
    if found.failure is None:
        record = None if found.row is None else record_of(object_name, found.row)
        made = remote_id if record is None else record.remote_id
        return WriteOutcome(key, made, record, found.created)
    kinds = {"gone": NotFound, "taken": AlreadyExists, "refused": RecordRejected}
    failure = kinds[found.failure](found.reason)
    return WriteOutcome(key, remote_id, failure=failure, unwritten=True, existing_id=found.existing_id)
