"""The tables of a CRM as a small company would make them in Supabase, and rows to fill them with.

Knows the database driver and nothing of the product. What is made up depends on the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

Conn: TypeAlias = AsyncConnection[TupleRow]

TABLES = ("users", "companies", "contacts", "deals", "activities")
STAGES = ("lead", "qualified", "proposal_sent", "negotiation", "closed_won", "closed_lost")
_FIRST = ("Ada", "Ben", "Cleo", "Dina", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jana", "Kai", "Lea")
_LAST = ("Abt", "Berg", "Clark", "Dorn", "Evans", "Frost", "Graf", "Holm", "Ito", "Jung", "Kern", "Lund")
_WORDS = ("North", "River", "Stone", "Cedar", "Harbor", "Summit", "Delta", "Maple", "Copper", "Lumen")
_INDUSTRIES = ("software", "construction", "retail", "health", None)
_SOURCES = ("web", "referral", "event", None)
_LIFECYCLE = ("lead", "marketingqualifiedlead", "opportunity", "customer", None)
_KINDS = ("call", "email", "meeting", "note")

_SCHEMA = """
create table users (
  id uuid primary key default gen_random_uuid(),
  email text not null unique,
  first_name text,
  last_name text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table companies (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  domain text,
  industry text,
  employee_count integer check (employee_count >= 0),
  annual_revenue numeric(14, 2),
  website text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz
);
create table contacts (
  id uuid primary key default gen_random_uuid(),
  email text unique,
  first_name text,
  last_name text,
  phone text,
  company_id uuid references companies (id),
  lifecycle_stage text,
  source text,
  owner_id uuid references users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table deals (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  amount numeric(14, 2),
  stage text not null default 'lead',
  probability integer check (probability between 0 and 100),
  close_date date,
  owner_id uuid references users (id),
  contact_id uuid references contacts (id),
  company_id uuid references companies (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table activities (
  id uuid primary key default gen_random_uuid(),
  type text not null,
  subject text,
  body text,
  timestamp timestamptz not null default now(),
  contact_id uuid references contacts (id) on delete cascade,
  company_id uuid references companies (id),
  deal_id uuid references deals (id),
  owner_id uuid references users (id),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create function set_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
"""
_TRIGGER = sql.SQL(
    "create index {index} on {table} (updated_at, id); "
    "create trigger set_updated_at before update on {table} for each row execute function set_updated_at()"
)


@dataclass(frozen=True, slots=True)
class Population:
    """Ids of what was made, by table."""

    users: Sequence[UUID]
    companies: Sequence[UUID]
    contacts: Sequence[UUID]
    deals: Sequence[UUID]
    activities: Sequence[UUID]


async def create_tables(conn: Conn, *, schema: str = "public") -> None:
    """Make the tables in a schema, which is made too where it is missing."""
    name = sql.Identifier(schema)
    async with conn.transaction():
        await conn.execute(sql.SQL("create schema if not exists {}").format(name))
        await conn.execute(sql.SQL("set local search_path to {}").format(name))
        await conn.execute(_SCHEMA)
        for table in TABLES:
            index = sql.Identifier(f"{table}_updated_at")
            await conn.execute(_TRIGGER.format(index=index, table=sql.Identifier(table)))


async def populate(
    conn: Conn,
    *,
    seed: int = 1,
    users: int = 3,
    companies: int = 20,
    contacts: int = 100,
    deals: int = 40,
    activities: int = 60,
    schema: str = "public",
    anchor: datetime | None = None,
) -> Population:
    """Fill the tables with made-up rows, older than `anchor` (now unless it is given).

    Addresses end in example.com; the same seed and anchor make the same rows, keys included.
    """
    maker = _Maker(random.Random(seed), anchor or datetime.now(UTC))
    found: dict[str, list[UUID]] = {}
    makers = {
        "users": (users, maker.user),
        "companies": (companies, maker.company),
        "contacts": (contacts, maker.contact),
        "deals": (deals, maker.deal),
        "activities": (activities, maker.activity),
    }
    async with conn.transaction():
        for table, (count, make) in makers.items():
            rows = [make(number, found) for number in range(count)]
            found[table] = [row["id"] for row in rows]
            await _copy(conn, sql.Identifier(schema, table), rows)
    return Population(**found)


async def _copy(conn: Conn, table: sql.Identifier, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in rows[0])
    statement = sql.SQL("copy {} ({}) from stdin").format(table, columns)
    async with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            await copy.write_row(tuple(row.values()))


class _Maker:
    """Makes rows from one source of chance."""

    def __init__(self, chance: random.Random, anchor: datetime) -> None:
        self._chance = chance
        self._anchor = anchor

    def user(self, number: int, found: dict[str, list[UUID]]) -> dict[str, Any]:
        del found
        first, last = self._name(number)
        return {
            "id": self._id(),
            "email": f"{first}.{last}.{number}@team.example.com".lower(),
            "first_name": first,
            "last_name": last,
            **self._times(),
        }

    def company(self, number: int, found: dict[str, list[UUID]]) -> dict[str, Any]:
        del found
        name = f"{self._chance.choice(_WORDS)} {self._chance.choice(_WORDS)} {number}"
        domain = f"{name.replace(' ', '-').lower()}.example.com"
        return {
            "id": self._id(),
            "name": name,
            "domain": domain,
            "industry": self._chance.choice(_INDUSTRIES),
            "employee_count": self._chance.choice((None, self._chance.randrange(1, 5000))),
            "annual_revenue": self._chance.choice((None, self._chance.randrange(10**4, 10**9) / 100)),
            "website": f"https://{domain}",
            **self._times(),
        }

    def contact(self, number: int, found: dict[str, list[UUID]]) -> dict[str, Any]:
        first, last = self._name(number)
        return {
            "id": self._id(),
            "email": f"{first}.{last}.{number}@example.com".lower(),
            "first_name": first,
            "last_name": last,
            "phone": f"+1212555{number % 10_000:04d}",
            "company_id": self._one_of(found["companies"]),
            "lifecycle_stage": self._chance.choice(_LIFECYCLE),
            "source": self._chance.choice(_SOURCES),
            "owner_id": self._one_of(found["users"]),
            **self._times(),
        }

    def deal(self, number: int, found: dict[str, list[UUID]]) -> dict[str, Any]:
        stage = self._chance.choice(STAGES)
        closes = self._anchor.date() + timedelta(days=self._chance.randrange(-90, 90))
        probability = {"closed_won": 100, "closed_lost": 0}.get(stage, self._chance.randrange(5, 95))
        return {
            "id": self._id(),
            "name": f"{self._chance.choice(_WORDS)} project {number}",
            "amount": self._chance.choice((None, self._chance.randrange(10**4, 10**8) / 100)),
            "stage": stage,
            "probability": probability,
            "close_date": self._chance.choice((None, date(closes.year, closes.month, closes.day))),
            "owner_id": self._one_of(found["users"]),
            "contact_id": self._one_of(found["contacts"]),
            "company_id": self._one_of(found["companies"]),
            **self._times(),
        }

    def activity(self, number: int, found: dict[str, list[UUID]]) -> dict[str, Any]:
        times = self._times()
        return {
            "id": self._id(),
            "type": self._chance.choice(_KINDS),
            "subject": f"{self._chance.choice(_WORDS)} follow-up {number}",
            "body": self._chance.choice((None, "As discussed.")),
            "timestamp": times["created_at"],
            "contact_id": self._one_of(found["contacts"]),
            "company_id": None,
            "deal_id": self._one_of(found["deals"]),
            "owner_id": self._one_of(found["users"]),
            **times,
        }

    def _id(self) -> UUID:
        return UUID(int=self._chance.getrandbits(128), version=4)

    def _name(self, number: int) -> tuple[str, str]:
        return _FIRST[number % len(_FIRST)], self._chance.choice(_LAST)

    def _one_of(self, ids: Sequence[UUID]) -> UUID | None:
        return self._chance.choice(ids) if ids and self._chance.random() < 0.8 else None

    def _times(self) -> dict[str, datetime]:
        created = self._anchor - timedelta(seconds=self._chance.randrange(86_400, 86_400 * 300))
        updated = created + (self._anchor - created) * self._chance.random() * 0.9
        return {"created_at": created, "updated_at": updated.replace(microsecond=0)}
