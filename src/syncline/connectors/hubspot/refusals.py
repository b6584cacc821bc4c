"""What HubSpot says of one record it did not write, as an outcome. Does no I/O.

The errors of a batch and the body of a call that was refused have the same form. Categories, codes and
the words that name the existing record: recorded answers and the error handling page, read 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from syncline.connectors.hubspot.failures import Failure, shorten
from syncline.connectors.writes import WriteOutcome
from syncline.errors import AlreadyExists, NotFound, RateLimited, RecordRejected, ScopeMissing, Unavailable

_EXISTING = re.compile(r"Existing ID:\s*(\d+)|\b(\d+) already has that value")
#: HubSpot repeats the list of what is wrong as JSON in the message, and sometimes only there.
_LISTED = re.compile(r"\[\{.*\}\]", re.DOTALL)
_CONFLICTS = frozenset({"CONFLICT", "OBJECT_ALREADY_EXISTS"})
_CONFLICT_CODE = "CONFLICTING_UNIQUE_VALUE"
_MOMENTARY = frozenset({"INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "LOCKED", "TIMEOUT"})
#: What is wrong with a property whatever its value, so that every record that names it is refused.
_OF_THE_PROPERTY = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
_MOST_DETAILS = 3


class Detail(msgspec.Struct):
    """One thing that is wrong with a record."""

    property: str
    code: str
    message: str


def list_details(failure: Failure) -> list[Detail]:
    """Return what is wrong property by property, as far as HubSpot says so."""
    found = [_detail(each) for each in _entries(failure.errors)]
    if found:
        return found
    listed = _LISTED.search(str(failure.message or ""))
    try:
        parsed: Any = msgspec.json.decode(listed[0]) if listed else []
    except msgspec.DecodeError:
        return []
    return [
        Detail(str(each.get("name") or ""), str(each.get("error") or ""), str(each.get("message") or ""))
        for each in _entries(parsed)
    ]


def hopeless_properties(failure: Failure) -> frozenset[str]:
    """Return the properties that cannot be set in any record: unknown to HubSpot, or read-only."""
    return frozenset(
        each.property for each in list_details(failure) if each.code in _OF_THE_PROPERTY and each.property
    )


def narrow(failure: Failure, properties: frozenset[str]) -> Failure:
    """Return what a refusal says of some properties: the rest is about other records, and their values."""
    errors = [
        {"message": each.message, "code": each.code, "context": {"propertyName": [each.property]}}
        for each in list_details(failure)
        if each.property in properties
    ]
    return Failure(category=failure.category, errors=errors)


def context_values(failure: Failure, name: str) -> list[str]:
    """Return a list of the error's context, such as the ids it is about, as texts."""
    context: Any = failure.context
    held: Any = cast("dict[str, Any]", context).get(name) if isinstance(context, dict) else None
    listed = cast("list[Any]", held) if isinstance(held, list) else [] if held is None else [held]
    return [str(each) for each in listed]


def explain(failure: Failure, key: str, remote_id: str | None, values: Iterable[str]) -> WriteOutcome:
    """Say what a refusal means for one write. `values` are its own, which no message may repeat."""
    said = _words(failure, values)
    category = str(failure.category or "")
    if category == "OBJECT_NOT_FOUND":
        gone = NotFound(f"HubSpot does not find the record: {said}.")
        return WriteOutcome(key, remote_id, failure=gone, unwritten=True)
    if category in _CONFLICTS or any(each.code == _CONFLICT_CODE for each in list_details(failure)):
        taken = AlreadyExists(f"HubSpot has another record with what must be unique: {said}.")
        return WriteOutcome(key, remote_id, failure=taken, unwritten=True, existing_id=_existing_id(failure))
    if category in {"RATE_LIMIT", "RATE_LIMITS"}:
        return WriteOutcome(key, remote_id, failure=RateLimited(), unwritten=True)
    if category == "MISSING_SCOPES":
        return WriteOutcome(key, remote_id, failure=ScopeMissing(), unwritten=True)
    if category in _MOMENTARY:
        return WriteOutcome(key, remote_id, failure=Unavailable(f"HubSpot could not write it now: {said}."))
    rejected = RecordRejected(f"HubSpot refused the record: {said}.", remote_id=remote_id)
    return WriteOutcome(key, remote_id, failure=rejected, unwritten=True)


def _words(failure: Failure, values: Iterable[str]) -> str:
    """Return HubSpot's own words in one line, without the values they quote."""
    details = list_details(failure)[:_MOST_DETAILS]
    if not details:
        return _plain(str(failure.message or failure.error or "no reason given"), values)
    lines: list[str] = []
    for each in details:
        named = f"{each.property}: " if each.property else ""
        code = f" ({each.code})" if each.code else ""
        lines.append(f"{named}{_plain(each.message, values)}{code}")
    return "; ".join(lines)


def _plain(message: str, values: Iterable[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        if value.strip():
            message = re.sub(rf"(?<!\w){re.escape(value.strip())}(?!\w)", "…", message)
    return shorten(message)


def _existing_id(failure: Failure) -> str | None:
    named = context_values(failure, "existingId")
    if named:
        return named[0]
    for text in (str(failure.message or ""), *(each.message for each in list_details(failure))):
        found = _EXISTING.search(text)
        if found:
            return found[1] or found[2]
    return None


def _detail(entry: dict[str, Any]) -> Detail:
    context = entry.get("context")
    named = (
        cast("dict[str, Any]", context).get("propertyName") if isinstance(context, dict) else entry.get("in")
    )
    listed = cast("list[Any]", named) if isinstance(named, list) else [] if named is None else [named]
    return Detail(", ".join(map(str, listed)), str(entry.get("code") or ""), str(entry.get("message") or ""))


def _entries(value: Any) -> list[dict[str, Any]]:
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in listed if isinstance(each, dict)]
