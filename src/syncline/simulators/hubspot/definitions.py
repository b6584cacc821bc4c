"""What a property definition is, and the short notation the catalogue is written in. Knows no values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_BORN = "2020-06-30T15:57:36.939Z"


@dataclass(slots=True)
class Definition:
    """One property of one object type. Mutable: PATCH changes it in place."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group: str = "custom"
    description: str = ""
    options: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    calculated: bool = False
    read_only: bool = False
    unique: bool = False
    hidden: bool = False
    hubspot_defined: bool = True
    whole: bool = False
    referenced: str | None = None
    currency_property: str | None = None
    display_order: int = -1
    form_field: bool = False
    archived: bool = False
    created_at: str = _BORN
    updated_at: str = _BORN

    @property
    def option_values(self) -> list[str]:
        return [option["value"] for option in self.options]

    def wire(self) -> dict[str, Any]:
        """Return the definition as HubSpot's JSON has it."""
        out: dict[str, Any] = {
            "updatedAt": self.updated_at,
            "createdAt": self.created_at,
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": self.options,
            "displayOrder": self.display_order,
            "calculated": self.calculated,
            "externalOptions": self.referenced == "OWNER",
            "archived": self.archived,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "hubspotDefined": self.hubspot_defined,
            "modificationMetadata": {
                "archivable": not self.hubspot_defined,
                "readOnlyDefinition": self.hubspot_defined,
                "readOnlyOptions": self.hubspot_defined,
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "dataSensitivity": "non_sensitive",
        }
        if self.referenced:
            out["referencedObjectType"] = self.referenced
        if self.currency_property:
            out |= {"showCurrencySymbol": True, "currencyPropertyName": self.currency_property}
        if not self.hubspot_defined:
            del out["hubspotDefined"]
        return out


def options(values: Iterable[str | tuple[str, str]]) -> list[dict[str, Any]]:
    """Make options of internal values, or of (value, label) pairs, in the order given."""
    out: list[dict[str, Any]] = []
    for position, item in enumerate(values):
        value, label = item if isinstance(item, tuple) else (item, item.replace("_", " ").capitalize())
        out.append(
            {"label": label, "value": value, "description": "", "displayOrder": position, "hidden": False}
        )
    return out


_FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "date": "date",
    "datetime": "date",
    "enumeration": "select",
    "bool": "booleancheckbox",
    "phone_number": "phonenumber",
}


def read_catalogue(
    text: str, group: str, option_sets: dict[str, list[dict[str, Any]]]
) -> dict[str, Definition]:
    """Read lines of `name type [flags] [=options] [/fieldType]`; a blank line or `#` is skipped.

    Flags: c calculated, r read-only, u unique, h hidden, w whole number, o owner, k company, m money,
    x defined by the account and not by HubSpot.
    """
    found: dict[str, Definition] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        definition = _read_line(words, group, option_sets)
        found[definition.name] = definition
    return found


def _read_line(words: list[str], group: str, option_sets: dict[str, list[dict[str, Any]]]) -> Definition:
    name, kind = words[0], words[1]
    flags, chosen, shape = "", "", ""
    for word in words[2:]:
        if word.startswith("="):
            chosen = word[1:]
        elif word.startswith("/"):
            shape = word[1:]
        else:
            flags = word
    if kind == "bool":
        option_list = options([("true", "True"), ("false", "False")])
    else:
        option_list = [dict(option) for option in option_sets[chosen]] if chosen else []
    calculated = "c" in flags
    return Definition(
        name=name,
        label=name.removeprefix("hs_").replace("_", " ").capitalize(),
        type=kind,
        field_type=shape
        or ("calculation_equation" if calculated and kind == "number" else _FIELD_TYPES[kind]),
        group=_group_of(name, group),
        options=option_list,
        calculated=calculated,
        read_only=calculated or "r" in flags,
        unique="u" in flags,
        hidden="h" in flags,
        whole="w" in flags,
        hubspot_defined="x" not in flags,
        referenced="OWNER" if "o" in flags else "COMPANY" if "k" in flags else None,
        currency_property="deal_currency_code" if "m" in flags else None,
    )


def _group_of(name: str, group: str) -> str:
    if name.startswith("hs_analytics_"):
        return "analyticsinformation"
    if name.startswith("hs_email_") and group == "contactinformation":
        return "emailinformation"
    return group
