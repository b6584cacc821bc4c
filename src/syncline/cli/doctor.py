"""`syncline doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syncline.actions.bundle import write_bundle
from syncline.actions.doctor import Finding, any_failed, diagnose
from syncline.cli.exit_codes import FAILURE
from syncline.cli.options import AsJson
from syncline.cli.output import open_console, print_json
from syncline.cli.running import run
from syncline.config import Settings

_MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


def command(
    as_json: AsJson = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Write a zip for whoever helps: no secrets, no people."
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not call the CRMs.")] = False,
) -> None:
    """Look at everything that can be wrong, and say what mends it. Changes nothing.

    Ends with 1 when something is broken; warnings do not count.
    """

    async def look(settings: Settings) -> list[Finding]:
        findings = await diagnose(settings, ask_crms=not offline)
        if bundle is not None:
            await write_bundle(settings, findings, bundle)
        return findings

    findings = run(look)
    if as_json:
        print_json(findings)
    else:
        _show(findings)
    if bundle is not None:
        open_console(errors=True).print(f"Written to {bundle}.", markup=False)
    if any_failed(findings):
        raise typer.Exit(FAILURE)


def _show(findings: list[Finding]) -> None:
    console = open_console()
    for each in findings:
        mark, style = _MARKS[each.level]
        console.print(mark, style=style, end=" ")
        console.print(f"{each.id}: {each.message}", markup=False)
        if each.remedy is not None:
            console.print(f"       → {each.remedy}", markup=False, style="bold")
    faults = [each for each in findings if each.level != "ok"]
    console.print(f"{len(faults)} of {len(findings)} need attention." if faults else "All is well.")
