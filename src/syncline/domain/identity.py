"""Whether two records may be one, which of them stays, and what of the other is kept and lost.

Knows values; must not know where records are stored. Nothing here merges: being alike is a reason to look.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from syncline.clock import to_ms
from syncline.domain.changes import ALL
from syncline.domain.merge import GROUPS
from syncline.domain.records import CUSTOM, RECORD_TYPES
from syncline.domain.verdicts import is_blank, same
from syncline.errors import Invalid

Strength = Literal["certain", "likely", "possible"]

#: Kind of record → reason for taking two to be one → (how much it says, in words), the strongest first.
REASONS: Mapping[str, Mapping[str, tuple[Strength, str]]] = {
    "contact": {
        "email": ("certain", "the same e-mail address"),
        "name_company": ("likely", "the same name at the same company"),
        "name_phone": ("likely", "the same name and telephone number"),
        "phone": ("possible", "the same telephone number"),
        "name_host": ("possible", "the same name, and addresses of one domain"),
    },
    "company": {
        "domain": ("certain", "the same domain"),
        "name_phone": ("likely", "the same name and telephone number"),
        "name_city": ("likely", "the same name in the same city"),
        "name": ("possible", "the same name"),
        "phone": ("possible", "the same telephone number"),
    },
}
#: Kinds of record of which two can be made one.
UNITABLE = ("company", "contact", "deal")
#: Bookkeeping, and what is computed: nothing of it is a value of either record.
_NO_VALUES = frozenset(
    {
        "tenant_id",
        "id",
        "version",
        "created_at",
        "updated_at",
        "field_times",
        "archived_at",
        "merged_into",
        "custom_fields",
        "email_norm",
        "domain_norm",
        "full_name",
        "phone_e164",
        "contact_candidates",
        "sort_name",
        "sort_amount",
    }
)
_ACCENTS = re.compile("[\u0300-\u036f]+")
#: Of ASCII only: what else is no letter depends on a database's locale.
_MARKS = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_AROUND_HOST = re.compile(r"^([a-z]+://)?([^/@]*@)?(www\.)?|[:/?#].*$")


def fold_name(name: str | None) -> str | None:
    """Write a name as it is compared: without accents, marks, case and doubled spaces."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", name or ""))
    return _MARKS.sub(" ", plain.lower()).strip() or None


def host_of(address: str | None) -> str | None:
    """Return the host of a web address or domain as it is compared, without `www.`."""
    return _AROUND_HOST.sub("", (address or "").strip().lower()) or None


def list_keys(record_type: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Return reason → key: two records with one key of one reason may be one. Rows as JSON has them."""
    phone: str | None = row.get("phone_e164")
    if record_type == "contact":
        email = str(row.get("email") or "").strip().lower()
        name = fold_name(f"{row.get('first_name') or ''} {row.get('last_name') or ''}")
        found = {
            "email": email,
            "name_company": _both(name, row.get("company_id")),
            "name_phone": _both(name, phone),
            "phone": phone,
            "name_host": _both(name, email.partition("@")[2]),
        }
    elif record_type == "company":
        name = fold_name(row.get("name"))
        domain = str(row.get("domain") or "").strip() or row.get("website")
        found = {
            "domain": host_of(domain),
            "name_phone": _both(name, phone),
            "name_city": _both(name, fold_name(row.get("city"))),
            "name": name,
            "phone": phone,
        }
    else:
        found = dict[str, str | None]()
    return {reason: key for reason, key in found.items() if key}


def _both(one: str | None, other: Any) -> str | None:
    return f"{one} {other}" if one and other else None


def compare(record_type: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the reasons for taking two records to be one, the strongest first."""
    mine, theirs = list_keys(record_type, one), list_keys(record_type, other)
    return sort_reasons(record_type, (name for name, key in mine.items() if theirs.get(name) == key))


def sort_reasons(record_type: str, reasons: Iterable[str]) -> list[str]:
    """Put reasons in order, and leave out what a stronger one says already."""
    wanted = set(reasons)
    if {"name_phone", "phone"} <= wanted:
        wanted.discard("phone")
    if wanted & {"name_phone", "name_city"}:
        wanted.discard("name")
    return [name for name in REASONS.get(record_type, {}) if name in wanted]


def weigh(record_type: str, reasons: Iterable[str]) -> Strength | None:
    """Say how sure it is that two records are one; None without a reason."""
    known = REASONS.get(record_type, {})
    return next((known[name][0] for name in sort_reasons(record_type, reasons)), None)


def choose_survivor(
    one: Mapping[str, Any], other: Mapping[str, Any], *, links: Mapping[str, int]
) -> tuple[str, str]:
    """Return the ids of the record that stays and of the one that goes.

    The older one stays; of two as old that with more links (`links`: id → how many), then the fuller one.
    """

    def rank(row: Mapping[str, Any]) -> tuple[datetime, int, int, str]:
        filled = sum(not is_blank(value) for value in list_values(row).values())
        born = datetime.fromisoformat(str(row["created_at"]))
        return born, -links.get(str(row["id"]), 0), -filled, str(row["id"])

    first, second = sorted((one, other), key=rank)
    return str(first["id"]), str(second["id"])


def list_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's values by field, each custom one by its own name."""
    columns = {name for name in row if not name.startswith(CUSTOM)} - _NO_VALUES
    custom: Mapping[str, Any] = row.get("custom_fields") or {}
    return {name: row[name] for name in columns} | {CUSTOM + key: value for key, value in custom.items()}


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that does not stand after a merge."""

    field: str
    #: What stands instead.
    kept: Any
    value: Any
    #: True for a value of the record that stays.
    was_survivors: bool = False


@dataclass(frozen=True, slots=True)
class United:
    """What becomes of two records that are made one."""

    #: Column → value to be written to the one that stays.
    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    #: Field → [old, new], of what is written.
    changes: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    #: Field → when it changed at its origin, milliseconds since 1970.
    times: dict[str, int] = field(default_factory=dict[str, int])
    lost: tuple[Lost, ...] = ()


def unite(
    record_type: str,
    survivor: Mapping[str, Any],
    merged: Mapping[str, Any],
    *,
    taken: Collection[str] = (),
    now_ms: int = 0,
) -> United:
    """Say what stands once `merged` has gone into `survivor`: the survivor's values, and where it has none
    the other's. Of the fields in `taken` the other's value stands, chosen by a person at `now_ms`.

    A deal's pipeline, stage and what follows from them come from one of the two. Raises `Invalid` for a
    field that neither has.
    """
    mine, theirs = list_values(survivor), list_values(merged)
    unknown = sorted(set(taken) - mine.keys() - theirs.keys())
    if unknown:
        raise Invalid(f"A {record_type} has no field {unknown[0]}.")
    whole, bound = _take_together(record_type, mine, theirs, taken)
    chosen = {*taken, *whole}
    united = United()
    lost: list[Lost] = []
    for name in sorted(mine.keys() | theirs.keys()):
        old, other = mine.get(name), theirs.get(name)
        takes = name in chosen or (is_blank(old) and name not in bound)
        value = other if takes else old
        if not same(value, old):
            united.changes[name] = [old, value]
            picked = name in taken
            united.times[name] = now_ms if picked else _changed_ms(merged, name)
        for losing, was_survivors in ((other, False), (old, True)):
            if not is_blank(losing) and not same(losing, value):
                lost.append(Lost(name, value, losing, was_survivors))
    _write_columns(record_type, united, survivor, merged)
    return United(united.columns, united.changes, united.times, tuple(lost))


def _take_together(
    record_type: str, mine: Mapping[str, Any], theirs: Mapping[str, Any], taken: Collection[str]
) -> tuple[set[str], set[str]]:
    """Return the fields that come from the other with those chosen, and those that are not filled alone."""
    group = GROUPS.get(record_type)
    if group is None:
        return set(), set()
    names = {*group.leads, *group.bound, *group.loose}
    has_none = all(is_blank(mine.get(name)) for name in group.leads)
    has_some = any(not is_blank(theirs.get(name)) for name in group.leads)
    if {*group.leads, *group.bound}.intersection(taken) or (has_none and has_some):
        return names, set()
    return set(), {*group.leads, *group.bound}


def _write_columns(
    record_type: str, united: United, survivor: Mapping[str, Any], merged: Mapping[str, Any]
) -> None:
    custom: dict[str, Any] = {}
    for name, (_, value) in united.changes.items():
        if name.startswith(CUSTOM):
            custom[name.removeprefix(CUSTOM)] = value
        else:
            united.columns[name] = value
    if custom:
        united.columns["custom_fields"] = {**(survivor.get("custom_fields") or {}), **custom}
    for name, sources in RECORD_TYPES[record_type].derived.items():
        if any(source in united.changes for source in sources):
            united.columns[name] = merged.get(name)


def _changed_ms(row: Mapping[str, Any], name: str) -> int:
    times: Mapping[str, int] = row.get("field_times") or {}
    known = times.get(name, times.get(ALL))
    return to_ms(datetime.fromisoformat(str(row["updated_at"]))) if known is None else known
