"""Webhooks v2 as they read on the wire, and the subscriptions to them. Knows no HTTP, waits for nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from typing import Any

from syncline.simulators.outbox import check_shares
from syncline.simulators.pipedrive.account import Account, Actor, Event
from syncline.simulators.pipedrive.company import COMPANY_DOMAIN
from syncline.simulators.pipedrive.fields import Field
from syncline.simulators.pipedrive.restructuring import CompanyEvent
from syncline.simulators.pipedrive.store import Record, Store
from syncline.simulators.times import DAY_MS, iso

ACTIONS = ("create", "change", "delete", "*")
OBJECTS = ("activity", "deal", "lead", "note", "organization", "person", "pipeline", "product", "stage",
           "user", "*")  # fmt: skip
SUBSCRIPTIONS_MOST = 40
#: So many failed first attempts, and a subscription hears nothing for so long.
BAN_AFTER, BAN_MS = 10, 1_800_000

Wire = dict[str, Any]


@dataclass(slots=True)
class Subscription:
    """One webhook, as it was made."""

    webhook_id: int
    url: str
    action: str
    entity: str
    name: str
    user_id: int
    owner_id: int
    added_ms: int
    http_user: str | None = None
    http_password: str | None = field(default=None, repr=False)
    active: bool = True
    removed_ms: int | None = None
    remove_reason: str | None = None
    last_status: int | None = None
    last_delivery_ms: int | None = None
    #: Failed first attempts since the last ban.
    failures: int = 0
    banned_until_ms: int = 0
    #: Since when nothing has got through; None while all is well.
    failing_since_ms: int | None = None

    def wants(self, action: str, entity: str) -> bool:
        return self.active and self.action in ("*", action) and self.entity in ("*", entity)

    def wire(self, company_id: int) -> Wire:
        """Return the webhook as v1 lists it."""
        return {
            "id": self.webhook_id, "company_id": company_id, "owner_id": self.owner_id,
            "user_id": self.user_id, "event_action": self.action, "event_object": self.entity,
            "subscription_url": self.url, "version": "2.0", "is_active": int(self.active),
            "add_time": _moment(self.added_ms), "remove_time": _moment(self.removed_ms),
            "type": "general", "http_auth_user": self.http_user,
            "http_auth_password": self.http_password, "remove_reason": self.remove_reason,
            "last_delivery_time": _moment(self.last_delivery_ms), "last_http_status": self.last_status,
            "admin_id": self.owner_id, "name": self.name,
        }  # fmt: skip


def _moment(ms: int | None) -> str | None:
    return None if ms is None else f"{iso(ms // 1000 * 1000)[:-1]}.000Z"


@dataclass(frozen=True, slots=True)
class Weather:
    """What goes wrong with deliveries, and how fast the times of waiting go by."""

    dropped: float = 0.0
    duplicated: float = 0.0
    delayed: float = 0.0
    reordered: float = 0.0
    delay_seconds: float = 2.0
    concurrency: int = 10
    timeout_seconds: float = 10.0
    #: The waits of 3, 30 and 150 s are multiplied by this.
    retry_pace: float = 0.01
    #: Days without success after which a subscription is removed; 0 is never.
    drop_after_days: float = 3.0
    #: A removed subscription is still listed, inactive and with the reason.
    dropped_stay_listed: bool = False


_DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Weather)}


def read_weather(given: dict[str, Any], former: Weather) -> Weather:
    """Apply changes by name; null is the default. Raises `ValueError`."""
    unknown = sorted(set(given) - set(_DEFAULTS))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(_DEFAULTS)}")
    changes = {
        name: _DEFAULTS[name] if value is None else type(_DEFAULTS[name])(value)
        for name, value in given.items()
    }
    found = replace(former, **changes)
    check_shares(found)
    if found.concurrency < 1 or found.retry_pace < 0 or found.drop_after_days < 0:
        raise ValueError("concurrency is at least 1, retry_pace and drop_after_days at least 0")
    return found


class Teller:
    """Writes events as Pipedrive tells them."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._rng = random.Random(f"events {account.seed}")

    def tell(self, event: Event) -> Wire:
        """Return the body of an event, but for what differs between subscriptions and attempts."""
        store = self.account.stores[event.kind.name]
        after = None if event.after is None else self.data(store, event.after)
        before = None if event.before is None else self.data(store, event.before)
        if event.action == "change" and before is not None and after is not None:
            before = difference(before, after)
        return {"data": after, "previous": before, "meta": self._meta(store, event)}

    def tell_company(self, event: CompanyEvent) -> Wire:
        """Return the body of a change of a user, a pipeline or a stage."""
        before = event.before
        if before is not None and event.after is not None:
            before = difference(before, event.after)
        meta = self._common(event.action, event.entity, str(event.entity_id), event.actor)
        if event.entity == "user":
            # Of users it is told otherwise than of all else.
            meta |= {"timestamp": self.account.now_ms() // 1000, "id": meta["entity_id"]}
            del meta["permitted_user_ids"]
        return {"data": event.after, "previous": before, "meta": meta}

    def _meta(self, store: Store, event: Event) -> Wire:
        record = event.after or event.before
        name = str(event.record_id)
        if record is not None and record.get("uuid"):
            name = record.get("uuid")
        meta = self._common(event.action, store.kind.entity, name, event.actor)
        meta["is_bulk_edit"] = event.is_bulk
        if event.merged_to_id is not None:
            meta["merged_to_id"] = event.merged_to_id
        if event.merged_from_id is not None:
            meta["merged_from_id"] = event.merged_from_id
        return meta

    def _common(self, action: str, entity: str, entity_id: str, actor: Actor) -> Wire:
        return {
            "action": action, "company_id": str(self.account.company_id), "correlation_id": self._uuid(),
            "entity_id": entity_id, "entity": entity, "id": self._uuid(), "is_bulk_edit": False,
            "timestamp": _exact(self.account.now_ms()), "type": "general", "user_id": str(actor.user_id),
            "version": "2.0", "change_source": actor.source, "host": f"{COMPANY_DOMAIN}.pipedrive.com",
            "permitted_user_ids": [str(user.user_id) for user in self.account.users if user.active],
        }  # fmt: skip

    def _uuid(self) -> str:
        digits = f"{self._rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def data(self, store: Store, record: Record) -> Wire:
        """Return a record in the shape of webhooks, which is no API's."""
        out = {**_COMMON(record), **_SHAPES[store.kind.name](record)}
        if store.fields is not None:
            custom = store.fields.custom
            out["custom_fields"] = {
                code: encode_custom(custom[code], value)
                for code, value in record.custom.items()
                if code in custom
            }
        elif store.kind.name == "activities":
            out["custom_fields"] = {}
        if store.kind.fine_times:
            out |= {"add_time": _exact(record.add_ms), "update_time": _exact(record.update_ms or 0)}
        return dict(sorted(out.items()))


def difference(before: Wire, after: Wire) -> Wire:
    """Return the former values of what changed; of custom fields only those."""
    found = {key: value for key, value in before.items() if after.get(key) != value}
    if "custom_fields" in found:
        old, new = before["custom_fields"], after["custom_fields"]
        found["custom_fields"] = {
            code: old.get(code) for code in {**old, **new} if old.get(code) != new.get(code)
        }
    return found


def encode_custom(field: Field, value: Any) -> Wire:
    """Write a custom field's value as webhooks do, the third way there is."""
    kind = field.type
    if kind in ("enum", "user", "org", "people"):
        return {"type": kind, "id": value}
    if kind == "set":
        return {"type": kind, "values": [{"id": each} for each in value]}
    if kind in ("daterange", "timerange"):
        found = {"type": kind, "from": value["value"], "until": value["until"]}
        return found | ({"timezone_id": value.get("timezone_id")} if kind == "timerange" else {})
    if kind == "time":
        return {"type": kind, "value": value["value"], "timezone_id": value.get("timezone_id")}
    if isinstance(value, dict):
        return {"type": kind, **value}
    return {"type": kind, "value": value}


def _exact(ms: int) -> str:
    text = iso(ms)
    return text if "." in text else f"{text[:-1]}.000Z"


def _COMMON(record: Record) -> Wire:  # noqa: N802 -- a table's first row
    return {
        "id": record.id,
        "add_time": iso(record.add_ms),
        "update_time": None if record.update_ms is None else iso(record.update_ms),
    }


def _pick(record: Record, *names: str) -> Wire:
    return {name: record.get(name) for name in names}


def _label(record: Record) -> int | None:
    labels: list[int] = record.get("label_ids") or []
    return labels[0] if labels else None


def _person(record: Record) -> Wire:
    found = _pick(record, "name", "first_name", "last_name", "owner_id", "org_id", "emails", "phones")
    return found | {"label": _label(record), "visible_to": str(record.get("visible_to"))}


def _organization(record: Record) -> Wire:
    address = record.get("address")
    return _pick(
        record, "name", "owner_id", "address", "website", "linkedin", "industry", "annual_revenue",
        "employee_count",
    ) | {
        "country_code": None if not address else str(address.get("country") or "")[:2].upper() or None,
        "label": _label(record), "picture_id": None, "visible_to": str(record.get("visible_to")),
    }  # fmt: skip


def _deal(record: Record) -> Wire:
    found = _pick(
        record, "channel", "channel_id", "close_time", "creator_user_id", "currency", "expected_close_date",
        "label_ids", "lost_reason", "lost_time", "org_id", "origin", "origin_id", "owner_id", "person_id",
        "pipeline_id", "probability", "stage_change_time", "stage_id", "status", "title", "value", "won_time",
    )  # fmt: skip
    return found | {"first_won_time": record.get("won_time"), "visible_to": str(record.get("visible_to"))}


def _activity(record: Record) -> Wire:
    found = _pick(
        record, "deal_id", "done", "due_date", "lead_id", "location", "org_id", "owner_id", "person_id",
        "public_description", "subject", "type",
    )  # fmt: skip
    return found | {
        "active_flag": True, "busy_flag": record.get("busy"), "update_user_id": None,
        "due_time": {"timezone_id": None, "value": record.get("due_time") or ""},
        "duration": {"timezone_id": None, "value": record.get("duration") or ""},
    }  # fmt: skip


def _note(record: Record) -> Wire:
    return _pick(
        record, "user_id", "deal_id", "person_id", "org_id", "lead_id", "project_id", "content",
        "pinned_to_deal_flag", "pinned_to_person_flag", "pinned_to_organization_flag",
    ) | {"active_flag": record.deleted_ms is None}  # fmt: skip


def _lead(record: Record) -> Wire:
    found = _pick(
        record, "channel", "channel_id", "creator_id", "expected_close_date", "is_archived", "label_ids",
        "next_activity_id", "organization_id", "origin", "origin_id", "owner_id", "person_id", "source_name",
        "title", "was_seen", "value",
    )  # fmt: skip
    return found | {"id": record.get("uuid")}


_SHAPES = {
    "persons": _person, "organizations": _organization, "deals": _deal, "activities": _activity,
    "notes": _note, "leads": _lead,
}  # fmt: skip


def days_ms(days: float) -> int:
    return int(days * DAY_MS)
