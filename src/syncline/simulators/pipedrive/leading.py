"""Handlers of leads: by API v1, and their conversion into deals by v2."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive import legacy, values
from syncline.simulators.pipedrive.account import Account
from syncline.simulators.pipedrive.answers import ApiError, Request, invalid, missing, one
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.custom import check_custom
from syncline.simulators.pipedrive.store import Record, updated_key

_CODE = re.compile(r"[0-9a-f]{40}")


def lister(section: str) -> Callable[[Api, Request], Answer]:
    """Return the handler of a list of leads: the "living" or the "archived" ones."""

    def handle(api: Api, request: Request) -> Answer:
        query, store = request.query, api.store("leads")
        tests = {key: query.number(key) for key in ("owner_id", "person_id", "organization_id")}
        wanted = {key: value for key, value in tests.items() if value is not None}
        since_ms = query.moment("updated_since")
        records = (store.records[each] for each in store.sections[section].ids)
        found = [
            legacy.lead(api.world, record)
            for record in records
            if all(record.values[key] == value for key, value in wanted.items())
            and (since_ms is None or updated_key(record) >= since_ms)
        ]
        return legacy.flat_page(found, query)

    return handle


def _find(api: Api, text: str) -> Record:
    """Return a lead of a path. Raises `ApiError` 404."""
    store = api.store("leads")
    record = store.find_living(store.by_uuid.get(text, 0))
    if record is None:
        raise ApiError(404, "requested lead not found", "Object was not found.")
    return record


def get_lead(api: Api, request: Request) -> Answer:
    return one(legacy.lead(api.world, _find(api, request.params[0])))


def create_lead(api: Api, request: Request) -> Answer:
    given = _check(api.world, request.object())
    if "title" not in given:
        raise invalid("title: is required")
    if not given.get("person_id") and not given.get("organization_id"):
        raise invalid("person_id or organization_id is required")
    made = api.world.create("leads", given, by=api.actor(request))
    return one(legacy.lead(api.world, made), 201)


def change_lead(api: Api, request: Request) -> Answer:
    record = _find(api, request.params[0])
    given = _check(api.world, request.object())
    changed = api.world.update("leads", record.id, given, by=api.actor(request))
    return one(legacy.lead(api.world, changed))


def delete_lead(api: Api, request: Request) -> Answer:
    record = _find(api, request.params[0])
    api.world.delete("leads", record.id, by=api.actor(request))
    return one({"id": record.values["uuid"]})


def _money(account: Account, name: str, value: Any) -> dict[str, Any]:
    values.expect(name, value, "object")
    return {
        "amount": values.number(account, f"{name}.amount", value.get("amount")),
        "currency": values.currency(account, f"{name}.currency", value.get("currency")),
    }


_CHECKS: dict[str, values.Check] = {
    "title": values.filled, "owner_id": values.user, "person_id": values.nullable(values.link("persons")),
    "organization_id": values.nullable(values.link("organizations")), "is_archived": values.boolean,
    "was_seen": values.boolean, "value": values.nullable(_money),
    "expected_close_date": values.nullable(values.day), "visible_to": values.choice(("1", "3", "5", "7")),
    "channel": values.nullable(values.integer), "channel_id": values.nullable(values.text),
    "origin_id": values.nullable(values.text),
}  # fmt: skip


def _check(account: Account, body: dict[str, Any]) -> dict[str, Any]:
    custom = {name: value for name, value in body.items() if _CODE.fullmatch(name)}
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name in custom:
            continue
        if name == "label_ids":
            values.expect(name, value, "array")
            if any(each not in account.lead_labels for each in value):
                raise invalid("label_ids: a label does not exist")
            found[name] = value
        elif name in _CHECKS:
            found[name] = _CHECKS[name](account, name, value)
        else:
            raise invalid(f"{name}: is not known")
    if custom:
        found["custom_fields"] = check_custom(account, account.fields["deal"], custom)
    return found


def convert(api: Api, request: Request) -> Answer:
    """Make a deal of a lead at once; who asks for its state hears that it is done."""
    store = api.store("leads")
    record = store.find_living(store.by_uuid.get(request.params[0], 0))
    if record is None:
        raise missing()
    body = request.object() if request.body else {}
    account, lead = api.world, record.values
    values_of_deal: dict[str, Any] = {
        "title": lead["title"], "owner_id": lead["owner_id"], "person_id": lead["person_id"],
        "org_id": lead["organization_id"], "source_lead_id": lead["uuid"], "origin": lead["origin"],
        "custom_fields": record.custom,
    }  # fmt: skip
    for key, check in (("stage_id", values.stage), ("pipeline_id", values.pipeline)):
        if body.get(key) is not None:
            values_of_deal[key] = check(account, key, body[key])
    if lead["value"]:
        values_of_deal |= {"value": lead["value"]["amount"], "currency": lead["value"]["currency"]}
    deal = account.create("deals", values_of_deal, by=api.actor(request))
    account.delete("leads", record.id, by=api.actor(request))
    conversion_id = str(uuid.UUID(int=account.rng.getrandbits(128), version=4))
    api.conversions[conversion_id] = (lead["uuid"], deal.id)
    return _answer({"conversion_id": conversion_id})


def conversion_status(api: Api, request: Request) -> Answer:
    lead_id, conversion_id = request.params
    found = api.conversions.get(conversion_id)
    if found is None or found[0] != lead_id:
        raise missing()
    told = {"lead_id": lead_id, "deal_id": found[1], "conversion_id": conversion_id, "status": "completed"}
    return _answer(told)


def _answer(data: dict[str, Any]) -> Answer:
    return Answer(200, encode({"success": True, "data": data, "additional_data": None}))
