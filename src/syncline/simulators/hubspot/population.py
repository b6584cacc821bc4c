"""Fills an account with plausible, generated records, the same ones for the same seed. Knows no HTTP.

People, companies and addresses are made up; domains end in `.example`, which nobody can own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from syncline.simulators import pools
from syncline.simulators.growth import Era, moments, record_ids
from syncline.simulators.hubspot.account import Account
from syncline.simulators.hubspot.catalogue import INDUSTRIES, LEAD_SOURCES, LEAD_STATUS, LIFECYCLE
from syncline.simulators.hubspot.objects import COMPANY, CONTACT
from syncline.simulators.hubspot.pipelines import Owner
from syncline.simulators.hubspot.profiles import contact_profiles
from syncline.simulators.hubspot.store import Properties, Record
from syncline.simulators.hubspot.values import DAY_MS, iso
from syncline.simulators.names import address_part
from syncline.simulators.phones import format_phone, random_phone

_PROFILES = 512


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of each kind. Associations follow from them."""

    contacts: int = 29_000
    companies: int = 1000
    deals: int = 1000
    calls: int = 2000
    meetings: int = 500
    emails: int = 1500
    notes: int = 1000
    tasks: int = 600
    owners: int = 24
    archived_owners: int = 4
    cars: int = 40
    archived_contacts: int = 25


@dataclass(slots=True)
class Draft:
    """What later steps of filling need of earlier ones."""

    account: Account
    rng: random.Random
    owners: list[str] = field(default_factory=list[str])
    companies: list[Record] = field(default_factory=list[Record])
    contacts: list[Record] = field(default_factory=list[Record])
    #: Contact id → phone in E.164, where there is one.
    phones: dict[int, str] = field(default_factory=dict[int, str])
    deals: list[Record] = field(default_factory=list[Record])
    #: Deal id → id of its first contact.
    deal_contacts: dict[int, int] = field(default_factory=dict[int, int])


def start(account: Account, counts: Counts) -> Draft:
    """Make owners, companies and contacts, with the contacts' companies."""
    draft = Draft(account, random.Random(f"population {account.seed}"))
    _load_owners(draft, counts)
    _load_companies(draft, counts.companies)
    _load_contacts(draft, counts.contacts)
    return draft


def _load_owners(draft: Draft, counts: Counts) -> None:
    rng, account = draft.rng, draft.account
    for position in range(counts.owners + counts.archived_owners):
        first, last = rng.choice(pools.FIRST_NAMES), rng.choice(pools.LAST_NAMES)
        owner_id = 70_000_000 + position * 1_234_567 + rng.randrange(1_000_000)
        born = account.anchor_ms - rng.randrange(400 * DAY_MS, 1500 * DAY_MS)
        account.owners.append(
            Owner(
                owner_id, f"{address_part(first)}.{address_part(last)}{position}@syncline.example",
                first, last,
                iso(born), iso(born + rng.randrange(DAY_MS, 300 * DAY_MS)), owner_id - 5_000_000,
                rng.choice(pools.TEAMS), archived=position >= counts.owners,
            )
        )  # fmt: skip
    draft.owners = [str(owner.owner_id) for owner in account.owners]


def _load_companies(draft: Draft, count: int) -> None:
    rng = draft.rng
    ids = record_ids(rng, count, (Era(51, 20_000, 0.2), Era(9_000_000_000, 4_000_000, 0.8)))
    for record_id, (created_ms, updated_ms) in zip(
        ids, moments(rng, count, draft.account.anchor_ms), strict=True
    ):
        own = _company(rng, record_id)
        own["hubspot_owner_id"] = rng.choice(draft.owners) if draft.owners and rng.random() < 0.9 else None
        draft.companies.append(Record(record_id, _set_only(own), created_ms, updated_ms))
    draft.account.stores[COMPANY.type_id].load(draft.companies)


def _company(rng: random.Random, record_id: int) -> Properties:
    words = (rng.choice(pools.COMPANY_HEADS), rng.choice(pools.COMPANY_MIDDLES))
    name = f"{words[0]} {words[1]} {rng.choice(pools.COMPANY_TAILS)}"
    domain = f"{words[0]}-{words[1]}-{record_id % 9973}.example".lower()
    city, state, zip_code, country, code, area = rng.choices(pools.PLACES, pools.PLACE_WEIGHTS)[0]
    return {
        "name": name,
        "domain": domain,
        "website": f"https://www.{domain}",
        "industry": rng.choice(INDUSTRIES),
        "numberofemployees": str(rng.choice((3, 8, 20, 45, 120, 400, 2500))),
        "annualrevenue": rng.choice((None, "250000", "1200000", "7500000.75", "120000000")),
        "phone": format_phone(rng, random_phone(rng, code, area)),
        "address": f"{rng.randrange(1, 999)} {rng.choice(pools.STREETS)}",
        "city": city,
        "state": state or None,
        "zip": zip_code,
        "country": country,
        "lifecyclestage": rng.choice(LIFECYCLE),
        "hs_lead_status": rng.choice((*LEAD_STATUS, None, None)),
        "type": rng.choice(("PROSPECT", "PARTNER", "VENDOR", None)),
        "description": rng.choice((None, f"{name} works in {city}.")),
        "founded_year": rng.choice((None, str(rng.randrange(1950, 2024)))),
        "timezone": "America/New_York",
        "is_public": rng.choice(("true", "false")),
        "hs_object_source": "IMPORT",
        "num_notes": str(rng.randrange(0, 30)),
        "hs_analytics_source": "OFFLINE",
        "hs_target_account": rng.choice(("true", "false", None)),
    }


def _load_contacts(draft: Draft, count: int) -> None:
    rng, account = draft.rng, draft.account
    profiles = contact_profiles(rng, account.anchor_ms, _PROFILES)
    ids = record_ids(
        rng, count, (Era(51, 60, 0.1), Era(12_000_000, 2000, 0.4), Era(75_000_000_000, 3_000_000, 0.5))
    )
    graph = account.graph
    there = tuple(graph.types(CONTACT.type_id, COMPANY.type_id).values())
    back = tuple(graph.types(COMPANY.type_id, CONTACT.type_id)[kind.inverse] for kind in there)
    plain, plain_back = there[:1], back[:1]
    for record_id, (created_ms, updated_ms) in zip(ids, moments(rng, count, account.anchor_ms), strict=True):
        companies = _companies_of(draft)
        own = _contact(draft, record_id, created_ms, updated_ms, companies[0] if companies else None)
        draft.contacts.append(Record(record_id, own, created_ms, updated_ms, shared=rng.choice(profiles)))
        for position, company in enumerate(companies):
            types = (there, back) if position == 0 else (plain, plain_back)
            graph.load(CONTACT.type_id, record_id, COMPANY.type_id, company.id, *types)
    account.stores[CONTACT.type_id].load(draft.contacts)


def _companies_of(draft: Draft) -> list[Record]:
    """Choose a contact's companies, the primary one first: mostly one."""
    chance = draft.rng.random()
    if not draft.companies or chance < 0.15:
        return []
    first = draft.rng.choice(draft.companies)
    other = draft.rng.choice(draft.companies)
    return [first, other] if chance > 0.97 and other is not first else [first]


def _contact(
    draft: Draft, record_id: int, created_ms: int, updated_ms: int, company: Record | None
) -> Properties:
    rng = draft.rng
    choice, chance = rng.choice, rng.random
    first, last = choice(pools.FIRST_NAMES), choice(pools.LAST_NAMES)
    city, state, zip_code, country, code, area = rng.choices(pools.PLACES, pools.PLACE_WEIGHTS)[0]
    domain = company.own["domain"] if company and chance() < 0.8 else choice(pools.FREE_MAIL)
    email = f"{address_part(first)}.{address_part(last)}{record_id % 1_000_003}@{domain}"
    e164 = random_phone(rng, code, area)
    phone = format_phone(rng, e164)
    if any(c.isdigit() for c in phone) and phone != "0000000":
        draft.phones[record_id] = e164
    watched = chance() < 0.4
    stage = choice(LIFECYCLE)
    found: Properties = {
        "email": email if chance() < 0.97 else None,
        "firstname": first,
        "lastname": last,
        "phone": phone,
        "mobilephone": random_phone(rng, code, area) if chance() < 0.2 else None,
        "company": company.own["name"] if company else None,
        "jobtitle": choice(pools.JOB_TITLES),
        "lifecyclestage": stage,
        "hs_lead_status": choice(LEAD_STATUS),
        "hubspot_owner_id": choice(draft.owners) if draft.owners and chance() < 0.85 else None,
        "associatedcompanyid": str(company.id) if company else None,
        "website": company.own["website"] if company else None,
        "address": f"{rng.randrange(1, 999)} {choice(pools.STREETS)}",
        "city": city,
        "state": state or None,
        "zip": zip_code,
        "country": country,
        "hs_email_domain": domain,
        "hs_full_name_or_email": f"{first} {last}",
        "hs_calculated_phone_number": e164,
        "hs_searchable_calculated_phone_number": e164[2:] if code == "1" else e164[1 + len(code) :],
        "hs_calculated_phone_number_country_code": "US" if code == "1" else None,
        "notes_last_contacted": iso(updated_ms - 1) if chance() < 0.5 else None,
        "notes_last_updated": iso(updated_ms),
        "hubspot_owner_assigneddate": iso(created_ms + 1),
        f"hs_lifecyclestage_{stage}_date": str(created_ms),
        "first_conversion_date": iso(created_ms - created_ms % 1000),
        "hs_analytics_first_timestamp": iso(created_ms),
        "vsl_watched": "true" if watched else choice(("false", None)),
        "vsl_watched_at": iso(created_ms + 7_200_123) if watched else None,
        "sales_script_version": choice(("A", "B", "C", "v2.1", None)),
        "hs_lead_source": choice(LEAD_SOURCES),
        "trial_started_on": iso(created_ms)[:10] if chance() < 0.3 else None,
    }  # fmt: skip
    return _set_only(found)


def _set_only(found: Properties) -> Properties:
    return {name: value for name, value in found.items() if value is not None}
