"""Fills a company with plausible, generated records, the same ones for the same seed. Knows no HTTP.

People, organisations and addresses are made up; domains end in `.example`, which nobody can own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from syncline.simulators import pools
from syncline.simulators.growth import Era, moments, record_ids
from syncline.simulators.names import address_part
from syncline.simulators.phones import format_phone, random_phone
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.company import User
from syncline.simulators.pipedrive.kinds import ADDRESS_PARTS, ORGANIZATION, PERSON, Kind
from syncline.simulators.pipedrive.store import Record, Values
from syncline.simulators.times import DAY_MS, iso

#: (entity, name, type, options): named as a person would name them, two of them alike.
CUSTOM_FIELDS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("person", "Stage", "enum", ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead",
                                 "opportunity", "customer")),
    ("person", "Source", "enum", ("Website", "Referral", "Event", "Cold call", "Import")),
    ("person", "Job title", "varchar", ()),
    ("person", "Interests", "set", ("Pricing", "Training", "Support", "Partnership")),
    ("person", "Last survey", "date", ()),
    ("person", "Score", "double", ()),
    ("organization", "Domain", "varchar", ()),
    ("organization", "Industry", "enum", ("Construction", "Software", "Health care", "Logistics", "Energy")),
    ("organization", "Revenue", "monetary", ()),
    ("organization", "Employees", "double", ()),
    ("organization", "Billing address", "address", ()),
    ("organization", "Main phone", "phone", ()),
    ("deal", "Source", "enum", ("Website", "Referral", "Event", "SAM.gov")),
    ("deal", "SAM notice id", "varchar", ()),
    ("deal", "Scope of work", "text", ()),
    ("deal", "Reference", "varchar_auto", ()),
    ("deal", "Win chance", "double", ()),
    ("deal", "Budget", "monetary", ()),
    ("deal", "Tags", "set", ("Urgent", "Set-aside", "Recompete", "Subcontract")),
    ("deal", "Engineer", "user", ()),
    ("deal", "Partner organization", "org", ()),
    ("deal", "Decision maker", "people", ()),
    ("deal", "Site phone", "phone", ()),
    ("deal", "Call at", "time", ()),
    ("deal", "Site hours", "timerange", ()),
    ("deal", "Kick-off", "date", ()),
    ("deal", "Period of performance", "daterange", ()),
    ("deal", "Site address", "address", ()),
    ("deal", "Notes", "varchar", ()),
    ("deal", "Notes", "varchar", ()),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of each kind. Associations follow from them."""

    #: Persons, that is.
    contacts: int = 20_000
    organizations: int = 5000
    deals: int = 5000
    archived_deals: int = 100
    deleted_deals: int = 30
    activities: int = 5000
    notes: int = 1500
    leads: int = 400
    archived_leads: int = 30
    users: int = 12
    inactive_users: int = 2
    deleted_persons: int = 25


@dataclass(slots=True)
class Draft:
    """What later steps of filling need of earlier ones."""

    account: Account
    rng: random.Random
    owners: list[int] = field(default_factory=list[int])
    #: Entity → name of a custom field → its code; the first of those with one name.
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    organizations: list[Record] = field(default_factory=list[Record])
    persons: list[Record] = field(default_factory=list[Record])
    deals: list[Record] = field(default_factory=list[Record])

    def option(self, entity: str, name: str) -> int:
        """Choose an option of a custom field."""
        options = self.account.fields[entity].fields[self.codes[entity][name]].options or []
        return self.rng.choice(options).option_id

    def custom(self, entity: str, values: dict[str, Any]) -> Values:
        """Return values by name as values by code, without those that are None."""
        codes = self.codes[entity]
        return {codes[name]: value for name, value in values.items() if value is not None}


def start(account: Account, counts: Counts) -> Draft:
    """Make custom fields, users, organizations and persons."""
    draft = Draft(account, random.Random(f"population {account.seed}"))
    for entity, name, kind, labels in CUSTOM_FIELDS:
        made = account.fields[entity].add(name, kind, labels or None)
        draft.codes.setdefault(entity, {}).setdefault(name, made.code)
    _load_users(draft, counts)
    _load_organizations(draft, counts.organizations)
    _load_persons(draft, counts.contacts, counts.deleted_persons)
    return draft


def _load_users(draft: Draft, counts: Counts) -> None:
    rng, account = draft.rng, draft.account
    for position in range(1, counts.users + counts.inactive_users):
        first, last = rng.choice(pools.FIRST_NAMES), rng.choice(pools.LAST_NAMES)
        born = account.anchor_ms - rng.randrange(400 * DAY_MS, 1500 * DAY_MS)
        changed = born + rng.randrange(DAY_MS, 300 * DAY_MS)
        account.users.append(
            User(
                12_415_231 + position * 10_007 + rng.randrange(9000), f"{first} {last}",
                f"{address_part(first)}.{address_part(last)}{position}@syncline.example",
                plain(born), plain(changed), active=position < counts.users,
            )
        )  # fmt: skip
    draft.owners = [user.user_id for user in account.users if user.active]


def plain(ms: int) -> str:
    """Write a moment as v1 does."""
    return iso(ms // 1000 * 1000)[:19].replace("T", " ")


def drafts(draft: Draft, kind: Kind, count: int) -> list[tuple[int, int, int | None]]:
    """Return (id, added, updated) for new records; some have never been updated."""
    account, rng = draft.account, draft.rng
    first = account.stores[kind.name].last_id + 1
    ids = record_ids(rng, count, (Era(first, 4, 1.0),))
    found: list[tuple[int, int, int | None]] = []
    for record_id, (added, updated) in zip(ids, moments(rng, count, account.anchor_ms), strict=True):
        whole = 1 if kind.fine_times else 1000
        is_new = not kind.fine_times and rng.random() < 0.01
        found.append((record_id, added // whole * whole, None if is_new else updated // whole * whole))
    return found


def whole(kind: Kind, values: Values) -> Values:
    """Return values with what the kind has besides."""
    return kind.blank() | values


def address(rng: random.Random) -> Values:
    city, state, code, country, *_ = rng.choices(pools.PLACES, pools.PLACE_WEIGHTS)[0]
    number, street = str(rng.randrange(1, 999)), rng.choice(pools.STREETS)
    found: Values = dict.fromkeys(ADDRESS_PARTS)
    return found | {
        "value": f"{number} {street}, {city}", "country": country, "admin_area_level_1": state or None,
        "locality": city, "route": street, "street_number": number, "postal_code": code,
    }  # fmt: skip


def _load_organizations(draft: Draft, count: int) -> None:
    rng = draft.rng
    for record_id, added, updated in drafts(draft, ORGANIZATION, count):
        head, middle = rng.choice(pools.COMPANY_HEADS), rng.choice(pools.COMPANY_MIDDLES)
        domain = f"{head}-{middle}-{record_id % 9973}.example".lower()
        employees = rng.choice((3, 8, 20, 45, 120, 400, 2500))
        values = whole(ORGANIZATION, {
            "name": f"{head} {middle} {rng.choice(pools.COMPANY_TAILS)}",
            "owner_id": rng.choice(draft.owners),
            "address": address(rng) if rng.random() < 0.8 else None,
            "website": f"https://www.{domain}" if rng.random() < 0.8 else None,
            "industry": rng.choice((None, 5, 6, 7, 8)),
            "annual_revenue": rng.choice((None, 250_000, 1_200_000, 120_000_000)),
            "employee_count": rng.choice((None, employees)),
            "label_ids": rng.choice(([], [1], [2, 3])),
        })  # fmt: skip
        custom = draft.custom("organization", {
            "Domain": domain,
            "Industry": draft.option("organization", "Industry") if rng.random() < 0.7 else None,
            "Revenue": rng.choice((None, {"value": 1_250_000.5, "currency": "USD"})),
            "Employees": rng.choice((None, employees)),
            "Billing address": address(rng) if rng.random() < 0.2 else None,
            "Main phone": random_phone(rng, "1", "212") if rng.random() < 0.4 else None,
        })  # fmt: skip
        draft.organizations.append(Record(record_id, values, custom, added, updated))
    draft.account.stores["organizations"].load(draft.organizations)


def _load_persons(draft: Draft, count: int, deleted: int) -> None:
    rng, account = draft.rng, draft.account
    for place, (record_id, added, updated) in enumerate(drafts(draft, PERSON, count + deleted)):
        organization = rng.choice(draft.organizations) if draft.organizations and rng.random() < 0.8 else None
        values, custom = _person(draft, record_id, organization)
        record = Record(record_id, values, custom, added, updated)
        if place >= count:
            record.deleted_ms = record.update_ms = account.anchor_ms - rng.randrange(1, 50) * DAY_MS
        draft.persons.append(record)
    account.stores["persons"].load(draft.persons)
    draft.persons = draft.persons[:count]


def _person(draft: Draft, record_id: int, organization: Record | None) -> tuple[Values, Values]:
    rng = draft.rng
    first, last = rng.choice(pools.FIRST_NAMES), rng.choice(pools.LAST_NAMES)
    domain = rng.choice(pools.FREE_MAIL)
    if organization is not None and rng.random() < 0.8:
        domain = organization.custom[draft.codes["organization"]["Domain"]]
    email = f"{address_part(first)}.{address_part(last)}{record_id % 1_000_003}@{domain}"
    *_, code, area = rng.choices(pools.PLACES, pools.PLACE_WEIGHTS)[0]
    emails = [{"value": email, "primary": True, "label": "work"}] if rng.random() < 0.97 else []
    if emails and rng.random() < 0.1:
        private = f"{address_part(first)}.{record_id}@{rng.choice(pools.FREE_MAIL)}"
        emails.append({"value": private, "primary": False, "label": "home"})
    phone = format_phone(rng, random_phone(rng, code, area))
    is_single = rng.random() < 0.02
    values = whole(PERSON, {
        "name": first if is_single else f"{first} {last}",
        "first_name": first,
        "last_name": None if is_single else last,
        "owner_id": rng.choice(draft.owners),
        "org_id": organization.id if organization else None,
        "emails": emails,
        "phones": [{"value": phone, "primary": True, "label": "work"}] if rng.random() < 0.9 else [],
        "label_ids": rng.choice(([], [], [1], [3, 4])),
    })  # fmt: skip
    custom = draft.custom("person", {
        "Stage": draft.option("person", "Stage") if rng.random() < 0.9 else None,
        "Source": draft.option("person", "Source") if rng.random() < 0.6 else None,
        "Job title": rng.choice(pools.JOB_TITLES) if rng.random() < 0.7 else None,
        "Interests": sorted({draft.option("person", "Interests") for _ in range(rng.randrange(1, 4))})
        if rng.random() < 0.3 else None,
        "Last survey": iso(draft.account.anchor_ms - rng.randrange(400) * DAY_MS)[:10]
        if rng.random() < 0.2 else None,
        "Score": round(rng.random() * 100, 1) if rng.random() < 0.3 else None,
    })  # fmt: skip
    return values, custom
