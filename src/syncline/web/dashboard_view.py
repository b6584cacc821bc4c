"""What a page of numbers is about, as its address says: period, owner, pipeline, connection, currency.

Knows no metric. The last day of a period is in the address as people say it; actions take the day behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from syncline.actions.metric_choices import Choice, Choices, read_choices
from syncline.actions.metrics import Asked, Filters
from syncline.clock import now
from syncline.domain.periods import Period, month_before, read_period, today_in
from syncline.errors import Invalid
from syncline.web.dashboard_show import tell_span
from syncline.web.forms import Form
from syncline.web.page import Page
from syncline.web.render import query

#: What an address may say, in the order in which it does.
NAMES = ("period", "from", "until", "owner", "pipeline", "connection", "currency")
#: Periods that reach back from today by so many days.
_ROLLING = {"last-7": 7, "last-30": 30, "last-90": 90, "last-365": 365}
_NAMED = {
    "today": "Today",
    "week": "This week",
    "month": "This month",
    "quarter": "This quarter",
    "year": "This year",
}
Options = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at. Where `form` has errors, it is what was asked for and cannot be."""

    #: What the address says, as it was said.
    values: Mapping[str, str]
    form: Form
    period: Period
    #: The days of the period in words.
    span: str
    before: str
    #: What the period is called in the address.
    chosen: str
    filters: Filters
    options: Mapping[str, Options]
    today: date

    @property
    def asked(self) -> Asked:
        return Asked(from_on=self.period.from_on, to_on=self.period.to_on)

    @property
    def is_wrong(self) -> bool:
        return bool(self.form.errors)

    def insist(self) -> None:
        """Raise `Invalid` for what is wrong, where there is no form to show it in."""
        if self.form.errors:
            raise Invalid(" ".join(self.form.errors.values()), fields=self.form.errors)

    @property
    def status(self) -> int:
        return 422 if self.is_wrong else 200

    @property
    def first_on(self) -> str:
        return self.period.from_on.isoformat()

    @property
    def last_on(self) -> str:
        return (self.period.to_on - timedelta(days=1)).isoformat()

    def address(self, **more: Any) -> str:
        """Return the query that leads to the same view, with `more` in it or None taken out of it."""
        return query(**{**self.values, **more})

    def select(self, name: str) -> tuple[Options, str]:
        """Return the options of a filter and which of them is set."""
        return self.options[name], self.values.get(name, "")


async def read_view(page: Page, usual: str = "month") -> View:
    """Read what the address asks for; of what it asks for wrongly the `form` says why."""
    asked = page.request.query_params
    values = {name: text.strip() for name in NAMES if (text := asked.get(name, "")).strip()}
    choices = await read_choices(page.hub, page.caller)
    today = today_in(page.place.zone.key, now())
    form = Form(values)
    chosen, period = _read_period(values, today, usual, form)
    known = {name: _find(name, values, choices, form) for name in ("owner", "pipeline", "connection")}
    currency = values.get("currency", "").upper() or None
    if currency is not None and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        form.errors["currency"] = "A currency has three letters, such as EUR."
    return View(
        values={**values, **{name: each for name, each in known.items() if each}},
        form=form,
        period=period,
        span=tell_span(period.from_on, period.to_on, page.place),
        before=tell_span(period.previous.from_on, period.previous.to_on, page.place),
        chosen=chosen,
        filters=Filters(known["owner"], known["pipeline"], known["connection"], currency),
        options=_options(page, choices, values, chosen, today, currency),
        today=today,
    )


def _read_period(values: Mapping[str, str], today: date, usual: str, form: Form) -> tuple[str, Period]:
    """Return what the period is called and which it is; where it is wrong, the usual one."""
    chosen = values.get("period", "custom" if "from" in values else usual).lower()
    fallback = _rolling(usual, today) or read_period(usual, today)
    try:
        if chosen == "custom":
            if "from" not in values and "until" not in values:
                return chosen, fallback  # just chosen: the days are still to be said
            first = _day(values, "from") or fallback.from_on
            last = _day(values, "until") or today
            return chosen, read_period(None, today, from_on=first, to_on=last + timedelta(days=1))
        return chosen, _rolling(chosen, today) or read_period(chosen, today)
    except OverflowError:
        form.errors["until"] = "That lies outside the calendar."
    except Invalid as error:
        form.blame(error, to="until")
        if "until" in form.errors and "before it begins" in form.errors["until"]:
            form.errors["until"] = "The last day lies before the first."
    return chosen, fallback


def _rolling(name: str, today: date) -> Period | None:
    days = _ROLLING.get(name)
    if days is None:
        return None
    return read_period(None, today, from_on=today - timedelta(days=days - 1), to_on=today + timedelta(days=1))


def _day(values: Mapping[str, str], name: str) -> date | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("That is no day.", fields={name: "A day is written 2026-01-31."}) from None


def _find(name: str, values: Mapping[str, str], choices: Choices, form: Form) -> str | None:
    """Return the value of the choice that is named, however it is named; what there is not is wrong."""
    text = values.get(name)
    if text is None:
        return None
    if name == "owner" and text.lower() == "me":
        return "me"
    known: Mapping[str, Sequence[Choice]] = {
        "owner": choices.owners,
        "pipeline": choices.pipelines,
        "connection": choices.connections,
    }
    wanted = text.lower()
    for each in known[name]:
        if wanted in {each.value.lower(), *(other.lower() for other in each.names)}:
            return each.value
    # The same words for what is another tenant's and what is nobody's.
    form.errors[name] = f"There is no such {name}."
    return None


def _options(
    page: Page, choices: Choices, values: Mapping[str, str], chosen: str, today: date, currency: str | None
) -> dict[str, Options]:
    owners = [(each.value, each.label) for each in choices.owners]
    if page.caller.sees_all:
        everyone = "Everyone"
        owners = [("me", "Only mine"), *owners] if page.caller.owner_ids else owners
    else:
        everyone, owners = "Mine and nobody's", [("me", "Only mine")]
    home = choices.currencies[0].value
    currencies = [(each.value, each.label) for each in choices.currencies[1:]]
    if currency and currency not in {home, *(value for value, _ in currencies)}:
        currencies.append((currency, currency))
    return {
        "period": _periods(chosen, today),
        "owner": _with(values, "owner", [("", everyone), *owners]),
        "pipeline": _with(
            values, "pipeline", [("", "All"), *((each.value, each.label) for each in choices.pipelines)]
        ),
        "connection": _with(
            values, "connection", [("", "All"), *((each.value, each.label) for each in choices.connections)]
        ),
        "currency": [("", home), *currencies],
    }


def _with(values: Mapping[str, str], name: str, options: list[tuple[str, str]]) -> Options:
    """Return the options; one that is asked for and is none of them stands there as what it is."""
    text = values.get(name, "")
    return options if text.lower() in {value.lower() for value, _ in options} else [*options, (text, text)]


def _periods(chosen: str, today: date) -> Options:
    last_month, quarter = month_before(today, 1), (today.month - 1) // 3
    last_quarter = f"{today.year}-Q{quarter}" if quarter else f"{today.year - 1}-Q4"
    options = [
        *_NAMED.items(),
        *((name, f"Last {days} days") for name, days in _ROLLING.items()),
        (f"{last_month:%Y-%m}", "Last month"),
        (last_quarter.lower(), "Last quarter"),
        (str(today.year - 1), "Last year"),
    ]
    if chosen not in {"custom", *(value for value, _ in options)}:
        options.append((chosen, chosen.upper()))
    return [*options, ("custom", "Other days …")]
