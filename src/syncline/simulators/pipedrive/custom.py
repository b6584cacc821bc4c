"""What a write may say of a custom field, by its type. Raises refusals, changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline.simulators.pipedrive import values
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import ApiError, invalid
from syncline.simulators.pipedrive.fields import Field, FieldSet

VARCHAR_MOST, TEXT_MOST = 255, 65_535

Check = Callable[[Account, Field, str, Any], Any]


def check_custom(account: Account, fields: FieldSet, given: Any) -> dict[str, Any]:
    """Return values by code as they are to be stored; None clears. Raises `ApiError`."""
    values.expect("custom_fields", given, "object")
    found: dict[str, Any] = {}
    for code, value in given.items():
        field = fields.fields.get(code)
        if field is None or not field.custom:
            raise invalid(f"custom_fields: {code} is not known", field_code=code)
        try:
            found[code] = None if value is None else _CHECKS[field.type](account, field, "value", value)
        except ApiError as error:
            reason = error.message.removeprefix("Validation failed: ")
            raise invalid(f"custom_fields.{code}: {reason}", field_code=code) from None
    return found


def _words(most: int) -> Check:
    def check(account: Account, _: Field, name: str, value: Any) -> str | None:
        found = values.text(account, name, value)
        if len(found) > most:
            raise invalid(f"{name}: must have at most {most} characters")
        return found or None

    return check


def _plainly(check: values.Check) -> Check:
    return lambda account, _, name, value: check(account, name, value)


def _option(account: Account, field: Field, name: str, value: Any) -> int:
    found = values.integer(account, name, value)
    if field.label_of(found) is None:
        raise invalid(f"{name}: option {found} does not exist")
    return found


def _options(account: Account, field: Field, name: str, value: Any) -> list[int]:
    values.expect(name, value, "array")
    if not value:
        # Null is what clears.
        raise invalid(f"{name}: must contain at least one option")
    return sorted({_option(account, field, name, each) for each in value})


def _object(required: dict[str, values.Check], optional: dict[str, values.Check]) -> Check:
    def check(account: Account, _: Field, name: str, value: Any) -> dict[str, Any]:
        values.expect(name, value, "object")
        for part in value:
            if part not in required and part not in optional:
                raise invalid(f"{name}: {part} is not known")
        found = {part: each(account, f"{name}.{part}", value.get(part)) for part, each in required.items()}
        for part, each in optional.items():
            found[part] = each(account, f"{name}.{part}", value.get(part))
        return found

    return check


_ZONE: dict[str, values.Check] = {
    "timezone_id": values.nullable(values.integer), "timezone_name": values.nullable(values.text),
}  # fmt: skip
_CHECKS: dict[str, Check] = {
    "varchar": _words(VARCHAR_MOST),
    "varchar_auto": _words(VARCHAR_MOST),
    "phone": _words(VARCHAR_MOST),
    "text": _words(TEXT_MOST),
    "double": _plainly(values.number),
    "monetary": _object({"value": values.number, "currency": values.currency}, {}),
    "enum": _option,
    "set": _options,
    "user": _plainly(values.user),
    "org": _plainly(values.link("organizations")),
    "people": _plainly(values.link("persons")),
    "date": _plainly(values.day),
    "daterange": _object({"value": values.day, "until": values.day}, {}),
    "time": _object({"value": values.clock}, _ZONE),
    "timerange": _object({"value": values.clock, "until": values.clock}, _ZONE),
    "address": _plainly(values.place),
}
