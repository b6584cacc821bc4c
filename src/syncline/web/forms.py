"""Forms as a browser sends them: values by field, and what is wrong with them. Knows no page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from starlette.datastructures import FormData, UploadFile

from syncline.errors import CallerMistake, Invalid

TOKEN = "csrf_token"  # noqa: S105 - the name of the field


@dataclass(slots=True)
class Form:
    """What was filled in, or is to be shown so. `errors` are by field; "" is the form as a whole."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    lists: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    files: Mapping[str, UploadFile] = field(default_factory=dict[str, UploadFile])
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def text(self, name: str, default: str = "") -> str:
        """Return a value without outer spaces."""
        return self.values.get(name, default).strip()

    def secret(self, name: str) -> str:
        """Return a value exactly as it was typed."""
        return self.values.get(name, "")

    def optional(self, name: str) -> str | None:
        return self.text(name) or None

    def several(self, name: str) -> list[str]:
        return self.lists.get(name, [])

    def has(self, name: str) -> bool:
        return name in self.values

    def choice(self, name: str, among: Collection[str], default: str = "") -> str:
        """Return which of some was chosen; `default` where none was. Raises `Invalid`."""
        text = self.text(name) or default
        if text not in among:
            told = "is none of those offered"
            raise Invalid(f"Choose one of those offered: {name} {told}.", fields={name: told})
        return text

    def choices(self, name: str, among: Collection[str]) -> list[str]:
        """Return which of some were chosen, any number. Raises `Invalid`."""
        found = self.several(name)
        if not set(found) <= set(among):
            told = "holds something that is not offered"
            raise Invalid(f"Choose among those offered: {name} {told}.", fields={name: told})
        return found

    def integer(self, name: str) -> int | None:
        """Return a whole number, None for nothing. Raises `Invalid`."""
        text = self.text(name).replace(",", "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise Invalid("Give a whole number.", fields={name: "Give a whole number."}) from None

    def id(self, name: str) -> UUID | None:
        """Return an id, None for nothing. Raises `Invalid`."""
        text = self.text(name)
        if not text:
            return None
        try:
            return UUID(text)
        except ValueError:
            raise Invalid("That is not an id.", fields={name: "That is not an id."}) from None

    def blame(self, error: CallerMistake, **renamed: str) -> None:
        """Take over what is wrong: beside its field where the error names it, else above the form.

        `renamed` says how a field is called here that an error calls otherwise.
        """
        fields: Mapping[str, str] = error.fields if isinstance(error, Invalid) else {}
        for name, fault in fields.items():
            self.errors[renamed.get(name, name)] = fault
        if not fields:
            self.errors[""] = str(error)


def read_form(data: FormData) -> Form:
    """Sort what was sent; of a field that came several times, `values` has the last.

    Raises `Invalid` for the one character that no database stores.
    """
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    files: dict[str, UploadFile] = {}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            files[name] = value
        elif "\0" in value:
            told = "holds a character that cannot be stored"
            raise Invalid(f"{name.replace('_', ' ').capitalize()} {told}.", fields={name: told})
        else:
            values[name] = value
            lists.setdefault(name, []).append(value)
    return Form(values, lists, files)
