"""What is known of a person as a page that any browser shows: no script, nothing from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, cast

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "h2{margin-top:2.5rem;border-bottom:1px solid #8888}"
    "dl{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.2rem 1rem;margin:1rem 0;"
    "padding:.7rem 1rem;border:1px solid #8884;border-radius:.4rem}"
    "dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}dl dl{margin:.2rem 0;padding:.3rem .6rem}"
    "@media(max-width:40rem){dl{grid-template-columns:1fr}}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


def page_of(document: Mapping[str, Any]) -> str:
    """Return an export, `{"about": …, "known": {table: {"title", "rows", "mentions"}}}`, as an HTML page."""
    about = document["about"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>What {_text(about['tenant'])} knows</title><style>{_STYLE}</style>",
        f"<h1>What {_text(about['tenant'])} knows of this person</h1>",
        _mapping({key: about[key] for key in ("exported_at", "emails", "phones", "systems")}),
    ]
    for name, section in document["known"].items():
        rows, mentions = section["rows"], section["mentions"]
        title = _text(section["title"])
        if rows:
            parts.append(f'<h2 id="{_text(name)}">{title} ({len(rows):,})</h2>')
            parts += [_mapping(row) for row in rows]
        if mentions:
            parts.append(
                f'<h2 id="{_text(name)}-mentions">{title}: what is about others and mentions you'
                f" ({len(mentions):,})</h2>"
            )
            parts += [_mapping(row) for row in mentions]
    return "\n".join(parts) + "\n</html>\n"


def _mapping(row: Mapping[str, Any]) -> str:
    """Show a row by name and value; what is empty is left out."""
    shown = [
        f"<dt>{_text(name).replace('_', ' ')}</dt><dd>{_value(value)}</dd>"
        for name, value in row.items()
        if value not in (None, "", [], {})
    ]
    return f"<dl>{''.join(shown)}</dl>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[str, Any]", value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = [_value(each) for each in cast("Sequence[Any]", value)]
        return ", ".join(each or "—" for each in listed)
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(str(value))
