"""What can be wrong between us and the CRMs: key, token, permissions, host, clock, quota."""

from __future__ import annotations

import asyncio

from syncline.actions.check import Checked, check_connection
from syncline.actions.checks.findings import Finding, Thresholds, fail, ok, warn
from syncline.actions.hub import Hub
from syncline.actions.secret_key import find_keys
from syncline.actions.status import NO_LIMIT
from syncline.connectors.registry import get_platform
from syncline.domain.sealing import Vault
from syncline.engine.quota import usage
from syncline.engine.remotes import open_credentials
from syncline.errors import RateLimited, ScopeMissing, SynclineError, TokenRejected, Unavailable
from syncline.store.connections import Connection
from syncline.store.quota import Usage

PAUSED = "connection-paused"
SECRET = "credentials-open"  # noqa: S105 - the id of a check
HOST = "crm-reachable"
TOKEN = "crm-token"  # noqa: S105 - the id of a check
SCOPE = "crm-permissions"
CLOCK = "crm-clock"
QUOTA = "crm-quota"


async def check_crms(hub: Hub, thresholds: Thresholds, *, ask: bool) -> list[Finding]:
    """Look at every connection of the tenant; with `ask` each CRM is called, a few times per object."""
    found = await hub.list_connections()
    findings = [_paused(each) for each in found if each.status == "paused"]
    readable, unreadable = _sort_by_key(hub, found)
    findings += unreadable
    for each in found:
        quota = await usage(hub.db, each.platform, each.account_id or "")
        findings += [finding for one in quota if (finding := _judge_quota(each, one, thresholds)) is not None]
    if ask:
        active = [each for each in readable if each.status == "active"]
        async with hub.remotes() as remotes:
            checked = await asyncio.gather(*(check_connection(hub, remotes, each) for each in active))
        for each in checked:
            findings += _judge(each, thresholds)
    return findings


def _sort_by_key(hub: Hub, found: list[Connection]) -> tuple[list[Connection], list[Finding]]:
    """Return the connections whose credentials our key opens, and what is wrong with the others."""
    if not found:
        return [], []
    keys = find_keys(hub.settings)
    if not keys:
        message = "Credentials are stored, and the secret key that opens them is missing."
        return [], [fail(SECRET, message, f"export SYNCLINE_SECRET_KEY=KEY, or: {reconnect(found[0])}")]
    vault = Vault(keys)
    readable: list[Connection] = []
    findings: list[Finding] = []
    for each in found:
        try:
            open_credentials(vault, each.credentials)
        except SynclineError:
            findings.append(
                fail(
                    SECRET,
                    f"The secret key does not open the credentials of {each.name}: they were stored with "
                    "another.",
                    f"export SYNCLINE_SECRET_KEY=NEW,OLD, or: {reconnect(each)}",
                )
            )
        else:
            readable.append(each)
    return readable, findings or [ok(SECRET, "The secret key opens all stored credentials.")]


def reconnect(connection: Connection) -> str:
    """Return what to type to give a connection a new token."""
    variable = get_platform(connection.platform).capabilities.token_variable
    return f"{variable}=TOKEN syncline connect {connection.platform} --name {connection.name}"


def _paused(connection: Connection) -> Finding:
    return fail(PAUSED, f"{connection.name} is paused: {connection.paused_reason}", reconnect(connection))


def _judge(checked: Checked, thresholds: Thresholds) -> list[Finding]:
    if checked.problem is not None:
        return [_judge_problem(checked.connection, checked.problem)]
    name = checked.connection.name
    findings = [ok(HOST, f"{name} answers."), ok(TOKEN, f"The token of {name} is accepted.")]
    barred = [each for each in checked.objects if isinstance(each.problem, ScopeMissing)]
    findings += [fail(SCOPE, f"{each.problem}", reconnect(checked.connection)) for each in barred]
    missing = [each for each in checked.objects if each.problem is not None and each not in barred]
    findings += [
        fail(SCOPE, f"{each.object} of {name} cannot be read: {each.problem}", f"syncline check {name}")
        for each in missing
    ]
    if not barred and not missing:
        findings.append(ok(SCOPE, f"The token of {name} may read all its objects."))
    account = checked.account
    if account is not None and abs(account.clock_skew_seconds) > thresholds.crm_skew_seconds:
        findings.append(
            warn(
                CLOCK,
                f"This machine's clock and that of {name} differ by {account.clock_skew_seconds:+.0f} s.",
                "sudo timedatectl set-ntp true",
            )
        )
    else:
        findings.append(ok(CLOCK, f"This machine's clock agrees with that of {name}."))
    return findings


def _judge_problem(connection: Connection, problem: SynclineError) -> Finding:
    if isinstance(problem, TokenRejected):
        return fail(TOKEN, f"{connection.name}: {problem}", reconnect(connection))
    if isinstance(problem, RateLimited):
        return warn(QUOTA, f"{connection.name}: {problem}", "syncline status")
    if isinstance(problem, Unavailable):
        return fail(HOST, f"{connection.name} cannot be reached: {problem}", f"curl -I {connection.base_url}")
    return fail(TOKEN, f"{connection.name}: {problem}", reconnect(connection))


def _judge_quota(connection: Connection, used: Usage, thresholds: Thresholds) -> Finding | None:
    if used.bucket != used.budget or not used.day_limit or used.day_limit >= NO_LIMIT:
        return None
    share = used.day_used / used.day_limit
    message = (
        f"{used.day_used} of {used.day_limit} calls of the day to {connection.name} are used ({share:.0%})."
    )
    if share >= thresholds.quota_share:
        return warn(
            QUOTA, message, "syncline status (which programs use the account; when the day begins anew)"
        )
    return ok(QUOTA, message)
