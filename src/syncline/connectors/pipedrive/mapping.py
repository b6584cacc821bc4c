"""The default mapping: which Pipedrive property is which field. `custom:…` is an account's own field.

Only pulled is what Pipedrive finds out by itself (times of making, probability from the stage, parts of an
address), or what another CRM's words would spoil. What properties there are: `fields` and `decode`.
"""

from __future__ import annotations

from syncline.connectors.pipedrive.objects import (
    ACTIVITIES,
    DEALS,
    NOTES,
    ORGANIZATIONS,
    PERSONS,
    TASKS,
    USERS,
)
from syncline.domain.mapping import FieldMap, ObjectMap

_OWNER = FieldMap("owner_id", "owner_id", "owner")
_CREATED = FieldMap("created_at", "add_time", "time", direction="pull")

_PERSONS = ObjectMap(
    object=PERSONS,
    record_type="contact",
    fields=(
        FieldMap("email", "email"),
        FieldMap("first_name", "first_name"),
        FieldMap("last_name", "last_name"),
        FieldMap("phone", "phone"),
        FieldMap("job_title", "job_title"),
        FieldMap("lifecycle_stage", "custom:stage"),
        FieldMap("lead_source", "custom:source"),
        _OWNER,
        _CREATED,
    ),
)

_ORGANIZATIONS = ObjectMap(
    object=ORGANIZATIONS,
    record_type="company",
    fields=(
        FieldMap("name", "name"),
        FieldMap("domain", "custom:domain"),
        FieldMap("website", "website"),
        FieldMap("industry", "custom:industry"),
        FieldMap("employee_count", "employee_count", "number"),
        FieldMap("annual_revenue", "annual_revenue", "number"),
        FieldMap("city", "address.locality", direction="pull"),
        FieldMap("state", "address.admin_area_level_1", direction="pull"),
        FieldMap("zip", "address.postal_code", direction="pull"),
        FieldMap("country", "address.country", direction="pull"),
        _OWNER,
        _CREATED,
    ),
)

_DEALS = ObjectMap(
    object=DEALS,
    record_type="deal",
    fields=(
        FieldMap("name", "title"),
        FieldMap("amount", "value", "number"),
        FieldMap("currency", "currency"),
        FieldMap("pipeline", "pipeline_id"),
        FieldMap("stage", "stage_id"),
        # Pipedrive has no stages for won and lost: that is a deal's own.
        FieldMap("status", "status", "choice", {"open": "open", "won": "won", "lost": "lost"}),
        # Already 0 to 100. Written, it would stand still when the stage moves.
        FieldMap("probability", "probability", "number", direction="pull"),
        FieldMap("expected_close_date", "expected_close_date", "date"),
        FieldMap("closed_at", "close_time", "time", direction="pull"),
        _OWNER,
        _CREATED,
    ),
)

_NOTES = ObjectMap(
    object=NOTES,
    record_type="activity",
    constants={"type": "note"},
    fields=(
        FieldMap("body", "content"),
        # Of notes, as of nothing else that is made there, Pipedrive lets it be set.
        FieldMap("occurred_at", "add_time", "time"),
        FieldMap("owner_id", "user_id", "owner"),
        _CREATED,
    ),
)

_ACTIVITIES = ObjectMap(
    object=ACTIVITIES,
    record_type="activity",
    fields=(
        FieldMap("type", "kind", "choice", {"call": "call", "email": "email", "meeting": "meeting"}),
        FieldMap("subject", "subject"),
        FieldMap("body", "note"),
        FieldMap("occurred_at", "happens_at", "time"),
        FieldMap("ends_at", "ends_at", "time", direction="pull"),
        FieldMap("duration_ms", "duration_ms", "number"),
        FieldMap("location", "location"),
        _OWNER,
        _CREATED,
    ),
)

_TASKS = ObjectMap(
    object=TASKS,
    record_type="task",
    fields=(
        FieldMap("subject", "subject"),
        FieldMap("body", "note"),
        FieldMap("due_at", "due_at", "time"),
        FieldMap("status", "done", "choice", {"true": "COMPLETED", "false": "NOT_STARTED"}),
        _OWNER,
        _CREATED,
    ),
)

_USERS = ObjectMap(
    object=USERS,
    record_type="owner",
    fields=(
        FieldMap("email", "email", direction="pull"),
        FieldMap("first_name", "first_name", direction="pull"),
        FieldMap("last_name", "last_name", direction="pull"),
        FieldMap("created_at", "created", "time", direction="pull"),
    ),
)

#: Notes before activities, which would take any kind.
MAPPING: dict[str, ObjectMap] = {
    each.object: each for each in (_PERSONS, _ORGANIZATIONS, _DEALS, _NOTES, _ACTIVITIES, _TASKS, _USERS)
}
