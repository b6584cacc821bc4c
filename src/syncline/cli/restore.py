"""`syncline restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.backup import restore
from syncline.cli.output import open_console
from syncline.cli.running import run
from syncline.store.db import list_revisions


def command(
    file: Annotated[
        Path, typer.Argument(help="A file that `syncline backup` wrote.", exists=True, dir_okay=False)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of what the embedded Postgres holds.")
    ] = False,
) -> None:
    """Bring a backup back, whole or not at all. There must be no data yet, unless --replace is given."""
    restored = run(lambda settings: restore(settings, file, replace=replace))
    console = open_console()
    console.print(f"{sum(restored.rows.values()):,} rows of {len(restored.rows)} tables are back.")
    if restored.revision != list_revisions()[-1]:
        console.print(f"The schema in the file is at {restored.revision}. Next: syncline migrate.")
