"""Templates: where they are, and what every one of them can use. Knows no request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from syncline.web import dashboard_show, show
from syncline.web.assets import Assets

_NOTHING = Markup('<span class="soft">&ndash;</span>')
_FOLDER = Path(__file__).parent / "templates"


def make_environment(assets: Assets) -> Environment:
    """Return what renders the templates. A name that is not given is an error, not nothing."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.loopcontrols"],
    )
    names: dict[str, Any] = {
        "asset": assets.url,
        "assets": assets,
        "icon": partial(icon, assets),
        "look": show.look,
        "query": query,
        "options": options,
        "duration": show.duration,
        "words": show.words,
        "listed": show.listed,
        "is_number": dashboard_show.is_number,
    }
    filters: dict[str, Callable[..., Any]] = {
        "ago": _ago,
        "moment": _moment,
        "day": _day,
        "number": _number,
        "compact": _compact,
        "money": _money,
        "share": _share,
        "plural": _plural,
        "duration": show.duration,
        "span": show.span,
        "words": show.words,
        "listed": show.listed,
        "value": _value,
        "told": _told,
        "rate": dashboard_show.rate,
        "time": _time,
        "data": _data,
        "pretty": _pretty,
        "initials": initials,
        "slug": slug,
    }
    environment.globals.update(names)
    environment.filters.update(filters)
    return environment


def icon(assets: Assets, name: str, classes: str = "", label: str = "") -> Markup:
    """Return a picture. Without a `label` it is an ornament, which nobody reads out."""
    names = escape(f"icon {classes}".strip())
    said = Markup(' role="img" aria-label="{}"').format(label) if label else Markup(' aria-hidden="true"')
    return Markup('<svg class="{}"{}><use href="{}#{}"/></svg>').format(
        names, said, assets.url("icons.svg"), name
    )


def query(**parameters: Any) -> str:
    """Return `?a=b&c=d` of what is neither None nor ""; "" when that is nothing."""
    given = {name: value for name, value in parameters.items() if value not in (None, "", False)}
    return f"?{urlencode(given, doseq=True)}" if given else ""


def options(names: Iterable[str], every: str = "All") -> list[tuple[str, str]]:
    """Return names as options of a filter, with one for all of them."""
    return [("", every), *((name, show.words(name) if name.islower() else name) for name in names)]


def initials(name: str) -> str:
    """Return the one or two letters that stand for a person."""
    parts = re.findall(r"\w+", name.partition("@")[0])
    return "".join(part[0] for part in (parts[:1] + parts[1:][-1:])).upper() or "?"


def slug(text: str) -> str:
    """Return a text as part of an id of an element."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _place(context: Context) -> show.Place:
    return context["place"]


@pass_context
def _ago(context: Context, value: datetime | None) -> Markup:
    """Return how long ago something was, which goes on by itself, with the time it was."""
    if value is None:
        return Markup('<span class="soft">never</span>')
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        value.isoformat(), show.moment(value, _place(context)), show.ago(value, context["now"])
    )


@pass_context
def _moment(context: Context, value: datetime | None, style: str = "medium") -> Markup:
    if value is None:
        return _NOTHING
    return Markup('<time datetime="{}">{}</time>').format(
        value.isoformat(), show.moment(value, _place(context), style)
    )


@pass_context
def _day(context: Context, value: date | datetime | None) -> Markup:
    if value is None:
        return _NOTHING
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), show.day(value, _place(context)))


@pass_context
def _number(context: Context, value: float | Decimal | None) -> str:
    return show.number(value, _place(context))


@pass_context
def _compact(context: Context, value: float | None) -> str:
    return show.compact(value, _place(context))


@pass_context
def _share(context: Context, value: float | None) -> str:
    return show.share(value, _place(context))


@pass_context
def _money(context: Context, value: Any, currency: str | None = None) -> str:
    return show.money(value, _place(context), currency)


@pass_context
def _plural(context: Context, count: int, one: str, many: str | None = None) -> str:
    return show.plural(count, one, many, _place(context))


@pass_context
def _value(context: Context, value: Any, most: int = 280) -> Markup:
    """Return a value of a record, whatever it is, as a person reads it."""
    place = _place(context)
    if value is None or value in ("", [], {}):
        return Markup('<span class="absent">empty</span>')
    if isinstance(value, bool):
        return Markup("yes") if value else Markup("no")
    if isinstance(value, datetime):
        return _moment(context, value)
    if isinstance(value, date):
        return _day(context, value)
    if isinstance(value, int | float | Decimal):
        return escape(show.number(value, place))
    text = value if isinstance(value, str) else _json(value)
    short = text if len(text) <= most else f"{text[:most]}…"
    return Markup('<span class="wrap-any">{}</span>').format(short)


@pass_context
def _told(context: Context, value: Any, unit: str, currency: str | None = None) -> str:
    """Return a number, or whatever a column of a table holds, with its unit."""
    place = _place(context)
    return dashboard_show.cell(value, unit, place, currency or place.currency)


def _time(value: Any) -> date | datetime | None:
    """Return a time or a day that a record holds as text; None for what is none."""
    if not isinstance(value, str):
        return value if isinstance(value, date) else None
    try:
        return datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
    except ValueError:
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _pretty(value: Any) -> str:
    """Return a value as JSON that people read."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def _data(value: Any) -> Markup:
    """Return a value as JSON that may stand in a page: nothing in it ends the element it stands in."""
    text = _json(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(text)  # noqa: S704 - escaped above
