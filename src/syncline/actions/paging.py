"""Places in lists that are ordered by time: what a page ends with is where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from syncline.errors import Invalid

_T = TypeVar("_T")


def cut(
    found: Sequence[_T], limit: int, place_of: Callable[[_T], tuple[datetime, UUID]]
) -> tuple[list[_T], str | None]:
    """Return a page of what was found, and where the next begins; None at the end.

    One more than `limit` was asked for, to know whether there is a next one.
    """
    page = list(found[:limit])
    return page, write_place(*place_of(page[-1])) if page and len(found) > limit else None


def write_place(moment: datetime, row_id: UUID) -> str:
    return f"{moment.isoformat()}/{row_id}"


def read_place(text: str | None) -> tuple[datetime, UUID] | None:
    """Read what `write_place` wrote. Raises `Invalid`."""
    if text is None:
        return None
    moment, _, row_id = text.replace(" ", "+").partition("/")  # as "+" arrives that nobody encoded
    try:
        return datetime.fromisoformat(moment), UUID(row_id)
    except ValueError:
        raise Invalid(
            "That is not a place in the list. Take the one that the page before ended with."
        ) from None


def read_id(text: str, what: str) -> UUID:
    """Read an id as a person gave it. Raises `Invalid`."""
    try:
        return UUID(text.strip())
    except ValueError:
        raise Invalid(f"{text!r} is not the id of a {what}.") from None
