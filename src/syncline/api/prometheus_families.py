"""Gauges in the words of Prometheus: names, units, labels. Labels are names that people gave, never values.

Every name here is listed in docs/monitoring.md; a test compares them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from syncline.actions.gauges import EDGES, Gauges, TenantGauges
from syncline.store.gauges import RunSlice

_FIGURES = {
    "avg_sync_latency_ms": (
        "syncline_sync_latency_seconds",
        "Mean from when a run that follows changes was asked for to its end, last hour.",
        0.001,
    ),
    "sync_success_rate": (
        "syncline_sync_success_ratio",
        "Share of the last hour's runs that did well, 0 to 1.",
        1.0,
    ),
    "webhook_processing_time_ms": (
        "syncline_webhook_processing_seconds",
        "Mean from a delivery's arrival to its end, last hour.",
        0.001,
    ),
    "contacts_synced_24h": ("syncline_contacts_synced_24h", "Contacts moved within 24 hours.", 1.0),
    "deals_synced_24h": ("syncline_deals_synced_24h", "Deals moved within 24 hours.", 1.0),
    "activities_synced_24h": ("syncline_activities_synced_24h", "Activities moved within 24 hours.", 1.0),
    "sync_failures_24h": ("syncline_sync_failures_24h", "Runs that failed within 24 hours.", 1.0),
    "conflict_count_24h": ("syncline_conflicts_24h", "Conflicts found within 24 hours.", 1.0),
    "api_rate_limit_hits": (
        "syncline_rate_limit_hits_1h",
        "Calls that CRMs refused for their rate, last hour.",
        1.0,
    ),
}


def families(found: Gauges) -> list[Metric]:
    """Return all gauges; what is not known has no sample."""
    return [
        *_workers(found),
        *_figures(found.tenants),
        *_runs(found),
        *_waiting(found),
        *_troubles(found.tenants),
        *_quota(found.tenants),
    ]


def _workers(found: Gauges) -> Iterable[Metric]:
    ages = [(found.at - each.seen_at).total_seconds() for each in found.workers]
    yield GaugeMetricFamily("syncline_workers", "Worker processes that are entered.", len(ages))
    heartbeat = GaugeMetricFamily(
        "syncline_worker_heartbeat_age_seconds", "Since the latest sign of life of any worker."
    )
    if ages:
        heartbeat.add_metric([], max(0.0, min(ages)))
    yield heartbeat
    yield GaugeMetricFamily(
        "syncline_tenants_left_out",
        "Tenants of which nothing is told, for their number.",
        found.tenants_left_out,
    )


def _figures(tenants: Sequence[TenantGauges]) -> Iterable[Metric]:
    for figure, (name, meaning, factor) in _FIGURES.items():
        family = GaugeMetricFamily(name, meaning, labels=["tenant"])
        for each in tenants:
            value: float | None = asdict(each.metrics)[figure]
            if value is not None:
                family.add_metric([each.slug], value * factor)
        yield family


_OBJECT = ["tenant", "connection", "object"]


def _runs(found: Gauges) -> Iterable[Metric]:
    states = GaugeMetricFamily(
        "syncline_runs", "Runs by status: those that moved within 24 hours.", labels=[*_OBJECT, "status"]
    )
    lengths = GaugeHistogramMetricFamily(
        "syncline_run_duration_seconds", "How long runs of the last 24 hours took.", labels=_OBJECT
    )
    ages = GaugeMetricFamily(
        "syncline_last_success_age_seconds",
        "Since a scheduled object was last read to its end.",
        labels=_OBJECT,
    )
    for tenant in found.tenants:
        counts: dict[tuple[str, str, str], int] = defaultdict(int)
        by_object: dict[tuple[str, str], list[RunSlice]] = defaultdict(list)
        for each in tenant.runs:
            counts[each.connection, each.object, each.status] += each.runs
            if each.slot is not None:
                by_object[each.connection, each.object].append(each)
        for key, count in sorted(counts.items()):
            states.add_metric([tenant.slug, *key], count)
        for names, slices in sorted(by_object.items()):
            buckets = [
                (f"{edge:g}", float(sum(each.runs for each in slices if (each.slot or 0) <= place)))
                for place, edge in enumerate(EDGES)
            ]
            buckets.append(("+Inf", float(sum(each.runs for each in slices))))
            lengths.add_metric([tenant.slug, *names], buckets, sum(each.seconds for each in slices))
        for each in tenant.successes:
            age = (found.at - each.at).total_seconds()
            ages.add_metric([tenant.slug, each.connection, each.object], max(0.0, age))
    return states, lengths, ages


def _waiting(found: Gauges) -> Iterable[Metric]:
    labels = ["tenant", "connection"]
    depth = GaugeMetricFamily(
        "syncline_queue_depth", "Local changes that are to be sent, by state.", labels=[*labels, "state"]
    )
    age = GaugeMetricFamily(
        "syncline_queue_age_seconds", "How long the oldest of them has waited.", labels=[*labels, "state"]
    )
    inbox = GaugeMetricFamily("syncline_inbox_depth", "Deliveries to be worked off.", labels=labels)
    inbox_age = GaugeMetricFamily(
        "syncline_inbox_age_seconds", "How long the oldest delivery has waited.", labels=labels
    )
    for tenant in found.tenants:
        for each in tenant.waiting:
            where = [tenant.slug, each.connection]
            states = [*where, each.state] if each.place == "queue" else where
            (depth if each.place == "queue" else inbox).add_metric(states, each.count)
            if each.oldest_at is not None:
                waited = max(0.0, (found.at - each.oldest_at).total_seconds())
                (age if each.place == "queue" else inbox_age).add_metric(states, waited)
    return depth, age, inbox, inbox_age


def _troubles(tenants: Sequence[TenantGauges]) -> Iterable[Metric]:
    parked = GaugeMetricFamily("syncline_parked", "Records set aside.", labels=_OBJECT)
    conflicts = GaugeMetricFamily(
        "syncline_open_conflicts", "Conflicts that wait for a person.", labels=_OBJECT
    )
    paused = GaugeMetricFamily(
        "syncline_connection_paused", "1 for a connection that is paused.", labels=["tenant", "connection"]
    )
    for tenant in tenants:
        for each in tenant.troubles:
            family = parked if each.what == "parked" else conflicts
            family.add_metric([tenant.slug, each.connection, each.object], each.count)
        for account in tenant.accounts:
            paused.add_metric([tenant.slug, account.connection], float(account.status == "paused"))
    return parked, conflicts, paused


def _quota(tenants: Sequence[TenantGauges]) -> Iterable[Metric]:
    labels = ["tenant", "connection", "bucket"]
    used = GaugeMetricFamily(
        "syncline_quota_used_calls", "Calls in the present window, ours and others'.", labels=labels
    )
    limit = GaugeMetricFamily("syncline_quota_limit_calls", "Calls that a window allows.", labels=labels)
    day_used = GaugeMetricFamily(
        "syncline_quota_day_used_calls", "Calls of the account's day.", labels=labels
    )
    day_limit = GaugeMetricFamily("syncline_quota_day_limit_calls", "Calls that a day allows.", labels=labels)
    for tenant in tenants:
        for account, each in tenant.quota:
            names = [tenant.slug, account.connection, each.bucket]
            used.add_metric(names, each.used + each.others)
            day_used.add_metric(names, each.day_used)
            if each.limit is not None:
                limit.add_metric(names, each.limit)
            if each.day_limit is not None:
                day_limit.add_metric(names, each.day_limit)
    return used, limit, day_used, day_limit
