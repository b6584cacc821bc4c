"""`syncline export`: what is known, in files."""

from __future__ import annotations

import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from syncline.actions.export_person import FORMATS, Format, export_person
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.options import Tenant
from syncline.cli.output import open_console
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)


@group.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
    """Write what is known into files."""


@group.command("person")
def person_command(
    who: Annotated[
        str, typer.Argument(metavar="WHO", help="An address, a contact's id, or connection:object:id.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="F", help="The file to write; else standard output.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="K", help="json, html or zip; else as the file is called."),
    ] = None,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Export everything that is known of a person, for that person.

    Contacts, what was done with them, what every CRM says, changes, what was written, conflicts, decisions.
    """
    chosen = _choose(kind, out)
    if out is None and chosen == "zip" and sys.stdout.isatty():
        raise Invalid("A ZIP cannot be shown: name a file with --out.")

    async def write(settings: Settings) -> int:
        async with open_hub(settings, tenant=tenant) as hub:
            async with aclosing(export_person(hub, operator(hub), who, kind=chosen)) as parts:
                first = await anext(parts)  # before a file is made: it may be nobody
                with _open(out) as file:
                    size = file.write(first)
                    async for part in parts:
                        size += file.write(part)
            return size

    size = run(write)
    if out is not None:
        open_console().print(f"{out}: {size:,} bytes, which only you can read.", markup=False)


def _choose(kind: str | None, out: Path | None) -> Format:
    wanted = kind or (out.suffix.lstrip(".").lower() if out is not None else "") or "json"
    found: Format | None = next((each for each in FORMATS if each == wanted), None)
    if found is None and kind is not None:
        raise Invalid(f"There is no format {kind!r}. There are: {', '.join(FORMATS)}.")
    return "json" if found is None else found


def _open(out: Path | None) -> BinaryIO:
    if out is None:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    try:
        return os.fdopen(os.open(out, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")
    except OSError as error:
        raise Invalid(f"{out} cannot be written ({error.strerror}). Name another place.") from error
