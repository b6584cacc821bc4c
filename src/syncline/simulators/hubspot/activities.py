"""Fills an account with calls, meetings, e-mails, notes and tasks, and whom they are about. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable

from syncline.simulators import pools
from syncline.simulators.growth import Era, moments, record_ids
from syncline.simulators.hubspot.catalogue import DISPOSITIONS
from syncline.simulators.hubspot.objects import (
    CALL,
    COMPANY,
    CONTACT,
    DEAL,
    EMAIL,
    MEETING,
    NOTE,
    TASK,
    ObjectType,
)
from syncline.simulators.hubspot.population import Counts, Draft
from syncline.simulators.hubspot.store import Properties, Record
from syncline.simulators.hubspot.values import iso
from syncline.simulators.phones import format_phone, random_phone

#: Share of calls that no record is associated with: only the number tells whom they were with.
UNASSOCIATED_CALLS = 0.3
_OUR_LINES = ("+17372040100", "+17372040101", "+17372040102")

Maker = Callable[[Draft, Record | None, int], Properties]


def load_activities(draft: Draft, counts: Counts) -> None:
    plan: tuple[tuple[ObjectType, int, int, Maker], ...] = (
        (CALL, counts.calls, 58_000_000_000, _call),
        (MEETING, counts.meetings, 57_000_000_000, _meeting),
        (EMAIL, counts.emails, 59_000_000_000, _email),
        (NOTE, counts.notes, 58_500_000_000, _note),
        (TASK, counts.tasks, 60_000_000_000, _task),
    )
    for kind, count, first_id, make in plan:
        _load(draft, kind, count, first_id, make)


def _load(draft: Draft, kind: ObjectType, count: int, first_id: int, make: Maker) -> None:
    rng, account = draft.rng, draft.account
    ids = record_ids(rng, count, (Era(first_id // 1000, 40_000, 0.2), Era(first_id, 2_000_000, 0.8)))
    records: list[Record] = []
    for record_id, (created_ms, updated_ms) in zip(ids, moments(rng, count, account.anchor_ms), strict=True):
        contact = rng.choice(draft.contacts) if draft.contacts and rng.random() < 0.97 else None
        own = make(draft, contact, created_ms)
        own["hubspot_owner_id"] = rng.choice(draft.owners) if draft.owners else None
        own["hs_engagement_source"] = "CRM_UI"
        records.append(
            Record(record_id, {k: v for k, v in own.items() if v is not None}, created_ms, updated_ms)
        )
        if contact and not (kind is CALL and rng.random() < UNASSOCIATED_CALLS):
            _associate(draft, kind, record_id, contact)
    account.stores[kind.type_id].load(records)


def _associate(draft: Draft, kind: ObjectType, record_id: int, contact: Record) -> None:
    graph, rng = draft.account.graph, draft.rng
    graph.link(kind.type_id, record_id, CONTACT.type_id, contact.id, ())
    if rng.random() < 0.6:
        for company_id in list(graph.targets(CONTACT.type_id, contact.id, COMPANY.type_id))[:1]:
            graph.link(kind.type_id, record_id, COMPANY.type_id, company_id, ())
    for deal_id in list(graph.targets(CONTACT.type_id, contact.id, DEAL.type_id))[:1]:
        graph.link(kind.type_id, record_id, DEAL.type_id, deal_id, ())


def _call(draft: Draft, contact: Record | None, at_ms: int) -> Properties:
    rng = draft.rng
    theirs = draft.phones.get(contact.id) if contact else None
    theirs = format_phone(rng, theirs or random_phone(rng, "1", "646"))
    if not any(character.isdigit() for character in theirs):
        theirs = random_phone(rng, "1", "646")
    outbound = rng.random() < 0.8
    return {
        "hs_timestamp": iso(at_ms),
        "hs_call_title": rng.choice(pools.CALL_TITLES),
        "hs_call_body": rng.choice(pools.CALL_BODIES) or None,
        "hs_call_direction": "OUTBOUND" if outbound else "INBOUND",
        "hs_call_duration": str(rng.choice((0, 4000, 31_000, 95_500, 301_000, 845_210, 2_400_000))),
        "hs_call_to_number": theirs if outbound else rng.choice(_OUR_LINES),
        "hs_call_from_number": rng.choice(_OUR_LINES) if outbound else theirs,
        "hs_call_status": rng.choice(("COMPLETED", "COMPLETED", "COMPLETED", "NO_ANSWER", "BUSY")),
        "hs_call_disposition": rng.choice(DISPOSITIONS)[0],
        "hs_call_source": "INTEGRATIONS_PLATFORM",
        "hs_call_has_transcript": "false",
    }


def _meeting(draft: Draft, contact: Record | None, at_ms: int) -> Properties:
    rng = draft.rng
    return {
        "hs_timestamp": iso(at_ms),
        "hs_meeting_title": rng.choice(pools.MEETING_TITLES),
        "hs_meeting_body": "<p>Agenda to follow.</p>",
        "hs_meeting_start_time": iso(at_ms),
        "hs_meeting_end_time": iso(at_ms + rng.choice((900_000, 1_800_000, 3_600_000))),
        "hs_meeting_location": rng.choice(
            ("Video call", f"Office of {contact.own['firstname']}" if contact else "", "Phone")
        )
        or None,
        "hs_meeting_outcome": rng.choice(("SCHEDULED", "COMPLETED", "NO_SHOW", "RESCHEDULED", "CANCELED")),
    }


def _email(draft: Draft, contact: Record | None, at_ms: int) -> Properties:
    rng = draft.rng
    text = rng.choice(pools.MESSAGES)
    return {
        "hs_timestamp": iso(at_ms),
        "hs_email_direction": rng.choice(("EMAIL", "INCOMING_EMAIL")),
        "hs_email_status": "SENT",
        "hs_email_subject": rng.choice(pools.SUBJECTS),
        "hs_email_text": text,
        "hs_email_html": f"<div><p>{text}</p></div>",
        "hs_email_to_email": contact.own.get("email") if contact else None,
        "hs_email_open_count": str(rng.randrange(0, 5)),
    }


def _note(draft: Draft, _contact: Record | None, at_ms: int) -> Properties:
    return {"hs_timestamp": iso(at_ms), "hs_note_body": draft.rng.choice(pools.NOTE_BODIES)}


def _task(draft: Draft, _contact: Record | None, at_ms: int) -> Properties:
    rng = draft.rng
    return {
        "hs_timestamp": iso(at_ms + rng.randrange(0, 10**9)),
        "hs_task_subject": rng.choice(pools.TASK_SUBJECTS),
        "hs_task_body": rng.choice(pools.NOTE_BODIES),
        "hs_task_status": rng.choice(("NOT_STARTED", "COMPLETED", "WAITING", "IN_PROGRESS")),
        "hs_task_priority": rng.choice(("LOW", "MEDIUM", "HIGH")),
        "hs_task_type": rng.choice(("EMAIL", "CALL", "TODO")),
    }
