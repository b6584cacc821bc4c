"""Where a person's data is: every table, which of its rows are theirs, and which columns may speak of them.

A test compares this with the schema: a table or a column of texts that is named nowhere here makes it fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import sql

from syncline.domain.subject import Subject


@dataclass(frozen=True, slots=True)
class Place:
    """One table; `t` is its alias, and the parameters are those of `values_of`."""

    table: tuple[str, str]
    #: Which rows are the person's own; None where none are, and only texts may speak of them.
    own: LiteralString | None = None
    #: Column → what it becomes in such rows; without any the rows go.
    blank: Mapping[LiteralString, LiteralString] = field(default_factory=dict[LiteralString, LiteralString])
    #: Columns of other rows that may hold an address or a number: it is taken out of the text, …
    texts: tuple[LiteralString, ...] = ()
    #: … or of every text of a document, …
    documents: tuple[LiteralString, ...] = ()
    #: … or the whole value goes, where it is nothing but a number.
    emptied: tuple[LiteralString, ...] = ()
    #: Columns of texts that cannot hold one: states, names of fields and objects, colleagues.
    plain: tuple[LiteralString, ...] = ()
    #: A record: its version moves with each change.
    is_record: bool = False
    #: Which of the rows in `own` are about nobody else, where that are not all: an export gives those whole,
    #: of every other row only the lines that speak of the person.
    whole: LiteralString | None = None
    #: Columns that no export shows: colleagues, keys of programs, hashes.
    hidden: tuple[LiteralString, ...] = ()

    #: The column that says when a row was changed last, where there is one.
    changed: LiteralString | None = None

    @property
    def name(self) -> str:
        return ".".join(self.table)

    @property
    def searched(self) -> tuple[LiteralString, ...]:
        """Columns that are looked through for addresses and numbers."""
        return (*self.texts, *self.documents, *self.emptied)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self.table)


_REFS: LiteralString = """(select r.connection_id, r.object, r.remote_id
  from unnest(%(ref_connections)s::uuid[],
  %(ref_objects)s::text[], %(ref_ids)s::text[]) as r (connection_id, object, remote_id))"""
_BY_REF: LiteralString = "(t.connection_id, t.object, t.remote_id) in " + _REFS
_BY_RECORD: LiteralString = "t.record_id = any(%(record_ids)s::uuid[])"

#: In the order in which rows go: what refers to a record before the record, and the record before its log.
SOURCES: tuple[Place, ...] = (
    Place(
        ("crm", "deals"),
        own="t.contact_id = any(%(contact_ids)s::uuid[])",
        blank={"contact_id": "null"},
        texts=("name",),
        documents=("custom_fields",),
        emptied=("phone", "phone_e164"),
        plain=(
            "currency", "pipeline", "stage", "status", "priority", "deal_type", "qualified_status",
            "trial_status", "payment_status", "field_times",
        ),
        is_record=True,
        changed="updated_at",
    ),
    Place(("crm", "deal_contacts"), own="t.contact_id = any(%(contact_ids)s::uuid[])"),
    Place(
        ("crm", "activities"),
        own="t.id = any(%(activity_ids)s::uuid[]) or t.contact_id = any(%(contact_ids)s::uuid[])",
        blank={
            "subject": "null",
            "body": "null",
            "from_number": "null",
            "to_number": "null",
            "phone_e164": "null",
            "location": "null",
            "custom_fields": "'{}'::jsonb",
            "contact_id": "null",
            "contact_link": "null",
            "contact_candidates": "null",
        },
        texts=("subject", "body", "location"),
        documents=("custom_fields",),
        emptied=("from_number", "to_number", "phone_e164"),
        plain=("type", "direction", "status", "outcome", "contact_link", "field_times"),
        is_record=True,
        changed="updated_at",
    ),
    Place(
        ("crm", "tasks"),
        own="t.id = any(%(task_ids)s::uuid[]) or t.contact_id = any(%(contact_ids)s::uuid[])",
        blank={
            "subject": "null",
            "body": "null",
            "custom_fields": "'{}'::jsonb",
            "contact_id": "null",
        },
        texts=("subject", "body"),
        documents=("custom_fields",),
        plain=("status", "priority", "type", "field_times"),
        is_record=True,
        changed="updated_at",
    ),
    Place(
        ("crm", "companies"),
        texts=("name", "website", "address", "description"),
        documents=("custom_fields",),
        plain=(
            "domain", "phone", "phone_e164", "city", "state", "zip", "country", "industry",
            "lifecycle_stage", "source", "uei", "cage_code", "primary_naics", "qualification_status",
            "field_times",
        ),
        is_record=True,
        changed="updated_at",
    ),
    Place(
        ("sync", "queue"),
        own=_BY_RECORD,
        texts=("last_error",),
        plain=("record_type", "state", "fields", "what"),
    ),
    Place(
        ("sync", "parked"),
        own=_BY_REF,
        texts=("reason", "original"),
        documents=("problems",),
        plain=("object", "remote_id", "kind"),
    ),
    Place(
        ("sync", "conflicts"),
        own=_BY_RECORD + " or " + _BY_REF,
        documents=("base", "ours", "theirs", "read", "seen", "our_record", "their_record", "value"),
        plain=("object", "remote_id", "record_type", "field", "status", "resolution"),
        hidden=("resolved_by",),
    ),
    Place(
        ("sync", "decisions"),
        own=_BY_RECORD,
        texts=("reason",),
        documents=("value", "losing", "ours", "theirs", "read"),
        plain=("record_type", "field", "rule", "winner"),
    ),
    Place(
        ("sync", "remote_changes"),
        own=_BY_RECORD + " or " + _BY_REF,
        # What was on its way and had no answer is looked for at the CRM, see `remote_erasures`.
        blank={
            "changes": "'{}'::jsonb",
            "kept": "null",
            "reason": "null",
            "state": "case t.state when 'sent' then 'refused' else t.state end",
        },
        texts=("reason",),
        documents=("changes", "kept"),
        plain=("object", "remote_id", "record_type", "action", "state"),
    ),
    Place(
        ("sync", "merges"),
        own="t.record_id = any(%(contact_ids)s::uuid[]) or t.merged_record = any(%(contact_ids)s::uuid[])",
        texts=("reason",),
        plain=("object", "record_type", "survivor_id", "merged_id", "state"),
        hidden=("wanted_by",),
    ),
    Place(
        ("sync", "not_duplicates"),
        own="t.first_id = any(%(contact_ids)s::uuid[]) or t.second_id = any(%(contact_ids)s::uuid[])",
        plain=("record_type",),
        hidden=("said_by",),
    ),
    Place(
        ("sync", "links"),
        own=_BY_RECORD + " or " + _BY_REF,
        documents=("base", "sent"),
        plain=("object", "remote_id", "record_type"),
    ),
    Place(
        ("raw", "associations"),
        own="(t.connection_id, t.from_object, t.from_id) in " + _REFS
        + " or (t.connection_id, t.to_object, t.to_id) in " + _REFS,
        plain=("from_object", "from_id", "to_object", "to_id", "type", "category", "label"),
    ),
    Place(("sync", "inbox"), texts=("body", "last_error"), plain=("state",)),
    Place(
        ("crm", "contacts"),
        own="t.id = any(%(contact_ids)s::uuid[])",
        texts=("first_name", "last_name", "job_title"),
        documents=("custom_fields",),
        emptied=("phone", "phone_e164", "email"),
        plain=("lifecycle_stage", "status", "lead_source", "sales_script_version", "field_times"),
        is_record=True,
        changed="updated_at",
    ),
    Place(
        ("crm", "change_log"),
        own=_BY_RECORD,
        blank={"changes": "app.blank_changes(t.changes)"},
        changed="changed_at",
        documents=("changes",),
        plain=("record_type", "action", "source"),
        hidden=("actor",),
    ),
)  # fmt: skip

#: Written from what other places hold, and cleared after these: else a comparison, a run's end or an answer
#: that is just being written down would carry out of a place what is cleared there a moment later.
COPIES: tuple[Place, ...] = (
    Place(
        ("sync", "drift"),
        own=_BY_RECORD + " or " + _BY_REF,
        documents=("ours", "theirs", "base"),
        plain=("object", "remote_id", "field", "record_type", "state", "cause"),
    ),
    Place(
        ("crm", "field_history"),
        own=_BY_RECORD,
        texts=("value",),
        plain=("record_type", "field", "source"),
    ),
    Place(
        ("sync", "runs"),
        documents=("error_details",),
        plain=("object", "mode", "status", "requested_by", "cancel_requested_by"),
    ),
    Place(
        ("crm", "notifications"),
        own=_BY_RECORD,
        texts=("recipient", "subject", "body", "error_message"),
        plain=("notification_type", "template_name", "record_type", "status"),
        hidden=("recipient", "dedupe_key", "mention"),
    ),
    Place(
        ("sync", "deliveries"),
        texts=("reason",),
        documents=("body", "tries"),
        plain=("event", "record_type", "state"),
    ),
    Place(
        ("app", "batches"),
        own="t.state = 'planned' and app.mentions(t.terms::text, %(needles)s::text[], %(patterns)s::text[])",
        whole="false",
        blank={"state": "'cancelled'", "ended_at": "%(now)s::timestamptz"},
        documents=("terms",),
        plain=("kind", "record_type", "state", "source", "planned_by"),
    ),
    # What is planned with values of the person is not done any more, whosever record it would be.
    Place(
        ("app", "batch_rows"),
        own=_BY_RECORD
        + " or app.mentions(concat_ws(' ', t.\"values\"::text, t.reasons::text),"
        " %(needles)s::text[], %(patterns)s::text[])",
        blank={
            "values": "null",
            "reasons": "case when t.state = 'waiting'"
            " then jsonb_build_object('', 'It held somebody who was erased.') end",
            "action": "case when t.state = 'waiting' then 'invalid' else t.action end",
        },
        whole=_BY_RECORD + " or lower(btrim(t.\"values\" #>> '{given,email}')) = any(%(emails)s::text[])",
        documents=("values", "reasons"),
        plain=("state", "action"),
    ),
    # An answer that is kept for a request that may come twice goes whole.
    Place(
        ("app", "idempotency"),
        own="app.mentions(encode(t.body, 'escape'), %(needles)s::text[], %(patterns)s::text[])"
        " or exists (select from unnest(%(contact_ids)s::uuid[]) as c (id)"
        " where strpos(encode(t.body, 'escape'), c.id::text) > 0)",
        plain=("state", "content_type"),
        hidden=("caller", "key", "location", "request_hash", "body"),
    ),
    Place(
        ("app", "audit_log"),
        texts=("subject",),
        documents=("details",),
        plain=("actor", "source", "address", "action"),
    ),
    Place(("app", "saved_views"), texts=("name",), documents=("query",), plain=("page", "created_by")),
)  # fmt: skip

PLACES: tuple[Place, ...] = (*SOURCES, *COPIES)

#: Tables that hold nothing of a person, and why.
HOLDING_NONE: Mapping[str, str] = {
    "app.alembic_version": "a number",
    "app.alert_rules": "settings, and addresses of colleagues",
    "app.api_keys": "colleagues",
    "app.attempts": "hashes of what was typed at sign-in",
    "app.channels": "addresses of chats and programs, sealed",
    "app.invitations": "colleagues",
    "app.memberships": "colleagues",
    "app.metric_settings": "settings",
    "app.password_links": "hashes",
    "app.retention": "settings",
    "app.retention_runs": "counts",
    "app.request_counts": "counts",
    "app.sessions": "colleagues",
    "app.tenant_calls": "counts",
    "app.tenant_limits": "settings",
    "app.tenants": "settings",
    "app.users": "colleagues",
    "crm.exchange_rates": "rates",
    "crm.owners": "colleagues",
    "crm.pipeline_days": "dates",
    "crm.pipeline_history": "counts",
    "crm.pipelines": "names of pipelines",
    "crm.stages": "names of stages",
    "jobs.pgqueuer": "ids of runs",
    "jobs.pgqueuer_log": "ids of runs",
    "jobs.pgqueuer_schedules": "nothing",
    "jobs.pgqueuer_statistics": "counts",
    "sync.alert_looks": "times",
    "sync.alerts": "numbers about syncs, and colleagues",
    "sync.connections": "settings, and credentials, sealed",
    "sync.cursors": "places in lists",
    "sync.erased_identities": "keyed hashes, so that what was erased does not come back",
    "sync.erasure_keys": "a key, sealed",
    "sync.erasures": "the receipt; who it was is sealed, and goes with the last row",
    "sync.generations": "counts",
    "sync.leases": "who works",
    "sync.outgoing_places": "places in the change log",
    "sync.overrides": "a person's word",
    "sync.properties": "definitions of fields",
    "sync.quota_answers": "counts",
    "sync.quota_buckets": "counts",
    "sync.quota_days": "counts",
    "sync.quota_holders": "counts",
    "sync.quota_marks": "counts",
    "sync.quota_refusals": "counts",
    "sync.refused_webhooks": "counts",
    "sync.remote_erasures": "what is asked of CRMs, by their ids, until they have answered",
    "sync.schedules": "settings",
    "sync.source_counts": "counts",
    "sync.subscriptions": "addresses of programs, and secrets, sealed",
    "sync.tombstones": "ids at CRMs, so that what was erased does not come back",
    "sync.workers": "processes",
    "sync.writing": "settings",
}


def raw_place(table: str) -> Place:
    """Return the place of a raw table; which object it is, is the parameter `object`."""
    return Place(
        ("raw", table),
        own="(t.connection_id, %(object)s, t.remote_id) in " + _REFS,
        documents=("raw",),
        plain=("remote_id", "archived_reason", "merged_into"),
        hidden=("payload_hash", "mapped_hash"),
    )


def values_of(subject: Subject) -> dict[str, Any]:
    """Return the parameters that `own` and the search in texts take, without the tenant."""
    looked_for = subject.needles()
    return {
        "contact_ids": subject.contact_ids,
        "activity_ids": subject.activity_ids,
        "task_ids": subject.task_ids,
        "record_ids": subject.record_ids,
        "emails": subject.emails,
        "ref_connections": [each.connection_id for each in subject.refs],
        "ref_objects": [each.object for each in subject.refs],
        "ref_ids": [each.remote_id for each in subject.refs],
        "needles": [each.text for each in looked_for],
        "patterns": [each.pattern for each in looked_for],
        "object": "",
    }
