"""How API v1 writes what v2 has not taken over: notes, leads, changes, pages. Knows no handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.account import Account, Change
from syncline.simulators.pipedrive.answers import Query
from syncline.simulators.pipedrive.fields import Field
from syncline.simulators.pipedrive.store import Record, Values
from syncline.simulators.times import iso


def plain(ms: int | None) -> str | None:
    """Write a moment as v1 does: UTC, without saying so."""
    return None if ms is None else iso(ms // 1000 * 1000)[:19].replace("T", " ")


def _exact(ms: int | None) -> str | None:
    if ms is None:
        return None
    text = iso(ms)
    return text if "." in text else f"{text[:-1]}.000Z"


def _start(query: Query) -> int:
    return max(0, query.number("start", 0) or 0)


def page(found: Sequence[Any], query: Query) -> Answer:
    """Return a page of v1, whose paging stands in `pagination`."""
    start, limit = _start(query), query.limit()
    more = start + limit < len(found)
    paging: Values = {"start": start, "limit": limit, "more_items_in_collection": more}
    if more:
        paging["next_start"] = start + limit
    return _answer(found[start : start + limit], {"pagination": paging})


def flat_page(found: Sequence[Any], query: Query) -> Answer:
    """Return a page of v1, whose paging stands right in `additional_data`, as leads have it."""
    start, limit = _start(query), query.limit()
    more = start + limit < len(found)
    return _answer(
        found[start : start + limit], {"start": start, "limit": limit, "more_items_in_collection": more}
    )


def _answer(rows: Sequence[Any], additional: Values) -> Answer:
    return Answer(200, encode({"success": True, "data": list(rows), "additional_data": additional}))


def note(account: Account, record: Record, user_id: int) -> Values:
    values = record.values
    author = next((each for each in account.users if each.user_id == values["user_id"]), account.users[0])
    names: dict[str, Any] = {}
    for key, kind, word, field in (
        ("deal_id", "deals", "deal", "title"),
        ("person_id", "persons", "person", "name"),
        ("org_id", "organizations", "organization", "name"),
    ):
        target = account.stores[kind].records.get(values[key]) if values[key] else None
        names[word] = None if target is None else {field: target.values[field]}
    return {
        "id": record.id, "active_flag": record.deleted_ms is None, "add_time": plain(record.add_ms),
        **{key: value for key, value in values.items() if key not in names},
        **names, "project": None, "update_time": plain(record.update_ms),
        "user": {"email": author.email, "icon_url": None, "is_you": author.user_id == user_id,
                 "name": author.name},
    }  # fmt: skip


def lead(account: Account, record: Record) -> Values:
    values = {key: value for key, value in record.values.items() if key != "uuid"}
    found: Values = {"id": record.values["uuid"], **values}
    found |= {"add_time": _exact(record.add_ms), "update_time": _exact(record.update_ms)}
    found["cc_email"] = f"syncline+{account.company_id}+lead{record.id}@example.com"
    for code, field in account.fields["deal"].custom.items():
        if code in record.custom:
            found |= flatten(field, record.custom[code])
    return found


def flatten(field: Field, value: Any) -> Values:
    """Write a custom field's value as v1 does: flat, with its parts beside it."""
    code, kind = field.code, field.type
    if kind == "enum":
        return {code: str(value)}
    if kind == "set":
        return {code: ",".join(map(str, value))}
    if not isinstance(value, dict):
        return {code: value}
    parts = cast("Values", value)
    return {code if part == "value" else f"{code}_{part}": each for part, each in parts.items()}


def change(made: Change) -> Values:
    """Return a change as the change log of a record has it."""
    return {
        "field_key": made.key, "old_value": _text(made.old), "new_value": _text(made.new),
        "actor_user_id": made.actor.user_id, "time": plain(made.at_ms), "change_source": made.actor.source,
        "change_source_user_agent": None, "is_bulk_update_flag": False,
    }  # fmt: skip


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return encode(value).decode() if isinstance(value, dict | list) else str(value)


def merged(account: Account, name: str, record: Record, loser_id: int) -> Values:
    """Return the survivor of a merge, as v1 answers."""
    if name == "organizations":
        return {"id": record.id}
    values = record.values
    labels: list[int] = values["label_ids"]
    found: Values = {
        "id": record.id, "add_time": plain(record.add_ms), "update_time": plain(record.update_ms),
        "visible_to": str(values["visible_to"]), "merge_what_id": loser_id,
    }  # fmt: skip
    if name == "persons":
        return found | {
            "company_id": account.company_id, "owner_id": values["owner_id"], "org_id": values["org_id"],
            "name": values["name"], "first_name": values["first_name"], "last_name": values["last_name"],
            "phone": values["phones"], "email": values["emails"], "active_flag": True,
            "label": labels[0] if labels else None, "label_ids": labels,
        }  # fmt: skip
    kept = ("creator_user_id", "person_id", "org_id", "stage_id", "title", "value", "currency", "status",
            "probability", "lost_reason", "pipeline_id", "expected_close_date", "origin")  # fmt: skip
    return found | {key: values[key] for key in kept} | {
        "user_id": values["owner_id"], "active": values["status"] == "open", "deleted": False,
        "label": ",".join(map(str, labels)) or None,
    }  # fmt: skip
