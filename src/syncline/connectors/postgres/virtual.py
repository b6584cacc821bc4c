"""Properties that a table has no column for: a deal's pipeline, and which kind an activity is of.

A CRM of one's own has one pipeline more often than not, and types of activity in its own words; here a deal
is always in a pipeline, and an activity is a call, an e-mail, a meeting or a note. Does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from syncline.connectors.reads import PropertyDefinition

DEALS, ACTIVITIES = "deals", "activities"
#: The pipeline every deal is in where the table has no column for it.
PIPELINE = "pipeline"
#: What an activity's type comes to.
KIND, TYPE = "syncline_kind", "type"
KINDS = ("call", "email", "meeting", "note")
_OTHER = "note"
_WORDS = {
    "call": frozenset({"call", "phone", "phonecall", "calls"}),
    "email": frozenset({"email", "mail", "emails"}),
    "meeting": frozenset({"meeting", "meet", "appointment", "demo", "meetings"}),
}


class Unwritable(ValueError):
    """A virtual property cannot have this value. Says why, never the value."""


def add_virtual(object_name: str, values: dict[str, Any]) -> None:
    """Give a row's properties those that follow from others."""
    if object_name == DEALS:
        values.setdefault(PIPELINE, DEALS)
    elif object_name == ACTIVITIES:
        values[KIND] = kind_of(values.get(TYPE))


def kind_of(text: Any) -> str:
    """Return which kind of activity a word of the CRM's own means; what is none of them is a note."""
    word = re.sub(r"[\W_]+", "", str(text or "")).lower()
    return next((kind for kind, words in _WORDS.items() if word in words), _OTHER)


def describe_virtual(
    object_name: str, columns: Mapping[str, Sequence[str]], *, settable: bool
) -> list[PropertyDefinition]:
    """Return the virtual properties of an object, whose columns come with their choices.

    `settable` says whether the column an activity's kind is written to takes values.
    """
    if object_name == DEALS and PIPELINE not in columns:
        # Every deal is in the one pipeline there is, also those that are written.
        definition = {"name": PIPELINE, "type": "text", "virtual": True}
        return [PropertyDefinition(PIPELINE, "Pipeline", "text", False, False, definition)]
    if object_name == ACTIVITIES:
        definition = {"name": KIND, "type": "text", "virtual": True, "options": list(KINDS)}
        return [PropertyDefinition(KIND, "Kind of activity", "text", not settable, False, definition)]
    return []


def without_virtual(
    object_name: str, values: Mapping[str, str | None], columns: Mapping[str, Sequence[str]]
) -> dict[str, str | None]:
    """Return what is to be written into columns for it. Raises `Unwritable`."""
    written = dict(values)
    if object_name == DEALS and PIPELINE not in columns and written.pop(PIPELINE, DEALS) != DEALS:
        raise Unwritable("pipeline: this CRM has one pipeline, and every deal is in it.")
    if object_name == ACTIVITIES and KIND in written:
        kind = written.pop(KIND)
        if TYPE not in columns:
            if kind != _OTHER:
                raise Unwritable("The table has no column type, so that every activity is a note.")
        elif TYPE not in written:
            written[TYPE] = _word_of(kind, columns[TYPE])
    return written


def _word_of(kind: str | None, choices: Sequence[str]) -> str | None:
    """Return the CRM's own word for a kind, where the column takes certain words only."""
    if kind is None or not choices or kind in choices:
        return kind
    return next((each for each in choices if kind_of(each) == kind), kind)
