"""A small company in two HubSpot accounts and a Pipedrive, in plain Python.

What tests expect is computed from these lists; nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypeVar
from uuid import UUID

#: In the order in which the accounts were connected; the first HubSpot account gives the ids.
MAIN, SECOND, OTHER = (UUID(int=(0xC0 << 120) + n) for n in range(3))
SYNCED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class Record:
    """A record of ours and the remote records it is linked to: (connection, remote id, is primary)."""

    id: UUID
    columns: dict[str, Any]
    links: list[tuple[UUID, str, bool]] = field(default_factory=list[tuple[UUID, str, bool]])
    archived: bool = False

    @property
    def hubspot_id(self) -> str | None:
        primary = {c: remote for c, remote, is_primary in self.links if is_primary}
        return primary.get(MAIN, primary.get(SECOND))


@dataclass
class Remote:
    """A record as one account has it, with the values its typed columns must show."""

    connection: UUID
    id: str
    properties: dict[str, str | None]
    typed: dict[str, Any]
    associations: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    archived: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {"id": self.id, "properties": self.properties, "archived": self.archived}
        if self.associations:
            payload["associations"] = {
                to: {"results": [{"id": i, "type": f"x_to_{to}"} for i in ids]}
                for to, ids in self.associations.items()
            }
        return payload


@dataclass
class World:
    now: datetime
    owners: list[Record] = field(default_factory=list[Record])
    companies: list[Record] = field(default_factory=list[Record])
    contacts: list[Record] = field(default_factory=list[Record])
    deals: list[Record] = field(default_factory=list[Record])
    activities: list[Record] = field(default_factory=list[Record])
    raw_contacts: list[Remote] = field(default_factory=list[Remote])
    raw_deals: list[Remote] = field(default_factory=list[Remote])
    raw_calls: list[Remote] = field(default_factory=list[Remote])


T = TypeVar("T", Record, Remote)


def living(records: Sequence[T]) -> list[T]:
    return [record for record in records if not record.archived]


def make_world(seed: int, now: datetime) -> World:
    """Make a world around `now`; the same seed and time make the same world."""
    random = Random(seed)
    world = World(now)
    world.owners = [_owner(n) for n in range(5)]
    world.companies = [_company(random, n) for n in range(20)]
    world.contacts = [_contact(random, world, n) for n in range(60)]
    world.deals = [_deal(random, world, n) for n in range(90)]
    world.activities = [_activity(random, world, n) for n in range(50)]
    world.raw_contacts = [_raw_contact(random, n) for n in range(60)]
    world.raw_deals = [_raw_deal(random, n) for n in range(40)]
    world.raw_calls = [_raw_call(random, n) for n in range(50)]
    return world


def _id(kind: int, n: int) -> UUID:
    return UUID(int=(0x0190 << 112) + (kind << 32) + n)


def _links(base: int, n: int) -> list[tuple[UUID, str, bool]]:
    """Link most to the first account, some to both, some to the second or to Pipedrive, some to none."""
    first, second = (MAIN, str(base + n), True), (SECOND, str(base + 5000 + n), True)
    merged = (MAIN, str(base + 9000 + n), False)
    other = (OTHER, str(n), True)
    choice: list[list[tuple[UUID, str, bool]]] = [
        [first],
        [first, merged],
        [second, first],
        [second, other],
        [],
    ]
    return choice[n % 5]


def _owner(n: int) -> Record:
    columns = {"email": f"rep{n}@example.com", "first_name": f"Rep{n}", "last_name": "Miller"}
    return Record(_id(1, n), columns, _links(70_000, n), archived=n == 1)


def _company(random: Random, n: int) -> Record:
    columns = {
        "name": f"Company {n}",
        "readiness_score": random.randrange(100),
        "lifecycle_stage": "customer",
        "owner_id": _id(1, n % 5),
    }
    return Record(_id(2, n), columns, _links(1000, n), archived=n == 3)


def _contact(random: Random, world: World, n: int) -> Record:
    company = random.choice([None, *world.companies])
    columns = {
        "email": f"person{n}@example.com",
        "first_name": f"First{n}",
        "last_name": random.choice([None, f"Last{n}"]),
        "phone": f"+1555000{n:04}",
        "company_id": company and company.id,
        "owner_id": random.choice([None, *(o.id for o in world.owners)]),
        "lifecycle_stage": random.choice(["lead", "customer"]),
        "lead_source": random.choice(["web", None]),
        "status": "open",
        # Whole minutes apart, in an order of their own: no two are equal.
        "updated_at": world.now - timedelta(minutes=(n * 37) % 60),
    }
    return Record(_id(3, n), columns, _links(2000, n), archived=n % 10 == 9)


def _deal(random: Random, world: World, n: int) -> Record:
    status = random.choice(["open", "open", "won", "lost"])
    stage = {"won": "closedwon", "lost": "closedlost"}.get(
        status, random.choice(["new_match", "qualified", "negotiation"])
    )
    today = world.now.date()
    company = random.choice([None, *world.companies])
    columns = {
        "name": f"Deal {n}",
        "amount": random.choice([None, Decimal(random.randrange(100, 99_999)) / 4]),
        "currency": "USD",
        "pipeline": "b2g_opportunities",
        "stage": stage,
        "status": status,
        "probability": random.choice([None, Decimal(10), Decimal(50), Decimal("89.5"), Decimal(90)]),
        "expected_close_date": random.choice([None, today + timedelta(days=random.randrange(-60, 260))]),
        "closed_at": None if status == "open" else world.now - timedelta(days=random.randrange(120), hours=n),
        "owner_id": random.choice([None, *(o.id for o in world.owners)]),
        "company_id": company and company.id,
        "contact_id": random.choice([None, *(c.id for c in world.contacts)]),
        "updated_at": world.now - timedelta(minutes=(n * 23) % 97),
        "created_at": world.now - timedelta(days=200, minutes=n),
    }
    return Record(_id(4, n), columns, _links(3000, n), archived=n % 8 == 7)


def _activity(random: Random, world: World, n: int) -> Record:
    columns = {
        "type": random.choice(["call", "email", "meeting", "note"]),
        "subject": f"Subject {n}",
        "occurred_at": world.now + timedelta(hours=random.randrange(-20 * 24, 48)),
        "owner_id": random.choice([None, *(o.id for o in world.owners)]),
        "contact_id": random.choice([None, *(c.id for c in world.contacts)]),
        "company_id": random.choice([None, *(c.id for c in world.companies)]),
        "deal_id": random.choice([None, *(d.id for d in world.deals)]),
        "created_at": world.now - timedelta(minutes=(n * 17) % 53),
    }
    return Record(_id(5, n), columns, _links(4000, n), archived=n % 9 == 8)


def _phone(random: Random) -> str | None:
    digits = f"1555{random.randrange(12):07}"
    return random.choice([digits, "+" + digits, "+" + digits, None])


def _time(random: Random) -> tuple[str | None, datetime | None]:
    """Make a time as HubSpot writes it, and as a timestamp without time zone in UTC shows it."""
    aware = datetime(2023, 6, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(900_000))
    moment = aware.replace(tzinfo=None)
    forms: list[tuple[str | None, datetime | None]] = [
        (moment.isoformat(timespec="milliseconds") + "Z", moment),
        (str(int(aware.timestamp() * 1000)), moment),
        (moment.date().isoformat(), moment.replace(hour=0, minute=0)),
        ("2024-02-31T10:00:00Z", None),
        ("soon", None),
        (None, None),
    ]
    return random.choice(forms[:2] * 4 + forms)


def _pick(random: Random, *choices: tuple[str | None, Any]) -> tuple[str | None, Any]:
    return random.choice(choices)


def _raw_contact(random: Random, n: int) -> Remote:
    phone, created = _phone(random), _time(random)
    watched = _pick(random, ("true", True), ("false", False), ("perhaps", None), (None, None))
    properties = {
        "email": f"person{n}@example.com",
        "phone": phone,
        "firstname": f"First{n}",
        "createdate": created[0],
        "lifecyclestage": "lead",
        "vsl_watched": watched[0],
        "sales_script_version": random.choice(["A", "B", None]),
        "id": "a property of this name must not hide the record's id",
    }
    typed: dict[str, Any] = {
        k: properties[k] for k in ("email", "phone", "firstname", "lifecyclestage", "sales_script_version")
    }
    typed |= {"lastname": None, "createdate": created[1], "vsl_watched": watched[1]}
    calls = [str(800 + random.randrange(50)) for _ in range(n % 4)]
    associations = {"calls": calls} if calls else {}
    connection = MAIN if n < 45 else SECOND
    return Remote(connection, str(75_000 + n), properties, typed, associations, archived=n % 11 == 10)


def _raw_deal(random: Random, n: int) -> Remote:
    created, closed = _time(random), _time(random)
    amount = _pick(
        random, ("1500.50", Decimal("1500.50")), ("900", Decimal(900)), ("n/a", None), (None, None)
    )
    months = _pick(random, ("12", 12), ("3", 3), ("99999999999", None), ("", None))
    properties = {
        "dealname": f"Deal {n}",
        "amount": amount[0],
        "dealstage": random.choice(["closedwon", "closedwon", "closedlost", "qualifiedtobuy"]),
        "createdate": created[0],
        "closedate": closed[0],
        "qualified_status": random.choice(["yes", "no", None]),
        "trial_status": None,
        "payment_status": "paid",
        "number_of_installments__months": months[0],
        "payment_method": random.choice(["card", "wire", None]),
        "phone_number": _phone(random),
    }
    typed: dict[str, Any] = {
        k: properties[k]
        for k in ("dealstage", "qualified_status", "trial_status", "payment_status", "dealname")
    }
    typed |= {"amount": amount[1], "createdate": created[1], "closedate": closed[1]}
    typed |= {"number_of_installments__months": months[1]}
    if n % 4 == 1:
        del properties["payment_method"]
    contacts = [str(75_000 + random.randrange(60)) for _ in range(n % 3)]
    associations = {"contacts": contacts} if contacts else {}
    connection = MAIN if n < 30 else SECOND
    return Remote(connection, str(43_000 + n), properties, typed, associations, archived=n % 13 == 12)


def _raw_call(random: Random, n: int) -> Remote:
    at = _time(random)
    duration = _pick(random, ("300000", 300_000), ("299999", 299_999), ("600000", 600_000), ("long", None))
    properties = {
        "hs_call_duration": duration[0],
        "hs_call_direction": random.choice(["OUTBOUND", "INBOUND"]),
        "hs_call_to_number": _phone(random),
        "hs_call_from_number": "+15550009999",
        "hs_timestamp": at[0],
    }
    typed: dict[str, Any] = {
        "call_duration": duration[1],
        "call_direction": properties["hs_call_direction"],
        "call_to_number": properties["hs_call_to_number"],
        "call_from_number": properties["hs_call_from_number"],
        "call_timestamp": at[1],
    }
    connection = MAIN if n < 35 else SECOND
    return Remote(connection, str(800 + n), properties, typed, archived=n % 7 == 6)


def month_of(day: date | datetime) -> date:
    return date(day.year, day.month, 1)


def open_deals(world: World) -> list[Record]:
    return [d for d in living(world.deals) if d.columns["status"] == "open"]


def full_name(contact: Record) -> str:
    return f"{contact.columns['first_name']} {contact.columns['last_name'] or ''}".strip()


def sum_of(deals: list[Record]) -> Decimal:
    return sum((d.columns["amount"] for d in deals if d.columns["amount"] is not None), Decimal())
