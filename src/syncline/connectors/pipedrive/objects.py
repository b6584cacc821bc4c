"""Which objects Pipedrive has, where they are, what a call of them costs, and how they refer to each other.

Facts: Pipedrive's OpenAPI files of 2026-08 (`x-token-cost`) and its page on rate limiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from syncline.connectors.base import Capabilities, Persons, RemoteObject
from syncline.connectors.transport import Quota
from syncline.errors import NotFound, SettingInvalid

PLATFORM = "pipedrive"
#: What we call the custom field that holds our own id of a record, and how it is labelled there: its key
#: is chosen by Pipedrive, another one in each account.
EXTERNAL_ID = "syncline_record_id"
EXTERNAL_ID_LABEL = "Syncline record id"
#: Before our id in that field, so that it is known for ours without knowing the field's key.
EXTERNAL_ID_PREFIX = "syncline:"

PERSONS, ORGANIZATIONS, DEALS = "persons", "organizations", "deals"
ACTIVITIES, TASKS, NOTES = "activities", "tasks", "notes"
USERS, LEADS = "users", "leads"

#: Types of activity that are something to do rather than something that happened (Pipedrive's own; all
#: types an account made itself count as meetings).
TASK_TYPES = frozenset({"task", "deadline"})

PAGE = 500
#: Ids that one list may be asked for.
IDS = 100
WRITE_BATCH = 20
SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is, and what calls of it cost in tokens."""

    path: str
    version: Literal[1, 2]
    #: Path of its field definitions; None where it has none.
    fields: str | None = None
    #: Entity types that keep custom fields we can make.
    takes_custom_fields: bool = False
    #: Whether lists and records may be asked for with the labels of options.
    tells_labels: bool = False

    @property
    def list_cost(self) -> int:
        return 10 if self.version == 2 else 20

    @property
    def get_cost(self) -> int:
        return 1 if self.version == 2 else 2

    @property
    def write_cost(self) -> int:
        return 5 if self.version == 2 else 10

    @property
    def delete_cost(self) -> int:
        return 3 if self.version == 2 else 6


_V2 = "/api/v2"
_V1 = "/v1"

PLACES: Mapping[str, Place] = {
    PERSONS: Place(f"{_V2}/persons", 2, f"{_V2}/personFields", True, True),
    ORGANIZATIONS: Place(f"{_V2}/organizations", 2, f"{_V2}/organizationFields", True, True),
    DEALS: Place(f"{_V2}/deals", 2, f"{_V2}/dealFields", True, True),
    ACTIVITIES: Place(f"{_V2}/activities", 2, f"{_V2}/activityFields"),
    TASKS: Place(f"{_V2}/activities", 2, f"{_V2}/activityFields"),
    NOTES: Place(f"{_V1}/notes", 1),
    LEADS: Place(f"{_V1}/leads", 1, f"{_V2}/dealFields"),
    USERS: Place(f"{_V1}/users", 1),
}

_MODIFIED = "update_time"

OBJECTS = (
    RemoteObject(PERSONS, "contact", _MODIFIED, scopes=("contacts:read",), default_schedule="*/5 * * * *"),
    RemoteObject(ORGANIZATIONS, "company", _MODIFIED, scopes=("contacts:read",)),
    RemoteObject(
        DEALS,
        "deal",
        _MODIFIED,
        scopes=("deals:read",),
        has_pipelines=True,
        default_schedule="*/15 * * * *",
    ),
    RemoteObject(NOTES, "activity", _MODIFIED, scopes=("deals:read", "contacts:read")),
    RemoteObject(ACTIVITIES, "activity", _MODIFIED, scopes=("activities:read",)),
    RemoteObject(TASKS, "task", _MODIFIED, scopes=("activities:read",)),
    RemoteObject(LEADS, None, _MODIFIED, scopes=("leads:read",)),
    RemoteObject(
        USERS,
        "owner",
        "modified",
        scopes=("users:read",),
        incremental=False,
        has_properties=False,
        default_schedule="0 6 * * *",
    ),
)

_BY_NAME = {each.name: each for each in OBJECTS}

_TO_PARENTS = {PERSONS: ("person_id",), ORGANIZATIONS: ("org_id",), DEALS: ("deal_id",)}
REFERENCES: Mapping[tuple[str, str], tuple[str, ...]] = {
    (PERSONS, ORGANIZATIONS): ("org_id",),
    (DEALS, PERSONS): ("person_id",),
    (DEALS, ORGANIZATIONS): ("org_id",),
    **{(child, parent): path for child in (NOTES, ACTIVITIES, TASKS) for parent, path in _TO_PARENTS.items()},
    (LEADS, PERSONS): ("person_id",),
    (LEADS, ORGANIZATIONS): ("organization_id",),
}

#: Plan → (calls in 2 seconds with a personal token, how many times the 30,000 tokens a day and seat).
_PLANS = {"lite": (20, 1), "growth": (40, 2), "premium": (100, 5), "ultimate": (120, 7)}
_TOKENS = 30_000
_WINDOW = timedelta(seconds=2)


def quotas(settings: Mapping[str, str]) -> tuple[Quota, ...]:
    """Return what an account may use by its plan and seats; without those settings the least there is.

    Raises `SettingInvalid`.
    """
    plan = settings.get("plan", "").strip().lower() or "lite"
    if plan not in _PLANS:
        raise SettingInvalid(f"plan must be one of {', '.join(_PLANS)}.")
    seats = settings.get("seats", "").strip() or "1"
    if not seats.isascii() or not seats.isdigit() or not 0 < int(seats) <= 100_000:
        raise SettingInvalid("seats must be a whole number: how many users the account pays for.")
    calls, times = _PLANS[plan]
    return (
        Quota("burst", calls, _WINDOW, daily_limit=_TOKENS * times * int(seats), dearest=40),
        # The same on every plan, and stated by no header.
        Quota(SEARCH, 10, _WINDOW, has_headers=False, dearest=20),
    )


CAPABILITIES = Capabilities(
    platform=PLATFORM,
    label="Pipedrive",
    default_base_url="https://api.pipedrive.com",
    token_variable="PIPEDRIVE_API_TOKEN",  # noqa: S106 -- the variable's name
    objects=OBJECTS,
    association_pairs=tuple(REFERENCES),
    quotas=quotas({}),
    # Each is a call of its own when it is written, and they are never read by batch.
    association_batch=IDS,
    read_batch=IDS,
    supports_custom_objects=False,
    supports_oauth=True,
    write_batch=WRITE_BATCH,
    references=REFERENCES,
    found_by_content=frozenset({ACTIVITIES, TASKS, NOTES}),
    needs_parent=frozenset({NOTES}),
    settings={
        "plan": "the account's plan: lite (unless said otherwise), growth, premium or ultimate",
        "seats": "how many users the account pays for; 1 unless said otherwise",
    },
    makes_webhooks=True,
    mergeable=frozenset({PERSONS, ORGANIZATIONS, DEALS}),
    persons={
        PERSONS: Persons(
            emails=(("emails", "*", "value"),),
            phones=(("phones", "*", "value"),),
            left_behind=(
                "Pipedrive deletes a person, whom a colleague can bring back for 30 days. Notes, activities, "
                "e-mails, leads and deals stay there, with what their texts say: its API has no erasure."
            ),
        )
    },
    overlap=timedelta(minutes=5),
    # Lists are read from the records, not from an index: nothing comes late that the overlap would miss, and
    # reading all of it twice would cost a quarter of the smallest budget.
    second_pass_after=timedelta(days=3650),
)


def get_object(name: str) -> RemoteObject:
    """Return an object by its name. Raises `NotFound`."""
    found = _BY_NAME.get(name)
    if found is None:
        raise NotFound(f"Pipedrive has no object called {name}. It has: {', '.join(_BY_NAME)}.")
    return found


def get_place(name: str) -> Place:
    """Return where an object is. Raises `NotFound`."""
    get_object(name)
    return PLACES[name]
