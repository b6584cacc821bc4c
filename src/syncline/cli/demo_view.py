"""What the demo shows: counts side by side, what to type next, and what arrives while it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from syncline.actions.changes import Recent, read_recent
from syncline.actions.hub import Hub
from syncline.actions.status import Status, read_status
from syncline.cli.demo_home import DemoHome, write_command
from syncline.cli.output import add_row, make_table, show_ago, show_number
from syncline.clock import now
from syncline.store.changes import Change

_LOOK_SECONDS = 1.0
_PLAIN_SECONDS = 5.0


def render_counts(status: Status) -> tuple[RenderableType, bool]:
    """Return the counts at the source beside those in Postgres, and whether all are equal."""
    table = make_table("object", "at the source", "in Postgres", "", right=("at the source", "in Postgres"))
    equal = True
    for each in status.connections:
        for one in each.objects:
            same = one.count_there is None or one.count_there == one.count_here
            equal = equal and same
            if one.count_there is None:
                mark = Text("")
            else:
                mark = Text("equal", "green") if same else Text("DIFFERS", "bold red")
            add_row(table, (one.object, show_number(one.count_there), show_number(one.count_here), mark))
    return table, equal


def print_next_steps(console: Console, demo: DemoHome, *, lives_on: bool) -> None:
    """Say what to type, exactly as it must be typed."""
    where = "In another terminal" if lives_on else "Next"
    console.print(f"{where}:\n")
    question = '-- -c "select lifecycle_stage, count(*) from crm.contacts group by 1 order by 2 desc"'
    for words in ("status", "psql", f"psql {question}", "doctor"):
        console.print(f"    {write_command(demo, words)}", markup=False, soft_wrap=True)
    console.print()


async def show_life(console: Console, hub: Hub, stop: asyncio.Event) -> None:
    """Show what arrives until `stop` is set: a live view on a terminal, lines elsewhere."""
    since = now()
    if not console.is_terminal:
        await _print_life(console, hub, stop, since)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not stop.is_set():
            live.update(_render(await read_status(hub), await read_recent(hub, since)), refresh=True)
            await _pause(stop, _LOOK_SECONDS)


async def _print_life(console: Console, hub: Hub, stop: asyncio.Event, since: datetime) -> None:
    while not stop.is_set():
        recent = await read_recent(hub, since, limit=5)
        for change in reversed(recent.changes):
            console.print(_describe(change), markup=False)
        if recent.changes:
            since = recent.changes[0].changed_at
        await _pause(stop, _PLAIN_SECONDS)


def _render(status: Status, recent: Recent) -> RenderableType:
    parts: list[RenderableType] = [
        Text(f"{recent.count} changes have arrived since. Ctrl-C ends the demo.", "bold"),
        Text(),
    ]
    parts += [Text(_describe(change)) for change in recent.changes] or [Text("Nothing yet.", "dim")]
    table = make_table("object", "in Postgres", "last run", right=("in Postgres",))
    for each in status.connections:
        for one in each.objects:
            add_row(
                table, (one.object, show_number(one.count_here), show_ago(one.last_success_at, status.at))
            )
    return Group(*parts, Text(), table)


def _describe(change: Change) -> str:
    return f"{change.changed_at:%H:%M:%S}  {change.record_type} {change.action}: {_fields(change.fields)}"


def _fields(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
