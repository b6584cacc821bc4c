"""`syncline undo`: what a run did is taken back, after it was shown."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.console import Console

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.paging import read_id
from syncline.actions.undo import UndoResult, plan_undo, undo
from syncline.cli.bar import show_bars
from syncline.cli.exit_codes import PARKED
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_value
from syncline.cli.person import whoever
from syncline.cli.plan import Limit
from syncline.cli.running import run
from syncline.config import Settings
from syncline.engine.putting_back import Taken
from syncline.errors import Invalid

_WHY = {
    "edited": "changed since by somebody, and left alone",
    "lost": "cannot come back",
    "forbidden": "not allowed to be written",
    "unknown": "not known",
}


def command(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `syncline runs` lists it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    past_brake: Annotated[
        bool, typer.Option("--past-brake", help="Let what is sent go beyond the brakes.")
    ] = False,
    limit: Limit = 20,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Take back what a run did, here and in the CRM: values as they were, what it made archived, what it
    archived made again. What somebody has edited since is left alone. It is shown first, and asked about; it
    is a run itself, and can be taken back. Cut off, it goes on when it is begun again.
    """
    wanted = read_id(run_id, "run")
    if as_json and not (yes or dry_run):
        raise Invalid("With --json nobody can be asked. Add --dry-run to look, or --yes to do it.")

    async def look(settings: Settings) -> UndoResult:
        async with open_hub(settings, tenant=tenant, application_name="syncline undo") as hub:
            with show_bars(quiet=as_json) as watch:
                return await plan_undo(hub, wanted, watch=watch)

    async def take_back(settings: Settings) -> UndoResult:
        async with open_hub(settings, tenant=tenant, application_name="syncline undo") as hub:
            with show_bars(quiet=as_json) as watch:
                return await undo(hub, wanted, by=whoever().name, past_brake=past_brake, watch=watch)

    if dry_run or not yes:
        planned = run(look)
        if dry_run and as_json:
            print_json(planned)
        else:
            _show(planned, limit, would=True)
        if dry_run:
            return
        if not planned.undone.taken and not past_brake:
            return
        typer.confirm("Take this back?", abort=True)
    done = run(take_back)
    if as_json:
        print_json(done)
    else:
        _show(done, limit, would=False)
    if done.undone.left or done.held or done.sent.parked:
        raise typer.Exit(PARKED)


def _show(result: UndoResult, limit: int, *, would: bool) -> None:
    console, undone, run_ = open_console(), result.undone, result.run
    console.print(
        f"{run_.mode} of {run_.object}, {result.connection}, {run_.requested_at:%Y-%m-%d %H:%M} UTC",
        markup=False,
        style="bold",
    )
    if not undone.taken:
        console.print("There is nothing to take back." if would else "There was nothing to take back.")
    for side, place in (("here", "here"), ("there", f"at {result.connection}")):
        _show_side(console, [each for each in undone.taken if each.side == side], place, limit)
    if would and undone.ties:
        console.print(f"  {undone.ties:,} associations of what is made again are put back", markup=False)
    if undone.tied:
        console.print(f"  {undone.tied:,} associations are back", markup=False)
    if any(each.action == "created" and each.side == "there" for each in undone.taken):
        console.print("  What is made again at the CRM has a new id there, and begins a new history.")
    _show_left(console, result, limit)
    if result.stop is not None and any(each.side == "there" for each in undone.taken):
        console.print(f"What is to be sent waits. {result.stop}", markup=False, style="yellow")
    for held in result.held:
        console.print(f"held: {held.reason}", markup=False, style="yellow")
    if not would and undone.run_id is not None:
        console.print(f"`syncline undo {undone.run_id}` takes this back again.", markup=False)


def _show_side(console: Console, taken: list[Taken], place: str, limit: int) -> None:
    counts = Counter((each.record_type, each.action) for each in taken)
    for (kind, action), count in sorted(counts.items()):
        console.print(f"  {place}: {count:,} {kind} {action}", markup=False)
    rows: list[tuple[object, ...]] = []
    for each in taken:
        name = each.remote_id or each.record_id
        for field, (stands, back) in each.changes.items():
            values = show_value(stands, 30), show_value(back, 30)
            rows.append((each.record_type, name, each.action, field, *values))
    if not rows or not limit:
        return
    table = make_table("record", "id", "", "field", "stands", "is put back")
    for row in rows[:limit]:
        add_row(table, row)
    console.print(table)
    if len(rows) > limit:
        console.print(f"  … and {len(rows) - limit:,} more: --limit shows more, --json all.", markup=False)


def _show_left(console: Console, result: UndoResult, limit: int) -> None:
    left = result.undone.left
    if not left:
        return
    for why, count in sorted(Counter(each.what.why for each in left).items()):
        console.print(f"  {count:,} {_WHY[why]}", markup=False, style="yellow")
    table = make_table("record", "id", "field", "stands", "why")
    for each in left[:limit]:
        row = (each.record_type, each.record_id, each.what.field, show_value(each.what.value, 30))
        add_row(table, (*row, each.what.reason))
    console.print(table)
    if len(left) > limit:
        console.print(f"  … and {len(left) - limit:,} more: --limit shows more, --json all.", markup=False)
