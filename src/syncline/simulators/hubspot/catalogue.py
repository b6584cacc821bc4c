"""The properties an ordinary account has, per object type, and its choices. Knows no values of records."""

from __future__ import annotations

from typing import Any

from syncline.simulators.hubspot import objects
from syncline.simulators.hubspot.catalogue_contacts import CONTACTS
from syncline.simulators.hubspot.definitions import Definition, options, read_catalogue

LIFECYCLE = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity",
             "customer", "evangelist", "other")  # fmt: skip
LEAD_STATUS = ("NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT",
               "CONNECTED", "BAD_TIMING")  # fmt: skip
INDUSTRIES = ("COMPUTER_SOFTWARE", "CONSTRUCTION", "DEFENSE_SPACE", "CIVIL_ENGINEERING",
              "LOGISTICS_AND_SUPPLY_CHAIN",
              "HOSPITAL_HEALTH_CARE", "MANAGEMENT_CONSULTING", "RETAIL", "FINANCIAL_SERVICES", "MACHINERY",
              "RENEWABLES_ENVIRONMENT", "FACILITIES_SERVICES")  # fmt: skip
SOURCES = ("ORGANIC_SEARCH", "PAID_SEARCH", "EMAIL_MARKETING", "SOCIAL_MEDIA", "REFERRALS", "OTHER_CAMPAIGNS",
           "DIRECT_TRAFFIC", "OFFLINE", "PAID_SOCIAL")  # fmt: skip
LEAD_SOURCES = (
    "website",
    "vsl_funnel",
    "webinar",
    "referral",
    "cold_outreach",
    "paid_ads",
    "event",
    "partner",
)
DISPOSITIONS = (
    ("9d9162e7-6cf3-4944-bf63-4dff82258764", "Busy"),
    ("f240bbac-87c9-4f6e-bf70-924b57d47db7", "Connected"),
    ("a4c4c377-d246-4b32-a13b-75a56a4cd0ff", "Left live message"),
    ("b2cf5968-551e-4856-9783-52b3da59a7d0", "Left voicemail"),
    ("73a0d17f-1163-4015-bdd5-ec830791da20", "No answer"),
    ("17b47fee-58de-441e-a44c-c6300d46f273", "Wrong number"),
)
CALL_STATUS = ("COMPLETED", "NO_ANSWER", "BUSY", "CANCELED", "FAILED", "QUEUED", "RINGING", "IN_PROGRESS")

OPTION_SETS: dict[str, list[dict[str, Any]]] = {
    "lifecycle": options(LIFECYCLE),
    "leadstatus": options(LEAD_STATUS),
    "industry": options(INDUSTRIES),
    "source": options(SOURCES),
    "leadsource": options(LEAD_SOURCES),
    "script": options(("A", "B", "C", "v2.1", "v3")),
    "marketable": options(("true", "false")),
    "legal": options((
        "Legitimate interest \u2013 prospect/lead", "Performance of a contract",
        "Freely given consent from contact")),
    "seniority": options(("entry", "senior", "manager", "director", "vp", "executive", "owner", "partner")),
    "language": options(("en", "en-us", "de", "fr", "es", "pl")),
    "persona": options(("persona_1", "persona_2", "persona_3")),
    "qualified": options(("yes", "no", "pending")),
    "trial": options(("not_started", "active", "converted", "expired", "cancelled")),
    "payment": options(("paid", "partial", "pending", "overdue", "refunded", "failed")),
    "method": options(("credit_card", "bank_transfer", "paypal", "invoice", "crypto")),
    "priority": options(("low", "medium", "high")),
    "PRIORITY": options(("NONE", "LOW", "MEDIUM", "HIGH")),
    "dealtype": options((("newbusiness", "New Business"), ("existingbusiness", "Existing Business"))),
    "currency": options(("USD", "EUR", "GBP", "AUD")),
    "companytype": options(("PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER")),
    "direction": options(("INBOUND", "OUTBOUND")),
    "callstatus": options(CALL_STATUS),
    "disposition": options(DISPOSITIONS),
    "outcome": options(("SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED")),
    "maildirection": options(("EMAIL", "INCOMING_EMAIL", "FORWARDED_EMAIL")),
    "mailstatus": options(("BOUNCED", "FAILED", "SCHEDULED", "SENDING", "SENT")),
    "taskstatus": options(("NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED")),
    "tasktype": options(("EMAIL", "CALL", "TODO")),
    "fuel": options(("petrol", "diesel", "hybrid", "electric")),
}  # fmt: skip

_SYSTEM = """
hs_object_id number r
hs_object_source string r
hs_object_source_id string r
hs_object_source_label string r
hs_object_source_detail_1 string r
hs_created_by_user_id number r
hs_updated_by_user_id number r
hs_merged_object_ids enumeration r /checkbox
hs_unique_creation_key string ru
hs_all_owner_ids enumeration co /checkbox
hs_was_imported bool r
hs_read_only bool r
hubspot_owner_id enumeration o
hubspot_owner_assigneddate datetime r
hubspot_team_id enumeration r
"""

_COMPANIES = """
name string
domain string
website string
industry enumeration =industry
numberofemployees number w
annualrevenue number m
phone string /phonenumber
address string
address2 string
city string
state string
zip string
country string
lifecyclestage enumeration =lifecycle
hs_lead_status enumeration =leadstatus
type enumeration =companytype
description string /textarea
founded_year string
timezone string
linkedin_company_page string
is_public bool
createdate datetime r
hs_lastmodifieddate datetime r
hs_parent_company_id number k
hs_num_child_companies number c
num_associated_contacts number c
num_associated_deals number c
total_revenue number cm
recent_deal_amount number cm
recent_deal_close_date datetime c
notes_last_contacted datetime r
num_notes number cw
hs_analytics_source enumeration =source
hs_analytics_num_page_views number cw
hs_analytics_num_visits number cw
hs_target_account bool
hs_is_target_account bool c
web_technologies enumeration /checkbox
about_us string /textarea
facebook_company_page string
twitterhandle string
"""

_DEALS = """
dealname string
amount number m
amount_in_home_currency number c
dealstage enumeration /radio
pipeline enumeration
closedate datetime
createdate datetime
hs_lastmodifieddate datetime r
hs_deal_stage_probability number c
deal_currency_code enumeration =currency
dealtype enumeration =dealtype /radio
hs_priority enumeration =priority
qualified_status enumeration x =qualified
trial_status enumeration x =trial
payment_status enumeration x =payment
payment_method enumeration x =method
number_of_installments__months number xw
phone_number string x /phonenumber
cancellation_reason string x /textarea
closed_lost_reason string /textarea
closed_won_reason string /textarea
description string /textarea
days_to_close number c
hs_is_closed bool c
hs_is_closed_won bool c
hs_forecast_amount number cm
hs_forecast_probability number
hs_projected_amount number c
hs_closed_amount number c
hs_arr number m
hs_mrr number m
hs_tcv number m
hs_acv number m
hs_next_step string
hs_num_associated_queue_objects number r
hs_v2_date_entered_closedwon datetime c
hs_v2_date_entered_closedlost datetime c
hs_time_in_closedwon number ch
num_associated_contacts number c
num_contacted_notes number c
num_notes number c
notes_last_contacted datetime r
notes_last_updated datetime r
hs_analytics_source enumeration =source
hs_campaign string
hs_manual_forecast_category enumeration
engagements_last_meeting_booked datetime r
"""

_ACTIVITY = """
hs_createdate datetime r
hs_lastmodifieddate datetime r
hs_timestamp datetime
hs_activity_type enumeration
hs_attachment_ids enumeration /checkbox
hs_body_preview string r
hs_body_preview_is_truncated bool r
hs_engagement_source string r
hs_engagement_source_id string r
hs_queue_membership_ids enumeration /checkbox
"""

_CALLS = """
hs_call_title string
hs_call_body string /html
hs_call_direction enumeration =direction
hs_call_duration number w
hs_call_to_number string
hs_call_from_number string
hs_call_status enumeration =callstatus
hs_call_disposition enumeration =disposition
hs_call_recording_url string
hs_call_callee_object_id number
hs_call_callee_object_type_id string
hs_call_source string
hs_call_app_id number r
hs_call_has_transcript bool r
hs_call_summary string /textarea
"""

_MEETINGS = """
hs_meeting_title string
hs_meeting_body string /html
hs_internal_meeting_notes string /html
hs_meeting_start_time datetime
hs_meeting_end_time datetime
hs_meeting_location string
hs_meeting_external_url string
hs_meeting_outcome enumeration =outcome
hs_meeting_source string r
"""

_EMAILS = """
hs_email_direction enumeration =maildirection
hs_email_status enumeration =mailstatus
hs_email_subject string
hs_email_text string /textarea
hs_email_html string /html
hs_email_headers string /textarea
hs_email_from_email string r
hs_email_from_firstname string r
hs_email_from_lastname string r
hs_email_to_email string r
hs_email_to_firstname string r
hs_email_to_lastname string r
hs_email_message_id string r
hs_email_thread_id string r
hs_email_open_count number rw
hs_email_click_count number rw
"""

_NOTES = "hs_note_body string /html"

_TASKS = """
hs_task_subject string
hs_task_body string /html
hs_task_status enumeration =taskstatus
hs_task_priority enumeration =PRIORITY
hs_task_type enumeration =tasktype
hs_task_reminders string
hs_task_completion_date datetime r
hs_task_is_all_day bool
hs_task_is_overdue bool c
"""

_TICKETS = """
subject string
content string /textarea
hs_pipeline enumeration
hs_pipeline_stage enumeration
hs_ticket_priority enumeration =PRIORITY
hs_ticket_category enumeration
source_type enumeration
createdate datetime r
closed_date datetime
hs_lastmodifieddate datetime r
time_to_close number c
"""

_PRODUCTS = """
name string
description string /textarea
price number
hs_sku string
hs_cost_of_goods_sold number
createdate datetime r
hs_lastmodifieddate datetime r
"""

_LINE_ITEMS = """
name string
quantity number
price number
amount number c
hs_product_id number
discount number
createdate datetime r
hs_lastmodifieddate datetime r
"""

_LEADS = """
hs_lead_name string
hs_lead_type string
hs_lead_label string
hs_pipeline enumeration
hs_pipeline_stage enumeration
hs_createdate datetime r
hs_lastmodifieddate datetime r
"""

CARS = """
make string x
model string x
year number xw
vin string xu
mileage number xw
price number x
fuel enumeration x =fuel
registered_on date x
previous_owners number xw
electric bool x
notes string x /textarea
hs_createdate datetime r
hs_lastmodifieddate datetime r
"""

_CATALOGUES: dict[str, tuple[str, str]] = {
    objects.CONTACT.type_id: (CONTACTS, "contactinformation"),
    objects.COMPANY.type_id: (_COMPANIES, "companyinformation"),
    objects.DEAL.type_id: (_DEALS, "dealinformation"),
    objects.TICKET.type_id: (_TICKETS, "ticketinformation"),
    objects.PRODUCT.type_id: (_PRODUCTS, "productinformation"),
    objects.LINE_ITEM.type_id: (_LINE_ITEMS, "lineiteminformation"),
    objects.TASK.type_id: (_ACTIVITY + _TASKS, "task"),
    objects.NOTE.type_id: (_ACTIVITY + _NOTES, "note"),
    objects.MEETING.type_id: (_ACTIVITY + _MEETINGS, "meeting"),
    objects.CALL.type_id: (_ACTIVITY + _CALLS, "call"),
    objects.EMAIL.type_id: (_ACTIVITY + _EMAILS, "email"),
    objects.LEAD.type_id: (_LEADS, "leadinformation"),
}


def definitions_of(type_id: str) -> dict[str, Definition]:
    """Return fresh definitions of a standard type, by name."""
    text, group = _CATALOGUES[type_id]
    return read_catalogue(_SYSTEM + text, group, OPTION_SETS)


def car_definitions() -> dict[str, Definition]:
    return read_catalogue(_SYSTEM + CARS, "cars_information", OPTION_SETS)
