"""`syncline decisions`: values that were overruled without asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from syncline.actions.decisions import DecisionPage, Undone, list_decisions, undo_decision
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.paging import read_id
from syncline.cli.exit_codes import CALLER
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_value
from syncline.cli.person import whoever
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid

RecordArgument = Annotated[
    str | None, typer.Argument(metavar="RECORD", help="Of this record of ours only, by its id.")
]
UndoOption = Annotated[
    str | None, typer.Option("--undo", metavar="ID", help="Put the losing value of this decision back.")
]
ConnectionOption = Annotated[
    str | None, typer.Option("--connection", metavar="C", help="With this connection only.")
]
FieldOption = Annotated[str | None, typer.Option("--field", metavar="F", help="Of this field only.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")]
AfterOption = Annotated[str | None, typer.Option("--after", help="Go on where a page before ended.")]


def command(
    record: RecordArgument = None,
    undo: UndoOption = None,
    connection: ConnectionOption = None,
    field: FieldOption = None,
    limit: LimitOption = 100,
    after: AfterOption = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List values that lost when both sides had changed a field, the latest first, with what won and why.

    With --undo one of them is put back as your edit, unless somebody has changed the field since.
    """
    if undo is not None:
        if record is not None or connection is not None or field is not None:
            raise Invalid("--undo names one decision by itself, without a record or filter.")
        _undo(undo, as_json=as_json, tenant=tenant)
        return

    async def look(settings: Settings) -> DecisionPage:
        record_id = None if record is None else read_id(record, "record")
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_decisions(
                hub, record_id=record_id, connection=connection, field=field, limit=limit, after=after
            )

    page = run(look)
    if as_json:
        print_json(page)
    else:
        _show_page(page)


def _show_page(page: DecisionPage) -> None:
    console, at = open_console(), now()
    if not page.decisions:
        console.print("No value was overruled.")
        return
    table = make_table("id", "record", "field", "lost", "stands", "winner", "when", "why")
    for each in page.decisions:
        lost = "nothing: both are in" if each.winner == "both" else show_value(each.losing, 30)
        who = each.connection if each.winner == "theirs" else each.winner
        name = f"{each.record_type} {each.label or each.record_id}"
        when, why = show_ago(each.decided_at, at), f"{each.rule}: {each.reason}"
        add_row(table, (each.id, name, each.field, lost, show_value(each.value, 30), who, when, why))
    console.print(table)
    if page.after is not None:
        console.print(f"There are more: --after {page.after}", markup=False)


def _undo(decision: str, *, as_json: bool, tenant: str) -> None:
    async def act(settings: Settings) -> list[Undone]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await undo_decision(hub, read_id(decision, "decision"), by=whoever())

    outcomes = run(act)
    if as_json:
        print_json(outcomes)
    else:
        _show(outcomes)
    if not all(each.done for each in outcomes):
        raise typer.Exit(CALLER)


def _show(outcomes: Sequence[Undone]) -> None:
    table = make_table("field", "stands here now", "")
    for each in outcomes:
        note = each.problem or "put back"
        add_row(table, (each.decision.field, show_value(each.value), note))
    open_console().print(table)
