"""Which objects a CRM kept in Postgres has and how they behave, as data the engine asks for."""

from __future__ import annotations

from datetime import timedelta

from syncline.connectors.base import Capabilities, Persons, RemoteObject
from syncline.connectors.postgres.places import SETTINGS
from syncline.connectors.postgres.virtual import ACTIVITIES, DEALS
from syncline.connectors.transport import Quota

PLATFORM = "postgres"
MODIFIED = "updated_at"
#: Read-only here: people log into the CRM by them.
USERS = "users"
PAGE_ROWS = 1000
PAGE_IDS = 10_000

OBJECTS = (
    RemoteObject("companies", "company", MODIFIED, associates_with=("contacts", "deals", "activities")),
    RemoteObject(
        "contacts",
        "contact",
        MODIFIED,
        associates_with=("deals", "activities"),
        default_schedule="*/5 * * * *",
    ),
    RemoteObject(
        DEALS,
        "deal",
        MODIFIED,
        associates_with=("activities",),
        has_pipelines=True,
        default_schedule="*/15 * * * *",
    ),
    RemoteObject(ACTIVITIES, "activity", MODIFIED, optional=True),
    RemoteObject(USERS, "owner", MODIFIED, incremental=False, default_schedule="0 6 * * *", optional=True),
)

#: Pair → the column of the first object's table that refers to the second's.
REFERENCES = {
    ("contacts", "companies"): ("company_id",),
    (DEALS, "contacts"): ("contact_id",),
    (DEALS, "companies"): ("company_id",),
    (ACTIVITIES, "contacts"): ("contact_id",),
    (ACTIVITIES, "companies"): ("company_id",),
    (ACTIVITIES, DEALS): ("deal_id",),
}

CAPABILITIES = Capabilities(
    platform=PLATFORM,
    label="Postgres",
    default_base_url="",
    token_variable="POSTGRES_CRM_PASSWORD",  # noqa: S106 -- the variable's name
    objects=OBJECTS,
    association_pairs=tuple(REFERENCES),
    # A database has none of its own; this keeps a mistake of ours from becoming its load.
    quotas=(Quota("burst", 1000, timedelta(seconds=1), has_headers=False),),
    association_batch=1000,
    read_batch=1000,
    write_batch=200,
    supports_custom_objects=True,
    supports_oauth=False,
    repeats_creates=True,
    references=REFERENCES,
    settings=SETTINGS,
    persons={
        "contacts": Persons(
            emails=(("email",),),
            phones=(("phone",),),
            left_behind=(
                "The row is deleted, or the columns of the setting erase_columns are emptied; what other "
                "tables hold, and the database's own backups, are its administrator's matter."
            ),
        )
    },
    makes_webhooks=True,
    listens=True,
    # A modified time is that of its transaction's beginning, and is seen when that commits: no transaction of
    # a CRM's screens takes so long. What does is read by the second pass.
    overlap=timedelta(minutes=5),
)


def find_object(name: str) -> RemoteObject | None:
    return next((each for each in OBJECTS if each.name == name), None)
