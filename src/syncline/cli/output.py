"""What is printed, for people and for programs. Answers go to standard output and nothing else does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Wide enough that nothing is cut off where nobody reads it on a screen.
_FILE_WIDTH = 200
#: Numbers as numbers, exactly.
_encode = msgspec.json.Encoder(decimal_format="number").encode


def open_console(*, errors: bool = False) -> Console:
    """Return a console; what is no terminal gets whole lines without colours."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else _FILE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


def print_json(value: Any) -> None:
    """Write one JSON document to standard output, alone."""
    text = msgspec.json.format(_encode(value), indent=2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.buffer.flush()


def make_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return a table without frames; columns named in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def add_row(table: Table, cells: Iterable[Any]) -> None:
    """Add a row; what is no text of rich's own is shown as it is, brackets and all."""
    table.add_row(*(each if isinstance(each, Text) else Text(str(each)) for each in cells))


def show_number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def show_ago(moment: datetime | None, at: datetime) -> str:
    """Say how long ago, or how soon, in the largest unit that fits."""
    if moment is None:
        return "never"
    seconds = (at - moment).total_seconds()
    if seconds < 0:
        return f"in {show_duration(timedelta(seconds=-seconds))}"
    return f"{show_duration(timedelta(seconds=seconds))} ago"


def show_duration(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"


def show_value(value: Any, width: int = 60) -> str:
    """Show a value of a record in one line, shortened; nothing is a dash."""
    if value is None or value == "":
        return "-"
    text = value if isinstance(value, str) else _encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "\u2026"
