"""Showing a sync while it happens: bars on a terminal, plain lines elsewhere. Both on standard error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from syncline.actions.hub import Hub
from syncline.actions.status import measure_quota
from syncline.actions.sync import Progress as SyncProgress
from syncline.actions.sync import Synced, Unseen
from syncline.cli.output import open_console, show_duration, show_number
from syncline.engine.write import Target

_QUOTA_SECONDS = 1.0
_PLAIN_SECONDS = 2.0
_NOTHING: Mapping[tuple[str, str], int] = MappingProxyType({})


@dataclass(slots=True)
class Line:
    """One object of one connection on its way."""

    label: str
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    records: int = 0
    calls: int = 0
    expected: int | None = None
    state: str = ""

    @property
    def seconds(self) -> float:
        return max(0.001, (self.ended_at or time.monotonic()) - self.began_at)

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def seconds_left(self) -> float | None:
        if self.ended_at is not None or not self.expected or self.records <= 0 or self.seconds < 0.5:
            return None
        return max(0.0, (self.expected - self.records) / self.rate)


class Tally:
    """All lines of a sync and what they add up to. Shown by one of its subclasses."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Line] = {}
        self.began_at = time.monotonic()
        #: Share of the busiest account's quota in use, 0 to 1; None where there is no limit.
        self.quota: float | None = None
        self._several = False
        #: Records of objects that have not begun, by connection and object, where known.
        self.ahead: dict[tuple[str, str], int] = {}

    def planned(self, connection: str, objects: Sequence[str]) -> None:
        del objects
        self._several = self._several or any(of != connection for of, _ in self.lines)

    def began(self, connection: str, object_name: str) -> None:
        label = f"{connection} {object_name}" if self._several else object_name
        self.lines[connection, object_name] = Line(label)
        self.changed(self.lines[connection, object_name])

    def waits(self, connection: str, object_name: str) -> None:
        line = self.lines[connection, object_name]
        line.state = "another worker is at it"
        self.changed(line)

    def moved(self, connection: str, object_name: str, target: Target) -> None:
        line = self.lines[connection, object_name]
        line.state = ""
        line.records, line.calls = target.counts.read, target.count_calls()
        line.expected = target.expected or line.expected
        self.changed(line)

    def ended(self, item: Synced) -> None:
        line = self.lines.setdefault((item.connection, item.object), Line(item.object))
        line.ended_at = time.monotonic()
        line.state = item.outcome
        if item.run is not None:
            line.records, line.calls = item.run.records_read or line.records, item.run.api_calls
        self.changed(line)

    def changed(self, line: Line) -> None:
        """Show a line that has changed."""

    @property
    def total(self) -> Line:
        """Everything together."""
        lines = list(self.lines.values())
        running = [line for line in lines if line.ended_at is None]
        total = Line("total", self.began_at)
        total.records = sum(line.records for line in lines)
        total.calls = sum(line.calls for line in lines)
        known = [line.expected or line.records for line in lines]
        known += [count for key, count in self.ahead.items() if key not in self.lines]
        total.expected = sum(known) if known else None
        if lines and not running:
            total.ended_at = max(line.ended_at or 0.0 for line in lines)
        return total


class PlainTally(Tally):
    """Prints a line when an object ends, and every few seconds what has been done so far."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._told_at = time.monotonic()

    def changed(self, line: Line) -> None:
        if line.ended_at is not None or line.state:
            self._print(line)
        elif time.monotonic() - self._told_at >= _PLAIN_SECONDS:
            self._told_at = time.monotonic()
            for each in (*(each for each in self.lines.values() if each.ended_at is None), self.total):
                self._print(each)

    def _print(self, line: Line) -> None:
        parts = [f"{show_number(line.records)} records", f"{line.rate:,.0f}/s", f"{line.calls} calls"]
        if self.quota is not None:
            parts.append(f"quota {self.quota:.0%}")
        if line.seconds_left is not None:
            parts.append(f"{_left(line.seconds_left)} left")
        state = f" {line.state}" if line.state else ""
        self._console.print(f"{line.label}:{state} {', '.join(parts)}", markup=False)


class _Field(ProgressColumn):
    """A column that shows a text a task carries."""

    max_refresh = None

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, task: object) -> Text:
        fields: dict[str, str] = getattr(task, "fields", {})
        return Text(fields.get(self._name, ""), justify="right")


class LiveTally(Tally):
    """Keeps a bar per object on the screen, and one for everything."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            *(_Field(name) for name in ("records", "rate", "calls", "quota", "left")),
            console=console,
            refresh_per_second=8,
        )
        self._tasks: dict[str, TaskID] = {}
        self._total = self.bars.add_task("[bold]total", total=None)

    def changed(self, line: Line) -> None:
        if line.label not in self._tasks:
            self._tasks[line.label] = self.bars.add_task(line.label, total=None)
        self._put(self._tasks[line.label], line)
        self._put(self._total, self.total)

    def _put(self, task: TaskID, line: Line) -> None:
        done = line.ended_at is not None
        total = max(1, line.records) if done else line.expected
        left = line.state if done or line.state else _left(line.seconds_left)
        self.bars.update(
            task,
            completed=max(1, line.records) if done else min(line.records, total or line.records),
            total=total,
            records=f"{line.records:,}",
            rate=f"{line.rate:,.0f}/s",
            calls=f"{line.calls} calls",
            quota="" if task != self._total or self.quota is None else f"quota {self.quota:.0%}",
            left=left,
        )


@asynccontextmanager
async def show_progress(
    hub: Hub, *, quiet: bool = False, expected: Mapping[tuple[str, str], int] = _NOTHING
) -> AsyncGenerator[SyncProgress]:
    """Show a sync for the length of the block, unless `quiet`.

    `expected` tells beforehand how many records a connection's object has, so that the time left is known
    from the start.
    """
    if quiet:
        yield Unseen()
        return
    console = open_console(errors=True)
    tally = LiveTally(console) if console.is_terminal else PlainTally(console)
    tally.ahead = dict(expected)
    watching = asyncio.create_task(_watch_quota(hub, tally))
    try:
        if isinstance(tally, LiveTally):
            with tally.bars:
                yield tally
        else:
            yield tally
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _watch_quota(hub: Hub, tally: Tally) -> None:
    while True:
        tally.quota = await measure_quota(hub)
        await asyncio.sleep(_QUOTA_SECONDS)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else show_duration(timedelta(seconds=seconds))
