"""`syncline duplicates`: records that may be one, and making them one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from syncline.actions.duplicates import (
    CandidatePage,
    Side,
    dismiss_duplicate,
    list_duplicates,
    restore_duplicate,
)
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.paging import read_id
from syncline.actions.uniting import (
    FollowSetting,
    Merged,
    MergePlan,
    find_survivor,
    merge_duplicates,
    merge_there,
    plan_merge,
    set_following,
    show_following,
)
from syncline.cli.exit_codes import CALLER
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago, show_value
from syncline.cli.person import whoever
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.engine.unite_there import Outcome
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)

One = Annotated[str, typer.Argument(metavar="A", help="One record, by our id of it.")]
Other = Annotated[str, typer.Argument(metavar="B", help="The other.")]
Survivor = Annotated[
    str | None, typer.Option("--survivor", metavar="ID", help="Which stays; the older one unless said.")
]
Choose = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=A|B", help="Whose value is to stand; may be given again."),
]
_NO_WAY_BACK = "A merge cannot be undone, neither here nor at a CRM."


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Records that may be one and the same. None is merged unless somebody says so."""


@group.command("list")
def list_command(
    record_type: Annotated[
        str, typer.Option("--record-type", metavar="T", help="Of this kind of record: contact or company.")
    ] = "contact",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    after: Annotated[str | None, typer.Option("--after", help="Go on where a page before ended.")] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """List pairs of records that may be one, the surest first, and merges that wait for a CRM."""

    async def look(settings: Settings) -> CandidatePage:
        async with open_hub(settings, tenant=tenant) as hub:
            return await list_duplicates(hub, record_type, limit=limit, after=after)

    page = run(look)
    if as_json:
        print_json(page)
        return
    _show_page(page)


def _show_page(page: CandidatePage) -> None:
    console = open_console()
    if page.candidates:
        table = make_table("", "one", "in", "the other", "in", "A", "B", "since they have")
        for each in page.candidates:
            cells = (
                each.strength,
                each.one.label,
                ", ".join(each.one.connections),
                each.other.label,
                ", ".join(each.other.connections),
                each.one.record_id,
                each.other.record_id,
                "; ".join(each.reasons),
            )
            add_row(table, cells)
        console.print(table)
    else:
        console.print("No two records look like one.")
    if page.after is not None:
        console.print(f"There are more: --after {page.after}", markup=False)
    if page.groups:
        table = make_table("many share", "value", "records", right=("records",))
        for group_ in page.groups:
            add_row(table, (group_.reason, show_value(group_.key, 60), f"{group_.count:,}"))
        console.print("\nToo many to be compared two by two:")
        console.print(table)
    if page.open_at_crms:
        _show_open(console, page)


def _show_open(console: Console, page: CandidatePage) -> None:
    table = make_table("record", "connection", "object", "stays", "goes", "state", "since", "")
    at = now()
    for each in page.open_at_crms:
        row = (each.label or each.record_id, each.connection, each.object, each.survivor_id, each.merged_id)
        add_row(table, (*row, each.state, show_ago(each.wanted_at, at), each.reason or ""))
    console.print("\nMerged here, and not at the CRM:")
    console.print(table)


@group.command("show")
def show_command(
    one: One,
    other: Other,
    survivor: Survivor = None,
    choose: Choose = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show two records side by side, and what a merge would make of them."""
    plan = _plan(one, other, survivor, choose, tenant)
    if as_json:
        print_json(plan)
    else:
        _show_plan(plan)


def _plan(one: str, other: str, survivor: str | None, choose: Sequence[str] | None, tenant: str) -> MergePlan:
    ids = read_id(one, "record"), read_id(other, "record")
    stays = None if survivor is None else read_id(survivor, "record")
    choices = _read_choices(choose or (), ids)

    async def look(settings: Settings) -> MergePlan:
        async with open_hub(settings, tenant=tenant) as hub:
            return await plan_merge(hub, *ids, survivor=stays, choices=choices)

    return run(look)


def _read_choices(texts: Sequence[str], ids: tuple[UUID, UUID]) -> dict[str, UUID]:
    choices: dict[str, UUID] = {}
    for each in texts:
        name, _, whose = each.partition("=")
        if whose not in ("A", "B") or not name:
            raise Invalid(f"--set {each} is not FIELD=A or FIELD=B.")
        choices[name] = ids[0] if whose == "A" else ids[1]
    return choices


def _show_plan(plan: MergePlan) -> None:
    console = open_console()
    names = {plan.one.record_id: "A", plan.other.record_id: "B"}
    for side in (plan.one, plan.other):
        _show_side(console, names[side.record_id], side)
    sure = (
        f"{plan.strength}: {'; '.join(plan.reasons)}" if plan.strength else "nothing says that they are one"
    )
    console.print(f"{sure}." + (" Somebody said that they are not." if plan.is_dismissed else ""))
    table = make_table("field", "A", "B", "then")
    for each in plan.fields:
        add_row(
            table, (each.field, *(show_value(value, 40) for value in (each.one, each.other, each.result)))
        )
    if plan.fields:
        console.print(table)
    console.print(
        f"{names[plan.survivor]} stays. B" if plan.survivor == plan.one.record_id else "B stays. A", end=""
    )
    console.print(" goes into it, with all that belongs to it; its own row stays, and says where it went.")
    if plan.lost:
        table = make_table("value that is lost", "", "for")
        for lost in plan.lost:
            add_row(table, (lost.field, show_value(lost.value, 60), show_value(lost.kept, 60)))
        console.print(table)
    for there in plan.there:
        if there.has_both:
            can = there.problem or "can be merged there as well, by --in-crm; the CRM cannot undo it."
            text = f"{there.connection}: has both ({there.survivor_id}, {there.merged_id}): {can}"
        else:
            text = f"{there.connection}: its {there.survivor_id or there.merged_id} is the one that stays."
        console.print(text, markup=False)
    console.print(_NO_WAY_BACK, style="bold")


def _show_side(console: Console, name: str, side: Side) -> None:
    where = ", ".join(side.connections) or "no CRM"
    console.print(f"{name}  {side.record_id}  {side.label}  (in {where})", markup=False)


@group.command("merge")
def merge_command(
    one: One,
    other: Other,
    survivor: Survivor = None,
    choose: Choose = None,
    in_crm: Annotated[
        bool, typer.Option("--in-crm", help="Also at each CRM that has both, where that is allowed.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Make two records one, after showing what follows. It cannot be undone.

    Of two that are one here already, --in-crm lets the CRMs follow.
    """
    if as_json and not yes:
        raise Invalid("--json cannot ask; give --yes as well.")
    ids = read_id(one, "record"), read_id(other, "record")
    known = _find_survivor(ids, tenant) if in_crm else None
    if known is not None:
        outcomes = _merge_there(known[1], tenant, yes=yes)
        if as_json:
            print_json(outcomes)
        else:
            _show_outcomes(open_console(), outcomes)
        _exit_by(outcomes)
        return
    plan = _plan(one, other, survivor, choose, tenant)
    if not as_json:
        _show_plan(plan)
    if not yes:
        typer.confirm("Merge them?", abort=True)

    async def act(settings: Settings) -> Merged:
        async with open_hub(settings, tenant=tenant) as hub:
            return await merge_duplicates(hub, plan, in_crm=in_crm, by=whoever())

    done = run(act)
    if as_json:
        print_json(done)
    else:
        console = open_console()
        console.print(f"Merged. {done.merged} is {done.survivor} from now on.", markup=False)
        _show_outcomes(console, done.there)
    _exit_by(done.there)


def _find_survivor(ids: tuple[UUID, UUID], tenant: str) -> tuple[UUID, UUID] | None:
    async def look(settings: Settings) -> tuple[UUID, UUID] | None:
        async with open_hub(settings, tenant=tenant) as hub:
            return await find_survivor(hub, *ids)

    return run(look)


def _merge_there(merged: UUID, tenant: str, *, yes: bool) -> list[Outcome]:
    if not yes:
        typer.confirm(
            "They are one here. Merge them at the CRMs as well, which cannot be undone?", abort=True
        )

    async def act(settings: Settings) -> list[Outcome]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await merge_there(hub, merged, by=whoever())

    return run(act)


def _show_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    for each in outcomes:
        what = f"{each.request.connection}: "
        if each.state == "done":
            what += f"merged; {each.request.object} {each.remote_id} is both there. Run {each.run_id}."
        elif each.state in ("wanted", "sent"):
            what += f"not yet: {each.reason} A worker tries again."
        else:
            what += f"not merged: {each.reason}"
        console.print(what, markup=False)


def _exit_by(outcomes: Sequence[Outcome]) -> None:
    if any(each.state != "done" for each in outcomes):
        raise typer.Exit(CALLER)


@group.command("dismiss")
def dismiss_command(one: One, other: Other, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Say that two records are not the same; they are not listed any more."""

    async def act(settings: Settings) -> bool:
        async with open_hub(settings, tenant=tenant) as hub:
            return await dismiss_duplicate(
                hub, read_id(one, "record"), read_id(other, "record"), by=whoever()
            )

    changed = run(act)
    if as_json:
        print_json({"dismissed": True, "changed": changed})
        return
    open_console().print("They are not the same." if changed else "That was said already.")


@group.command("restore")
def restore_command(one: One, other: Other, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Take that back; they are listed again where something says that they are one."""

    async def act(settings: Settings) -> bool:
        async with open_hub(settings, tenant=tenant) as hub:
            return await restore_duplicate(hub, read_id(one, "record"), read_id(other, "record"))

    changed = run(act)
    if as_json:
        print_json({"dismissed": False, "changed": changed})
        return
    open_console().print("They may be the same again." if changed else "Nobody had said that they are not.")


@group.command("follow")
def follow_command(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose account.")],
    following: Annotated[
        str | None, typer.Argument(metavar="[here|everywhere|review]", help="What it does from now on.")
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show or set what a connection does when another CRM has merged two records of which it has both.

    here: nothing there. everywhere: merge them there as well, where that is allowed. review: ask.
    """

    async def act(settings: Settings) -> FollowSetting:
        async with open_hub(settings, tenant=tenant) as hub:
            if following is None:
                return await show_following(hub, name)
            return await set_following(hub, name, following)

    found = run(act)
    if as_json:
        print_json(found)
        return
    words = {
        "here": "they are one here, and stay two there",
        "everywhere": "they are merged there as well, where that is allowed",
        "review": "they are one here, and a person is asked whether to merge them there",
    }
    open_console().print(
        f"When another CRM merges two records that {name} has: {words[found.following]}.", markup=False
    )
