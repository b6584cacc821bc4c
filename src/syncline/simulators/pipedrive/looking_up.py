"""Handlers of what belongs to the company: users, types, currencies, labels; and of unknown paths."""

from __future__ import annotations

from syncline.simulators.answers import Answer, encode
from syncline.simulators.pipedrive.answers import ApiError, Request, missing, one, record_id
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.company import (
    ACTIVITY_TYPES,
    COMPANY_DOMAIN,
    COMPANY_NAME,
    CURRENCIES,
    LEAD_LABELS,
)


def unknown_route(_: Api, request: Request) -> Answer:
    raise ApiError(404, "Unknown method .", f"{request.method} {request.path} is not known")


def list_users(api: Api, request: Request) -> Answer:
    """Return every user, also those that were switched off; not in pages."""
    found = [user.wire(is_you=user.user_id == request.user_id) for user in api.world.users]
    return Answer(200, encode({"success": True, "data": found}))


def get_user(api: Api, request: Request) -> Answer:
    wanted = record_id(request.params[0])
    for user in api.world.users:
        if user.user_id == wanted:
            return one(user.wire(is_you=wanted == request.user_id))
    raise missing("User")


def get_me(api: Api, request: Request) -> Answer:
    user = next(each for each in api.world.users if each.user_id == request.user_id)
    more = {
        "company_id": api.world.company_id, "company_name": COMPANY_NAME, "company_domain": COMPANY_DOMAIN,
        "company_country": "US", "company_industry": "IT Services",
        "language": {"language_code": "en", "country_code": "US"},
    }  # fmt: skip
    return one(user.wire(is_you=True) | more)


def list_activity_types(api: Api, _: Request) -> Answer:
    times = {"add_time": api.world.users[0].created, "update_time": api.world.users[0].created}
    found = [
        {"id": number, "order_nr": number, "name": key.capitalize(), "key_string": key, "icon_key": key,
         "active_flag": True, "color": None, "is_custom_flag": False, **times}
        for number, key in enumerate(ACTIVITY_TYPES, 1)
    ]  # fmt: skip
    return one(found)


def list_currencies(_: Api, __: Request) -> Answer:
    found = [
        {"id": number, "code": code, "name": name, "decimal_points": 2, "symbol": symbol,
         "active_flag": True, "is_custom_flag": False}
        for number, (code, name, symbol) in enumerate(CURRENCIES, 1)
    ]  # fmt: skip
    return one(found)


def list_lead_labels(api: Api, _: Request) -> Answer:
    times = {"add_time": api.world.founded, "update_time": api.world.founded}
    labels = zip(api.world.lead_labels, LEAD_LABELS, strict=True)
    return one([{"id": uuid, "name": name, "color": color, **times} for uuid, (name, color) in labels])


def list_lead_sources(_: Api, __: Request) -> Answer:
    return one([{"name": name} for name in ("Manually created", "Deal", "Web forms", "Import", "API")])
