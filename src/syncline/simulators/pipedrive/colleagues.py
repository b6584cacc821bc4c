"""People who work in the CRM while it is being synced: one plausible edit at a time. Knows no HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from syncline.simulators import pools
from syncline.simulators.names import address_part
from syncline.simulators.phones import format_phone, random_phone
from syncline.simulators.pipedrive.account import Account, Actor
from syncline.simulators.pipedrive.store import Record
from syncline.simulators.times import iso

Edit = Callable[[Account, random.Random], str | None]


def edit(account: Account, rng: random.Random) -> str:
    """Do one thing; return in words what it was. Falls back to a new person in an empty account."""
    chosen = rng.choices([what for what, _ in _EDITS], [weight for _, weight in _EDITS])[0]
    return chosen(account, rng) or _new_person(account, rng)


def _any(account: Account, name: str, rng: random.Random) -> Record | None:
    store = account.stores[name]
    ids = store.sections["living"].ids
    return store.records[rng.choice(ids)] if ids else None


def _actor(account: Account, rng: random.Random) -> Actor:
    return Actor(rng.choice([user.user_id for user in account.users if user.active]))


def _custom(account: Account, rng: random.Random, entity: str, name: str) -> dict[str, Any]:
    """Choose an option of a custom field; nothing where the account has no such field."""
    for code, each in account.fields[entity].custom.items():
        if each.name == name and each.options:
            return {"custom_fields": {code: rng.choice(each.options).option_id}}
    return {}


def _person_details(account: Account, rng: random.Random) -> str | None:
    record = _any(account, "persons", rng)
    if record is None:
        return None
    *_, code, area = rng.choice(pools.PLACES)
    phone = format_phone(rng, random_phone(rng, code, area))
    first = record.get("first_name") or record.get("name") or rng.choice(pools.FIRST_NAMES)
    changes: dict[str, Any] = rng.choice(
        (
            {"phones": [{"value": phone, "primary": True, "label": "mobile"}]},
            {"name": f"{first} {rng.choice(pools.LAST_NAMES)}"},
            {"owner_id": _actor(account, rng).user_id},
            {"label_ids": [rng.choice((1, 2, 3, 4))]},
            _custom(account, rng, "person", "Stage"),
            _custom(account, rng, "person", "Source"),
        )
    )
    account.update("persons", record.id, changes, by=_actor(account, rng))
    return f"person {record.id}: {', '.join(changes)} changed"


def _deal_move(account: Account, rng: random.Random) -> str | None:
    record = _any(account, "deals", rng)
    if record is None:
        return None
    stage = rng.choice([each for each in account.stages if not each.deleted])
    changes: dict[str, Any] = {"stage_id": stage.stage_id}
    if rng.random() < 0.4:
        changes["value"] = rng.randrange(500, 90_000)
    if rng.random() < 0.2:
        changes["status"] = rng.choice(("open", "won", "lost"))
    account.update("deals", record.id, changes, by=_actor(account, rng))
    return f"deal {record.id} moved to {stage.name}"


def _organization_details(account: Account, rng: random.Random) -> str | None:
    record = _any(account, "organizations", rng)
    if record is None:
        return None
    changes = {"employee_count": rng.randrange(1, 3000)}
    account.update("organizations", record.id, changes, by=_actor(account, rng))
    return f"organization {record.id}: employee_count changed"


def _new_activity(account: Account, rng: random.Random) -> str | None:
    person = _any(account, "persons", rng)
    if person is None:
        return None
    made = account.create(
        "activities",
        {
            "subject": rng.choice(pools.CALL_TITLES), "type": "call", "done": True,
            "due_date": iso(account.now_ms())[:10], "org_id": person.get("org_id"),
            "participants": [{"person_id": person.id, "primary": True}],
        },
        by=_actor(account, rng),
    )  # fmt: skip
    return f"activity {made.id} with person {person.id}"


def _new_note(account: Account, rng: random.Random) -> str | None:
    person = _any(account, "persons", rng)
    if person is None:
        return None
    values = {"content": rng.choice(pools.NOTE_BODIES), "person_id": person.id}
    made = account.create("notes", values, by=_actor(account, rng))
    return f"note {made.id} about person {person.id}"


def _new_person(account: Account, rng: random.Random) -> str:
    first, last = rng.choice(pools.FIRST_NAMES), rng.choice(pools.LAST_NAMES)
    *_, code, area = rng.choice(pools.PLACES)
    mailbox = f"{address_part(first)}.{address_part(last)}.{rng.getrandbits(32):08x}"
    organization = _any(account, "organizations", rng)
    made = account.create(
        "persons",
        {
            "name": f"{first} {last}",
            "emails": [{"value": f"{mailbox}@{rng.choice(pools.FREE_MAIL)}", "primary": True}],
            "phones": [{"value": random_phone(rng, code, area), "primary": True}],
            "org_id": organization.id if organization and rng.random() < 0.7 else None,
        },
        by=_actor(account, rng),
    )
    return f"person {made.id} created"


def _delete(account: Account, rng: random.Random) -> str | None:
    name = rng.choice(("persons", "notes", "deals", "activities"))
    record = _any(account, name, rng)
    if record is None:
        return None
    account.delete(name, record.id, by=_actor(account, rng))
    return f"{name} {record.id} deleted"


def _archive(account: Account, rng: random.Random) -> str | None:
    record = _any(account, "deals", rng)
    if record is None:
        return None
    account.archive("deals", record.id, by=_actor(account, rng))
    return f"deal {record.id} archived"


def _associate(account: Account, rng: random.Random) -> str | None:
    deal, person = _any(account, "deals", rng), _any(account, "persons", rng)
    if deal is None or person is None:
        return None
    account.update("deals", deal.id, {"person_id": person.id}, by=_actor(account, rng))
    return f"deal {deal.id} associated with person {person.id}"


def _merge(account: Account, rng: random.Random) -> str | None:
    first, second = _any(account, "persons", rng), _any(account, "persons", rng)
    if first is None or second is None or first.id == second.id:
        return None
    account.merge("persons", first.id, second.id, by=_actor(account, rng))
    return f"person {first.id} merged into {second.id}"


_EDITS: tuple[tuple[Edit, int], ...] = (
    (_person_details, 45),
    (_deal_move, 20),
    (_organization_details, 5),
    (_new_activity, 12),
    (_new_note, 4),
    (_new_person, 8),
    (_associate, 2),
    (_delete, 2),
    (_archive, 1),
    (_merge, 1),
)
