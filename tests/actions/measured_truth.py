"""What each metric must come to, counted in plain Python over the lists of a world: by days, one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from statistics import fmean, median
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from measured_world import NOW, Activity, Contact, Deal, Thing, World

Number = Decimal | float | None


@dataclass
class Asked:
    """Whose records, and which; None for all."""

    seen: set[UUID] | None = None
    owner: UUID | None = None
    pipeline: UUID | None = None
    connection: UUID | None = None
    currency: str | None = None


@dataclass
class Answer:
    value: Number
    parts: dict[str, Number]
    rows: list[dict[str, Any]]
    by_currency: dict[str, Decimal]
    #: The records that the number rests on, those that count first.
    records: set[UUID]


class Truth:
    def __init__(self, world: World, asked: Asked) -> None:
        self.world = world
        self.asked = asked
        self.zone = ZoneInfo(world.zone)
        self.currency = asked.currency or world.currency
        self.deals = {deal.id: deal for deal in world.deals}

    # Which records ---------------------------------------------------------------------------------------

    def sees(self, thing: Thing) -> bool:
        return thing.lives and (
            self.asked.seen is None or thing.owner is None or thing.owner in self.asked.seen
        )

    def counts(self, thing: Thing) -> bool:
        asked = self.asked
        return (
            self.sees(thing)
            and (asked.owner is None or thing.owner == asked.owner)
            and (asked.connection is None or asked.connection in thing.links)
        )

    def in_pipeline(self, deal: Deal) -> bool:
        return self.asked.pipeline is None or (
            deal.stage is not None and deal.stage.pipeline == self.asked.pipeline
        )

    def people(self, deal: Deal) -> set[UUID]:
        return deal.people | ({deal.contact} if deal.contact else set())

    def my_deals(self) -> list[Deal]:
        return [deal for deal in self.world.deals if self.counts(deal) and self.in_pipeline(deal)]

    def my_contacts(self) -> list[Contact]:
        concerned: set[UUID] = set()
        for deal in self.world.deals:
            if self.sees(deal) and self.in_pipeline(deal):
                concerned |= self.people(deal)
        return [
            contact
            for contact in self.world.contacts
            if self.counts(contact) and (self.asked.pipeline is None or contact.id in concerned)
        ]

    def my_calls(self) -> list[Activity]:
        found: list[Activity] = []
        for call in self.world.activities:
            if call.type != "call" or call.occurred_at is None or not self.counts(call):
                continue
            about = [d for d in self.world.deals if self.sees(d) and self.in_pipeline(d)]
            if self.asked.pipeline is None or any(
                deal.id == call.deal or call.contact in self.people(deal) for deal in about
            ):
                found.append(call)
        return found

    def winners(self) -> dict[UUID, set[UUID]]:
        """Return contact → deals that were won with it."""
        found: dict[UUID, set[UUID]] = defaultdict(set)
        for deal in self.world.deals:
            if deal.status == "won" and self.sees(deal) and self.in_pipeline(deal):
                for person in self.people(deal):
                    found[person].add(deal.id)
        return found

    # Days and money --------------------------------------------------------------------------------------

    def day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def within(self, moment: datetime | None, begin: date, end: date) -> bool:
        return moment is not None and begin <= self.day(moment) < end

    def currency_of(self, deal: Deal) -> str:
        return (deal.currency or self.world.currency).upper()

    def convert(self, amount: Decimal | None, currency: str, day: date) -> Decimal | None:
        if amount is None or currency == self.currency:
            return amount
        known = [
            (valid, rate)
            for (origin, target, valid), rate in self.world.rates.items()
            if (origin, target) == (currency, self.currency) and valid <= day
        ]
        return amount * max(known)[1] if known else None

    # Metrics ---------------------------------------------------------------------------------------------

    def answer(self, name: str, begin: date, end: date) -> Answer:
        method: Callable[[date, date], Answer] = getattr(self, f"_{name}")
        return method(begin, end)

    def _won(self, begin: date, end: date) -> list[Deal]:
        return [d for d in self.my_deals() if d.status == "won" and self.within(d.closed_at, begin, end)]

    def _made(self, begin: date, end: date) -> list[Deal]:
        return [d for d in self.my_deals() if self.within(d.created_at, begin, end)]

    def _new(self, begin: date, end: date) -> list[Contact]:
        return [c for c in self.my_contacts() if self.within(c.created_at, begin, end)]

    def _called(self, begin: date, end: date) -> list[Activity]:
        return [c for c in self.my_calls() if self.within(c.occurred_at, begin, end)]

    def _lasting(self, begin: date, end: date) -> list[Activity]:
        return [call for call in self._called(begin, end) if call.duration_ms]

    def _money(self, deals: Sequence[Deal]) -> tuple[Decimal | None, dict[str, Decimal], int]:
        """Return the sum in the wanted currency, sums in their own, and how many have no rate."""
        total, without, known = Decimal(), 0, not deals
        own: dict[str, Decimal] = defaultdict(Decimal)
        for deal in deals:
            if deal.amount is None:
                continue
            own[self.currency_of(deal)] += deal.amount
            assert deal.closed_at is not None
            value = self.convert(deal.amount, self.currency_of(deal), self.day(deal.closed_at))
            if value is None:
                without += 1
            else:
                total, known = total + value, True
        return (total if known or not without else None), dict(own), without

    def _total_sales(self, begin: date, end: date) -> Answer:
        deals = self._won(begin, end)
        total, own, _ = self._money(deals)
        return _answer(total, deals, by_currency=own)

    def _deals_won(self, begin: date, end: date) -> Answer:
        deals = self._won(begin, end)
        return _answer(Decimal(len(deals)), deals)

    def _average_deal_size(self, begin: date, end: date) -> Answer:
        deals = self._won(begin, end)
        total, _, without = self._money(deals)
        count = len(deals) - without
        return _answer((total or Decimal()) / count if count else None, deals)

    def _conversion_rate(self, begin: date, end: date) -> Answer:
        people, won = self._new(begin, end), self.winners()
        return _answer(_percent(sum(1 for c in people if won.get(c.id)), len(people)), people)

    def _win_rate(self, begin: date, end: date) -> Answer:
        deals = [
            d for d in self.my_deals() if d.status in {"won", "lost"} and self.within(d.closed_at, begin, end)
        ]
        return _answer(_percent(sum(1 for d in deals if d.status == "won"), len(deals)), deals)

    def _time_to_sale(self, begin: date, end: date) -> Answer:
        deals = self._won(begin, end)
        days = [(d.closed_at - d.created_at) / timedelta(days=1) for d in deals if d.closed_at]
        return _answer(median(days) if days else None, deals, mean=fmean(days) if days else None)

    def _new_contacts(self, begin: date, end: date) -> Answer:
        people = self._new(begin, end)
        return _answer(Decimal(len(people)), people)

    def _qualified_rate(self, begin: date, end: date) -> Answer:
        deals = self._made(begin, end)
        return _answer(_percent(sum(1 for d in deals if _word(d.qualified) == "yes"), len(deals)), deals)

    def _trial_rate(self, begin: date, end: date) -> Answer:
        deals = self._made(begin, end)
        return _answer(_percent(sum(1 for d in deals if _has_trial(d)), len(deals)), deals)

    def _trial_to_paid_rate(self, begin: date, end: date) -> Answer:
        deals = [d for d in self._made(begin, end) if _has_trial(d)]
        return _answer(_percent(sum(1 for d in deals if d.status == "won"), len(deals)), deals)

    def _average_installments(self, begin: date, end: date) -> Answer:
        deals = [d for d in self._won(begin, end) if d.installments is not None]
        months = [d.installments for d in deals if d.installments is not None]
        return _answer(sum(months, Decimal()) / len(months) if months else None, deals)

    def _paying(self, begin: date, end: date, words: set[str]) -> Answer:
        deals = [d for d in self._won(begin, end) if _word(d.payment)]
        return _answer(_percent(sum(1 for d in deals if _word(d.payment) in words), len(deals)), deals)

    def _retention_rate(self, begin: date, end: date) -> Answer:
        return self._paying(begin, end, {"active", "completed"})

    def _cancellation_rate(self, begin: date, end: date) -> Answer:
        return self._paying(begin, end, {"cancelled", "failed", "refunded"})

    def _total_calls(self, begin: date, end: date) -> Answer:
        calls = self._called(begin, end)
        by = {way: Decimal(sum(1 for c in calls if c.direction == way)) for way in ("outbound", "inbound")}
        return _answer(Decimal(len(calls)), calls, **by)

    def _average_call_time(self, begin: date, end: date) -> Answer:
        calls = self._lasting(begin, end)
        seconds = [float(c.duration_ms or 0) / 1000 for c in calls]
        return _answer(fmean(seconds) if seconds else None, calls)

    def _total_call_time(self, begin: date, end: date) -> Answer:
        calls = self._lasting(begin, end)
        return _answer(sum(float(c.duration_ms or 0) for c in calls) / 3_600_000, calls)

    def _five_minute_rate(self, begin: date, end: date) -> Answer:
        calls = self._lasting(begin, end)
        return _answer(_percent(sum(1 for c in calls if (c.duration_ms or 0) >= 300_000), len(calls)), calls)

    def _time_to_first_contact(self, begin: date, end: date) -> Answer:
        people = self._new(begin, end)
        minutes: list[float] = []
        for person in people:
            times = [
                call.occurred_at
                for call in self.world.activities
                if call.type == "call" and call.direction == "outbound" and self.sees(call)
                if call.contact == person.id and call.occurred_at and call.occurred_at >= person.created_at
            ]
            if times:
                minutes.append((min(times) - person.created_at) / timedelta(minutes=1))
        return _answer(
            median(minutes) if minutes else None,
            people,
            mean=fmean(minutes) if minutes else None,
            never_called=_percent(len(people) - len(minutes), len(people)),
        )

    def _vsl_watch_rate(self, begin: date, end: date) -> Answer:
        people, won = self._new(begin, end), self.winners()
        watchers = [c for c in people if c.watched]
        others = [c for c in people if not c.watched]
        return _answer(
            _percent(len(watchers), len(people)),
            people,
            watchers=_percent(sum(1 for c in watchers if won.get(c.id)), len(watchers)),
            others=_percent(sum(1 for c in others if won.get(c.id)), len(others)),
        )

    def _sales_script_performance(self, begin: date, end: date) -> Answer:
        won = self.winners()
        versions: dict[str, list[Contact]] = defaultdict(list)
        for person in self._new(begin, end):
            if person.script and person.script.strip():
                versions[person.script.strip()].append(person)
        rows: list[dict[str, Any]] = []
        for version, people in versions.items():
            bought = {deal for person in people for deal in won.get(person.id, ())}
            sizes: list[Decimal] = []
            for deal in (self.deals[each] for each in bought):
                value = self.convert(
                    deal.amount, self.currency_of(deal), self.day(deal.closed_at or deal.created_at)
                )
                if deal.amount is None or value is not None:
                    sizes.append(value or Decimal())
            converted = sum(1 for person in people if won.get(person.id))
            rows.append(
                {
                    "version": version,
                    "contacts": len(people),
                    "converted": converted,
                    "conversion_rate": _percent(converted, len(people)),
                    "average_deal_size": sum(sizes, Decimal()) / len(sizes) if sizes else None,
                }
            )
        rows.sort(key=lambda row: (-row["conversion_rate"], row["version"]))
        everybody = [person for people in versions.values() for person in people]
        return _answer(rows[0]["conversion_rate"] if rows else None, everybody, rows=rows)

    # How things stood ------------------------------------------------------------------------------------

    def known_from(self) -> datetime | None:
        return min((span.from_at for deal in self.world.deals for span in deal.stages), default=None)

    def open_at(
        self, end: date
    ) -> list[tuple[Deal, str | None, str | None, Decimal | None, Decimal | None]] | None:
        """Return (deal, pipeline, stage, amount, chance) of what was open as a day began, or is now."""
        at = datetime.combine(end, time(), self.zone).astimezone(UTC)
        if at >= NOW:
            return [
                (
                    deal,
                    self._pipeline(deal),
                    deal.stage and deal.stage.label,
                    deal.amount,
                    _first(deal.probability, deal.stage and deal.stage.probability),
                )
                for deal in self.my_deals()
                if deal.status == "open"
            ]
        begins = self.known_from()
        if begins is None or at < begins:
            return None
        found: list[tuple[Deal, str | None, str | None, Decimal | None, Decimal | None]] = []
        for deal in self.my_deals():
            span = next((each for each in deal.stages if each.holds(at)), None)
            if span is None or span.value is None:
                continue
            stage = self._stage(deal, span.value)
            if stage is not None and stage.is_closed:
                continue
            ended_by_status = deal.status != "open" and not (deal.stage and deal.stage.is_closed)
            if ended_by_status and (deal.closed_at is None or deal.closed_at <= at):
                continue
            then = next((each.value for each in deal.amounts if each.holds(at)), None)
            amount = Decimal(then) if then and then != "n/a" else None
            still = deal.stage is not None and deal.stage.key == span.value
            chance = _first(deal.probability if still else None, stage and stage.probability)
            label = stage.label if stage else span.value
            found.append((deal, self._pipeline(deal), label, amount, chance))
        return found

    def _pipeline(self, deal: Deal) -> str | None:
        stage = deal.stage
        return None if stage is None else "Sales" if stage.pipeline.int & 0xF == 1 else "Government"

    def _stage(self, deal: Deal, key: str) -> Any:
        alike = [each for each in self.world.stages if each.key == key]
        own = [each for each in alike if deal.stage is not None and each.pipeline == deal.stage.pipeline]
        return (own or sorted(alike, key=lambda each: each.id) or [None])[0]

    def _pipeline_value(self, begin: date, end: date) -> Answer:
        del begin
        found = self.open_at(end)
        if found is None:
            return _answer(None, [])
        day = end if datetime.combine(end, time(), self.zone).astimezone(UTC) < NOW else self.day(NOW)
        total, weighted, known, without = Decimal(), Decimal(), True, 0
        own: dict[str, Decimal] = defaultdict(Decimal)
        any_value = False
        for deal, _, _, amount, chance in found:
            if amount is None:
                continue
            own[self.currency_of(deal)] += amount
            value = self.convert(amount, self.currency_of(deal), day)
            if value is None:
                without += 1
                continue
            any_value = True
            total += value
            weighted += value * (chance or 0) / 100
        known = any_value or not without
        return _answer(
            total if known else None,
            [each[0] for each in found],
            by_currency=dict(own),
            weighted=weighted if known else None,
            deals=Decimal(len(found)),
        )

    def _deals_by_stage(self, begin: date, end: date) -> Answer:
        del begin
        found = self.open_at(end)
        if found is None:
            return _answer(None, [])
        counts: dict[tuple[str | None, str | None], int] = defaultdict(int)
        for _, pipeline, stage, _, _ in found:
            counts[pipeline, stage] += 1
        rows = [
            {"pipeline": pipeline, "stage": stage, "deals": count}
            for (pipeline, stage), count in counts.items()
        ]
        return _answer(Decimal(len(found)), [each[0] for each in found], rows=rows)


def _answer(
    value: Number,
    records: Iterable[Thing],
    *,
    rows: list[dict[str, Any]] | None = None,
    by_currency: dict[str, Decimal] | None = None,
    **parts: Number,
) -> Answer:
    return Answer(value, parts, rows or [], by_currency or {}, {each.id for each in records})


def _percent(part: int, whole: int) -> Decimal | None:
    return Decimal(100 * part) / whole if whole else None


def _word(text: str | None) -> str:
    return (text or "").strip().lower()


def _has_trial(deal: Deal) -> bool:
    return _word(deal.trial) not in {"", "none"}


def _first(*values: Decimal | None) -> Decimal | None:
    return next((each for each in values if each is not None), None)
