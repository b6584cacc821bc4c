"""`syncline status`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from syncline.actions.hub import DEFAULT_TENANT, Hub, open_hub
from syncline.actions.status import (
    NO_LIMIT,
    ConnectionStatus,
    ObjectStatus,
    Status,
    WritingStatus,
    read_status,
)
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import (
    add_row,
    make_table,
    open_console,
    print_json,
    show_ago,
    show_number,
)
from syncline.cli.running import run
from syncline.config import Settings
from syncline.store.quota import Usage

_WATCH_SECONDS = 2.0
_STYLES = {
    "fresh": "green",
    "running": "cyan",
    "partial": "yellow",
    "late": "yellow",
    "never": "yellow",
    "off": "dim",
    "failed": "bold red",
    "paused": "bold red",
}


def command(
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")
    ] = False,
    source: Annotated[
        bool, typer.Option("--source", help="Ask each CRM for its counts, too: a call per object.")
    ] = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show how current everything is: per object the last success, counts, next run and what is wrong."""

    async def look(settings: Settings) -> None:
        async with open_hub(settings, tenant=tenant) as hub:
            if watch:
                await _watch(hub, ask_source=source)
                return
            status = await read_status(hub, ask_source=source)
        if as_json:
            print_json(describe(status))
        else:
            open_console().print(render(status))

    run(look)


async def _watch(hub: Hub, *, ask_source: bool) -> None:
    console = open_console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(render(await read_status(hub, ask_source=ask_source)), refresh=True)
            await asyncio.sleep(_WATCH_SECONDS)


def render(status: Status) -> RenderableType:
    """Return the status as text and tables."""
    if not status.connections:
        return Text("There is no connection yet. Make one: syncline connect.")
    parts: list[RenderableType] = []
    for each in status.connections:
        parts += _render_connection(each, status)
    living = status.living_workers
    silent = len(status.workers) - living
    line = Text(f"workers: {living} alive" + (f", {silent} silent" if silent else ""))
    if not living:
        line = Text("workers: none. Schedules are not kept: syncline worker, or syncline serve.", "yellow")
    parts += [line, Text(f"jobs: {status.queue.queued} queued, {status.queue.running} running")]
    return Group(*parts)


def _render_connection(each: ConnectionStatus, status: Status) -> list[RenderableType]:
    connection = each.connection
    where = connection.account_name or connection.account_id or connection.base_url
    parts: list[RenderableType] = [Text(f"{connection.name}: {connection.platform}, {where}", "bold")]
    if connection.status == "paused":
        parts.append(Text(f"paused: {connection.paused_reason}", "bold red"))
    asked = any(one.count_there is not None for one in each.objects)
    columns = [
        "object",
        "state",
        "last success",
        "took",
        "here",
        *(["there"] if asked else []),
        "parked",
        "next",
    ]
    table = make_table(*columns, right=("here", "there", "parked", "took"))
    for one in each.objects:
        took = "" if one.run is None or one.run.duration_ms is None else f"{one.run.duration_ms / 1000:.1f} s"
        cells: list[Any] = [
            one.object,
            Text(one.state, _STYLES[one.state]),
            show_ago(one.last_success_at, status.at),
            took,
            show_number(one.count_here),
        ]
        cells += [_there(one)] if asked else []
        cells += [one.parked or "", _next(one, status)]
        add_row(table, cells)
    parts.append(table)
    parts += [Text(f"{one.object}: {one.problem}", "red") for one in each.objects if one.problem]
    for used in each.quota:
        if used.bucket == used.budget:
            parts.append(Text(f"quota {used.bucket}: {show_quota(used, status.at)}"))
    parts.append(_writing(each.writing, status.at))
    return parts


def _writing(found: WritingStatus, at: datetime) -> Text:
    """Say in a line what goes to the CRM, and what waits for a person."""
    if not found.objects:
        return Text("writing: not allowed, it is only read")
    line = Text(f"writing: {', '.join(found.objects)}; {found.pending:,} waiting")
    if found.oldest_at is not None:
        line.append(f" since {show_ago(found.oldest_at, at)}")
    if found.stopped is not None:
        line.append(f"; {found.stopped}", "yellow")
    for count, word, command in (
        (found.held, "held", "queue list"),
        (found.parked, "refused", "queue list"),
        (found.open_conflicts, "in conflict", "conflicts list"),
    ):
        if count:
            line.append(f"; {count:,} {word} (syncline {command})", "red")
    return line


def show_quota(used: Usage, at: datetime) -> str:
    """Say how much of the burst and of the day is used, and how long the day's budget lasts at this pace."""
    window = f"{used.used} of {used.limit} per {used.window_ms / 1000:g} s"
    burst = window if used.limit and used.limit < NO_LIMIT else f"{used.used} in use, no limit"
    limited = used.day_limit is not None and used.day_limit < NO_LIMIT
    today = f"{burst}; today {used.day_used:,}"
    if not limited:
        return today
    today += f" of {used.day_limit:,}"
    enough_until = used.day_enough_until
    if enough_until is None:
        return f"{today}, at this pace {used.day_forecast:,} by {used.day_ends_at.astimezone(UTC):%H:%M} UTC"
    if enough_until <= at:
        return f"{today}, used up but for what is kept for other tools"
    return f"{today}, at this pace enough until {enough_until.astimezone(UTC):%H:%M} UTC"


def _next(one: ObjectStatus, status: Status) -> str:
    if one.next_at is None:
        return ""
    return "due" if one.next_at <= status.at else show_ago(one.next_at, status.at)


def _there(one: ObjectStatus) -> Text:
    if one.count_there is None:
        return Text("-")
    return Text(f"{one.count_there:,}", "" if one.count_there == one.count_here else "bold red")


def describe(status: Status) -> dict[str, Any]:
    """Return the status for programs; times are ISO 8601, UTC."""
    return {
        "at": status.at,
        "tenant": status.tenant,
        "connections": [
            {
                "name": each.connection.name,
                "platform": each.connection.platform,
                "account_id": each.connection.account_id,
                "status": each.connection.status,
                "paused_reason": each.connection.paused_reason,
                "objects": [_describe_object(one) for one in each.objects],
                "quota": each.quota,
            }
            for each in status.connections
        ],
        "workers": [
            {
                "host": each.worker.host,
                "pid": each.worker.pid,
                "version": each.worker.version,
                "is_alive": each.is_alive,
                "seen_at": each.worker.seen_at,
            }
            for each in status.workers
        ],
        "jobs": status.queue,
    }


def _describe_object(one: ObjectStatus) -> dict[str, Any]:
    run_ = one.run
    return {
        "object": one.object,
        "state": one.state,
        "last_success_at": one.last_success_at,
        "count_here": one.count_here,
        "count_there": one.count_there,
        "parked": one.parked,
        "next_at": one.next_at,
        "problem": one.problem,
        "last_run": None
        if run_ is None
        else {
            "status": run_.status,
            "mode": run_.mode,
            "requested_by": run_.requested_by,
            "started_at": run_.started_at,
            "completed_at": run_.completed_at,
            "duration_ms": run_.duration_ms,
            "records_read": run_.records_read,
            "records_created": run_.records_created,
            "records_updated": run_.records_updated,
            "records_archived": run_.records_archived,
            "records_failed": run_.records_failed,
            "api_calls": run_.api_calls,
        },
    }
