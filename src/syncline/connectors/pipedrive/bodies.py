"""Properties as they are written, text by name, to the JSON that Pipedrive takes. Does no I/O.

The reverse of `decode.flatten`. Pipedrive is strict about types, replaces arrays and objects whole, and takes
a person's name in two parts or one: for some writes the record as it is has to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from syncline.clock import now
from syncline.connectors.pipedrive.decode import CHOICES, belongs, flatten, list_entries
from syncline.connectors.pipedrive.fields import PARTS, Field, Fields
from syncline.connectors.pipedrive.objects import ACTIVITIES, NOTES, PERSONS, TASKS
from syncline.errors import RecordRejected

_NAMES = frozenset({"first_name", "last_name"})
_MANY = {"email": "emails", "phone": "phones"}
#: Written into other properties of an activity.
_VIRTUAL = frozenset({"kind", "due_at", "happens_at", "duration_ms"})
_DEFAULT_LABEL = "work"
_STATUSES = frozenset({"open", "won", "lost"})
#: How v1 takes a moment, which is in UTC.
PLAIN_TIME = "%Y-%m-%d %H:%M:%S"

Data = Mapping[str, Any]


def needs_current(object_name: str, properties: Mapping[str, str | None], fields: Fields) -> bool:
    """Say whether a change can be written only by knowing what the record holds."""
    if object_name == PERSONS and (
        not _MANY.keys().isdisjoint(properties) or len(_NAMES & properties.keys()) == 1
    ):
        return True
    if object_name in (ACTIVITIES, TASKS) and "kind" in properties:
        return True
    bases = (fields.by_name.get(name.partition(".")[0]) for name in properties)
    return any(each is not None and each.kind in PARTS and each.kind != "address" for each in bases)


def build(
    object_name: str, properties: Mapping[str, str | None], fields: Fields, current: Data | None
) -> dict[str, Any]:
    """Return the body of a change, or without `current` of a create. Raises `RecordRejected`.

    `current` is the record's JSON where `needs_current`, else at least {}.
    """
    body: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    for name, text in properties.items():
        base, _, part = name.partition(".")
        known = fields.by_name.get(base)
        if known is None or not known.settable:
            raise RecordRejected(f"Pipedrive has no property {name}, or does not let it be set.")
        if (object_name == PERSONS and (name in _MANY or name in _NAMES)) or name in _VIRTUAL:
            continue
        held = custom if known.is_custom else body
        try:
            if known.kind in PARTS:
                held[base] = _object(known, part, text, held, current or {})
            elif part:
                raise RecordRejected(f"Pipedrive has no property {name}.")
            else:
                held[base] = _convert(known, text)
        except ValueError as problem:
            raise RecordRejected(f"{known.label} cannot be set: {problem}.") from None
    if custom:
        body["custom_fields"] = custom
    if object_name == PERSONS:
        _put_person(body, properties, current)
    elif object_name in (ACTIVITIES, TASKS):
        _put_activity(object_name, body, properties, current)
    elif object_name == NOTES and "add_time" in body:
        moment = body.pop("add_time")
        if moment is not None:  # a note has one whatever happens
            body["add_time"] = _moment(moment).strftime(PLAIN_TIME)
    return body


def join_name(body: dict[str, Any]) -> dict[str, Any]:
    """Return a person's body with one name instead of its two parts, which Pipedrive splits by itself."""
    parts = (str(body.get(name) or "") for name in ("first_name", "last_name"))
    rest = {name: value for name, value in body.items() if name not in _NAMES}
    return {**rest, "name": " ".join(each for each in parts if each)}


def _put_person(body: dict[str, Any], properties: Mapping[str, str | None], current: Data | None) -> None:
    before = {} if current is None else flatten(PERSONS, current)
    for name, many in _MANY.items():
        if name in properties:
            body[many] = _replace_primary((current or {}).get(many), properties[name])
    if "name" in properties:
        return
    first, last = (properties.get(name, before.get(name)) or "" for name in ("first_name", "last_name"))
    if not _NAMES.isdisjoint(properties) and (first or last):
        body["first_name"], body["last_name"] = first, last
        return
    address = properties.get("email", before.get("email")) or properties.get("phone", before.get("phone"))
    if current is None or not _NAMES.isdisjoint(properties):
        if not address:
            raise RecordRejected("Pipedrive wants a name of a person, and there is no address for one.")
        body["name"] = address
    elif current and not (before.get("first_name") or before.get("last_name")) and address:
        body["name"] = address  # named by its address, which changes


def _replace_primary(many: Any, value: str | None) -> list[dict[str, Any]]:
    """Return an array of addresses with another primary one; the others stay as they are.

    Emptied is the primary one only: what follows takes its place.
    """
    entries = list_entries(many)
    primary = next((each for each in entries if each.get("primary") is True), entries[0] if entries else None)
    others = [
        {**each, "primary": False} for each in entries if each is not primary and each["value"] != value
    ]
    if value is not None:
        label = _DEFAULT_LABEL if primary is None else primary.get("label") or _DEFAULT_LABEL
        return [{"value": value, "primary": True, "label": label}, *others]
    if others:
        others[0]["primary"] = True
    return others


def _put_activity(
    object_name: str, body: dict[str, Any], properties: Mapping[str, str | None], current: Data | None
) -> None:
    kind = properties.get("kind")
    if current is None and "type" not in body:
        body["type"] = "task" if object_name == TASKS else kind or "meeting"
    elif kind and flatten(ACTIVITIES, current or {}).get("kind") != kind:
        body["type"] = kind
    if not belongs(object_name, {"type": body.get("type", None if object_name != TASKS else "task")}):
        raise RecordRejected(f"An activity of the type {body.get('type')} is not one of {object_name}.")
    moment = next((name for name in ("happens_at", "due_at") if name in properties), None)
    if moment is not None:
        _put_moment(body, properties[moment])
    if "duration_ms" in properties:
        ms = properties["duration_ms"]
        body["duration"] = None if ms is None else _write_duration(ms)
    happened = current is None and object_name == ACTIVITIES and "done" not in body
    if happened and moment is not None and _is_past(properties[moment]):
        # Otherwise it would be on somebody's list of things to do.
        body["done"] = True


def _put_moment(body: dict[str, Any], text: str | None) -> None:
    if text is None:
        body["due_date"] = body["due_time"] = None
        return
    moment = _moment(text)
    body["due_date"], body["due_time"] = moment.strftime("%Y-%m-%d"), moment.strftime("%H:%M:%S")


def _write_duration(ms: str) -> str:
    try:
        seconds = int(Decimal(ms)) // 1000
    except InvalidOperation:
        raise RecordRejected("The duration is not a number.") from None
    if not 0 <= seconds < 360_000:
        raise RecordRejected("The duration is longer than Pipedrive can keep.")
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _is_past(text: str | None) -> bool:
    return text is not None and _moment(text) <= now()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RecordRejected("A time cannot be read.") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _object(known: Field, part: str, text: str | None, held: Mapping[str, Any], current: Data) -> Any:
    """Return the whole object of a field of several parts, with one of them set."""
    if part and part not in PARTS[known.kind]:
        raise ValueError(f"it has no part {part}")
    if known.kind == "address":
        if part:
            raise ValueError("Pipedrive finds out the parts of an address by itself")
        return None if text is None else {"value": text}
    if known.name in held:
        before: Any = held[known.name]
    else:
        custom: Any = current.get("custom_fields") if known.is_custom else current
        before = cast("dict[str, Any]", custom).get(known.name) if isinstance(custom, dict) else None
    if text is None and not part:
        return None
    parts = PARTS[known.kind]
    now_held = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
    kept = {name: value for name, value in now_held.items() if name == "value" or name in parts}
    return {**kept, part or "value": None if text is None else _part(known, part, text)}


def _part(known: Field, part: str, text: str) -> Any:
    if part == "timezone_id":
        return _integer(text)
    if known.kind == "monetary":
        return text if part else _number(text)
    return _date(text) if known.kind == "daterange" else text


def _convert(known: Field, text: str | None) -> Any:
    if known.kind == "set":
        return _choose_many(known, text)
    if text is None:
        return None
    if known.kind == "enum" and known.is_custom:
        return _choose(known, text)
    convert = _CONVERTERS.get(known.kind)
    return text if convert is None else convert(text)


def _choose_many(known: Field, text: str | None) -> list[int] | None:
    parts = [each for each in (text or "").split(CHOICES) if each]
    if not known.is_custom:
        return [_integer(each) for each in parts]
    # Pipedrive takes no empty list.
    return [_choose(known, each) for each in parts] or None


def _choose(known: Field, text: str) -> int:
    """Return an option's id by its label, else by its id as text."""
    exact = next((number for number, label in known.options.items() if label == text), None)
    if exact is not None:
        return exact
    wanted = text.strip().casefold()
    alike = (number for number, label in known.options.items() if label.strip().casefold() == wanted)
    if (number := next(alike, None)) is not None:
        return number
    if text.isascii() and text.isdigit() and int(text) in known.options:
        return int(text)
    raise ValueError("it has no such option")


def _integer(text: str) -> int:
    number = _number(text)
    if not isinstance(number, int):
        raise ValueError("it takes whole numbers only")  # noqa: TRY004 -- of the text, not of the program
    return number


def _number(text: str) -> int | float:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("it takes numbers only") from None
    if not number.is_finite():
        raise ValueError("it takes numbers only")
    return int(number) if number == number.to_integral_value() else float(number)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("it takes yes or no only")
    return text == "true"


def _date(text: str) -> str:
    return _moment(text).date().isoformat()


def _datetime(text: str) -> str:
    return _moment(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(text: str) -> str:
    if text not in _STATUSES:
        raise ValueError("it takes open, won or lost only")
    return text


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "double": _number,
    "int": _integer,
    "user": _integer,
    "org": _integer,
    "people": _integer,
    "stage": _integer,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "status": _status,
}
