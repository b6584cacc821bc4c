"""What the fields of ours must be, computed from the account's truth by rules written a second time.

Nothing of the product's mapping or conversion is used; only phone numbers are read by the same library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import phonenumbers

Properties = Mapping[str, Any]


def moment(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(text).astimezone(UTC)


def number(text: str | None) -> Decimal | None:
    return None if not text else Decimal(text)


def truth_value(text: str | None) -> bool | None:
    return None if not text else {"true": True, "false": False}[text]


def e164(text: str | None) -> str | None:
    """Read a number as an American would; None for what is none."""
    try:
        parsed = phonenumbers.parse(text or "", "US")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def contact(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "email": p["email"],
        "first_name": p["firstname"],
        "last_name": p["lastname"],
        "phone": p["phone"],
        "phone_e164": e164(p["phone"]),
        "job_title": p["jobtitle"],
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
        "lifecycle_stage": p["lifecyclestage"],
        "status": p["hs_lead_status"],
        "lead_source": p["hs_lead_source"],
        "lead_score": number(p["hubspotscore"]),
        "vsl_watched": truth_value(p["vsl_watched"]),
        "sales_script_version": p["sales_script_version"],
        "created_at": moment(p["createdate"]),
        "email_norm": p["email"].strip().lower() if p["email"] else None,
        "full_name": f"{p['firstname'] or ''} {p['lastname'] or ''}".strip() or None,
    }


def company(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    same = ("name", "domain", "website", "phone", "address", "city", "state", "zip", "country", "industry")
    return {name: p[name] for name in (*same, "description")} | {
        "phone_e164": e164(p["phone"]),
        "employee_count": number(p["numberofemployees"]),
        "annual_revenue": number(p["annualrevenue"]),
        "lifecycle_stage": p["lifecyclestage"],
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
        "created_at": moment(p["createdate"]),
    }


def deal(p: Properties, owners: Mapping[str, UUID], stages: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    stage = stages[p["pipeline"], p["dealstage"]]
    closed = stage["is_closed"]
    closes_at = moment(p["closedate"])
    return {
        "name": p["dealname"],
        "amount": number(p["amount"]),
        "currency": p["deal_currency_code"] or "USD",
        "pipeline": p["pipeline"],
        "stage": p["dealstage"],
        "pipeline_id": stage["pipeline_id"],
        "stage_id": stage["id"],
        "status": "open" if not closed else "won" if p["hs_is_closed_won"] == "true" else "lost",
        "probability": Decimal(p["hs_deal_stage_probability"]) * 100,
        "expected_close_date": None if closed or closes_at is None else closes_at.date(),
        "closed_at": closes_at if closed else None,
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
        "priority": p["hs_priority"],
        "deal_type": p["dealtype"],
        "phone": p["phone_number"],
        "phone_e164": e164(p["phone_number"]),
        "qualified_status": p["qualified_status"],
        "trial_status": p["trial_status"],
        "payment_status": p["payment_status"],
        "installments": number(p["number_of_installments__months"]),
        "created_at": moment(p["createdate"]),
    }


def call(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    outbound = p["hs_call_direction"] == "OUTBOUND"
    return {
        "type": "call",
        "subject": p["hs_call_title"],
        "body": p["hs_call_body"],
        "occurred_at": moment(p["hs_timestamp"]),
        "duration_ms": number(p["hs_call_duration"]),
        "direction": "outbound" if outbound else "inbound",
        "status": p["hs_call_status"],
        "outcome": p["hs_call_disposition"],
        "from_number": p["hs_call_from_number"],
        "to_number": p["hs_call_to_number"],
        "phone_e164": e164(p["hs_call_to_number"] if outbound else p["hs_call_from_number"]),
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
        "created_at": moment(p["hs_createdate"]),
    }


def meeting(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "type": "meeting",
        "subject": p["hs_meeting_title"],
        "body": p["hs_meeting_body"],
        "occurred_at": moment(p["hs_meeting_start_time"]),
        "ends_at": moment(p["hs_meeting_end_time"]),
        "outcome": p["hs_meeting_outcome"],
        "location": p["hs_meeting_location"],
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
    }


def email(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "type": "email",
        "subject": p["hs_email_subject"],
        "body": p["hs_email_text"],
        "occurred_at": moment(p["hs_timestamp"]),
        "direction": {"EMAIL": "outbound", "INCOMING_EMAIL": "inbound"}[p["hs_email_direction"]],
        "status": p["hs_email_status"],
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
    }


def note(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "type": "note",
        "body": p["hs_note_body"],
        "occurred_at": moment(p["hs_timestamp"]),
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
    }


def task(p: Properties, owners: Mapping[str, UUID]) -> dict[str, Any]:
    return {
        "subject": p["hs_task_subject"],
        "body": p["hs_task_body"],
        "due_at": moment(p["hs_timestamp"]),
        "status": p["hs_task_status"],
        "priority": p["hs_task_priority"],
        "type": p["hs_task_type"],
        "owner_id": owners.get(p["hubspot_owner_id"] or ""),
    }


#: Object → (table of ours, how its fields follow from its properties). Deals need the stages besides.
EXPECTED: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "contacts": ("contacts", contact),
    "companies": ("companies", company),
    "deals": ("deals", deal),
    "calls": ("activities", call),
    "meetings": ("activities", meeting),
    "emails": ("activities", email),
    "notes": ("activities", note),
    "tasks": ("tasks", task),
}
