"""What metrics are counted by: which values of a field mean what, and exchange rates. Shown and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal

from syncline import clock
from syncline.actions.audit import note
from syncline.actions.hub import Hub
from syncline.actions.measuring import wrong
from syncline.domain.callers import Caller
from syncline.domain.tables import read_table
from syncline.domain.values import Unreadable, as_date, as_number
from syncline.errors import NotFound
from syncline.store import metrics, rates, tenants
from syncline.store.metrics import SETTING_NAMES, MetricSettings
from syncline.store.rates import Rate

_MOST_VALUES = 100
_LONGEST_VALUE = 200
_MOST_RATES = 20_000
#: Of a file of rates: column → what else it may be called.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "from_currency": ("from_currency", "from", "currency"),
    "to_currency": ("to_currency", "to"),
    "valid_on": ("valid_on", "date", "day"),
    "rate": ("rate", "value"),
}
#: Settings of which no value may be in both: it would mean two things.
_OPPOSITES = (("qualified", "unqualified"), ("retained", "cancelled"))


async def show_settings(hub: Hub, caller: Caller) -> MetricSettings:
    """Return which values count as what. Raises `Forbidden`."""
    caller.require("records:read")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await metrics.get_settings(conn, tenant_id=hub.tenant_id)


async def change_settings(hub: Hub, caller: Caller, changes: Mapping[str, Sequence[str]]) -> MetricSettings:
    """Change some of the settings and return all. Capitals and spaces around a value make no difference.

    Raises `Forbidden`, and `Invalid` with the field.
    """
    caller.require("settings:write")
    clean = {name: _clean(name, values) for name, values in changes.items()}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        known = await metrics.get_settings(conn, tenant_id=hub.tenant_id)
        wanted = replace(known, **clean)
        for one, other in _OPPOSITES:
            both = set(getattr(wanted, one)) & set(getattr(wanted, other))
            if both:
                raise wrong(one, f"{min(both)!r} cannot be {one} and {other} at once.")
        await metrics.put_settings(conn, wanted, tenant_id=hub.tenant_id, now=clock.now(), by=caller.name)
        await note(conn, caller, "metrics.settings_changed", details=asdict(wanted))
    return wanted


def _clean(name: str, values: Sequence[str]) -> list[str]:
    if name not in SETTING_NAMES:
        raise wrong(name, f"There is no setting {name[:40]!r}. There are: {', '.join(SETTING_NAMES)}.")
    clean = list(dict.fromkeys(value.strip().lower() for value in values if value.strip()))
    if len(clean) > _MOST_VALUES or any(len(value) > _LONGEST_VALUE for value in clean):
        raise wrong(name, f"At most {_MOST_VALUES} values of {_LONGEST_VALUE} characters.")
    return clean


async def list_rates(
    hub: Hub, caller: Caller, *, currency: str | None = None, limit: int = 100
) -> list[Rate]:
    """Return exchange rates, the latest day first. Raises `Forbidden` and `Invalid`."""
    caller.require("records:read")
    if not 1 <= limit <= _MOST_RATES:
        raise wrong("limit", f"Between 1 and {_MOST_RATES:,}.")
    wanted = None if currency is None else _read_currency(currency, "currency")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        return await rates.list_all(conn, tenant_id=hub.tenant_id, currency=wanted, limit=limit)


async def put_rates(hub: Hub, caller: Caller, given: Sequence[Rate]) -> int:
    """Store rates; one of a day that has one already takes its place. Returns how many are new or changed.

    Raises `Forbidden`, and `Invalid` with the field.
    """
    caller.require("settings:write")
    if len(given) > _MOST_RATES:
        raise wrong("rates", f"At most {_MOST_RATES:,} at once.")
    # Of one day and pair the last one counts, as it would have one after the other.
    clean = {(each.from_currency, each.to_currency, each.valid_on): each for each in map(_check, given)}
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        changed = await rates.put(
            conn, list(clean.values()), tenant_id=hub.tenant_id, now=clock.now(), by=caller.name
        )
        if changed:
            await note(conn, caller, "rates.changed", details={"count": changed})
    return changed


def _check(each: Rate) -> Rate:
    origin, target = (
        _read_currency(each.from_currency, "from_currency"),
        _read_currency(each.to_currency, "to_currency"),
    )
    if origin == target:
        raise wrong("to_currency", "A rate leads from one currency to another.")
    if not each.rate.is_finite() or not 0 < each.rate < 10**12:
        raise wrong("rate", "A rate is a number above nothing.")
    if not 1900 <= each.valid_on.year <= 2200:
        raise wrong("valid_on", f"{each.valid_on} is not a day on which anything was exchanged.")
    return Rate(origin, target, each.valid_on, each.rate)


def _read_currency(code: str, name: str) -> str:
    clean = code.strip().upper()
    if len(clean) != 3 or not clean.isascii() or not clean.isalpha():
        raise wrong(name, f"{code[:20]!r} is not a currency; write its three letters, such as EUR.")
    return clean


async def import_rates(hub: Hub, caller: Caller, data: bytes) -> int:
    """Store the rates of a CSV file: currency, date, rate, and `to` where it is not the tenant's currency.

    All or none. Returns how many are new or changed. Raises `Forbidden`, and `Invalid` with the line.
    """
    caller.require("settings:write")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        home = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).currency
    table = read_table(data)
    names = {each.strip().lower(): place for place, each in enumerate(table.columns)}
    places = {
        column: next((names[each] for each in known if each in names), None)
        for column, known in _COLUMNS.items()
    }
    missing = [column for column in ("from_currency", "valid_on", "rate") if places[column] is None]
    if missing:
        raise wrong("file", f"It has no column {_COLUMNS[missing[0]][-1]}. It needs: currency, date, rate.")
    found: list[Rate] = []
    for line, cells in table.rows:
        told = {column: "" if place is None else cells[place] for column, place in places.items()}
        found.append(_read_line(line, told, home))
    return await put_rates(hub, caller, found)


def _read_line(line: int, told: Mapping[str, str], home: str) -> Rate:
    try:
        day = date.fromisoformat(as_date(told["valid_on"]))
        rate = Decimal(as_number(told["rate"]))
    except Unreadable as error:
        raise wrong(
            "file", f"Line {line} cannot be read: {error}. Dates are 2026-01-31, numbers 1.25."
        ) from None
    return Rate(told["from_currency"], told["to_currency"] or home, day, rate)


async def remove_rate(hub: Hub, caller: Caller, from_currency: str, to_currency: str, valid_on: date) -> None:
    """Remove the rate of a day; the one before holds again. Raises `Forbidden` and `NotFound`."""
    caller.require("settings:write")
    origin = _read_currency(from_currency, "from_currency")
    target = _read_currency(to_currency, "to_currency")
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        if not await rates.remove(conn, origin, target, valid_on, tenant_id=hub.tenant_id):
            raise NotFound(f"There is no rate from {origin} to {target} of {valid_on}.")
        await note(conn, caller, "rates.removed", details={"from": origin, "to": target, "on": str(valid_on)})
