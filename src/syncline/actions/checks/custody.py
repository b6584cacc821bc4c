"""What can be wrong with keeping data: keys, erasures that wait, and what is to be thrown away."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.actions.checks.findings import Finding, fail, ok, warn
from syncline.actions.rotation import inspect_sealing
from syncline.actions.secret_key import find_keys
from syncline.config import Settings
from syncline.domain.sealing import Vault
from syncline.errors import SettingInvalid
from syncline.store import receipts, retention
from syncline.store.db import Database
from syncline.store.location import Location
from syncline.store.tenants import Tenant

SEALING = "secrets-sealed"
ERASURES = "erasures"
RETENTION = "retention"


async def check_custody(
    settings: Settings, location: Location, db: Database, known: Sequence[Tenant]
) -> list[Finding]:
    """Look at what is kept, for all tenants."""
    findings = [await _check_sealing(settings, db)]
    for tenant in known:
        findings += await _check_erasures(db, tenant)
    findings.append(await _check_retention(settings, location, db, known))
    return findings


async def _check_sealing(settings: Settings, db: Database) -> Finding:
    try:
        keys = find_keys(settings)
        standing = await inspect_sealing(db, Vault(keys)) if keys else None
    except SettingInvalid as error:
        return fail(SEALING, str(error), "syncline secret status")
    if standing is None:
        return ok(SEALING, "No secret is stored yet.")
    lost, old = sum(standing.lost.values()), sum(standing.old.values())
    if lost:
        return fail(
            SEALING,
            f"{lost} secrets are sealed with a key that is not given: {', '.join(sorted(standing.lost))}.",
            "export SYNCLINE_SECRET_KEY=NEW,OLD, or connect again",
        )
    if old:
        return warn(
            SEALING, f"{old} stored secrets are still sealed with an old key.", "syncline secret rotate"
        )
    return ok(SEALING, "All stored secrets are sealed with the current key.")


async def _check_erasures(db: Database, tenant: Tenant) -> list[Finding]:
    async with db.transaction(tenant_id=tenant.tenant_id) as conn:
        standing = await receipts.sum_up(conn, tenant_id=tenant.tenant_id)
    found: list[Finding] = []
    if standing.removing and standing.problem:
        found.append(
            warn(
                ERASURES,
                f"{standing.removing} erasures of {tenant.slug} wait here: {standing.problem}",
                "export SYNCLINE_ADMIN_DATABASE_URL=postgresql://syncline_owner:PASSWORD@HOST:5432/DATABASE",
            )
        )
    for count, what, command in (
        (standing.review, "wait for a person's word", f"syncline erase list --tenant {tenant.slug}"),
        (standing.refused, "were refused by the CRM", f"syncline erase list --tenant {tenant.slug}"),
    ):
        if count:
            found.append(warn(ERASURES, f"{count} erasures at CRMs of {tenant.slug} {what}.", command))
    return found


async def _check_retention(
    settings: Settings, location: Location, db: Database, known: Sequence[Tenant]
) -> Finding:
    if location.embedded is None and settings.admin_database_url is None:
        return warn(
            RETENTION,
            "SYNCLINE_ADMIN_DATABASE_URL is not set: if it is not for the worker either, the change log and "
            "the audit grow for ever, and nobody is erased from them.",
            "export SYNCLINE_ADMIN_DATABASE_URL=postgresql://syncline_owner:PASSWORD@HOST:5432/DATABASE",
        )
    for tenant in known:
        async with db.transaction(tenant_id=tenant.tenant_id) as conn:
            latest = await retention.find_latest(conn, tenant_id=tenant.tenant_id)
        if latest is not None and latest.problem:
            return warn(RETENTION, latest.problem, "syncline retention show")
    return ok(RETENTION, "What is older than it is kept is thrown away each night.")
