"""What can be wrong with the work: workers silent or missing, runs that wait or fail, records left behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from syncline.actions.checks.findings import Finding, Thresholds, fail, ok, warn
from syncline.actions.status import SILENT_SECONDS, is_alive
from syncline.engine.readings import READINGS
from syncline.store import connections, health, jobs, parked, runs, schedules, workers
from syncline.store.connections import Connection
from syncline.store.db import Conn, Database
from syncline.store.schedules import Schedule
from syncline.store.tenants import Tenant

STALLED = "worker-alive"
SERVED = "schedules-served"
WAITING = "runs-waiting"
QUEUE = "queue-depth"
FAILED = "last-runs"
PARKED = "parked-records"
SCHEDULE = "schedules-valid"


async def check_workers(db: Database) -> tuple[list[Finding], int]:
    """Look for workers that have fallen silent; return how many live, too."""
    async with db.statement() as conn:
        at = await health.read_clock(conn)
        found = await workers.list_workers(conn)
        depth = await jobs.measure(conn)
    silent = [each for each in found if not is_alive(each, at)]
    living = len(found) - len(silent)
    # A killed worker is remembered for a day; where others live, its work goes on.
    judge = warn if living else fail
    findings = [
        judge(
            STALLED,
            f"The worker on {each.host} (pid {each.pid}) has given no sign of life for "
            f"{(at - each.seen_at).total_seconds():.0f} s; a living one does every 5.",
            f"kill {each.pid}; syncline worker (on {each.host})",
        )
        for each in silent
    ] or [ok(STALLED, f"{living} worker(s), none silent for more than {SILENT_SECONDS:.0f} s.")]
    oldest = depth.oldest_seconds or 0.0
    return [
        *findings,
        ok("jobs", f"{depth.queued} jobs queued, {depth.running} running, oldest {oldest:.0f} s."),
    ], living


async def check_work(
    db: Database, tenant: Tenant, thresholds: Thresholds, *, living_workers: int
) -> list[Finding]:
    """Look at one tenant's schedules, runs and parked records."""
    async with db.statement() as conn:
        at = await health.read_clock(conn)
    async with db.transaction(tenant_id=tenant.tenant_id) as conn:
        found = {each.id: each for each in await connections.list_all(conn, tenant_id=tenant.tenant_id)}
        planned = await schedules.list_schedules(conn, tenant_id=tenant.tenant_id)
        return [
            *_judge_schedules(planned, found, at, thresholds, living_workers),
            *await _check_waiting(conn, tenant, found, at, thresholds),
            *await _check_failed(conn, tenant, found),
            *await _check_parked(conn, tenant, found),
        ]


def _judge_schedules(
    planned: Sequence[Schedule],
    found: dict[UUID, Connection],
    at: datetime,
    thresholds: Thresholds,
    living_workers: int,
) -> list[Finding]:
    active = {each.id for each in found.values() if each.status == "active"}
    limit = at - timedelta(seconds=thresholds.overdue_seconds)
    overdue = [s for s in planned if s.enabled and s.connection_id in active and s.next_at < limit]
    broken = [s for s in planned if s.problem is not None]
    findings = [
        warn(
            SCHEDULE,
            f"The schedule of {s.object} of {found[s.connection_id].name} was switched off: {s.problem}",
            f"syncline sync {found[s.connection_id].name} --object {s.object}",
        )
        for s in broken
        if s.connection_id in found
    ]
    if overdue and not living_workers:
        findings.append(
            fail(SERVED, f"{len(overdue)} schedules are due and no worker serves them.", "syncline worker")
        )
    elif overdue:
        findings.append(
            warn(
                SERVED,
                f"{len(overdue)} schedules are overdue although {living_workers} worker(s) live.",
                "syncline worker (one more, here or on another machine)",
            )
        )
    else:
        findings.append(ok(SERVED, "No schedule is overdue."))
    return findings


async def _check_waiting(
    conn: Conn, tenant: Tenant, found: dict[UUID, Connection], at: datetime, thresholds: Thresholds
) -> list[Finding]:
    before = at - timedelta(seconds=thresholds.waiting_seconds)
    waiting = await health.list_pending(conn, tenant_id=tenant.tenant_id, before=before)
    unpushed = await health.count_unpushed(conn, tenant_id=tenant.tenant_id)
    findings: list[Finding] = []
    if waiting:
        oldest = waiting[0]
        name = found[oldest.connection_id].name if oldest.connection_id in found else "?"
        findings.append(
            fail(
                WAITING,
                f"{len(waiting)} runs that were asked for have waited for more than "
                f"{thresholds.waiting_seconds / 60:.0f} minutes, the first for {oldest.object} of {name}.",
                "syncline worker",
            )
        )
    else:
        findings.append(ok(WAITING, "No run that was asked for waits."))
    if unpushed > thresholds.unpushed_records:
        findings.append(
            warn(QUEUE, f"{unpushed} changed records wait to be written to CRMs.", "syncline worker")
        )
    else:
        findings.append(ok(QUEUE, f"{unpushed} changed records wait to be written to CRMs."))
    return findings


async def _check_failed(conn: Conn, tenant: Tenant, found: dict[UUID, Connection]) -> list[Finding]:
    latest = await runs.list_latest(conn, tenant_id=tenant.tenant_id)
    findings: list[Finding] = []
    for run in latest:
        if run.status not in ("failed", "stopped") or run.connection_id not in found:
            continue
        name = found[run.connection_id].name
        reason = str((run.error_details or {}).get("error", "")) or "it gave no reason"
        findings.append(
            fail(
                FAILED,
                f"The last run of {run.object} of {name} failed: {reason}",
                f"syncline sync {name} --object {run.object}",
            )
        )
    return findings or [ok(FAILED, "The last run of every object succeeded.")]


async def _check_parked(conn: Conn, tenant: Tenant, found: dict[UUID, Connection]) -> list[Finding]:
    counts = await parked.list_counts(conn, tenant_id=tenant.tenant_id)
    findings = [
        warn(
            PARKED,
            f"{each.count} {each.object} of {found[each.connection_id].name} could not be read whole.",
            f"syncline parked {found[each.connection_id].name} --object {each.object}",
        )
        for each in counts
        if each.count and each.connection_id in found and each.object not in READINGS
    ]
    return findings or [ok(PARKED, "No record is parked.")]
