"""Looking for everything that can be wrong with an installation, and saying what mends it.

Goes on as far as it can: what cannot be looked at because of one fault is left out, not guessed.
"""

from __future__ import annotations

from contextlib import suppress

from syncline.actions.checks.crms import check_crms
from syncline.actions.checks.custody import check_custody
from syncline.actions.checks.database import (
    REACHABLE,
    check_guards,
    check_schema,
    check_server,
    check_transactions,
)
from syncline.actions.checks.findings import Finding, Thresholds, any_failed, fail, ok
from syncline.actions.checks.machine import HOME, check_machine
from syncline.actions.checks.serving import check_work, check_workers
from syncline.actions.hub import Hub
from syncline.config import Settings
from syncline.errors import HomeUnusable, SettingInvalid, SynclineError
from syncline.store import tenants
from syncline.store.db import Database, connect
from syncline.store.location import Location, locate_database
from syncline.store.urls import describe

_THRESHOLDS = Thresholds()


async def diagnose(
    settings: Settings, *, thresholds: Thresholds = _THRESHOLDS, ask_crms: bool = True
) -> list[Finding]:
    """Look at everything and return what was found, in the order in which it should be mended.

    Changes nothing. With `ask_crms` every connected CRM is called a few times. Never raises for a fault.
    """
    findings = check_machine(settings, thresholds)
    try:
        async with locate_database(settings) as location:
            findings += await _check_database(settings, location, thresholds, ask_crms=ask_crms)
    except HomeUnusable as error:
        findings.append(fail(HOME, str(error), "export SYNCLINE_HOME=FOLDER"))
    except SynclineError as error:
        findings.append(fail(REACHABLE, str(error), _mend_url()))
    return findings


async def _check_database(
    settings: Settings, location: Location, thresholds: Thresholds, *, ask_crms: bool
) -> list[Finding]:
    url = await location.app_url()
    async with await connect(
        url, application_name="syncline doctor", pooler=settings.database_pooler
    ) as conn:
        findings = [ok(REACHABLE, f"Postgres at {describe(url)} answers.")]
        findings += await check_server(conn, thresholds)
        findings.append(await check_schema(conn))
        if any(finding.level == "fail" and finding.id == "schema" for finding in findings):
            return findings
        findings += await check_guards(conn)
    findings += await _check_transactions(location, url, thresholds)
    async with Database.open(
        location.app_url, application_name="syncline doctor", max_size=4, pooler=settings.database_pooler
    ) as db:
        findings += await _check_contents(settings, location, db, thresholds, ask_crms=ask_crms)
    return findings


async def _check_transactions(location: Location, url: str, thresholds: Thresholds) -> list[Finding]:
    """Ask as whoever sees most: the embedded server's own administrator, else the admin's role."""
    if location.embedded is not None:
        url = (await location.embedded.urls()).superuser
    else:
        with suppress(SettingInvalid):  # then only what the application's own role may see
            url = await location.admin_url()
    async with await connect(url, application_name="syncline doctor") as conn:
        return await check_transactions(conn, thresholds)


async def _check_contents(
    settings: Settings, location: Location, db: Database, thresholds: Thresholds, *, ask_crms: bool
) -> list[Finding]:
    findings, living = await check_workers(db)
    async with db.statement() as conn:
        known = await tenants.list_tenants(conn)
    findings += await check_custody(settings, location, db, known)
    for tenant in known:
        findings += await check_work(db, tenant, thresholds, living_workers=living)
        hub = Hub(settings, location, db, tenant)
        findings += await check_crms(hub, thresholds, ask=ask_crms)
    return findings


def _mend_url() -> str:
    return "export SYNCLINE_DATABASE_URL=postgresql://syncline_app:PASSWORD@HOST:5432/DATABASE"


__all__ = ["Finding", "Thresholds", "any_failed", "diagnose"]
