"""`syncline alerts`: what is wrong with the syncs, since when, and who was told."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from syncline.actions.alerts import (
    Alert,
    AlertDetails,
    AlertPage,
    AlertState,
    acknowledge,
    get_alert,
    list_alerts,
)
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli import alert_channels, alert_rules
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.domain.alerts import label_of, tell_value
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)
group.add_typer(alert_rules.group, name="rules", help="When somebody is told, and who.")
group.add_typer(alert_channels.group, name="channels", help="Chats and programs that alerts go to.")

Id = Annotated[UUID, typer.Argument(metavar="ID", help="The alert's id, as `syncline alerts list` shows it.")]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """What is wrong with the syncs. The worker looks every 15 seconds and tells whom the rules name."""


@group.command("list")
def list_command(
    state: Annotated[str, typer.Option("--state", metavar="S", help="open, closed or all.")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List alerts, the latest first: those that are open, unless told otherwise."""
    if state not in ("open", "closed", "all"):
        raise Invalid(f"{state!r} is none of open, closed and all.")
    wanted: AlertState | None = None if state == "all" else state

    async def look(settings: Settings) -> AlertPage:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_alerts(hub, operator(hub), state=wanted, limit=limit)

    page = run(look)
    if as_json:
        print_json(page)
        return
    if not page.alerts:
        open_console().print("No alert is open." if state == "open" else "There is none.")
        return
    table = make_table("alert", "about", "severity", "since", "now", "state", "id")
    at = now()
    for each in page.alerts:
        since = show_ago(each.opened_at, at)
        value = tell_value(each.metric, each.latest)
        add_row(table, (each.rule, each.place or "-", each.severity, since, value, _state(each), each.id))
    open_console().print(table)


def _state(alert: Alert) -> str:
    if alert.state == "closed":
        return alert.ended_by or "closed"
    return "open" if alert.acknowledged_by is None else f"open, {alert.acknowledged_by} looks after it"


@group.command("show")
def show_command(alert_id: Id, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show an alert and who was told of it."""

    async def look(settings: Settings) -> AlertDetails:
        async with open_hub(settings, tenant=tenant) as hub:
            return await get_alert(hub, operator(hub), alert_id)

    found = run(look)
    if as_json:
        print_json(found)
        return
    alert, console, at = found.alert, open_console(), now()
    about = f" ({alert.place})" if alert.place else ""
    values = [tell_value(alert.metric, each) for each in (alert.value, alert.worst, alert.latest)]
    console.print(f"{alert.rule}{about}: {alert.condition}, {alert.severity}", markup=False)
    console.print(
        f"{label_of(alert.metric)}: {values[0]} when it opened, {values[1]} at worst, {values[2]} at last."
    )
    ended = "" if alert.closed_at is None else f", ended {show_ago(alert.closed_at, at)} ({alert.ended_by})"
    console.print(f"Opened {show_ago(alert.opened_at, at)}{ended}. {_looked_after(alert)}", markup=False)
    if not found.told:
        console.print("Nobody was told: the rule names nobody.")
        return
    table = make_table("told", "by", "what", "status", "")
    for each in found.told:
        why = each.error_message or ""
        add_row(table, (each.recipient or "-", each.channel, each.template or "", each.status, why))
    console.print(table)


def _looked_after(alert: Alert) -> str:
    return "" if alert.acknowledged_by is None else f"{alert.acknowledged_by} looks after it."


@group.command("acknowledge")
def acknowledge_command(alert_id: Id, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Say that you look after an open alert. It stays open until its rule holds no more."""

    async def act(settings: Settings) -> Alert:
        async with open_hub(settings, tenant=tenant) as hub:
            return await acknowledge(hub, operator(hub), alert_id)

    found = run(act)
    if as_json:
        print_json(found)
    else:
        open_console().print(f"{found.acknowledged_by} looks after {found.rule}.", markup=False)
