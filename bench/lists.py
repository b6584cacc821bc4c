"""Lists, searches and records at a size: p50 and p95 of the actions behind API and pages, as the application.

    python bench/lists.py --contacts 1000000 [--no-write] [--times 40]

On an embedded Postgres with default settings. Names are made up, and as unevenly spread as real ones are.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from pydantic import SecretStr

from contest import write
from syncline.actions import associations, record_pages, records, remote_versions, timeline
from syncline.actions.dashboard import read_dashboard
from syncline.actions.hub import Hub, open_hub
from syncline.actions.record_pages import Wanted
from syncline.clock import new_id
from syncline.config import Settings
from syncline.domain.callers import Caller
from syncline.domain.filters import Filter
from syncline.domain.record_fields import RECORD_FIELDS
from syncline.errors import NotFound
from syncline.store import migrate
from syncline.store.embedded import EmbeddedServer, stop_server
from syncline.store.roles import admit_roles

TENANT = UUID("00000000-0000-7000-8000-000000000001")
#: One of the owners.
OWNER = UUID("01900000-0000-7000-8000-000000000004")
OWNERS = 20
AT_ONCE = 20_000

_ID = "('01900000-0000-7000-8{0}00-' || lpad(to_hex(n), 12, '0'))::uuid"
#: A third belongs to nobody, one in fifty is archived, and few names are frequent.
_OWNER = (
    "case when abs(hashint8(n)) %% 3 = 0 then null else"
    " ('01900000-0000-7000-8000-' || lpad(to_hex(abs(hashint8(n + 1)) %% {owners}), 12, '0'))::uuid end"
)
_ARCHIVED = "case when n %% 50 = 7 then now() end"
_AGE = "now() - ((n * 7919 %% 900000) || ' minutes')::interval - (n || ' milliseconds')::interval"
_SYLLABLES = (
    "ba be bi bo bra bri da de do du el en er fa fe flo ga ge gri ha he hol jan jo ka ke kri la le lo ma me"
    " mo na ne no ol pa pe po ra re ro sa se so ta te to va ve vo wa we wil za"
)
_ARRAY = "(string_to_array('" + _SYLLABLES + "', ' '))"
_COUNT = str(len(_SYLLABLES.split()))
_PART = _ARRAY + "[1 + abs(hashint8(n + {p})) %% " + _COUNT + "]"
#: A few hundred first names, a hundred thousand last names.
_FIRST = (
    "initcap(" + _PART.format(p=2) + " || (array['na','do','lia','n','ra'])[1 + abs(hashint8(n + 6)) %% 5])"
)
_LAST = "initcap(" + " || ".join(_PART.format(p=each) for each in (5, 7, 8)) + ")"
_WORDS = "North South Bay Hill Lake Oak Iron River Stone Sun"
_WORD = "(string_to_array('" + _WORDS + "', ' '))[1 + abs(hashint8(n + {p})) %% 10]"


def fill(statement: str) -> str:
    """Put the common parts in."""
    return (
        statement.replace("{owner}", _OWNER.format(owners=OWNERS))
        .replace("{archived}", _ARCHIVED)
        .replace("{age}", _AGE)
        .replace("{first}", _FIRST)
        .replace("{last}", _LAST)
        .replace("{word1}", _WORD.format(p=3))
        .replace("{word2}", _WORD.format(p=4))
    )


OWNER_ROWS = (
    "insert into crm.owners (tenant_id, id, email, first_name, last_name) select %(t)s, "
    + _ID.format(0)
    + ", 'owner' || n || '@example.com', 'Owner', n::text from generate_series(0, {owners} - 1) n"
).replace("{owners}", str(OWNERS))
TABLES: dict[str, tuple[float, str]] = {
    "companies": (
        0.1,
        "insert into crm.companies (tenant_id, id, name, domain, owner_id, created_at, updated_at,"
        " archived_at) select %(t)s, "
        + _ID.format(1)
        + ", {word1} || ' ' || {word2} || ' ' || n, 'c' || n || '.example',"
        " {owner}, {age}, {age}, {archived} from generate_series(%(a)s::bigint, %(b)s::bigint) n",
    ),
    "contacts": (
        1.0,
        "insert into crm.contacts (tenant_id, id, email, first_name, last_name, phone, phone_e164, job_title,"
        " company_id, owner_id, lifecycle_stage, created_at, updated_at, archived_at)"
        " select %(t)s, " + _ID.format(2) + ", 'p' || n || '@c' || n %% 50000 || '.example', {first},"
        " {last}, '+1415' || lpad(n::text, 7, '0'), '+1415' || lpad(n::text, 7, '0'),"
        " 'Buyer', ('01900000-0000-7000-8100-' || lpad(to_hex(n %% %(companies)s), 12, '0'))::uuid, {owner},"
        " (array['lead','customer','subscriber'])[1 + n %% 3], {age}, {age}, {archived}"
        " from generate_series(%(a)s::bigint, %(b)s::bigint) n",
    ),
    "deals": (
        0.25,
        "insert into crm.deals (tenant_id, id, name, amount, currency, pipeline, stage, status, company_id,"
        " expected_close_date, closed_at, owner_id, created_at, updated_at, archived_at)"
        " select %(t)s, "
        + _ID.format(3)
        + ", {word1} || ' ' || {word2} || ' deal ' || n, n %% 90000, 'USD', 'default',"
        " (array['new','qualified','proposal','closed_won','closed_lost'])[1 + n %% 5],"
        " (array['open','open','open','won','lost'])[1 + n %% 5],"
        " ('01900000-0000-7000-8100-' || lpad(to_hex(n %% %(companies)s), 12, '0'))::uuid,"
        " current_date + (n %% 300)::int, case when n %% 5 > 2 then {age} end, {owner}, {age}, {age},"
        " {archived} from generate_series(%(a)s::bigint, %(b)s::bigint) n",
    ),
    "activities": (
        0.5,
        "insert into crm.activities (tenant_id, id, type, subject, occurred_at, contact_id, owner_id,"
        " created_at, updated_at, archived_at) select %(t)s, "
        + _ID.format(4)
        + ", 'call', 'Call about ' || {word1}, {age},"
        " ('01900000-0000-7000-8200-' || lpad(to_hex(n), 12, '0'))::uuid, {owner}, {age}, {age}, {archived}"
        " from generate_series(%(a)s::bigint, %(b)s::bigint) n",
    ),
    "tasks": (
        0.05,
        "insert into crm.tasks (tenant_id, id, subject, due_at, owner_id, created_at, updated_at,"
        " archived_at) select %(t)s, "
        + _ID.format(5)
        + ", 'Call back ' || {word1}, {age}, {owner}, {age}, {age}, {archived}"
        " from generate_series(%(a)s::bigint, %(b)s::bigint) n",
    ),
}


async def load(url: str, contacts: int) -> None:
    """Make the records, set-based, past the row triggers."""
    companies = max(1, int(contacts * TABLES["companies"][0]))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("set synchronous_commit = off")
        await conn.execute(OWNER_ROWS.encode(), {"t": TENANT})
        for name, (share, statement) in TABLES.items():
            began, count = time.perf_counter(), int(contacts * share)
            for start in range(0, count, AT_ONCE):
                async with conn.transaction():
                    await conn.execute("set local app.bulk = 'on'")
                    await conn.execute(
                        fill(statement).encode(),
                        {
                            "t": TENANT,
                            "a": start,
                            "b": min(start + AT_ONCE, count) - 1,
                            "companies": companies,
                        },
                    )
            print(f"{count:>9,} {name} in {time.perf_counter() - began:.0f} s", flush=True)
        await conn.execute("vacuum analyze crm.companies, crm.contacts, crm.deals, crm.activities, crm.tasks")


Look = Callable[[], Awaitable[Any]]


async def measure(look: Look, times: int) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await look()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return statistics.median(taken), taken[max(0, int(len(taken) * 0.95) - 1)]


class Looks:
    """Everything that is measured, for one person."""

    def __init__(self, hub: Hub, caller: Caller, contacts: int) -> None:
        self._hub = hub
        self._caller = caller
        self._contacts = contacts
        self._random = random.Random(7)

    def any_of(self, share: float, digit: int) -> UUID:
        n = self._random.randrange(int(self._contacts * share))
        return UUID(f"01900000-0000-7000-8{digit}00-{n:012x}")

    async def list(self, kind: str, wanted: Wanted, after: str | None = None) -> str | None:
        page = await record_pages.list_records(self._hub, self._caller, kind, wanted, after=after)
        return page.after

    async def place_far_in(self, kind: str, wanted: Wanted) -> str | None:
        """Go some pages of the greatest size in."""
        after: str | None = None
        for _ in range(20):
            page = await record_pages.list_records(
                self._hub, self._caller, kind, wanted, after=after, limit=200
            )
            if page.after is None:
                return after
            after = page.after
        return after

    async def all(self) -> list[tuple[str, str, Look]]:
        """Return (group, title, look)."""
        return [
            *await self._sorted(),
            *self._filtered(),
            *self._searched(),
            ("everything around a contact", "record, timeline, changes, associations, remotes", self._page()),
            ("a contact read", "by its id", self._reader()),
            ("a count up to 10,000", "contacts", self._counter()),
            ("the dashboard's figures", "four queries", self._dashboard()),
        ]

    async def _sorted(self) -> list[tuple[str, str, Look]]:
        looks: list[tuple[str, str, Look]] = []
        for kind, fields in RECORD_FIELDS.items():
            for sort in (each for name in fields.sortable for each in (name, f"-{name}")):
                wanted = Wanted(sort=sort)
                far = await self.place_far_in(kind, wanted)
                title = f"{fields.plural} by {sort}"
                looks.append(("a list, its first page", title, self._lister(kind, wanted, None)))
                looks.append(("a list, 4,000 records further", title, self._lister(kind, wanted, far)))
        return looks

    def _filtered(self) -> list[tuple[str, str, Look]]:
        company, owner = (str(self.any_of(0.1, 1)),), (str(OWNER),)
        wanted = {
            "contacts of a company": ("contact", Wanted((Filter("company_id", "eq", company),))),
            "contacts that are customers": (
                "contact",
                Wanted((Filter("lifecycle_stage", "eq", ("customer",)),)),
            ),
            "contacts of an owner": ("contact", Wanted((Filter("owner_id", "eq", owner),))),
            "contacts by address": ("contact", Wanted((Filter("email", "eq", ("p12345@c12345.example",)),))),
            "deals in a stage": ("deal", Wanted((Filter("stage", "eq", ("qualified",)),))),
            "deals over 80,000 by amount": ("deal", Wanted((Filter("amount", "gt", (80000,)),), "-amount")),
            "archived contacts": ("contact", Wanted(archived="only")),
        }
        return [
            ("a filtered list", title, self._lister(kind, each, None))
            for title, (kind, each) in wanted.items()
        ]

    def _searched(self) -> list[tuple[str, str, Look]]:
        contacts = ("ma", "mara", "mara va", "vapena", "p1234", "+1 415 000 4711", "zzzz", "l")
        pairs = [("contact", each) for each in contacts]
        pairs += [("company", "north lake"), ("deal", "iron")]
        looks: list[tuple[str, str, Look]] = [
            ("a search in a list", f"{kind} {text!r}", self._lister(kind, Wanted(search=text), None))
            for kind, text in pairs
        ]
        return [
            *looks,
            *(
                ("a search over everything", repr(text), self._searcher(text))
                for text in ("mara", "north lake 12", "p4711@")
            ),
        ]

    def _lister(self, kind: str, wanted: Wanted, after: str | None) -> Look:
        return lambda: self.list(kind, wanted, after)

    def _searcher(self, text: str) -> Look:
        return lambda: record_pages.search_everything(self._hub, self._caller, text)

    def _reader(self) -> Look:
        async def read() -> None:
            with suppress(NotFound):  # not everybody sees everything
                await records.read_record(self._hub, self._caller, "contact", self.any_of(1.0, 2))

        return read

    def _page(self) -> Look:
        hub, caller = self._hub, self._caller

        async def read() -> None:
            each = self.any_of(0.5, 2)  # half of them have a call
            with suppress(NotFound):
                await records.read_record(hub, caller, "contact", each)
                await timeline.read_timeline(hub, caller, "contact", each)
                await timeline.list_history(hub, caller, "contact", each)
                await associations.list_associations(hub, caller, "contact", each)
                await remote_versions.read_versions(hub, caller, "contact", each)

        return read

    def _dashboard(self) -> Look:
        return lambda: read_dashboard(self._hub, self._caller)

    def _counter(self) -> Look:
        return lambda: record_pages.count_records(self._hub, self._caller, "contact")


def people(owner: UUID) -> dict[str, Caller]:
    return {
        "a manager": Caller(TENANT, "manager", "manager@example.com", "api", user_id=new_id()),
        "a rep": Caller(
            TENANT, "rep", "rep@example.com", "api", user_id=new_id(), owner_ids=frozenset({owner})
        ),
    }


def tell(who: str, group: str, measured: list[tuple[float, float, str]]) -> str:
    """Return a row: the median of the medians, and the slowest of all with what it was."""
    half = statistics.median(each[0] for each in measured)
    slowest = max(measured, key=lambda each: each[1])
    what = slowest[2] if len(measured) > 1 else ""
    return f"| {who} | {group} | {len(measured)} | {half:.0f} | {slowest[1]:.0f} | {what} |"


async def run(folder: Path, options: argparse.Namespace) -> list[str]:
    embedded = EmbeddedServer(folder / "home", idle_seconds=1)
    urls = await embedded.start()
    lines: list[str] = []
    try:
        async with await psycopg.AsyncConnection.connect(urls.superuser, autocommit=True) as conn:
            await admit_roles(conn)
        await migrate.upgrade(urls.admin)
        await load(urls.admin, options.contacts)
        settings = Settings(database_url=SecretStr(urls.app), home=folder / "home")
        async with open_hub(settings) as hub:
            for who, caller in people(OWNER).items():
                found: dict[str, list[tuple[float, float, str]]] = {}
                for group, title, look in await Looks(hub, caller, options.contacts).all():
                    half, most = await measure(look, options.times)
                    found.setdefault(group, []).append((half, most, title))
                    print(f"{who}: {group}: {title}: {half:.1f} {most:.1f}", flush=True)
                lines += [tell(who, group, measured) for group, measured in found.items()]
    finally:
        embedded.close()
        await stop_server(folder / "home")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="syncline-lists-"))
    folder.chmod(0o711)
    try:
        lines = asyncio.run(run(folder, options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    head = [
        "| who | looks at | of which kinds | p50 ms | slowest p95 ms | which |",
        "|---|---|---|---|---|---|",
    ]
    shares = ", ".join(f"{int(options.contacts * share):,} {name}" for name, (share, _) in TABLES.items())
    about = [f"### Lists and searches at {options.contacts:,} contacts", "", f"{shares}; {OWNERS} owners."]
    text = "\n".join([*about, "", *head, *lines, ""])
    print(text)
    if not options.no_write:
        write(text, "python bench/lists.py")


if __name__ == "__main__":
    main()
