"""`syncline writing`: what may be written to a CRM."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.permissions import Wish
from syncline.actions.writing import (
    Allowed,
    AllowPlan,
    Forbidden,
    WritingState,
    allow,
    forbid,
    plan_allow,
    resume_writing,
    show_writing,
    stop_writing,
)
from syncline.cli import brakes
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_ago
from syncline.cli.person import whoever
from syncline.cli.running import run
from syncline.clock import now
from syncline.config import Settings
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose account.")]
MaybeName = Annotated[
    str | None, typer.Argument(metavar="CONNECTION", help="This connection only; all of them if left out.")
]
Object = Annotated[str, typer.Option("--object", metavar="O", help="Of this object: contacts, deals …")]
Fields = Annotated[
    list[str] | None, typer.Option("--field", metavar="F", help="This field of ours; may be given again.")
]
Create = Annotated[bool, typer.Option("--create", help="Records that the CRM does not have.")]
Archive = Annotated[bool, typer.Option("--archive", help="Archiving what is archived or deleted here.")]
Associate = Annotated[bool, typer.Option("--associate", help="Which record belongs to which.")]
Merge = Annotated[
    bool, typer.Option("--merge", help="Merging two records into one, which the CRM cannot take back.")
]
NoSend = Annotated[
    bool, typer.Option("--no-send", help="Send nothing yet: it begins with `syncline writing resume`.")
]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """What may be written to a CRM. Nothing, unless it is allowed here: a new connection only reads."""


@group.command("show")
def show_command(name: Name, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Show what may be written to a connection, who allowed it, and what waits."""

    async def look(settings: Settings) -> WritingState:
        async with open_hub(settings, tenant=tenant) as hub:
            return await show_writing(hub, name)

    found = run(look)
    if as_json:
        print_json(
            {
                "connection": found.connection.name,
                "sending": found.stop is None and bool(found.permissions),
                "stop": found.stop,
                "permissions": found.permissions,
                "waiting": found.waiting,
            }
        )
        return
    console, at = open_console(), now()
    if not found.permissions:
        console.print(f"Nothing may be written to {name}; it is only read.", markup=False)
        return
    table = make_table("object", "may be written", "allowed", "by")
    for each in found.permissions:
        what = (each.field or "all mapped fields") if each.scope == "field" else f"({each.scope})"
        add_row(table, (each.object, what, show_ago(each.allowed_at, at), each.allowed_by))
    console.print(table)
    console.print(found.stop or "What changes here is sent.", markup=False)
    for count in found.waiting:
        console.print(f"{count.count:,} {count.state}, the oldest from {show_ago(count.oldest_at, at)}.")


@group.command("allow")
def allow_command(
    name: Name,
    object_name: Object,
    field: Fields = None,
    create: Create = False,
    archive: Archive = False,
    associate: Associate = False,
    merge: Merge = False,
    no_send: NoSend = False,
    yes: Yes = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Allow fields of an object to be written, or all of them; shows first what follows, and asks.

    Creating, archiving, associating and merging are each allowed by an option of their own. A deal's pipeline
    and stage are switched together, and what follows from them with them.
    """
    wish = Wish(object_name, tuple(field or ()), create, archive, associate, merge, starts=not no_send)

    async def look(settings: Settings) -> AllowPlan:
        async with open_hub(settings, tenant=tenant) as hub:
            return await plan_allow(hub, name, wish)

    async def act(settings: Settings) -> Allowed:
        async with open_hub(settings, tenant=tenant) as hub:
            return await allow(hub, name, wish, by=whoever().name)

    plan = run(look)
    if not as_json:
        _show_plan(plan)
    if plan.problem is not None:
        raise Invalid(plan.problem)
    if not yes:
        if as_json:
            raise Invalid("--json cannot ask; give --yes as well.")
        typer.confirm("Allow this?", abort=True)
    done = run(act)
    if as_json:
        print_json(done)
    else:
        console = open_console()
        console.print(f"Allowed. Records queued by it: {done.queued:,}.")
        if done.plan.stop is not None:
            console.print(f"Nothing is sent yet: {done.plan.stop}", markup=False)


def _show_plan(plan: AllowPlan) -> None:
    console = open_console()
    table = make_table("field", "property", "", "why")
    words = {"new": "will be written", "allowed": "is written already", "refused": "stays out"}
    for each in plan.fields:
        add_row(table, (each.field, each.property or "", words[each.state], each.reason))
    if plan.fields:
        console.print(table)
    scopes = {
        "create": "Records made here will be created at the CRM.",
        "archive": "Records archived or deleted here will be archived at the CRM.",
        "associate": "What belongs to what here will be associated at the CRM.",
        "merge": "Records merged here can be merged at the CRM, which cannot take that back.",
    }
    for scope in plan.scopes:
        console.print(scopes[scope])
    if plan.problem is not None:
        return
    if plan.differing:
        console.print(
            f"Values that {plan.connection} was not last seen to have, in fields that are newly allowed: "
            f"{plan.differing:,} of {plan.object}. They will be sent.",
            markup=False,
        )
    if plan.missing:
        console.print(
            f"Records here that {plan.connection} does not have: {plan.missing:,} of {plan.object}. "
            "They will be made there.",
            markup=False,
        )
    if plan.starts:
        console.print(f"Writing to {plan.connection} begins with this.", markup=False)


@group.command("forbid")
def forbid_command(
    name: Name,
    object_name: Object,
    field: Fields = None,
    create: Create = False,
    archive: Archive = False,
    associate: Associate = False,
    merge: Merge = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Take back what was allowed: single fields, single options, or everything of an object."""
    wish = Wish(object_name, tuple(field or ()), create, archive, associate, merge)

    async def act(settings: Settings) -> Forbidden:
        async with open_hub(settings, tenant=tenant) as hub:
            return await forbid(hub, name, wish)

    done = run(act)
    if as_json:
        print_json(done)
        return
    if not done.removed:
        open_console().print("That was not allowed before.")
        return
    open_console().print(
        f"Forbidden. Records that left the queue: {done.dropped:,}. Their values here stay as they are."
    )


@group.command("stop")
def stop_command(name: MaybeName = None, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Stop all writing now, or that to one connection. What changes meanwhile is kept in the queue."""

    async def act(settings: Settings) -> bool:
        async with open_hub(settings, tenant=tenant) as hub:
            return await stop_writing(hub, name, by=whoever().name)

    changed = run(act)
    if as_json:
        print_json({"stopped": True, "changed": changed})
        return
    what = "All writing" if name is None else f"Writing to {name}"
    again = "syncline writing resume" if name is None else f"syncline writing resume {name}"
    state = "is stopped" if changed else "was stopped already"
    open_console().print(f"{what} {state}. It goes on with: {again}", markup=False)


@group.command("resume")
def resume_command(name: MaybeName = None, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let writing go on after a stop."""

    async def act(settings: Settings) -> bool:
        async with open_hub(settings, tenant=tenant) as hub:
            return await resume_writing(hub, name)

    changed = run(act)
    if as_json:
        print_json({"stopped": False, "changed": changed})
        return
    what = "Writing" if name is None else f"Writing to {name}"
    open_console().print(f"{what} goes on." if changed else f"{what} was not stopped.", markup=False)


group.command("brakes")(brakes.command)
