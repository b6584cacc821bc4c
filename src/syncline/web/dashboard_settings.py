"""Settings of the numbers: what counts as what, and exchange rates."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation

from fastapi import APIRouter
from fastapi.responses import Response

from syncline.actions.metric_settings import (
    change_settings,
    import_rates,
    list_rates,
    put_rates,
    remove_rate,
    show_settings,
)
from syncline.clock import now
from syncline.domain.periods import today_in
from syncline.errors import CallerMistake, Invalid
from syncline.store.metrics import SETTING_NAMES
from syncline.store.rates import Rate
from syncline.web.forms import Form
from syncline.web.page import Page, visits

router = APIRouter(include_in_schema=False)

_RATES = 200
#: Setting → its label, and what it decides.
WORDS: tuple[tuple[str, str, str], ...] = (
    ("qualified", "Qualified", "Values of a deal's qualified_status that mean yes."),
    ("unqualified", "Not qualified", "Values of qualified_status that mean no."),
    ("no_trial", "No trial", "Values of trial_status that mean there was none; every other one is a trial."),
    ("retained", "Retained", "Values of payment_status of customers who stayed."),
    ("cancelled", "Cancelled", "Values of payment_status of customers who left or got their money back."),
)


@router.get("/settings/metrics")
async def show_words(page: Page = visits("settings:write")) -> Response:
    return await _words_page(page, Form())


async def _words_page(page: Page, form: Form, *, status: int = 200) -> Response:
    known = await show_settings(page.hub, page.caller)
    return page.render(
        "dashboard/settings_words.html",
        status=status,
        form=form,
        words=[(name, label, hint, "\n".join(getattr(known, name))) for name, label, hint in WORDS],
        help="metrics",
    )


@router.post("/settings/metrics")
async def change_words(page: Page = visits("settings:write")) -> Response:
    form = page.form
    changes = {name: _values(form.text(name)) for name in SETTING_NAMES if form.has(name)}
    try:
        await change_settings(page.hub, page.caller, changes)
    except CallerMistake as error:
        form.blame(error)
        return await _words_page(page, form, status=422)
    return page.go(
        "/settings/metrics", "Saved. Numbers count by it from now on, also those of earlier periods."
    )


def _values(text: str) -> list[str]:
    return [each for each in (part.strip() for part in re.split(r"[\n,;]", text)) if each]


@router.get("/settings/rates")
async def show_rates(page: Page = visits("settings:write")) -> Response:
    return await _rates_page(page, Form())


async def _rates_page(page: Page, form: Form, *, status: int = 200) -> Response:
    wanted = page.request.query_params.get("currency", "").strip()
    try:
        found = await list_rates(page.hub, page.caller, currency=wanted or None, limit=_RATES)
    except Invalid as error:
        found = []
        form.blame(error, currency="wanted")
        status = 422
    return page.render(
        "dashboard/settings_rates.html",
        status=status,
        form=form,
        rates=found,
        most=_RATES,
        wanted=wanted,
        today=today_in(page.place.zone.key, now()),
        help="dashboard",
    )


@router.post("/settings/rates")
async def add_rate(page: Page = visits("settings:write")) -> Response:
    form = page.form
    try:
        rate = _read_rate(form, page.place.currency)
        await put_rates(page.hub, page.caller, [rate])
    except CallerMistake as error:
        form.blame(error)
        return await _rates_page(page, form, status=422)
    return page.go(
        "/settings/rates",
        f"1 {rate.from_currency.upper()} is {rate.rate} {rate.to_currency.upper()} from {rate.valid_on} on.",
    )


def _read_rate(form: Form, home: str) -> Rate:
    """Read what was filled in; all that is wrong is told at once."""
    wrong: dict[str, str] = {}
    day, number = date.min, Decimal()
    try:
        day = date.fromisoformat(form.text("valid_on"))
    except ValueError:
        wrong["valid_on"] = "Choose a day."
    try:
        number = Decimal(form.text("rate").replace(",", "."))
    except InvalidOperation:
        wrong["rate"] = "Give a number, such as 1.0842."
    if not form.text("from_currency"):
        wrong["from_currency"] = "Give its three letters, such as EUR."
    if wrong:
        raise Invalid("Please look at the fields.", fields=wrong)
    return Rate(form.text("from_currency"), form.text("to_currency") or home, day, number)


@router.post("/settings/rates/import")
async def add_rates(page: Page = visits("settings:write")) -> Response:
    form = page.form
    file = form.files.get("file")
    try:
        data = b"" if file is None else await file.read()
        if not data:
            raise Invalid("Choose a file.", fields={"file": "Choose a file."})
        changed = await import_rates(page.hub, page.caller, data)
    except CallerMistake as error:
        # Whatever is wrong is wrong with the file: a line of it, or what it is.
        form.errors["file"] = str(error)
        return await _rates_page(page, form, status=422)
    return page.go(
        "/settings/rates",
        f"{changed:,} rates are new or changed." if changed != 1 else "1 rate is new or changed.",
    )


@router.post("/settings/rates/remove")
async def drop_rate(page: Page = visits("settings:write")) -> Response:
    form = page.form
    try:
        day = date.fromisoformat(form.text("valid_on"))
    except ValueError:
        raise Invalid("That is no day.", fields={"valid_on": "A day is written 2026-01-31."}) from None
    await remove_rate(page.hub, page.caller, form.text("from_currency"), form.text("to_currency"), day)
    return page.go("/settings/rates", "The rate is gone; the one before it holds again.")
