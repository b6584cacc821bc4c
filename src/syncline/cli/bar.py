"""One bar for each thing that is being gone through: on a terminal; elsewhere nothing. On standard error."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from syncline.actions.plan import Watch, unwatched
from syncline.cli.output import open_console


@contextmanager
def show_bars(*, quiet: bool = False) -> Generator[Watch]:
    """Show how far things are for the length of the block, unless `quiet`."""
    console = open_console(errors=True)
    if quiet or not console.is_terminal:
        yield unwatched
        return
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:

        def watch(what: str, done: int, total: int | None) -> None:
            for name, task in tasks.items():
                if name != what:
                    bars.stop_task(task)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield watch
