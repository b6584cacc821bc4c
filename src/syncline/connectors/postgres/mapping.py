"""The default mapping: which column is which field. A column that a table lacks is passed over."""

from __future__ import annotations

from syncline.connectors.postgres.virtual import KIND, KINDS
from syncline.domain.mapping import FieldMap, ObjectMap

_OWNER = FieldMap("owner_id", "owner_id", "owner")
_CREATED = FieldMap("created_at", "created_at", "time", direction="pull")

_CONTACTS = ObjectMap(
    object="contacts",
    record_type="contact",
    fields=(
        FieldMap("email", "email"),
        FieldMap("first_name", "first_name"),
        FieldMap("last_name", "last_name"),
        FieldMap("phone", "phone"),
        FieldMap("job_title", "job_title"),
        FieldMap("lifecycle_stage", "lifecycle_stage"),
        FieldMap("lead_source", "source"),
        _OWNER,
        _CREATED,
    ),
)

_COMPANIES = ObjectMap(
    object="companies",
    record_type="company",
    fields=(
        FieldMap("name", "name"),
        FieldMap("domain", "domain"),
        FieldMap("website", "website"),
        FieldMap("phone", "phone"),
        FieldMap("industry", "industry"),
        FieldMap("employee_count", "employee_count", "number"),
        FieldMap("annual_revenue", "annual_revenue", "number"),
        _OWNER,
        _CREATED,
    ),
)

_DEALS = ObjectMap(
    object="deals",
    record_type="deal",
    fields=(
        FieldMap("name", "name"),
        FieldMap("amount", "amount", "number"),
        FieldMap("currency", "currency"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "stage"),
        # 0 to 100, as here.
        FieldMap("probability", "probability", "number"),
        FieldMap("close_date", "close_date", "time"),
        _OWNER,
        _CREATED,
    ),
)

_ACTIVITIES = ObjectMap(
    object="activities",
    record_type="activity",
    fields=(
        FieldMap("type", KIND, "choice", {kind: kind for kind in KINDS}),
        FieldMap("subject", "subject"),
        FieldMap("body", "body"),
        FieldMap("occurred_at", "timestamp", "time"),
        _OWNER,
        _CREATED,
    ),
)

_USERS = ObjectMap(
    object="users",
    record_type="owner",
    fields=(
        FieldMap("email", "email", direction="pull"),
        FieldMap("first_name", "first_name", direction="pull"),
        FieldMap("last_name", "last_name", direction="pull"),
        FieldMap("created_at", "created_at", "time", direction="pull"),
    ),
)

MAPPING: dict[str, ObjectMap] = {
    each.object: each for each in (_COMPANIES, _CONTACTS, _DEALS, _ACTIVITIES, _USERS)
}
