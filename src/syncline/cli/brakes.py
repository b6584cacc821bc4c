"""`syncline writing brakes`: how much one run may write before a person is asked."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from syncline.actions.brakes import BrakeSettings, set_brakes, show_brakes
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings
from syncline.engine.brakes import Limit
from syncline.errors import Invalid

_LIMIT = re.compile(r"(\d{1,9}):(\d{1,3}(?:\.\d{1,3})?)%")
_FLIPS = re.compile(r"(\d{1,4})/(\d{1,5})")
_HELP = "COUNT:SHARE, such as 500:10%; a run is held when it would go beyond both."

Change = Annotated[str | None, typer.Option("--change", metavar="LIMIT", help=f"Records changed. {_HELP}")]
Create = Annotated[str | None, typer.Option("--create", metavar="LIMIT", help="Records made.")]
Delete = Annotated[str | None, typer.Option("--delete", metavar="LIMIT", help="Records archived.")]
Flips = Annotated[
    str | None,
    typer.Option("--flips", metavar="N/MINUTES", help="A field that each side wrote so often is held."),
]


def command(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="Whose account.")],
    change: Change = None,
    create: Create = None,
    delete: Delete = None,
    flips: Flips = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Show or set how much one run may write to a CRM before it is held for a person to look at."""
    given = {"change": change, "create": create, "delete": delete}
    limits = {kind: _read_limit(kind, text) for kind, text in given.items() if text is not None}
    pair = None if flips is None else _read_flips(flips)

    async def act(settings: Settings) -> BrakeSettings:
        async with open_hub(settings, tenant=tenant) as hub:
            if limits or pair is not None:
                return await set_brakes(hub, name, limits, flips=pair)
            return await show_brakes(hub, name)

    found = run(act)
    if as_json:
        print_json(found)
        return
    table = make_table("a run that would …", "is held beyond", "and beyond", right=("is held beyond",))
    for kind, limit in found.limits.items():
        add_row(table, (kind, f"{limit.count:,} records", f"{limit.share * 100:g} % of them"))
    console = open_console()
    console.print(table)
    console.print(
        f"A field that each side wrote {found.flip_times} times within {found.flip_minutes} minutes is held."
    )


def _read_limit(kind: str, text: str) -> Limit:
    found = _LIMIT.fullmatch(text.strip())
    if found is None or float(found[2]) > 100:
        raise Invalid(f"--{kind} {text!r} is no limit. Write a count and a share, such as 500:10%.")
    return Limit(int(found[1]), float(found[2]) / 100)


def _read_flips(text: str) -> tuple[int, int]:
    found = _FLIPS.fullmatch(text.strip())
    if found is None:
        raise Invalid(f"--flips {text!r} makes no sense. Write times and minutes, such as 4/10.")
    return int(found[1]), int(found[2])
