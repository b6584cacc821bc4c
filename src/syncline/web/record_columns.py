"""Which columns a list of records shows by itself, and which pages each kind has. Knows no request."""

from __future__ import annotations

from collections.abc import Mapping

#: Kinds with pages of their own, by the word that stands in addresses.
PLURALS = ("contacts", "companies", "deals", "activities", "tasks")
#: Kind → columns after its name, in their order.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "contact": ("email", "phone", "company_id", "lifecycle_stage", "owner_id", "updated_at"),
    "company": ("domain", "industry", "city", "phone", "owner_id", "updated_at"),
    "deal": ("amount", "stage_id", "status", "expected_close_date", "company_id", "owner_id", "updated_at"),
    "activity": ("type", "occurred_at", "contact_id", "company_id", "deal_id", "owner_id"),
    "task": ("status", "due_at", "priority", "contact_id", "deal_id", "owner_id"),
}
#: Kind → the field that its list is sorted by under the column of names.
NAMED_BY: Mapping[str, str] = {"contact": "full_name", "company": "name", "deal": "name"}
#: Kind → fields that can be changed in the list itself.
INLINE: Mapping[str, frozenset[str]] = {
    "contact": frozenset({"email", "phone", "lifecycle_stage", "owner_id"}),
    "company": frozenset({"domain", "industry", "city", "phone", "owner_id"}),
    "deal": frozenset({"amount", "expected_close_date", "owner_id"}),
    "activity": frozenset({"owner_id"}),
    "task": frozenset({"status", "due_at", "priority", "owner_id"}),
}
#: Kind → a picture that is listed in assets/icons.json.
ICONS: Mapping[str, str] = {
    "contact": "users",
    "company": "building",
    "deal": "briefcase",
    "activity": "activity",
    "task": "checklist",
    "owner": "user",
}
#: Kind → how it stands in addresses; owners have no pages.
PLURAL_OF: Mapping[str, str] = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "activity": "activities",
    "task": "tasks",
}
