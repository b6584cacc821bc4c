"""Fills a company with what its people do: deals, activities, notes and leads. Knows no HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from syncline.simulators import pools
from syncline.simulators.phones import random_phone
from syncline.simulators.pipedrive.account import Actor, Change
from syncline.simulators.pipedrive.kinds import ACTIVITY, DEAL, LEAD, NOTE
from syncline.simulators.pipedrive.population import Counts, Draft, address, drafts, whole
from syncline.simulators.pipedrive.store import Record, Values
from syncline.simulators.times import DAY_MS, iso

_LOST = ("Too expensive", "No budget", "Chose a competitor", None)


def load_deals(draft: Draft, counts: Counts) -> None:
    rng, account = draft.rng, draft.account
    total = counts.deals + counts.archived_deals + counts.deleted_deals
    found: list[Record] = []
    for place, (record_id, added, updated) in enumerate(drafts(draft, DEAL, total)):
        values = _deal(draft, added, updated or added)
        record = Record(record_id, values, _deal_custom(draft), added, updated)
        if place >= counts.deals + counts.archived_deals:
            record.deleted_ms = record.update_ms = account.anchor_ms - rng.randrange(1, 28) * DAY_MS
        elif place >= counts.deals:
            values |= {"is_archived": True, "archive_time": iso(updated or added)}
        found.append(record)
        _remember_stages(draft, record)
    account.stores["deals"].load(found)
    draft.deals = found[: counts.deals]


def _deal(draft: Draft, added: int, updated: int) -> Values:
    rng = draft.rng
    person = rng.choice(draft.persons) if draft.persons and rng.random() < 0.9 else None
    organization_id = person.get("org_id") if person else None
    if organization_id is None and draft.organizations and rng.random() < 0.5:
        organization_id = rng.choice(draft.organizations).id
    stage = rng.choice(draft.account.stages)
    status = rng.choices(("open", "won", "lost"), (6, 2, 2))[0]
    closed = iso(updated) if status != "open" else None
    subject = rng.choice(pools.CAMPAIGNS)
    return whole(DEAL, {
        "title": f"{rng.choice(pools.COMPANY_HEADS)} {subject} deal",
        "creator_user_id": rng.choice(draft.owners),
        "owner_id": rng.choice(draft.owners),
        "value": rng.choice((0, 1500, 4999.99, 25_000, 180_000)),
        "currency": rng.choices(("USD", "EUR", "GBP"), (8, 1, 1))[0],
        "person_id": person.id if person else None,
        "org_id": organization_id,
        "stage_id": stage.stage_id,
        "pipeline_id": stage.pipeline_id,
        "stage_change_time": iso(added + (updated - added) // 2000 * 1000),
        "status": status,
        "probability": rng.choice((None, None, stage.probability)),
        "lost_reason": rng.choice(_LOST) if status == "lost" else None,
        "close_time": closed,
        "won_time": closed if status == "won" else None,
        "lost_time": closed if status == "lost" else None,
        "local_won_date": closed[:10] if closed and status == "won" else None,
        "local_lost_date": closed[:10] if closed and status == "lost" else None,
        "local_close_date": closed[:10] if closed else None,
        "expected_close_date": iso(added + rng.randrange(200) * DAY_MS)[:10] if rng.random() < 0.7 else None,
        "label_ids": rng.choice(([], [], [1], [2, 3])),
    })  # fmt: skip


def _deal_custom(draft: Draft) -> Values:
    rng, choice, chance = draft.rng, draft.rng.choice, draft.rng.random
    if chance() < 0.3:
        return {}
    day = iso(draft.account.anchor_ms - rng.randrange(300) * DAY_MS)[:10]
    zone = {"timezone_id": 310, "timezone_name": "America/New_York"}
    every: dict[str, Any] = {
        "Source": draft.option("deal", "Source"),
        "SAM notice id": f"{rng.getrandbits(128):032x}",
        "Scope of work": f"{choice(pools.MESSAGES)}\n" * rng.randrange(1, 5),
        "Reference": f"R-{rng.randrange(10**6)}",
        "Win chance": round(chance() * 100, 2),
        "Budget": {"value": choice((5000, 75_000.5)), "currency": "USD"},
        "Tags": sorted({draft.option("deal", "Tags") for _ in range(2)}),
        "Engineer": choice(draft.owners),
        "Partner organization": choice(draft.organizations).id if draft.organizations else None,
        "Decision maker": choice(draft.persons).id if draft.persons else None,
        "Site phone": random_phone(rng, "1", "512"),
        "Call at": {"value": "14:30:00", **zone},
        "Site hours": {"value": "08:00:00", "until": "17:00:00", **zone},
        "Kick-off": day,
        "Period of performance": {"value": day, "until": iso(draft.account.anchor_ms)[:10]},
        "Site address": address(rng),
    }
    return draft.custom("deal", {name: value for name, value in every.items() if chance() < 0.35})


def _remember_stages(draft: Draft, record: Record) -> None:
    """Give a deal a past in its pipeline."""
    rng, stage_id = draft.rng, record.get("stage_id")
    before = [s for s in draft.account.stages
              if s.pipeline_id == record.get("pipeline_id") and s.stage_id < stage_id]  # fmt: skip
    if not before or rng.random() < 0.5:
        return
    actor = Actor(record.get("owner_id"))
    end = record.update_ms or record.add_ms
    middle = record.add_ms + (end - record.add_ms) // 2000 * 1000
    change = Change(middle, "stage_id", before[-1].stage_id, stage_id, actor)
    draft.account.history[("deals", record.id)] = [change]


def _linked(draft: Draft) -> Values:
    """Choose whom something is about."""
    rng = draft.rng
    if draft.deals and rng.random() < 0.5:
        deal = rng.choice(draft.deals)
        return {"deal_id": deal.id, "person_id": deal.get("person_id"), "org_id": deal.get("org_id")}
    if not draft.persons:
        return {}
    person = rng.choice(draft.persons)
    return {"person_id": person.id, "org_id": person.get("org_id")}


def load_activities(draft: Draft, count: int) -> None:
    rng, account = draft.rng, draft.account
    words: dict[str, Sequence[str]] = {
        "call": pools.CALL_TITLES, "meeting": pools.MEETING_TITLES, "email": pools.SUBJECTS,
        "task": pools.TASK_SUBJECTS,
    }  # fmt: skip
    found: list[Record] = []
    for record_id, added, updated in drafts(draft, ACTIVITY, count):
        links = _linked(draft)
        kind, done = rng.choice(tuple(words)), rng.random() < 0.7
        person_id = links.get("person_id")
        values = whole(ACTIVITY, {
            **links,
            "subject": rng.choice(words[kind]),
            "type": kind,
            "owner_id": rng.choice(draft.owners),
            "creator_user_id": rng.choice(draft.owners),
            "due_date": iso(added + rng.randrange(20) * DAY_MS)[:10],
            "due_time": rng.choice((None, "09:30:00", "15:00:00")),
            "duration": rng.choice((None, "00:30:00", "01:00:00")),
            "done": done,
            "busy": kind == "meeting",
            "marked_as_done_time": iso(updated or added) if done else None,
            "participants": [{"person_id": person_id, "primary": True}] if person_id else [],
            "note": rng.choice((None, *pools.NOTE_BODIES)),
            "public_description": rng.choice((None, "Agenda follows.")),
            "location": address(rng) if kind == "meeting" and rng.random() < 0.5 else None,
        })  # fmt: skip
        found.append(Record(record_id, values, {}, added, updated))
    account.stores["activities"].load(found)


def load_notes(draft: Draft, count: int) -> None:
    rng = draft.rng
    found: list[Record] = []
    for record_id, added, updated in drafts(draft, NOTE, count):
        author = rng.choice(draft.owners)
        values = whole(NOTE, {
            **_linked(draft), "content": rng.choice(pools.NOTE_BODIES), "user_id": author,
            "last_update_user_id": author,
        })  # fmt: skip
        found.append(Record(record_id, values, {}, added, updated))
    draft.account.stores["notes"].load(found)


def load_leads(draft: Draft, counts: Counts) -> None:
    rng, account = draft.rng, draft.account
    if not draft.persons:
        return
    found: list[Record] = []
    total = counts.leads + counts.archived_leads
    for place, (record_id, added, updated) in enumerate(drafts(draft, LEAD, total)):
        person = rng.choice(draft.persons)
        owner = rng.choice(draft.owners)
        values = whole(LEAD, {
            "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=1)),
            "title": f"{person.get('name')} lead",
            "owner_id": owner,
            "creator_id": owner,
            "person_id": person.id,
            "organization_id": person.get("org_id"),
            "label_ids": [rng.choice(account.lead_labels)] if rng.random() < 0.5 else [],
            "value": rng.choice((None, {"amount": 999, "currency": "USD"})),
            "is_archived": place >= counts.leads,
            "was_seen": rng.random() < 0.7,
        })  # fmt: skip
        custom = (
            draft.custom("deal", {"Source": draft.option("deal", "Source")}) if rng.random() < 0.4 else {}
        )
        found.append(Record(record_id, values, custom, added, updated))
    account.stores["leads"].load(found)
