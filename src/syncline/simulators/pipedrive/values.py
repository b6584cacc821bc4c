"""What a write may say of each field, strictly: types, choices, links. Raises refusals, changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, cast

from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import ApiError, invalid
from syncline.simulators.pipedrive.company import ACTIVITY_TYPES, CURRENCY_CODES
from syncline.simulators.pipedrive.kinds import ADDRESS_PARTS, Kind
from syncline.simulators.times import iso, time_ms

VISIBLE = (1, 3, 5, 7)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")

#: (company, name, value) → what is stored.
Check = Callable[[Account, str, Any], Any]


def type_of(value: Any) -> str:
    """Return what JSON calls a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def expect(name: str, value: Any, wanted: str) -> None:
    """Raises `ApiError` for a value of another type."""
    if type_of(value) != wanted:
        raise invalid(f"{name}: expected {wanted}, received {type_of(value)}")


def text(_: Account, name: str, value: Any) -> str:
    expect(name, value, "string")
    return value


def filled(_: Account, name: str, value: Any) -> str:
    expect(name, value, "string")
    if not value.strip():
        raise invalid(f"{name}: must not be empty")
    return value


def number(_: Account, name: str, value: Any) -> int | float:
    expect(name, value, "number")
    return value


def integer(_: Account, name: str, value: Any) -> int:
    expect(name, value, "number")
    if not isinstance(value, int):
        raise invalid(f"{name}: expected integer, received float")
    return value


def boolean(_: Account, name: str, value: Any) -> bool:
    expect(name, value, "boolean")
    return value


def day(_: Account, name: str, value: Any) -> str:
    expect(name, value, "string")
    try:
        date.fromisoformat(value if len(value) == len("2026-01-01") else "")
    except ValueError:
        raise invalid(f"{name}: {value!r} is no date of the form YYYY-MM-DD") from None
    return value


def clock(_: Account, name: str, value: Any) -> str:
    expect(name, value, "string")
    if not _TIME.fullmatch(value):
        raise invalid(f"{name}: {value!r} is no time of the form HH:MM:SS")
    return value if value.count(":") == 2 else f"{value}:00"


def moment(_: Account, name: str, value: Any) -> str:
    """Take RFC 3339, or the old form that some fields are documented with."""
    expect(name, value, "string")
    ms = time_ms(f"{value.replace(' ', 'T')}Z" if _PLAIN.fullmatch(value) else value)
    if ms is None or "T" not in value.replace(" ", "T"):
        raise invalid(f"{name}: {value!r} is no date-time of RFC 3339")
    return iso(ms // 1000 * 1000)


def nullable(check: Check) -> Check:
    return lambda account, name, value: None if value is None else check(account, name, value)


def choice(allowed: Sequence[Any]) -> Check:
    def check(_: Account, name: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in allowed:
            raise invalid(f"{name}: expected one of {', '.join(map(str, allowed))}, received {value!r}")
        return value

    return check


def link(kind: str) -> Check:
    """Take the id of a record that is there; what was deleted is not."""

    def check(account: Account, name: str, value: Any) -> int:
        found = integer(account, name, value)
        if account.stores[kind].find_living(found) is None:
            raise invalid(f"{name}: {kind} {found} does not exist")
        return found

    return check


def user(account: Account, name: str, value: Any) -> int:
    found = integer(account, name, value)
    if not any(each.user_id == found for each in account.users):
        raise invalid(f"{name}: user {found} does not exist")
    return found


def stage(account: Account, name: str, value: Any) -> int:
    found = integer(account, name, value)
    if not any(each.stage_id == found and not each.deleted for each in account.stages):
        raise invalid(f"{name}: stage {found} does not exist")
    return found


def pipeline(account: Account, name: str, value: Any) -> int:
    found = integer(account, name, value)
    if not any(each.pipeline_id == found and not each.deleted for each in account.pipelines):
        raise invalid(f"{name}: pipeline {found} does not exist")
    return found


def currency(account: Account, name: str, value: Any) -> str:
    found = text(account, name, value)
    if found not in CURRENCY_CODES:
        raise invalid(f"{name}: currency {found!r} does not exist")
    return found


def labels(entity: str) -> Check:
    def check(account: Account, name: str, value: Any) -> list[int]:
        expect(name, value, "array")
        known = account.fields[entity].fields["label_ids"]
        found = [integer(account, name, each) for each in value]
        if any(known.label_of(each) is None for each in found):
            raise invalid(f"{name}: a label does not exist")
        return found

    return check


def objects(name: str, value: Any, known: Sequence[str]) -> list[dict[str, Any]]:
    """Take an array of objects with no other keys than `known`. Raises `ApiError`."""
    expect(name, value, "array")
    for each in cast("list[Any]", value):
        expect(name, each, "object")
        _refuse_unknown(name, each, known)
    return cast("list[dict[str, Any]]", value)


def _refuse_unknown(name: str, value: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [key for key in value if key not in known]
    if unknown:
        raise invalid(f"{name}: {', '.join(unknown)} is not known")


def addresses(account: Account, name: str, value: Any) -> list[dict[str, Any]]:
    """Take e-mail addresses, phone numbers or chat names: all of them, since they replace what there was."""
    found = objects(name, value, ("value", "primary", "label"))
    for each in found:
        filled(account, f"{name}.value", each.get("value"))
        if "primary" in each:
            boolean(account, f"{name}.primary", each["primary"])
        if each.get("label") is not None:
            text(account, f"{name}.label", each["label"])
    return found


def place(account: Account, name: str, value: Any) -> dict[str, Any]:
    """Take an address; parts left out become null."""
    expect(name, value, "object")
    _refuse_unknown(name, value, (*ADDRESS_PARTS, "formatted_address"))
    for part, each in value.items():
        nullable(text)(account, f"{name}.{part}", each)
    return {part: value.get(part) for part in ADDRESS_PARTS}


def participants(account: Account, name: str, value: Any) -> list[dict[str, Any]]:
    found = objects(name, value, ("person_id", "primary"))
    for each in found:
        link("persons")(account, f"{name}.person_id", each.get("person_id"))
        if "primary" in each:
            boolean(account, f"{name}.primary", each["primary"])
    return found


def attendees(_: Account, name: str, value: Any) -> list[dict[str, Any]]:
    return objects(name, value, ("email", "name", "status", "is_organizer", "person_id", "user_id"))


_COMMON: dict[str, Check] = {"owner_id": user, "visible_to": choice(VISIBLE)}
CONTACT_SYNC: dict[str, Check] = {
    "notes": nullable(text), "im": addresses, "birthday": nullable(day), "job_title": nullable(text),
    "postal_address": nullable(place),
}  # fmt: skip
#: Kind → field → what it takes; fields that are missing here cannot be written.
CHECKS: dict[str, dict[str, Check]] = {
    "persons": {
        **_COMMON, "name": filled, "first_name": nullable(text), "last_name": nullable(text),
        "org_id": nullable(link("organizations")), "emails": addresses, "phones": addresses,
        "label_ids": labels("person"),
    },
    "organizations": {
        **_COMMON, "name": filled, "address": nullable(place), "label_ids": labels("organization"),
        "website": nullable(text), "linkedin": nullable(text), "industry": nullable(integer),
        "annual_revenue": nullable(integer), "employee_count": nullable(integer),
    },
    "deals": {
        **_COMMON, "title": filled, "value": number, "currency": currency,
        "person_id": nullable(link("persons")), "org_id": nullable(link("organizations")),
        "pipeline_id": pipeline, "stage_id": stage, "status": choice(("open", "won", "lost")),
        "probability": nullable(integer), "lost_reason": nullable(text), "is_archived": boolean,
        "archive_time": nullable(moment), "close_time": nullable(moment), "won_time": nullable(moment),
        "lost_time": nullable(moment), "expected_close_date": nullable(day), "label_ids": labels("deal"),
    },
    "activities": {
        "subject": filled, "type": choice(ACTIVITY_TYPES), "owner_id": user,
        "deal_id": nullable(link("deals")), "lead_id": nullable(text),
        "org_id": nullable(link("organizations")), "project_id": nullable(integer),
        "due_date": nullable(day), "due_time": nullable(clock), "duration": nullable(clock),
        "busy": boolean, "done": boolean, "location": nullable(place), "participants": participants,
        "attendees": attendees, "public_description": nullable(text), "priority": nullable(integer),
        "note": nullable(text),
    },
}  # fmt: skip


def check_fields(account: Account, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be stored of a body, custom fields left aside. Raises `ApiError`."""
    checks = CHECKS[kind.name]
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name == "custom_fields":
            continue
        check = checks.get(name)
        if kind.name == "persons" and name in CONTACT_SYNC:
            if not account.settings.contact_sync:
                raise ApiError(403, f"{name} can be written with Contact Sync only")
            check = CONTACT_SYNC[name]
        if check is None:
            words = "cannot be written" if name in kind.template or name in _READ_ONLY else "is not known"
            raise invalid(f"{name}: {words}")
        found[name] = check(account, name, value)
    return found


_READ_ONLY = ("id", "add_time", "update_time", "is_deleted")
