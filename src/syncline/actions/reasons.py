"""What keeps a record from syncing, of all that is known of it; in words, with the command that mends it.

Plain computation: looks nothing up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from syncline.store.allowances import Allowance
from syncline.store.drift import Drift
from syncline.store.traces import LastRun, ParkedReading, RemoteChange, Tombstone
from syncline.store.waiting import Waiting

#: `blocks`: a person has to act; `waits`: it goes on by itself, or did not yet; `says`: good to know.
Weight = Literal["blocks", "waits", "says"]


@dataclass(frozen=True, slots=True)
class Reason:
    code: str
    weight: Weight
    #: None where it is about the record itself.
    connection: str | None
    #: A sentence.
    text: str
    #: What mends it, or shows more.
    command: str | None = None


@dataclass(frozen=True, slots=True)
class RecordView:
    record_type: str
    record_id: UUID
    label: str
    exists: bool
    row: dict[str, Any]
    archived_at: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class ConflictView:
    id: UUID
    field: str
    found_at: datetime


@dataclass(frozen=True, slots=True)
class ReadView:
    """When the CRM's record was last taken in, and whether the CRM still had it."""

    synced_at: datetime
    archived_at: datetime | None
    archived_reason: str | None
    merged_into: str | None


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field as both sides have it; `theirs` as it was read last, in our form."""

    field: str
    #: The property it is there; None where it follows from others.
    property: str | None
    ours: Any
    theirs: Any
    #: Our half of what was agreed on.
    base: Any
    #: Who has changed it since: `agreed`, `ours`, `theirs`, `both`; `fill`: only we have a value.
    state: str
    may_push: bool


@dataclass(slots=True)
class Side:
    """Everything known of a record towards one connection."""

    connection: str
    platform: str
    object: str | None
    remote_id: str | None
    is_linked: bool
    linked_at: datetime | None
    #: Other remote records of this connection that are the same record of ours; they are never written.
    others: list[str]
    status: str
    paused_reason: str | None
    writes_enabled: bool
    stopped_by: str | None = None
    allowance: Allowance = field(default_factory=Allowance)
    queued: Waiting | None = None
    conflicts: list[ConflictView] = field(default_factory=list[ConflictView])
    parked: ParkedReading | None = None
    tombstones: list[Tombstone] = field(default_factory=list[Tombstone])
    changes: list[RemoteChange] = field(default_factory=list[RemoteChange])
    last_pull: LastRun | None = None
    last_push: LastRun | None = None
    read: ReadView | None = None
    drift: list[Drift] = field(default_factory=list[Drift])
    fields: list[FieldView] = field(default_factory=list[FieldView])

    @property
    def has_to_send(self) -> bool:
        """Tell whether something of ours is meant to get there."""
        return self.queued is not None or any(each.state in ("ours", "fill") for each in self.fields)


def list_reasons(record: RecordView | None, sides: Sequence[Side]) -> list[Reason]:
    """Return everything that stands in the way or is good to know, connection by connection, in order."""
    return [*_of_record(record), *(reason for side in sides for reason in _of_side(record, side))]


def conclude(
    record: RecordView | None, sides: Sequence[Side], reasons: Sequence[Reason]
) -> tuple[str, str | None]:
    """Return the one sentence that answers the question, and the command that goes with it."""
    for weight in ("blocks", "waits"):
        for each in reasons:
            if each.weight == weight:
                return each.text, each.command
    if record is None:
        return "It is mirrored, and no record of ours.", None
    read = [side.read.synced_at for side in sides if side.read is not None]
    when = f", as it was last taken in at {max(read):%Y-%m-%d %H:%M} UTC" if read else ""
    return f"Nothing stands in its way: both sides agree{when}.", None


def _of_record(record: RecordView | None) -> Iterator[Reason]:
    if record is None:
        return
    if not record.exists:
        yield Reason("deleted", "blocks", None, f"The {record.record_type} was deleted here.")
    elif record.merged_into is not None:
        yield Reason(
            "merged",
            "blocks",
            None,
            f"It was merged into {record.merged_into}, which syncs in its place.",
            f"syncline explain {record.merged_into}",
        )
    elif record.archived_at is not None:
        yield Reason("archived", "says", None, f"It is archived here since {record.archived_at[:16]}.")


def _of_side(record: RecordView | None, side: Side) -> Iterator[Reason]:
    yield from _of_links(record, side)
    yield from _of_connection(side)
    yield from _of_permission(side)
    yield from _of_queue(record, side)
    yield from _of_conflicts(side)
    yield from _of_readings(record, side)
    yield from _of_differences(record, side)


def _of_links(record: RecordView | None, side: Side) -> Iterator[Reason]:
    name = side.connection
    for each in side.tombstones:
        what = "erased for privacy" if each.reason == "erased" else "deleted here"
        yield Reason(
            each.reason,
            "blocks",
            name,
            f"{each.object} {each.remote_id} was {what} on {each.buried_at:%Y-%m-%d} and does not come back.",
        )
    if side.others:
        listed = ", ".join(side.others)
        yield Reason(
            "not_primary",
            "says",
            name,
            f"{listed} of {name} are the same record; only {side.remote_id or 'the primary one'} is written.",
        )
    if record is None or not record.exists or side.is_linked or side.tombstones:
        return
    if side.object is None:
        yield Reason(
            "not_mapped", "says", name, f"{name} has no object that a {record.record_type} would be."
        )
    elif not side.allowance.create:
        yield Reason(
            "not_linked",
            "blocks",
            name,
            f"{name} does not have it, and making {side.object} there is not allowed.",
            f"syncline writing allow {name} --object {side.object} --create",
        )
    elif side.queued is None:
        yield Reason(
            "not_linked",
            "blocks",
            name,
            f"{name} does not have it, and it does not wait to be made there: it was taken off the queue, or "
            f"{name} takes none like it. The next edit of it sends it.",
        )


def _of_connection(side: Side) -> Iterator[Reason]:
    name = side.connection
    if side.status == "paused":
        yield Reason(
            "paused",
            "blocks",
            name,
            f"The connection {name} is paused: {side.paused_reason}",
            f"syncline connect {side.platform} --name {name}",
        )
    if not side.has_to_send:
        return
    if side.stopped_by is not None:
        yield Reason(
            "stopped",
            "blocks",
            name,
            f"All writing to CRMs is stopped (by {side.stopped_by}).",
            "syncline writing resume",
        )
    elif not side.writes_enabled and not side.allowance.is_nothing:
        yield Reason(
            "writing_off",
            "blocks",
            name,
            f"Writing to {name} is switched off.",
            f"syncline writing resume {name}",
        )


def _of_permission(side: Side) -> Iterator[Reason]:
    barred = [each for each in side.fields if each.state in ("ours", "fill") and not each.may_push]
    unasked = [each.field for each in barred if not side.allowance.allows(each.field)]
    if unasked:
        listed = ", ".join(unasked)
        options = "".join(" --archive" if each == "archived_at" else f" --field {each}" for each in unasked)
        yield Reason(
            "not_allowed",
            "blocks",
            side.connection,
            f"Changed here, and not allowed to be written to {side.connection}: {listed}.",
            f"syncline writing allow {side.connection} --object {side.object}{options}",
        )
    refused = [each.field for each in barred if side.allowance.allows(each.field)]
    if refused:
        yield Reason(
            "unwritable",
            "says",
            side.connection,
            f"Changed here, and {side.connection} does not let it be written, or it is not mapped to be: "
            f"{', '.join(refused)}.",
            f"syncline mapping show {side.connection}",
        )


def _of_queue(record: RecordView | None, side: Side) -> Iterator[Reason]:
    row, name = side.queued, side.connection
    if row is None or record is None:
        return
    what = ", ".join(row.fields) or "the record"
    words = f" {name} said: {row.reason}" if row.reason else ""
    retry = f"syncline queue retry --record {record.record_id} --connection {name}"
    if row.state == "parked":
        text = f"{name} refused {what} after {row.attempts} tries.{words}"
        yield Reason("refused", "blocks", name, text, retry)
    elif row.state == "held":
        text = f"A brake holds {what}. {row.reason or ''}".strip()
        yield Reason("held", "blocks", name, text, f"syncline push {name} --past-brake")
    elif row.attempts:
        text = f"{what} was tried {row.attempts} times, next at {row.not_before:%H:%M:%S} UTC.{words}"
        yield Reason("retrying", "waits", name, text, retry)
    else:
        text = f"{what} waits since {row.queued_at:%Y-%m-%d %H:%M} UTC to be sent; a worker does so."
        yield Reason("queued", "waits", name, text, f"syncline push {name}")


def _of_conflicts(side: Side) -> Iterator[Reason]:
    for each in side.conflicts:
        yield Reason(
            "conflict",
            "blocks",
            side.connection,
            f"{each.field} was changed here and in {side.connection}; a person has to decide.",
            f"syncline conflicts show {each.id}",
        )


def _of_readings(record: RecordView | None, side: Side) -> Iterator[Reason]:
    name, object_name = side.connection, side.object
    sync = f"syncline sync {name} --object {object_name}"
    if side.parked is not None:
        problems = "; ".join(f"{key}: {text}" for key, text in side.parked.problems.items())
        yield Reason(
            "unreadable",
            "blocks",
            name,
            f"It could not be read whole: {problems or side.parked.reason}",
            f"syncline parked {name} --object {object_name}",
        )
    for each in side.changes:
        if each.state == "sent":
            text = f"What was sent at {each.sent_at:%H:%M:%S} UTC was not answered: {', '.join(each.fields)}."
            yield Reason("unanswered", "waits", name, text, _resync(record, side))
    if side.changes and side.changes[0].kept:
        listed = ", ".join(sorted(side.changes[0].kept))
        yield Reason("kept_otherwise", "says", name, f"{name} keeps another form of what was sent: {listed}.")
    if object_name is None or (side.remote_id is None and not side.is_linked):
        return
    for run, what in ((side.last_pull, "read"), (side.last_push, "sent")):
        if run is not None and run.status in ("failed", "stopped"):
            text = f"The last run that {what} {object_name} {run.status}: {run.error or 'it gave no reason'}"
            yield Reason(
                f"{what}_failed", "blocks", name, text, sync if what == "read" else f"syncline push {name}"
            )
    if side.last_pull is None:
        yield Reason("never_read", "blocks", name, f"{object_name} of {name} were never read.", sync)
    read = side.read
    if read is not None and read.archived_at is not None:
        how = {"merged": f"merged into {read.merged_into}", "archived": "archived"}.get(
            read.archived_reason or "", "not found any more"
        )
        text = f"{name} does not have it any more: {how} since {read.archived_at:%Y-%m-%d}."
        yield Reason("gone_there", "blocks", name, text)


def _of_differences(record: RecordView | None, side: Side) -> Iterator[Reason]:
    name = side.connection
    found = [each for each in side.drift if each.state == "open"]
    if found:
        listed = ", ".join(each.field or "the record as a whole" for each in found)
        text = f"Reconcile found drift, since {min(e.found_at for e in found):%Y-%m-%d}: {listed}."
        yield Reason("drift", "waits", name, text, _resync(record, side))
    disputed = {each.field for each in side.conflicts}
    unmerged = [e.field for e in side.fields if e.state in ("theirs", "both") and e.field not in disputed]
    if unmerged:
        text = f"What {name} has was read and not taken over: {', '.join(unmerged)}."
        yield Reason("unmerged", "waits", name, text, _resync(record, side))
    unsent = [e.field for e in side.fields if e.state in ("ours", "fill") and e.may_push]
    if unsent and side.queued is None:
        text = f"Changed here, allowed, and in no queue: {', '.join(unsent)}."
        yield Reason("unqueued", "waits", name, text, _resync(record, side))


def _resync(record: RecordView | None, side: Side) -> str:
    if record is not None:
        return f"syncline resync {record.record_id} --connection {side.connection}"
    return f"syncline resync {side.connection}:{side.object}:{side.remote_id}"
