"""Records in forms: fields as inputs, what was typed as values, records named instead of picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from syncline.actions.record_pages import Wanted, list_records
from syncline.actions.seeing import Record, get_fields
from syncline.actions.stages import list_stages
from syncline.domain.filters import make_filter
from syncline.domain.record_fields import Field, RecordFields
from syncline.domain.record_values import fault_of
from syncline.errors import Invalid
from syncline.store.stages import Stage
from syncline.web.page import Page
from syncline.web.show import NOTHING

#: Owners that a form offers; an account with more is rare, and its owners can be named.
_MOST_OWNERS = 200
#: Fields that a stage brings along, so that no form asks for them.
_FOLLOWS_STAGE = frozenset({"pipeline", "stage"})


@dataclass(frozen=True, slots=True)
class Input:
    """One field as a form shows it."""

    field: Field
    #: text, number, date, datetime-local, email, area, select.
    kind: str
    value: str
    #: (value, label), of a select.
    options: Sequence[tuple[str, str]] = ()
    hint: str = ""

    @property
    def name(self) -> str:
        return self.field.name


async def list_inputs(
    page: Page, fields: RecordFields, record: Record | None, names: Sequence[str] = ()
) -> list[Input]:
    """Return the fields that can be written as inputs, with what stands there now; `names`: only those."""
    owners = await list_owner_options(page)
    stages = await list_stages(page.hub, page.caller) if fields.name == "deal" else []
    inputs: list[Input] = []
    for each in fields.fields.values():
        if not each.writable or (names and each.name not in names) or each.name in _FOLLOWS_STAGE:
            continue
        if each.name == "owner_id":
            inputs.append(Input(each, "select", _text(page, each, record), owners))
        else:
            inputs.append(_input(page, each, record))
    if stages and (not names or "stage" in names):
        inputs.insert(1, _stage_input(fields, record, stages))
    return inputs


def _input(page: Page, each: Field, record: Record | None) -> Input:
    value = _text(page, each, record)
    if each.choices:
        chosen = [("", NOTHING), *((choice, choice.capitalize()) for choice in each.choices)]
        return Input(each, "select", value, chosen)
    if each.type == "boolean":
        return Input(each, "select", value, (("", NOTHING), ("true", "Yes"), ("false", "No")))
    if each.type == "reference":
        hint = f"The name, address or id of a {each.refers_to}."
        return Input(each, "text", value, hint=hint)
    if each.long:
        return Input(each, "area", value)
    kinds = {"number": "number", "date": "date", "time": "datetime-local"}
    return Input(each, "email" if each.name == "email" else kinds.get(each.type, "text"), value)


def _text(page: Page, each: Field, record: Record | None) -> str:
    """Return a value as an input holds it: times in the tenant's zone, records by what they are called."""
    if record is None:
        return ""
    value = record.values.get(each.name)
    if value is None:
        return ""
    if each.type == "reference" and each.name != "owner_id":
        refers = record.references.get(each.name)
        return refers.label if refers is not None and refers.label else str(value)
    if each.type == "boolean":
        return "true" if value else "false"
    if each.type == "time":
        moment = datetime.fromisoformat(str(value)).astimezone(page.place.zone)
        return moment.strftime("%Y-%m-%dT%H:%M")
    return str(value)


def _stage_input(fields: RecordFields, record: Record | None, stages: Sequence[Stage]) -> Input:
    field = Field("stage", "Stage", "text", required=False)
    now = str(record.values.get("stage_id") or "") if record is not None else ""
    several = len({each.pipeline_id for each in stages}) > 1
    del fields
    told = [
        (str(each.id), f"{each.pipeline_label}: {each.label}" if several else each.label) for each in stages
    ]
    return Input(field, "select", now, [("", NOTHING), *told])


async def list_owner_options(page: Page) -> list[tuple[str, str]]:
    """Return those to whom the reader may give records, with nobody first."""
    found = await list_records(page.hub, page.caller, "owner", Wanted(), limit=_MOST_OWNERS)
    mine = page.caller.owner_ids
    shown = [each for each in found.records if page.caller.sees_all or each.id in mine]
    return [("", "Nobody"), *((str(each.id), each.label) for each in shown)]


async def read_inputs(page: Page, inputs: Sequence[Input], record: Record | None) -> dict[str, Any]:
    """Return what was changed as field → value. Raises `Invalid` for records that are named and not there."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for each in inputs:
        if not page.form.has(each.name):
            continue
        typed = page.form.secret(each.name).replace("\r\n", "\n")
        text = typed if each.kind == "area" else typed.strip()
        if text == each.value.replace("\r\n", "\n"):
            continue
        if not text:
            values[each.name] = None
        elif each.field.type == "time" and len(text) <= len("2026-01-01T00:00:00"):
            values[each.name] = _moment(page, text)
        elif each.field.type == "reference" and each.name != "owner_id":
            try:
                values[each.name] = await find_named(page, str(each.field.refers_to), text)
            except Invalid as fault:
                faults[each.name] = str(fault)
        elif each.name == "stage":
            values |= await _place(page, text)
        else:
            values[each.name] = text
    if faults:
        raise fault_of(faults)
    if record is None:
        values = {name: value for name, value in values.items() if value is not None}
    return values


async def _place(page: Page, stage_id: str) -> dict[str, Any]:
    stages = await list_stages(page.hub, page.caller)
    found = next((each for each in stages if str(each.id) == stage_id), None)
    return {"stage": stage_id} if found is None else {"stage": stage_id, "pipeline": str(found.pipeline_id)}


def _moment(page: Page, text: str) -> str:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=page.place.zone).isoformat()
    except ValueError:
        return text  # whoever reads it says what is wrong


async def find_named(page: Page, record_type: str, text: str) -> str:
    """Return the id of the one record that somebody names. Raises `Invalid` for none or several."""
    try:
        return str(UUID(text))
    except ValueError:
        pass
    exact = _EXACT.get(record_type)
    found: list[Record] = []
    for field in exact or ():
        wanted = Wanted((make_filter(get_fields(record_type), field, "eq", [text]),))
        found = (await list_records(page.hub, page.caller, record_type, wanted, limit=2)).records
        if found:
            break
    if not found:
        listed = await list_records(page.hub, page.caller, record_type, Wanted(search=text), limit=2)
        found = listed.records
    if len(found) == 1:
        return str(found[0].id)
    if not found:
        raise Invalid(f"There is no such {record_type}.")
    raise Invalid(
        f"Several are called so. Give the id, or more of the name: {found[0].label}, {found[1].label} …"
    )


_EXACT: Mapping[str, tuple[str, ...]] = {
    "contact": ("email",),
    "company": ("domain", "name"),
    "deal": ("name",),
}
