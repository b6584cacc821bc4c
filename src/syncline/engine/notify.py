"""Telling people what needs them. Writes down what is to be delivered; delivering is another matter.

A message names records and fields, and never a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from syncline.domain.merge import GROUPS
from syncline.store import conflicts, notifications
from syncline.store.conflicts import Unannounced
from syncline.store.db import Conn
from syncline.store.notifications import Notification

#: Of one run no more conflicts than these are told one by one.
MOST_SINGLE = 20
#: Who is told of conflicts: everybody with this role.
_RECIPIENT = "manager"


async def announce_conflicts(
    conn: Conn, *, tenant_id: UUID, now: datetime, run_id: UUID | None = None
) -> int:
    """Write down notifications of open conflicts that nobody has been told of; returns how many.

    Call it when a run has ended, so that a run that found many is told in one: those of `run_id`, or of all
    runs when it is None. May be repeated, also beside others: each conflict is told of once.
    """
    found = await conflicts.claim_unannounced(conn, tenant_id=tenant_id, run_id=run_id, now=now)
    messages: list[Notification] = []
    by_run = sorted(found, key=lambda each: str(each.run_id))
    for _, of_run in groupby(by_run, key=lambda each: each.run_id):
        matters = list(_matters(list(of_run)))
        if len(matters) > MOST_SINGLE:
            messages.append(_tell_many(matters))
        else:
            messages += [_tell_one(matter) for matter in matters]
    if messages:
        await notifications.insert_many(conn, messages, tenant_id=tenant_id, now=now)
    return len(messages)


def _matters(found: Sequence[Unannounced]) -> Iterator[list[Unannounced]]:
    """Put together what is decided together: fields of one record that belong to one group."""
    together: dict[tuple[UUID, UUID, str], list[Unannounced]] = {}
    for each in found:
        group = GROUPS.get(each.record_type)
        joint = group is not None and each.field in (*group.leads, *group.bound, *group.loose)
        key = (each.connection_id, each.record_id, "" if joint else each.field)
        together.setdefault(key, []).append(each)
    yield from together.values()


def _tell_one(matter: Sequence[Unannounced]) -> Notification:
    first = _lead(matter)
    name = f"{first.record_type} {first.label}".strip()
    return Notification(
        channel="email",
        template="conflict",
        recipient=_RECIPIENT,
        subject=f"Conflict: {first.field} of {name}"[:500],
        body=(
            f"{first.field} of {name} was changed here and in {first.connection}, to different values. "
            f"Neither is overwritten until you decide: syncline conflicts show {first.id}"
        ),
        record_type=first.record_type,
        record_id=first.record_id,
    )


def _lead(matter: Sequence[Unannounced]) -> Unannounced:
    """Pick the field that people know best: a deal's stage, rather than the ids that follow from it."""
    group = GROUPS.get(matter[0].record_type)
    leads = group.leads if group is not None else ()
    return max(matter, key=lambda each: leads.index(each.field) if each.field in leads else -1)


def _tell_many(matters: Sequence[Sequence[Unannounced]]) -> Notification:
    connection = matters[0][0].connection
    counts: dict[str, int] = {}
    for matter in matters:
        what = f"{matter[0].record_type} {_lead(matter).field}"
        counts[what] = counts.get(what, 0) + 1
    listed = ", ".join(
        f"{count} of {what}" for what, count in sorted(counts.items(), key=lambda each: -each[1])
    )
    return Notification(
        channel="email",
        template="conflicts",
        recipient=_RECIPIENT,
        subject=f"{len(matters)} conflicts with {connection}",
        body=(
            f"A sync with {connection} met {len(matters)} fields that were changed here and there, to "
            f"different values: {listed}. Neither side is overwritten until you decide: "
            "syncline conflicts list"
        ),
    )
