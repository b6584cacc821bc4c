"""What becomes with time of the rows of every table: what goes after a fixed time, and what stays and why.

For how long a tenant may choose is `retention`'s. A test compares the two with the schema: a table that
nobody has decided about makes it fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from syncline.store.db import Conn
from syncline.store.retention import Aging


@dataclass(frozen=True, slots=True)
class Fixed:
    """Rows that go after a fixed time. What goes of a tenant's names it; what is nobody's does not."""

    aging: Aging
    days: int

    def cutoff(self, at: datetime) -> datetime:
        return at - timedelta(days=self.days)


#: For each tenant, in its night.
OF_TENANTS: tuple[Fixed, ...] = (
    Fixed(
        Aging(
            ("app", "invitations"),
            ("id",),
            "coalesce(t.accepted_at, t.revoked_at, t.expires_at) < %(before)s",
        ),
        90,
    ),
    Fixed(Aging(("app", "api_keys"), ("id",), "least(t.revoked_at, t.expires_at) < %(before)s"), 365),
    Fixed(Aging(("app", "tenant_calls"), ("day",), "t.day < %(before)s::timestamptz::date"), 400),
    # Planned, and nobody has said yes.
    Fixed(
        Aging(
            ("app", "batch_rows"),
            ("batch_id", "position"),
            "exists (select from app.batches b where b.tenant_id = t.tenant_id and b.id = t.batch_id"
            " and b.state = 'planned' and b.planned_at < %(before)s)",
        ),
        1,
    ),
    Fixed(Aging(("app", "batches"), ("id",), "t.state = 'planned' and t.planned_at < %(before)s"), 1),
)
#: What belongs to no tenant, once a night. The doors throw most of it away earlier, when somebody comes by.
OF_NOBODY: tuple[Fixed, ...] = (
    Fixed(
        Aging(
            ("app", "sessions"),
            ("token_hash",),
            "t.seen_at < %(before)s or t.created_at < %(before)s::timestamptz - interval '60 days'",
        ),
        30,
    ),
    Fixed(Aging(("app", "password_links"), ("token_hash",), "t.expires_at < %(before)s"), 30),
    Fixed(Aging(("app", "attempts"), ("id",), "t.tried_at < %(before)s"), 2),
    Fixed(
        Aging(("app", "request_counts"), ("subject",), "t.minute < %(before)s", needs_owner=True),
        1,
    ),
)

#: Tables whose rows do not go by age, and what bounds them.
KEPT: Mapping[str, str] = {
    "app.alembic_version": "one row",
    "app.alert_rules": "settings",
    "app.channels": "settings",
    "app.memberships": "people, until somebody takes them away",
    "app.metric_settings": "settings",
    "app.retention": "settings",
    "app.retention_runs": "90 nights, see `retention.PRUNE_NIGHTS`",
    "app.saved_views": "until whoever made it deletes it",
    "app.tenant_limits": "settings",
    "app.tenants": "settings",
    "app.users": "people, until somebody takes them away",
    "crm.activities": "records: archived and deleted by people only",
    "crm.companies": "records: archived and deleted by people only",
    "crm.contacts": "records: archived and deleted by people only",
    "crm.deal_contacts": "with the records it ties",
    "crm.deals": "records: archived and deleted by people only",
    "crm.exchange_rates": "one row for each day and currency: old amounts are converted by it",
    "crm.field_history": "with the record: metrics of long ago are counted from it",
    "crm.owners": "records of colleagues",
    "crm.pipeline_days": "one row for each day",
    "crm.pipeline_history": "a row for each day, pipeline and stage: the trends of years",
    "crm.pipelines": "settings of the CRMs",
    "crm.stages": "settings of the CRMs",
    "crm.tasks": "records: archived and deleted by people only",
    "jobs.pgqueuer": "jobs that wait or run",
    "jobs.pgqueuer_log": "a week, see `jobs.prune`",
    "jobs.pgqueuer_schedules": "one row for each schedule of the workers",
    "jobs.pgqueuer_statistics": "a week, see `jobs.prune`",
    "raw.associations": "with the remote records it ties",
    "sync.alert_looks": "one row for each tenant",
    "sync.connections": "settings",
    "sync.cursors": "a few rows for each object",
    "sync.drift": "until a reconcile finds it mended",
    "sync.erased_identities": "what was erased must not come back",
    "sync.erasure_keys": "one row for each tenant",
    "sync.erasures": "receipts are for good",
    "sync.generations": "folded into one row for each table",
    "sync.leases": "one row for each object: a fence that began anew could equal one of long ago",
    "sync.links": "which record is which: lives as long as the record",
    "sync.merges": "what was merged here stays known, so that it is not made two again",
    "sync.not_duplicates": "what a person has said",
    "sync.outgoing_places": "one row for each tenant",
    "sync.overrides": "one row for each kind of record",
    "sync.parked": "until it is read whole, or dropped by a person",
    "sync.properties": "definitions of the CRMs",
    "sync.queue": "until it is written, or dropped by a person",
    "sync.quota_answers": "some seconds, see the functions of the quota",
    "sync.quota_buckets": "a few rows for each account",
    "sync.quota_days": "a few rows for each account",
    "sync.quota_holders": "some seconds, see the functions of the quota",
    "sync.quota_marks": "some hours, see the functions of the quota",
    "sync.quota_refusals": "some days, see the functions of the quota",
    "sync.refused_webhooks": "30 days and 10,000 rows, see `inbox.prune_refusals`",
    "sync.remote_erasures": "receipts are for good",
    "sync.schedules": "settings",
    "sync.subscriptions": "settings",
    "sync.tombstones": "what was deleted must not come back",
    "sync.workers": "a day of silence, see `workers.FORGET_SILENT`",
    "sync.writing": "settings",
}


def old_forgotten(aging: Aging) -> sql.Composed:
    return sql.SQL("""
delete from {table} d
where ({key}) in (select {key_of_t} from {table} t where ({old}) limit %(limit)s)
""").format(
        table=aging.identifier,
        old=sql.SQL(aging.old),
        key=aging.columns("d"),
        key_of_t=aging.columns("t"),
    )


async def forget_old(conn: Conn, aging: Aging, before: datetime, *, limit: int) -> int:
    """Delete up to `limit` rows of a table that belongs to no tenant; returns how many."""
    cursor = await conn.execute(old_forgotten(aging), {"before": before, "limit": limit}, prepare=False)
    return cursor.rowcount
