"""A mapping written out for a person: YAML to begin one's own file with, and fields in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from syncline.domain.mapping import FieldMap, ObjectMap
from syncline.domain.mapping_file import OFF
from syncline.domain.plain_yaml import write_yaml

_HEAD = """\
# What is commented out is the platform's default; uncomment a line and change it to have it your way.
# A field that is off is not mapped: `phone: off`.
"""


def describe(each: FieldMap | None) -> str:
    """Say in a few words how a field is mapped."""
    if each is None:
        return OFF
    more = [each.convert] if each.convert != "text" else []
    more += [f"{each.direction} only"] if each.direction != "both" else []
    return f"{each.property} ({', '.join(more)})" if more else each.property


def spell_out(each: FieldMap) -> dict[str, Any]:
    """Write a field with all that is said of it, for a document."""
    entry: dict[str, Any] = {"property": each.property}
    if each.direction != "both":
        entry["direction"] = each.direction
    if each.convert != "text":
        entry["convert"] = each.convert
    if each.choices:
        entry["choices"] = dict(each.choices)
    return entry


def render_document(document: Mapping[str, Any] | None, default: Mapping[str, ObjectMap]) -> str:
    """Write a document as YAML that means the same, with what it leaves to the default in comments."""
    document = document or {}
    own = cast("dict[str, Any]", document.get("objects") or {})
    policy = document.get("policy")
    lines = [_HEAD + "version: 1", "# policy: newest" if policy is None else _block({"policy": policy}, "")]
    lines.append("objects:")
    for name, usual in default.items():
        said = cast("dict[str, Any]", own.get(name) or {})
        fields = cast("dict[str, Any]", said.get("fields") or {})
        lines += [f"  {name}:", f"    record: {usual.record_type}", "    fields:"]
        known = {each.field: each for each in usual.fields}
        for field in [*known, *(each for each in fields if each not in known)]:
            if field in fields:
                lines.append(_block({field: fields[field]}, "      "))
            else:
                lines.append(f"      # {_line(field, spell_out(known[field]))}")
    return "\n".join(lines) + "\n"


def _line(name: str, entry: Mapping[str, Any]) -> str:
    if list(entry) == ["property"] and entry["property"] != OFF:
        return write_yaml({name: entry["property"]}).strip()
    inner = [
        _line(key, cast("dict[str, Any]", each))
        if isinstance(each, dict)
        else write_yaml({key: each}).strip()
        for key, each in entry.items()
    ]
    return f"{name}: {{{', '.join(inner)}}}"


def _block(entry: Mapping[str, Any], indent: str) -> str:
    text = write_yaml({key: OFF if each is None else each for key, each in entry.items()})
    return "\n".join(indent + line for line in text.rstrip("\n").split("\n"))
