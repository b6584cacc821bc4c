"""`syncline mapping`: which property of a CRM is which field here."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.actions.mapping import (
    MappingDifference,
    ShownMapping,
    apply_mapping,
    check_mapping_of,
    compare_mapping,
    show_mapping,
)
from syncline.actions.sync import Synced, SyncResult
from syncline.cli.bar import show_bars
from syncline.cli.exit_codes import CALLER, PARKED
from syncline.cli.options import AsJson, Tenant, Yes
from syncline.cli.output import add_row, make_table, open_console, print_json, show_number
from syncline.cli.person import whoever
from syncline.cli.progress import show_progress
from syncline.cli.running import run
from syncline.cli.sync import describe, show_result
from syncline.config import Settings
from syncline.domain.mapping_check import Finding
from syncline.domain.plain_yaml import MAX_BYTES
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose mapping.")]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="A mapping as YAML; - reads it from standard input.")
]


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Which property of a CRM is which field here, in which direction, and who wins a conflict about it."""


@group.command("show")
def show_command(
    name: Name,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="As a file: defaults are in it as comments, to begin with.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show how each field of a connection is mapped, what is the default, and who wins conflicts."""

    async def look(settings: Settings) -> ShownMapping:
        async with open_hub(settings, tenant=tenant) as hub:
            return await show_mapping(hub, name)

    found = run(look)
    if as_json:
        print_json({each: value for each, value in asdict(found).items() if each != "text"})
    elif as_yaml:
        sys.stdout.write(found.text)
    else:
        _show(found)


def _show(found: ShownMapping) -> None:
    console = open_console()
    table = make_table("object", "field", "property", "direction", "converter", "conflicts", "")
    for each in found.fields:
        cells = (each.property or "off", each.direction or "", each.convert or "", each.policy)
        add_row(table, (each.object, each.field, *cells, "" if each.is_default else "own"))
    console.print(table)
    what = "the platform's default" if found.document is None else "the connection's own"
    console.print(f"Version {found.version}, {what}.", markup=False)
    if found.pending:
        console.print(
            f"Not applied yet to {', '.join(found.pending)}: apply the same mapping again, and it goes on.",
            markup=False,
        )
    if found.fault is not None:
        problem = f"It cannot be followed any more: {found.fault}"
        open_console(errors=True).print(problem, markup=False, style="red")


@group.command("check")
def check_command(
    name: Name,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A mapping as YAML; the one that holds, if left out."),
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Compare a mapping with the properties the CRM was last read to have, field by field."""
    text = None if file is None else _read(file)

    async def look(settings: Settings) -> list[Finding]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await check_mapping_of(hub, name, text)

    found = run(look)
    if as_json:
        print_json(found)
    elif not found:
        open_console().print("Every field fits.")
    else:
        table = make_table("", "object", "field", "property", "what is wrong", "what to do")
        for each in found:
            add_row(table, (each.level, each.object, each.field, each.property, each.problem, each.advice))
        open_console().print(table)
    if any(each.level == "error" for each in found):
        raise typer.Exit(CALLER)


@group.command("diff")
def diff_command(name: Name, file: File, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Say what a mapping would change, with the number of records. Maps what is stored, writes nothing."""
    found = _compare(name, _read(file), tenant, quiet=as_json)
    if as_json:
        print_json(_describe(found))
    else:
        _show_difference(found)


def _compare(name: str, text: bytes | None, tenant: str, *, quiet: bool) -> MappingDifference:
    async def look(settings: Settings) -> MappingDifference:
        async with open_hub(settings, tenant=tenant) as hub:
            with show_bars(quiet=quiet) as watch:
                return await compare_mapping(hub, name, text, lambda each, done: watch(each, done, None))

    return run(look)


def _describe(found: MappingDifference) -> dict[str, Any]:
    return {
        "connection": found.connection,
        "fields": found.fields,
        "policy": None if found.policy is None else {"old": found.policy[0], "new": found.policy[1]},
        "records": {
            name: {
                "records": each.records,
                "changed": each.changed,
                "later": each.later,
                "conflicts": each.conflicts,
                "fields": each.fields,
            }
            for name, each in found.effects.items()
        },
    }


def _show_difference(found: MappingDifference) -> None:
    console = open_console()
    if found.is_nothing:
        console.print("Nothing would change.")
        return
    if found.fields:
        table = make_table("object", "field", "is", "would be")
        for each in found.fields:
            add_row(table, (each.object, each.field, each.old, each.new))
        console.print(table)
    if found.policy is not None:
        console.print("Conflicts would be decided by another policy. See --json for both.")
    columns = ("changed", "emptied", "unreadable", "kept", "to push")
    for name, each in found.effects.items():
        console.print(f"\n{name}: {each.changed:,} of {each.records:,} records would change.", markup=False)
        if each.fields:
            table = make_table("field", *columns, right=columns)
            for field_name, effect in each.fields.items():
                numbers = (effect.changed, effect.emptied, effect.unreadable, effect.kept, effect.pushed)
                add_row(table, (field_name, *(show_number(number) for number in numbers)))
            console.print(table)
        if each.later:
            console.print(
                f"{each.later:,} follow when they are next read: they were just written to the CRM."
            )
        if each.conflicts:
            console.print(f"{each.conflicts:,} would wait for a person to decide.")


@group.command("apply")
def apply_command(
    name: Name, file: File, yes: Yes = False, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT
) -> None:
    """Let a mapping hold, and apply it to the records that are here; shows first what follows, and asks.

    Records are mapped anew from what was last read of them: no call is made. Stop it whenever you like; the
    same command goes on from there.
    """
    _apply(name, _read(file), tenant, yes=yes, as_json=as_json)


@group.command("reset")
def reset_command(
    name: Name, yes: Yes = False, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT
) -> None:
    """Let the platform's default hold again, in the same way."""
    _apply(name, None, tenant, yes=yes, as_json=as_json)


def _apply(name: str, text: bytes | None, tenant: str, *, yes: bool, as_json: bool) -> None:
    if as_json and not yes:
        raise Invalid("--json cannot ask. Add --yes, or look first with `syncline mapping diff`.")
    if not yes:
        found = _compare(name, text, tenant, quiet=False)
        _show_difference(found)
        if not found.is_nothing:
            typer.confirm(f"Let this mapping hold for {name}?", abort=True)

    async def act(settings: Settings) -> list[Synced]:
        async with (
            open_hub(settings, tenant=tenant, application_name="syncline mapping") as hub,
            show_progress(hub, quiet=as_json) as progress,
        ):
            return await apply_mapping(hub, name, text, by=whoever(), progress=progress)

    result = SyncResult(run(act))
    if as_json:
        print_json(describe(result))
    elif result.items:
        show_result(result)
    else:
        open_console().print("No record had to be mapped anew.")
    if result.is_partial:
        raise typer.Exit(PARKED)


def _read(file: str) -> bytes:
    """Read a file, or standard input; no more of it than a mapping may be long."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with Path(file).open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from None
