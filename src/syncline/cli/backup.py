"""`syncline backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.backup import back_up
from syncline.cli.output import open_console
from syncline.cli.running import run


def command(file: Annotated[Path, typer.Argument(help="The file to write.")]) -> None:
    """Write everything into one file, as of one moment; others may go on working.

    The secret key is not in it: keep that apart, for the credentials inside cannot be read without it.
    """
    rows = run(lambda settings: back_up(settings, file))
    open_console().print(
        f"{file}: {sum(rows.values()):,} rows of {len(rows)} tables, read back and complete."
    )
