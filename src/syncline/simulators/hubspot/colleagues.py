"""People who work in the CRM while it is being synced: one plausible edit at a time. Knows no HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable

from syncline.simulators import pools
from syncline.simulators.hubspot.account import COLLEAGUE, Account
from syncline.simulators.hubspot.catalogue import DISPOSITIONS, LEAD_STATUS, LIFECYCLE
from syncline.simulators.hubspot.objects import CALL, COMPANY, CONTACT, DEAL, NOTE
from syncline.simulators.hubspot.store import Record
from syncline.simulators.hubspot.values import iso
from syncline.simulators.names import address_part
from syncline.simulators.phones import format_phone, random_phone

Edit = Callable[[Account, random.Random], str | None]


def edit(account: Account, rng: random.Random) -> str:
    """Do one thing; return in words what it was. Falls back to a new contact in an empty account."""
    chosen = rng.choices([what for what, _ in _EDITS], [weight for _, weight in _EDITS])[0]
    return chosen(account, rng) or _new_contact(account, rng)


def _any(account: Account, type_id: str, rng: random.Random) -> Record | None:
    store = account.stores[type_id]
    return store.records[rng.choice(store.living)] if store.living else None


def _owner(account: Account, rng: random.Random) -> str | None:
    active = [str(owner.owner_id) for owner in account.owners if not owner.archived]
    return rng.choice(active) if active else None


def _contact_details(account: Account, rng: random.Random) -> str | None:
    record = _any(account, CONTACT.type_id, rng)
    if record is None:
        return None
    city, state, zip_code, country, code, area = rng.choice(pools.PLACES)
    changes = rng.choice(
        (
            {"jobtitle": rng.choice(pools.JOB_TITLES)},
            {"phone": format_phone(rng, random_phone(rng, code, area))},
            {"hs_lead_status": rng.choice(LEAD_STATUS)},
            {"lifecyclestage": rng.choice(LIFECYCLE)},
            {"city": city, "state": state or None, "zip": zip_code, "country": country},
            {"hubspot_owner_id": _owner(account, rng)},
            {"vsl_watched": rng.choice(("true", "false"))},
            {"lastname": rng.choice(pools.LAST_NAMES)},
        )
    )
    account.update("contacts", record.id, changes)
    return f"contact {record.id}: {', '.join(changes)} changed"


def _deal_move(account: Account, rng: random.Random) -> str | None:
    record = _any(account, DEAL.type_id, rng)
    if record is None:
        return None
    pipelines = account.pipelines[DEAL.type_id]
    pipeline = next((p for p in pipelines if p.pipeline_id == record.get("pipeline")), pipelines[0])
    stage = rng.choice(pipeline.stages)
    changes = {"pipeline": pipeline.pipeline_id, "dealstage": stage.stage_id}
    if stage.metadata.get("isClosed") == "true":
        changes["closedate"] = iso(account.now_ms())
    elif rng.random() < 0.4:
        changes["amount"] = str(rng.randrange(500, 90_000))
    account.update("deals", record.id, changes)
    return f"deal {record.id} moved to {stage.label}"


def _company_details(account: Account, rng: random.Random) -> str | None:
    record = _any(account, COMPANY.type_id, rng)
    if record is None:
        return None
    account.update("companies", record.id, {"numberofemployees": str(rng.randrange(1, 3000))})
    return f"company {record.id}: numberofemployees changed"


def _new_call(account: Account, rng: random.Random) -> str | None:
    contact = _any(account, CONTACT.type_id, rng)
    if contact is None:
        return None
    phone = str(contact.get("hs_calculated_phone_number") or contact.get("phone") or "")
    made = account.create(
        "calls",
        {
            "hs_timestamp": iso(account.now_ms()),
            "hs_call_title": rng.choice(pools.CALL_TITLES),
            "hs_call_direction": "OUTBOUND",
            "hs_call_duration": str(rng.randrange(0, 1_800_000)),
            "hs_call_to_number": format_phone(rng, phone) if phone.startswith("+") else phone or None,
            "hs_call_from_number": "+17372040100",
            "hs_call_status": "COMPLETED",
            "hs_call_disposition": rng.choice(DISPOSITIONS)[0],
            "hubspot_owner_id": _owner(account, rng),
        },
    )
    if rng.random() < 0.5:
        account.associate(CALL.name, made.id, CONTACT.name, contact.id)
    return f"call {made.id} with contact {contact.id}"


def _new_note(account: Account, rng: random.Random) -> str | None:
    contact = _any(account, CONTACT.type_id, rng)
    if contact is None:
        return None
    made = account.create(
        "notes", {"hs_timestamp": iso(account.now_ms()), "hs_note_body": rng.choice(pools.NOTE_BODIES)}
    )
    account.associate(NOTE.name, made.id, CONTACT.name, contact.id)
    return f"note {made.id} about contact {contact.id}"


def _new_contact(account: Account, rng: random.Random) -> str:
    first, last = rng.choice(pools.FIRST_NAMES), rng.choice(pools.LAST_NAMES)
    *_, code, area = rng.choice(pools.PLACES)
    address = (
        f"{address_part(first)}.{address_part(last)}.{rng.getrandbits(32):08x}@{rng.choice(pools.FREE_MAIL)}"
    )
    made = account.create(
        "contacts",
        {
            "email": address,
            "firstname": first,
            "lastname": last,
            "phone": random_phone(rng, code, area),
            "hubspot_owner_id": _owner(account, rng),
        },
        source=("FORM", "website"),
    )
    company = _any(account, COMPANY.type_id, rng)
    if company and rng.random() < 0.7:
        account.associate(CONTACT.name, made.id, COMPANY.name, company.id)
    return f"contact {made.id} created"


def _archive(account: Account, rng: random.Random) -> str | None:
    name, type_id = rng.choice(
        (("contacts", CONTACT.type_id), ("notes", NOTE.type_id), ("deals", DEAL.type_id))
    )
    record = _any(account, type_id, rng)
    if record is None:
        return None
    account.archive(name, record.id, source=COLLEAGUE)
    return f"{name} {record.id} archived"


def _associate(account: Account, rng: random.Random) -> str | None:
    deal, contact = _any(account, DEAL.type_id, rng), _any(account, CONTACT.type_id, rng)
    if deal is None or contact is None:
        return None
    account.associate(DEAL.name, deal.id, CONTACT.name, contact.id)
    return f"deal {deal.id} associated with contact {contact.id}"


def _merge(account: Account, rng: random.Random) -> str | None:
    first, second = _any(account, CONTACT.type_id, rng), _any(account, CONTACT.type_id, rng)
    if first is None or second is None or first.id == second.id:
        return None
    survivor = account.merge("contacts", first.id, second.id)
    return f"contacts {first.id} and {second.id} merged into {survivor.id}"


_EDITS: tuple[tuple[Edit, int], ...] = (
    (_contact_details, 45),
    (_deal_move, 20),
    (_company_details, 5),
    (_new_call, 12),
    (_new_note, 5),
    (_new_contact, 8),
    (_associate, 2),
    (_archive, 2),
    (_merge, 1),
)
