"""The default mapping: which HubSpot property is which field. Sources of names: the CRM objects' guides.

What HubSpot lets nobody set is only pulled: creation times are its own, owners are read-only (owners guide),
scores and stage probabilities are calculated (marked so in the property definitions of the portals seen; an
account that differs says `direction: both` in its mapping). Whether a value can be set is, besides, asked of
each account's own definitions before anything is written.
"""

from __future__ import annotations

from syncline.domain.mapping import FieldMap, ObjectMap

_OWNER = FieldMap("owner_id", "hubspot_owner_id", "owner")

_CONTACTS = ObjectMap(
    object="contacts",
    record_type="contact",
    fields=(
        FieldMap("email", "email"),
        FieldMap("first_name", "firstname"),
        FieldMap("last_name", "lastname"),
        FieldMap("phone", "phone"),
        FieldMap("job_title", "jobtitle"),
        _OWNER,
        FieldMap("lifecycle_stage", "lifecyclestage"),
        FieldMap("status", "hs_lead_status"),
        FieldMap("lead_source", "hs_lead_source"),
        FieldMap("lead_score", "hubspotscore", "number", direction="pull"),
        FieldMap("vsl_watched", "vsl_watched", "boolean"),
        FieldMap("sales_script_version", "sales_script_version"),
        FieldMap("created_at", "createdate", "time", direction="pull"),
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
        FieldMap("address", "address"),
        FieldMap("city", "city"),
        FieldMap("state", "state"),
        FieldMap("zip", "zip"),
        FieldMap("country", "country"),
        FieldMap("industry", "industry"),
        FieldMap("employee_count", "numberofemployees", "number"),
        FieldMap("annual_revenue", "annualrevenue", "number"),
        FieldMap("description", "description"),
        FieldMap("lifecycle_stage", "lifecyclestage"),
        _OWNER,
        FieldMap("created_at", "createdate", "time", direction="pull"),
    ),
)

_DEALS = ObjectMap(
    object="deals",
    record_type="deal",
    fields=(
        FieldMap("name", "dealname"),
        FieldMap("amount", "amount", "number"),
        FieldMap("currency", "deal_currency_code"),
        FieldMap("pipeline", "pipeline"),
        FieldMap("stage", "dealstage"),
        # 0 to 1 at HubSpot, which calculates it from the stage.
        FieldMap("probability", "hs_deal_stage_probability", "percent", direction="pull"),
        # Expected while open, real once closed.
        FieldMap("close_date", "closedate", "time"),
        _OWNER,
        FieldMap("priority", "hs_priority"),
        FieldMap("deal_type", "dealtype"),
        FieldMap("phone", "phone_number"),
        FieldMap("qualified_status", "qualified_status"),
        FieldMap("trial_status", "trial_status"),
        FieldMap("payment_status", "payment_status"),
        FieldMap("installments", "number_of_installments__months", "number"),
        FieldMap("created_at", "createdate", "time", direction="pull"),
    ),
)

_CALLS = ObjectMap(
    object="calls",
    record_type="activity",
    constants={"type": "call"},
    fields=(
        FieldMap("subject", "hs_call_title"),
        FieldMap("body", "hs_call_body"),
        FieldMap("occurred_at", "hs_timestamp", "time"),
        # Milliseconds at HubSpot too.
        FieldMap("duration_ms", "hs_call_duration", "number"),
        FieldMap("direction", "hs_call_direction", "choice", {"INBOUND": "inbound", "OUTBOUND": "outbound"}),
        FieldMap("status", "hs_call_status"),
        FieldMap("outcome", "hs_call_disposition"),
        FieldMap("from_number", "hs_call_from_number"),
        FieldMap("to_number", "hs_call_to_number"),
        _OWNER,
        FieldMap("created_at", "hs_createdate", "time", direction="pull"),
    ),
)

_MEETINGS = ObjectMap(
    object="meetings",
    record_type="activity",
    constants={"type": "meeting"},
    fields=(
        FieldMap("subject", "hs_meeting_title"),
        FieldMap("body", "hs_meeting_body"),
        FieldMap("occurred_at", "hs_meeting_start_time", "time"),
        FieldMap("ends_at", "hs_meeting_end_time", "time"),
        FieldMap("outcome", "hs_meeting_outcome"),
        FieldMap("location", "hs_meeting_location"),
        _OWNER,
        FieldMap("created_at", "hs_createdate", "time", direction="pull"),
    ),
)

_EMAILS = ObjectMap(
    object="emails",
    record_type="activity",
    constants={"type": "email"},
    fields=(
        FieldMap("subject", "hs_email_subject"),
        FieldMap("body", "hs_email_text"),
        FieldMap("occurred_at", "hs_timestamp", "time"),
        FieldMap(
            "direction",
            "hs_email_direction",
            "choice",
            {"EMAIL": "outbound", "INCOMING_EMAIL": "inbound", "FORWARDED_EMAIL": "inbound"},
        ),
        FieldMap("status", "hs_email_status"),
        _OWNER,
        FieldMap("created_at", "hs_createdate", "time", direction="pull"),
    ),
)

_NOTES = ObjectMap(
    object="notes",
    record_type="activity",
    constants={"type": "note"},
    fields=(
        FieldMap("body", "hs_note_body"),
        FieldMap("occurred_at", "hs_timestamp", "time"),
        _OWNER,
        FieldMap("created_at", "hs_createdate", "time", direction="pull"),
    ),
)

_TASKS = ObjectMap(
    object="tasks",
    record_type="task",
    fields=(
        FieldMap("subject", "hs_task_subject"),
        FieldMap("body", "hs_task_body"),
        FieldMap("due_at", "hs_timestamp", "time"),
        FieldMap("status", "hs_task_status"),
        FieldMap("priority", "hs_task_priority"),
        FieldMap("type", "hs_task_type"),
        _OWNER,
        FieldMap("created_at", "hs_createdate", "time", direction="pull"),
    ),
)

_OWNERS = ObjectMap(
    object="owners",
    record_type="owner",
    fields=(
        FieldMap("email", "email", direction="pull"),
        FieldMap("first_name", "firstName", direction="pull"),
        FieldMap("last_name", "lastName", direction="pull"),
        FieldMap("created_at", "createdAt", "time", direction="pull"),
    ),
)

MAPPING: dict[str, ObjectMap] = {
    each.object: each
    for each in (_CONTACTS, _COMPANIES, _DEALS, _CALLS, _MEETINGS, _EMAILS, _NOTES, _TASKS, _OWNERS)
}
