"""Changes of records, shown: so many rows, and for all of them how often each field changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, cast

from rich.console import Console

from syncline.actions.differences import Difference
from syncline.cli.output import add_row, make_table, show_value
from syncline.engine.rehearse import Write
from syncline.store.effects import Change


def show_changes(console: Console, changes: Sequence[Change | Write], limit: int) -> None:
    """Show a summary of changes, and up to `limit` of them field by field."""
    if not changes:
        console.print("  nothing")
        return
    counts = Counter((each.record_type, each.action) for each in changes)
    fields = Counter((each.record_type, name) for each in changes for name in each.changes)
    for (kind, action), count in sorted(counts.items()):
        console.print(f"  {count:,} {kind} {action}", markup=False)
    summary = ", ".join(f"{kind}.{name} {count:,}" for (kind, name), count in fields.most_common())
    console.print(f"  fields: {summary}", markup=False)
    if limit:
        _show_rows(console, changes, limit)


def _show_rows(console: Console, changes: Sequence[Change | Write], limit: int) -> None:
    table = make_table("record", "id", "", "field", "old", "new")
    rows = list(_rows(changes))
    for row in rows[:limit]:
        add_row(table, row)
    console.print(table)
    if len(rows) > limit:
        console.print(f"  … and {len(rows) - limit:,} more: --limit shows more, --json all.", markup=False)


def _rows(changes: Iterable[Change | Write]) -> Iterable[tuple[str, ...]]:
    for each in changes:
        there = each.remote_id if isinstance(each, Write) else None
        name = str(each.record_id) if there is None else there
        for field, values in each.changes.items():
            old, new = _halves(values)
            yield each.record_type, name, each.action, field, show_value(old, 30), show_value(new, 30)


def _halves(values: Any) -> tuple[Any, Any]:
    if isinstance(values, list) and len(cast("list[Any]", values)) == 2:
        old, new = cast("list[Any]", values)
        return old, new
    return None, "(too long to be shown)"


def show_differences(console: Console, differences: Sequence[Difference], limit: int) -> None:
    """Show where what was planned and what was done are not the same."""
    table = make_table("where", "record", "id", "field", "planned", "done")
    for each in differences[:limit]:
        planned, done = (_show_planned(value) for value in (each.planned, each.done))
        add_row(table, (each.side, each.record_type, each.record_id, each.field, planned, done))
    console.print(table)
    if len(differences) > limit:
        console.print(f"  … and {len(differences) - limit:,} more: --json has them all.", markup=False)


def _show_planned(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        old, new = _halves(cast("list[Any]", value))
        return f"{show_value(old, 25)} → {show_value(new, 25)}"
    return show_value(value)
