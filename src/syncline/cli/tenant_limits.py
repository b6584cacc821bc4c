"""`syncline tenant limits`: what a tenant may use of this installation, and setting that."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.actions.hub import open_hub
from syncline.actions.limits import LIMITS, Use, read_use, set_limits
from syncline.cli.options import AsJson
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings
from syncline.errors import Invalid

Given = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="LIMIT=NUMBER", help="Such as stored_records=100000, or =none for none."),
]


def limits_command(
    slug: Annotated[str, typer.Argument(metavar="TENANT", help="Its name in commands: default, acme …")],
    given: Given = None,
    as_json: AsJson = False,
) -> None:
    """Show what a tenant may use and what it uses; set limits. Needs SYNCLINE_ADMIN_DATABASE_URL to set."""
    changes = dict(_read(each) for each in given or [])

    async def act(settings: Settings) -> list[Use]:
        if changes:
            await set_limits(settings, slug, changes)
        async with open_hub(settings, tenant=slug) as hub:
            return await read_use(hub)

    found = run(act)
    if as_json:
        print_json({"tenant": slug, "limits": found})
        return
    table = make_table("limit", "used", "most", "counts")
    for each in found:
        most = "no limit" if each.most is None else f"{each.most:,}"
        add_row(table, (each.limit, f"{each.used:,}", most, each.what))
    open_console().print(table)


def _read(text: str) -> tuple[str, int | None]:
    name, _, number = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in LIMITS:
        raise Invalid(f"There is no limit called {name!r}. There are: {', '.join(LIMITS)}.")
    if number.strip().lower() == "none":
        return name, None
    try:
        return name, int(number.replace("_", "").replace(",", ""))
    except ValueError:
        raise Invalid(f"{number!r} is no number. Write it like {name}=100000, or {name}=none.") from None
