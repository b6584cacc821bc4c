"""Which objects HubSpot has and how they behave, as data the engine asks for."""

from __future__ import annotations

import re
from datetime import timedelta

from syncline.connectors.base import Capabilities, Persons, RemoteObject
from syncline.connectors.transport import Quota

PLATFORM = "hubspot"
#: The property that holds our own id of a record we made.
EXTERNAL_ID = "syncline_record_id"

#: `hs_lastmodifieddate` is defined for contacts too, but empty there.
_CONTACT_MODIFIED = "lastmodifieddate"
_MODIFIED = "hs_lastmodifieddate"
_ENGAGEMENT_TARGETS = ("contacts", "companies", "deals")
_CUSTOM_SCOPES = ("crm.objects.custom.read", "crm.schemas.custom.read")

_SINGULAR = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "calls": "call",
    "meetings": "meeting",
    "emails": "email",
    "notes": "note",
    "tasks": "task",
    "tickets": "ticket",
    "products": "product",
    "line_items": "line_item",
    "leads": "lead",
}
_TYPE_ID = re.compile(r"\d+-\d+")
#: A custom object's full name: p, the account's id, its name.
_FULL_NAME = re.compile(r"p\d*_\w+")


def _engagement(name: str, record_type: str) -> RemoteObject:
    # HubSpot gates engagements by the contacts' scope.
    return RemoteObject(
        name,
        record_type,
        _MODIFIED,
        scopes=("crm.objects.contacts.read",),
        associates_with=_ENGAGEMENT_TARGETS,
    )


OBJECTS = (
    RemoteObject(
        "contacts",
        "contact",
        _CONTACT_MODIFIED,
        scopes=("crm.objects.contacts.read",),
        associates_with=("companies", "deals"),
        default_schedule="*/5 * * * *",
    ),
    RemoteObject(
        "companies",
        "company",
        _MODIFIED,
        scopes=("crm.objects.companies.read",),
        associates_with=("contacts", "deals"),
    ),
    RemoteObject(
        "deals",
        "deal",
        _MODIFIED,
        scopes=("crm.objects.deals.read",),
        associates_with=("contacts", "companies"),
        has_pipelines=True,
        default_schedule="*/15 * * * *",
    ),
    _engagement("calls", "activity"),
    _engagement("meetings", "activity"),
    _engagement("emails", "activity"),
    _engagement("notes", "activity"),
    _engagement("tasks", "task"),
    RemoteObject(
        "owners",
        "owner",
        "updatedAt",
        scopes=("crm.objects.owners.read",),
        incremental=False,
        has_properties=False,
        default_schedule="0 6 * * *",
    ),
)

_BY_NAME = {each.name: each for each in OBJECTS}

CAPABILITIES = Capabilities(
    platform=PLATFORM,
    label="HubSpot",
    default_base_url="https://api.hubapi.com",
    token_variable="HUBSPOT_API_KEY",  # noqa: S106 -- the variable's name
    objects=OBJECTS,
    association_pairs=(
        ("companies", "contacts"),
        ("deals", "contacts"),
        ("deals", "companies"),
        *(
            (engagement, target)
            for engagement in ("calls", "meetings", "emails", "notes", "tasks")
            for target in _ENGAGEMENT_TARGETS
        ),
    ),
    # The least any account has; headers say more. Usage guidelines, read 2026-04.
    quotas=(
        Quota("burst", 100, timedelta(seconds=10), daily_limit=250_000),
        Quota("search", 5, timedelta(seconds=1), has_headers=False),
        Quota("associations", 100, timedelta(seconds=10), has_headers=False, daily_limit=500_000),
    ),
    association_batch=1000,
    read_batch=100,
    mergeable=frozenset({"contacts", "companies", "deals", "tickets"}),
    supports_custom_objects=True,
    supports_oauth=True,
    repeats_creates=True,
    persons={
        "contacts": Persons(
            emails=(("properties", "email"), ("properties", "hs_additional_emails")),
            phones=(("properties", "phone"), ("properties", "mobilephone")),
            left_behind=(
                "HubSpot purges a contact within 30 days, and decides itself what becomes of notes, calls "
                "and e-mails that belong to it; deals and companies stay, with what their texts say."
            ),
        )
    },
)


def find_object(name: str) -> RemoteObject | None:
    """Return a standard object by its name; None for what may be a custom one."""
    return _BY_NAME.get(name)


def custom_object(name: str) -> RemoteObject:
    """Describe a custom object, which is mirrored as it is."""
    return RemoteObject(name, None, _MODIFIED, scopes=_CUSTOM_SCOPES)


def modified_property(name: str) -> str:
    return _CONTACT_MODIFIED if name in ("contacts", "0-1") else _MODIFIED


def complete_new(name: str, properties: dict[str, str]) -> dict[str, str]:
    """Add what HubSpot wants of a new record and the rest tells: the time of a meeting is its beginning."""
    begins = properties.get("hs_meeting_start_time")
    return {"hs_timestamp": begins, **properties} if name in ("meetings", "0-47") and begins else properties


def is_direct(name: str) -> bool:
    """Tell whether a path may name the object so. A custom object's short name has to be looked up."""
    return name in _SINGULAR or bool(_TYPE_ID.fullmatch(name) or _FULL_NAME.fullmatch(name))


def association_type(from_object: str, to_object: str) -> str:
    """Name the association the way HubSpot does, by singular names: `deal_to_contact`."""
    return f"{_singular(from_object)}_to_{_singular(to_object)}"


def _singular(name: str) -> str:
    return _SINGULAR.get(name) or re.sub(r"^p\d*_", "", name)
