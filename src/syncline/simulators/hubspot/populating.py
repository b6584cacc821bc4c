"""Fills an empty account in the right order, cars and recycle bin included. Knows no HTTP."""

from __future__ import annotations

from syncline.simulators import pools
from syncline.simulators.growth import Era, moments, record_ids
from syncline.simulators.hubspot.account import Account
from syncline.simulators.hubspot.activities import load_activities
from syncline.simulators.hubspot.deals import load_deals
from syncline.simulators.hubspot.objects import CONTACT
from syncline.simulators.hubspot.population import Counts, Draft, start
from syncline.simulators.hubspot.store import Record
from syncline.simulators.hubspot.values import DAY_MS, iso


def populate(account: Account, counts: Counts) -> None:
    """Fill an empty account. The counts are of living records; archived ones come on top."""
    draft = start(account, counts)
    load_deals(draft, counts.deals)
    load_activities(draft, counts)
    _load_cars(draft, counts.cars)
    _load_recycle_bin(draft, counts.archived_contacts)


def _load_cars(draft: Draft, count: int) -> None:
    rng, account = draft.rng, draft.account
    kind = account.cars
    ids = record_ids(rng, count, (Era(3_000_000_000, 900_000, 1.0),))
    records: list[Record] = []
    for record_id, (created_ms, updated_ms) in zip(ids, moments(rng, count, account.anchor_ms), strict=True):
        make, model = rng.choice(pools.CAR_MAKES)
        own = {
            "make": make,
            "model": model,
            "year": str(rng.randrange(2008, 2026)),
            "vin": f"SIM{rng.getrandbits(56):014X}",
            "mileage": str(rng.randrange(0, 200_000)),
            "price": f"{rng.randrange(2000, 60_000)}.50",
            "fuel": rng.choice(("petrol", "diesel", "hybrid", "electric")),
            "registered_on": iso(created_ms - rng.randrange(1000) * DAY_MS)[:10],
            "electric": rng.choice(("true", "false")),
        }
        records.append(Record(record_id, own, created_ms, updated_ms))
        if draft.contacts:
            account.graph.link(kind.type_id, record_id, CONTACT.type_id, rng.choice(draft.contacts).id, ())
    account.stores[kind.type_id].load(records)


def _load_recycle_bin(draft: Draft, count: int) -> None:
    """Add contacts that were archived before anybody synced."""
    rng, account = draft.rng, draft.account
    store = account.stores[CONTACT.type_id]
    for number in range(count if draft.contacts else 0):
        like = rng.choice(draft.contacts)
        record_id = account.new_id(store)
        store.last_id = record_id
        own = {**like.own, "email": f"gone.{number}.{record_id}@{rng.choice(pools.FREE_MAIL)}"}
        archived_ms = account.anchor_ms - rng.randrange(1, 80) * DAY_MS
        store.put(
            Record(
                record_id, own, like.created_ms, like.updated_ms, shared=like.shared, archived_ms=archived_ms
            )
        )
