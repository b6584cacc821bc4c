"""Which kinds of records there are, and what each consists of. Knows no values and no API."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record. `name` is the plural word of the paths, `entity` the one of webhooks."""

    name: str
    entity: str
    #: In the order of the answers, with what a new record has where nothing was said.
    template: Mapping[str, Any]
    #: Scopes that allow reading it besides `<scope>:full`, which allows all.
    scope: str
    #: Whose custom fields it has; "" for none.
    fields: str = ""
    #: Whether times have milliseconds.
    fine_times: bool = False
    #: Field → the kind of the record it points to.
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    #: The field with what a record is called.
    label: str = "name"

    def blank(self) -> dict[str, Any]:
        """Return what a new record has where nothing was said, as its own."""
        return copy.deepcopy(dict(self.template))


PERSON = Kind(
    "persons", "person",
    {
        "name": None, "first_name": None, "last_name": None, "owner_id": None, "org_id": None,
        "emails": [], "phones": [], "visible_to": 3, "label_ids": [], "picture_id": None,
    },
    "contacts", "person", links={"org_id": "organizations"},
)  # fmt: skip
ORGANIZATION = Kind(
    "organizations", "organization",
    {
        "name": None, "owner_id": None, "address": None, "visible_to": 3, "label_ids": [], "website": None,
        "linkedin": None, "industry": None, "annual_revenue": None, "employee_count": None,
    },
    "contacts", "organization",
)  # fmt: skip
DEAL = Kind(
    "deals", "deal",
    {
        "title": None, "creator_user_id": None, "owner_id": None, "value": 0, "person_id": None,
        "org_id": None, "stage_id": None, "pipeline_id": None, "currency": None, "archive_time": None,
        "stage_change_time": None, "status": "open", "is_archived": False, "probability": None,
        "lost_reason": None, "visible_to": 3, "close_time": None, "won_time": None, "lost_time": None,
        "local_won_date": None, "local_lost_date": None, "local_close_date": None,
        "expected_close_date": None, "label_ids": [], "origin": "ManuallyCreated", "origin_id": None,
        "channel": None, "channel_id": None, "source_lead_id": None, "acv": None, "arr": None, "mrr": None,
    },
    "deals", "deal", links={"person_id": "persons", "org_id": "organizations"}, label="title",
)  # fmt: skip
ACTIVITY = Kind(
    "activities", "activity",
    {
        "subject": None, "type": "call", "owner_id": None, "creator_user_id": None, "deal_id": None,
        "lead_id": None, "person_id": None, "org_id": None, "project_id": None, "due_date": None,
        "due_time": None, "duration": None, "busy": None, "done": False, "marked_as_done_time": None,
        "location": None, "participants": [], "attendees": [], "conference_meeting_client": None,
        "conference_meeting_url": None, "conference_meeting_id": None, "public_description": None,
        "priority": None, "note": None,
    },
    "activities",
    links={"deal_id": "deals", "person_id": "persons", "org_id": "organizations"}, label="subject",
)  # fmt: skip
NOTE = Kind(
    "notes", "note",
    {
        "content": "", "user_id": None, "deal_id": None, "person_id": None, "org_id": None, "lead_id": None,
        "project_id": None, "pinned_to_deal_flag": False, "pinned_to_person_flag": False,
        "pinned_to_organization_flag": False, "pinned_to_lead_flag": False, "pinned_to_project_flag": False,
        "last_update_user_id": None,
    },
    "contacts",
    links={"deal_id": "deals", "person_id": "persons", "org_id": "organizations"}, label="content",
)  # fmt: skip
LEAD = Kind(
    "leads", "lead",
    {
        "uuid": None, "title": None, "owner_id": None, "creator_id": None, "label_ids": [],
        "person_id": None, "organization_id": None, "source_name": "API", "origin": "API", "origin_id": None,
        "channel": None, "channel_id": None, "is_archived": False, "was_seen": False, "value": None,
        "expected_close_date": None, "next_activity_id": None, "visible_to": "3",
    },
    "leads", "deal", fine_times=True,
    links={"person_id": "persons", "organization_id": "organizations"}, label="title",
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (PERSON, ORGANIZATION, DEAL, ACTIVITY, NOTE, LEAD)}

ADDRESS_PARTS = (
    "value", "country", "admin_area_level_1", "admin_area_level_2", "locality", "sublocality", "route",
    "street_number", "subpremise", "postal_code",
)  # fmt: skip
