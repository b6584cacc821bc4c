"""Pipedrive's JSON to remote records: the payload to keep, and its values flattened to one text each.

Needs nothing but the payload itself, so that what is stored reads the same as what is fetched. Does no I/O.

Flattening can be taken back (`bodies`): an object `x` gives `x` (its `value`, or the label of an option) and
`x.<part>`; a list of options gives their labels with semicolons between; emails and phones give the primary
one as `email` and `phone`. Empty is None.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from syncline.connectors.pipedrive.api import Answer
from syncline.connectors.pipedrive.objects import (
    ACTIVITIES,
    DEALS,
    EXTERNAL_ID_PREFIX,
    NOTES,
    ORGANIZATIONS,
    PERSONS,
    TASK_TYPES,
    TASKS,
    USERS,
)
from syncline.connectors.records import RemoteRecord
from syncline.connectors.text import decode_as_is, make_storable
from syncline.errors import RecordUnreadable, Unavailable

#: (remote id or "", reason, original text), as in `reads.Page.unreadable`.
Unreadable = tuple[str, str, str]
Properties = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LATEST_MS = 253_402_300_799_999
_LONGEST_ID = 64
#: Between the choices of a field that has several.
CHOICES = ";"
ADDRESS_PARTS = (
    "country", "admin_area_level_1", "admin_area_level_2", "locality", "sublocality", "route",
    "street_number", "subpremise", "postal_code",
)  # fmt: skip
_ADDRESS_NAMES = {
    name: (name, *(f"{name}.{part}" for part in ADDRESS_PARTS))
    for name in ("address", "postal_address", "location")
}
_CUSTOM = "custom_fields"
#: Arrays of which the primary entry is a property.
_MANY = {"emails": "email", "phones": "phone"}
#: What ours call a type of activity; all others are meetings.
_KINDS = {"call": "call", "email": "email"}
_STATUSES = frozenset({"open", "won", "lost"})
#: Modified time, by object; `update_time` otherwise.
_MODIFIED = {USERS: "modified"}

_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


class Records(msgspec.Struct):
    """The records of one answer, in its order."""

    records: list[RemoteRecord]
    unreadable: list[Unreadable]

    def list_ids(self) -> list[str]:
        """Return the ids of the answer, those of unreadable records last."""
        return [each.remote_id for each in self.records] + [each[0] for each in self.unreadable]


def read_records(
    object_name: str, answer: Answer, complete: Callable[[dict[str, Any]], None] | None = None
) -> Records:
    """Read the records of a list, or the single one of an answer; of activities, only those of the object.

    `complete` adds to each what this endpoint does not tell. Raises `Unavailable` when the data are neither.
    """
    listed = _as_list(answer.data)
    originals: Sequence[Any] = listed
    if answer.is_mended:
        whole: Any = decode_as_is(answer.response.body)
        originals = _as_list(cast("dict[str, Any]", whole).get("data"))
    found = Records([], [])
    for kept, original in zip(listed, originals, strict=True):
        if not isinstance(kept, dict):
            found.unreadable.append(("", "is no object", json.dumps(original)))
            continue
        data = cast("dict[str, Any]", kept)
        if not belongs(object_name, data):
            continue
        is_mended = original is not kept and original != kept
        if complete is not None:
            complete(data)
        read = convert(object_name, data)
        if isinstance(read, str):
            found.unreadable.append((_id_of(data), read, json.dumps(original)))
            continue
        if is_mended:
            defect = ("holds text that cannot be stored", json.dumps(original))
            read = msgspec.structs.replace(read, defect=defect)
        found.records.append(read)
    return found


def recall(object_name: str, payload: bytes) -> RemoteRecord:
    """Read a payload that was stored. Raises `RecordUnreadable`."""
    try:
        data: Any = make_storable(decode_as_is(payload))
    except (ValueError, RecursionError):
        data = None
    read = convert(object_name, cast("dict[str, Any]", data)) if isinstance(data, dict) else "is no object"
    if isinstance(read, str):
        raise RecordUnreadable(f"What is stored of this record {read}.")
    return read


def belongs(object_name: str, data: Mapping[str, Any]) -> bool:
    """Say whether a row of an endpoint is of this object: activities and tasks are one list at Pipedrive."""
    if object_name == TASKS:
        return data.get("type") in TASK_TYPES
    if object_name == ACTIVITIES:
        return data.get("type") not in TASK_TYPES
    return True


def parse_ms(value: Any) -> int | None:
    """Read RFC 3339, or v1's `YYYY-MM-DD HH:MM:SS` in UTC, as milliseconds since 1970; None if neither."""
    if not isinstance(value, str) or len(value) < 19:
        return None
    try:
        moment = datetime.fromisoformat(value)
        ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS
    except (ValueError, OverflowError):
        return None
    return ms if abs(ms) <= _LATEST_MS else None


def as_text(value: Any) -> str | None:
    """Write a plain value as text: numbers in digits, yes and no as `true` and `false`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return None


def _as_list(data: Any) -> list[Any]:
    if data is None:
        return []
    if isinstance(data, list):
        return cast("list[Any]", data)
    if isinstance(data, dict):
        return [data]
    raise Unavailable("Pipedrive sent an answer whose data are no records.")


def convert(object_name: str, data: dict[str, Any]) -> RemoteRecord | str:
    """Return the record, or what is wrong with it."""
    remote_id = _id_of(data)
    if not remote_id:
        return "has no id"
    try:
        properties = flatten(object_name, data)
        payload = _encode_sorted(data)
    except (OverflowError, TypeError, ValueError, msgspec.MsgspecError):
        return "is not of the form of a record"
    updated_ms = parse_ms(data.get(_MODIFIED.get(object_name, "update_time")))
    return RemoteRecord(
        remote_id,
        payload,
        properties,
        updated_ms,
        _archived_ms(object_name, data, updated_ms),
        (),
        _external_id(data),
    )


def _id_of(data: Mapping[str, Any]) -> str:
    value = data.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = value if isinstance(value, str) else str(value) if abs(value) < 10**_LONGEST_ID else ""
    return text if len(text) <= _LONGEST_ID else ""


def _archived_ms(object_name: str, data: Mapping[str, Any], updated_ms: int | None) -> int | None:
    if data.get("is_deleted") is True or data.get("active_flag") is False:
        return updated_ms or 0
    if data.get("is_archived") is True:
        archived_ms = parse_ms(data.get("archive_time"))
        return archived_ms if archived_ms is not None else updated_ms or 0
    # A deleted deal's status says so where the flag does not.
    return (updated_ms or 0) if object_name == DEALS and data.get("status") == "deleted" else None


def _external_id(data: Mapping[str, Any]) -> str | None:
    custom: Any = data.get("custom_fields")
    if isinstance(custom, dict):
        for value in cast("dict[str, Any]", custom).values():
            if isinstance(value, str) and value.startswith(EXTERNAL_ID_PREFIX):
                return value.removeprefix(EXTERNAL_ID_PREFIX) or None
    return None


def flatten(object_name: str, data: Mapping[str, Any]) -> Properties:
    """Return property → text, as described above."""
    found: Properties = {}
    _put_all(found, data)
    custom: Any = found.pop(_CUSTOM, None)
    if isinstance(custom, dict):
        _put_all(found, cast("dict[str, Any]", custom))
    special = _SPECIAL.get(object_name)
    if special is not None:
        special(found, data)
    return found


def _put_all(found: Properties, values: Mapping[str, Any]) -> None:
    """Flatten values one by one: by far the most of what reading costs, and so without a call for each."""
    for name, value in values.items():
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType] -- of what JSON may hold
        if kind is str:
            found[name] = value or None
        elif value is None:
            found[name] = None
        elif kind is int:
            found[name] = str(value)
        elif kind is bool:
            found[name] = "true" if value else "false"
        elif kind is dict:
            if name == _CUSTOM:
                found[name] = value
            else:
                _put_object(found, name, value)
        elif kind is list:
            if name not in _MANY:
                _put_list(found, name, value)
        else:
            found[name] = as_text(value)


def _put_list(found: Properties, name: str, value: list[Any]) -> None:
    parts = [_choice(each) for each in value]
    if all(each is not None for each in parts):
        found[name] = CHOICES.join(each for each in parts if each is not None) or None


def _put_object(found: Properties, name: str, value: dict[str, Any]) -> None:
    if "id" in value and "label" in value:
        found[name] = _choice(value)
        return
    found[name] = as_text(value.get("value", value.get("amount"))) or None
    for part, each in value.items():
        if part not in {"value", "amount"} and not isinstance(each, dict | list):
            found[f"{name}.{part}"] = as_text(each) or None


def _choice(value: Any) -> str | None:
    """Return an option's label; its id where no label is told, or where the label would be taken for two."""
    if isinstance(value, dict):
        option = cast("dict[str, Any]", value)
        if "id" not in option:
            return None
        label = option.get("label")
        return label if isinstance(label, str) and label and CHOICES not in label else as_text(option["id"])
    return as_text(value)


def _of_person(found: Properties, data: Mapping[str, Any]) -> None:
    for many, name in _MANY.items():
        found.pop(many, None)
        if many in data:
            found[name] = primary_value(data[many])
    # A person must have a name there: one that has only an address is named by it, and has none here.
    if found.get("name") is not None and found["name"] in {found.get("email"), found.get("phone")}:
        found["first_name"] = found["last_name"] = None
    _fill_address(found, data, "postal_address")


def _of_organization(found: Properties, data: Mapping[str, Any]) -> None:
    _fill_address(found, data, "address")


def _fill_address(found: Properties, data: Mapping[str, Any], name: str) -> None:
    if name in data:
        for each in _ADDRESS_NAMES[name]:
            if each not in found:
                found[each] = None


def _of_deal(found: Properties, data: Mapping[str, Any]) -> None:
    if found.get("status") not in _STATUSES:
        won, lost = data.get("won_time"), data.get("lost_time")
        found["status"] = "won" if won else "lost" if lost else "open"


def _of_activity(found: Properties, data: Mapping[str, Any]) -> None:
    found["kind"] = _KINDS.get(str(data.get("type")), "meeting")
    _fill_address(found, data, "location")
    day, at = found.get("due_date"), found.get("due_time")
    found["due_at"] = None if day is None else f"{day}T{_clock(at)}Z"
    found["happens_at"] = found["due_at"] or found.get("add_time")
    duration_ms = _duration_ms(found.get("duration"))
    found["duration_ms"] = None if duration_ms is None else str(duration_ms)
    begins_ms = parse_ms(found["due_at"])
    ends_ms = None if duration_ms is None or begins_ms is None or at is None else begins_ms + duration_ms
    found["ends_at"] = None if ends_ms is None else _write_ms(ends_ms)


def _clock(text: Any) -> str:
    """Write a time of day in full: `HH:MM:SS`; what is none is midnight."""
    parts = str(text).split(":") if isinstance(text, str) else []
    if len(parts) not in (2, 3) or not all(each.isascii() and each.isdigit() for each in parts):
        return "00:00:00"
    return ":".join([*(each.zfill(2) for each in parts), "00"][:3])


def _duration_ms(text: Any) -> int | None:
    if not isinstance(text, str) or text.count(":") not in (1, 2):
        return None
    parts = text.split(":")
    if not all(each.isascii() and each.isdigit() for each in parts):
        return None
    hours, minutes, seconds = [*(int(each) for each in parts), 0][:3]
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def _write_ms(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_note(found: Properties, data: Mapping[str, Any]) -> None:
    del data
    _write_times(found, ("add_time", "update_time"))


def _of_user(found: Properties, data: Mapping[str, Any]) -> None:
    del data
    _write_times(found, ("created", "modified", "last_login"))
    # Pipedrive keeps one name; the first word is as good a guess as any, and owners are only read.
    first, _, last = str(found.get("name") or "").strip().partition(" ")
    found["first_name"], found["last_name"] = first or None, last.strip() or None


def _write_times(found: Properties, names: Sequence[str]) -> None:
    for name in names:
        ms = parse_ms(found.get(name))
        if name in found:
            found[name] = None if ms is None else _write_ms(ms)


_SPECIAL: Mapping[str, Callable[[Properties, Mapping[str, Any]], None]] = {
    PERSONS: _of_person,
    ORGANIZATIONS: _of_organization,
    DEALS: _of_deal,
    ACTIVITIES: _of_activity,
    TASKS: _of_activity,
    NOTES: _of_note,
    USERS: _of_user,
}


def primary_value(many: Any) -> str | None:
    """Return the value of the primary entry of an array of e-mail addresses or phones, else of the first."""
    first: str | None = None
    for each in cast("list[Any]", many) if isinstance(many, list) else ():
        entry = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        value = entry.get("value")
        if isinstance(value, str) and value:
            if entry.get("primary") is True:
                return value
            first = first or value
    return first


def list_entries(many: Any) -> list[dict[str, Any]]:
    """Return the entries of such an array that hold a value."""
    listed = cast("list[Any]", many) if isinstance(many, list) else []
    entries = [cast("dict[str, Any]", each) for each in listed if isinstance(each, dict)]
    return [each for each in entries if each.get("value")]
