"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Tenant = Annotated[str, typer.Option("--tenant", metavar="T", help="Whose data, where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with JSON, for programs.")]
Objects = Annotated[
    list[str] | None, typer.Option("--object", metavar="O", help="Only this object; may be given again.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
