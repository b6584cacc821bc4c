"""A company whose numbers are known: generated lists in plain Python, with what makes counting hard.

What tests expect is computed from these lists; nothing here knows a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

#: A Saturday afternoon; everything happened before, but for what is planned.
NOW = datetime(2026, 11, 21, 15, 37, 12, tzinfo=UTC)
DAYS = 420

ACCOUNT, OTHER_ACCOUNT = UUID(int=(0xC0 << 120) + 1), UUID(int=(0xC0 << 120) + 2)
SALES, GOVERNMENT = UUID(int=(0xB0 << 120) + 1), UUID(int=(0xB0 << 120) + 2)


@dataclass
class Stage:
    id: UUID
    pipeline: UUID
    key: str
    label: str
    position: int
    is_closed: bool
    is_won: bool
    probability: Decimal | None


@dataclass
class Thing:
    id: UUID
    owner: UUID | None = None
    archived: bool = False
    merged: bool = False
    #: Connections it is linked to as primary.
    links: set[UUID] = field(default_factory=set[UUID])

    @property
    def lives(self) -> bool:
        return not self.archived and not self.merged


@dataclass
class Contact(Thing):
    created_at: datetime = NOW
    watched: bool | None = None
    script: str | None = None


@dataclass
class Span:
    value: str | None
    from_at: datetime
    to_at: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.from_at <= at and (self.to_at is None or at < self.to_at)


@dataclass
class Deal(Thing):
    created_at: datetime = NOW
    closed_at: datetime | None = None
    status: str = "open"
    stage: Stage | None = None
    amount: Decimal | None = None
    currency: str | None = None
    probability: Decimal | None = None
    expected_on: date | None = None
    qualified: str | None = None
    trial: str | None = None
    payment: str | None = None
    installments: Decimal | None = None
    contact: UUID | None = None
    #: Others that a CRM names.
    people: set[UUID] = field(default_factory=set[UUID])
    stages: list[Span] = field(default_factory=list[Span])
    amounts: list[Span] = field(default_factory=list[Span])


@dataclass
class Activity(Thing):
    type: str = "call"
    occurred_at: datetime | None = None
    duration_ms: Decimal | None = None
    direction: str | None = None
    contact: UUID | None = None
    deal: UUID | None = None


@dataclass
class World:
    zone: str
    currency: str
    owners: list[UUID]
    stages: list[Stage]
    contacts: list[Contact]
    deals: list[Deal]
    activities: list[Activity]
    #: (from, to, day) → rate.
    rates: dict[tuple[str, str, date], Decimal]


def make_world(seed: int, zone: str, currency: str, *, contacts: int = 90, deals: int = 130) -> World:
    """Make a world; the same arguments make the same one. No contacts and no deals: nothing at all."""
    random = Random(seed)
    maker = _Maker(random, ZoneInfo(zone))
    owners = [UUID(int=(1 << 120) + n) for n in range(4)]
    stages = _stages()
    people = [maker.contact(n, owners) for n in range(contacts)]
    bought = [maker.deal(n, owners, stages, people) for n in range(deals)]
    done = [maker.activity(n, owners, people, bought) for n in range(2 * contacts)]
    return World(zone, currency, owners, stages, people, bought, done, _rates(random, currency))


def _stages() -> list[Stage]:
    found: list[Stage] = []
    for pipeline, kinds in ((SALES, ("new", "offer", "final")), (GOVERNMENT, ("match", "offer", "talks"))):
        for position, key in enumerate((*kinds, "won", "lost")):
            closed = key in {"won", "lost"}
            chance = {"won": 100, "lost": 0, "talks": None}.get(key, 20 + 30 * position)
            found.append(
                Stage(
                    UUID(int=(0xA0 << 120) + len(found)),
                    pipeline,
                    key,
                    f"{key.title()} {position}",
                    position,
                    closed,
                    key == "won",
                    None if chance is None else Decimal(chance),
                )
            )
    return found


def _rates(random: Random, currency: str) -> dict[tuple[str, str, date], Decimal]:
    """Give rates of two currencies on some days, of which one begins late; of others there are none."""
    rates: dict[tuple[str, str, date], Decimal] = {}
    for other, begins in (("EUR", 500), ("USD", 500), ("CHF", 100)):
        for back in range(-3, begins, random.choice((1, 3, 9))):
            if other != currency:
                rates[other, currency, NOW.date() - timedelta(days=back)] = (
                    Decimal(random.randrange(700, 1400)) / 1000
                )
    return rates


class _Maker:
    def __init__(self, random: Random, zone: ZoneInfo) -> None:
        self.random = random
        self.zone = zone

    def moment(self, days: int = DAYS) -> datetime:
        """Return a time of the last days: often on the edge of a day, and around changes of the clocks."""
        day = NOW.date() - timedelta(days=self.random.randrange(days))
        if self.random.random() < 0.3:
            day = self.random.choice((date(2026, 10, 25), date(2026, 10, 24), date(2026, 11, 1), day))
        begin = datetime.combine(day, time(), self.zone).astimezone(UTC)
        edge = self.random.choice((0, 0, 0, -1, 1, 3_600_000_000, 7_200_000_000 - 1, None))
        inside = edge if edge is not None else self.random.randrange(86_400_000_000)
        return min(begin + timedelta(microseconds=inside), NOW - timedelta(seconds=1))

    def number(self, kind: int, n: int) -> UUID:
        return UUID(int=(kind << 120) + (self.random.getrandbits(40) << 20) + n)

    def marks(self, owners: list[UUID]) -> dict[str, object]:
        random = self.random
        return {
            "owner": random.choice([None, *owners]),
            "archived": random.random() < 0.08,
            "merged": random.random() < 0.04,
            "links": {each for each in (ACCOUNT, OTHER_ACCOUNT) if random.random() < 0.5},
        }

    def contact(self, n: int, owners: list[UUID]) -> Contact:
        return Contact(
            self.number(2, n),
            **self.marks(owners),  # type: ignore[arg-type]
            created_at=self.moment(),
            watched=self.random.choice((True, False, None)),
            script=self.random.choice(("A", "B", "C", " B ", "", None)),
        )

    def deal(self, n: int, owners: list[UUID], stages: list[Stage], people: list[Contact]) -> Deal:
        random = self.random
        status = random.choice(("open", "won", "won", "lost"))
        pipeline = random.choice((SALES, GOVERNMENT))
        own = [each for each in stages if each.pipeline == pipeline]
        fitting = [each for each in own if _status_of(each) == status] or own
        # A CRM whose stages say nothing of the end: closed by its status alone.
        stage = random.choice(own) if random.random() < 0.1 else random.choice(fitting)
        created = self.moment()
        closed = None
        if status != "open" and random.random() < 0.95:
            closed = random.choice((self.moment(), created + (NOW - created) * random.random()))
        deal = Deal(
            self.number(3, n),
            **self.marks(owners),  # type: ignore[arg-type]
            created_at=created,
            closed_at=closed,
            status=status,
            stage=None if random.random() < 0.03 else stage,
            amount=None if random.random() < 0.1 else Decimal(random.randrange(1, 900_000)) / 100,
            currency=random.choice(("USD", "USD", "EUR", "EUR", "CHF", "JPY", "eur", "", None)),
            probability=random.choice((None, Decimal(10), Decimal("89.5"), Decimal(90))),
            expected_on=random.choice((None, NOW.date() + timedelta(days=random.randrange(-60, 260)))),
            qualified=random.choice(("yes", "Yes ", "no", "pending", "", None)),
            trial=random.choice(("none", "None", "active", "converted", " ", None)),
            payment=random.choice(("active", "completed", "cancelled", "Failed", "paid", "", None)),
            installments=random.choice((None, Decimal(1), Decimal(12), Decimal("4.5"))),
            contact=random.choice(people).id if people and random.random() < 0.8 else None,
        )
        if people:
            deal.people = {random.choice(people).id for _ in range(random.choice((0, 0, 1, 3)))}
        self.remember(deal, stages)
        return deal

    def remember(self, deal: Deal, stages: list[Stage]) -> None:
        """Give a deal a past: stages one after the other, amounts that came later, gaps, no numbers."""
        random = self.random
        if random.random() < 0.05:
            return
        times = sorted({deal.created_at, *(self.moment() for _ in range(random.randrange(4)))})
        times = [each for each in times if each >= deal.created_at]
        names = [random.choice(stages).key for _ in times]
        names[-1] = deal.stage.key if deal.stage is not None else "unheard of"
        deal.stages = _spans(times, list(names), random)
        worth = sorted({each for each in (*times, self.moment()) if random.random() < 0.6})
        values: list[str | None] = [
            random.choice((str(Decimal(random.randrange(1, 900_000)) / 100), "n/a", None)) for _ in worth
        ]
        if values and deal.amount is not None:
            values[-1] = str(deal.amount)
        deal.amounts = _spans(worth, values, random)

    def activity(self, n: int, owners: list[UUID], people: list[Contact], deals: list[Deal]) -> Activity:
        random = self.random
        return Activity(
            self.number(4, n),
            **self.marks(owners),  # type: ignore[arg-type]
            type=random.choice(("call", "call", "call", "email", "meeting", "note")),
            occurred_at=None if random.random() < 0.04 else self.moment(),
            duration_ms=random.choice(
                (None, Decimal(0), Decimal(299_999), Decimal(300_000), Decimal(random.randrange(1, 900_000)))
            ),
            direction=random.choice(("inbound", "outbound", "outbound", None)),
            contact=random.choice(people).id if people and random.random() < 0.8 else None,
            deal=random.choice(deals).id if deals and random.random() < 0.3 else None,
        )


def _status_of(stage: Stage) -> str:
    return "won" if stage.is_won else "lost" if stage.is_closed else "open"


def _spans(times: list[datetime], values: list[str | None], random: Random) -> list[Span]:
    """Let each value hold until the next one; now and then it ends with nothing after it."""
    ends: list[datetime | None] = [*times[1:], None][: len(times)]
    if times and random.random() < 0.05:
        ends[-1] = times[-1] + (NOW - times[-1]) / 2
    return [Span(*each) for each in zip(values, times, ends, strict=True)]
