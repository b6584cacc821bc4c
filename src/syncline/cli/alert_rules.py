"""`syncline alerts rules`: the rules as YAML, tried before they hold."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from syncline.actions.alert_rules import (
    Reading,
    ShownRules,
    WouldFire,
    check_rules,
    reset_rules,
    set_rules,
    show_rules,
)
from syncline.actions.hub import DEFAULT_TENANT, open_hub
from syncline.cli.options import AsJson, Tenant
from syncline.cli.output import add_row, make_table, open_console, print_json
from syncline.cli.person import operator
from syncline.cli.running import run
from syncline.config import Settings
from syncline.domain.alerts import tell_value
from syncline.errors import Invalid

group = typer.Typer(no_args_is_help=True)
File = Annotated[str, typer.Argument(metavar="FILE", help="Rules as YAML, or - for standard input.")]
_MOST = 262_144


@group.command("show")
def show_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Write the rules that hold as YAML, to begin one's own with."""

    async def look(settings: Settings) -> ShownRules:
        async with open_hub(settings, tenant=tenant) as hub:
            return await show_rules(hub, operator(hub))

    found = run(look)
    if as_json:
        print_json(found)
        return
    sys.stdout.write(found.document)
    if found.fault is not None:
        told = f"These cannot be read any more, and the shipped ones hold: {found.fault}"
        open_console(errors=True).print(told, markup=False, style="red")


@group.command("check")
def check_command(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Rules as YAML; those that hold, if left out.")
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Say what rules would make of what is measured now. Writes nothing and tells nobody."""
    text = None if file is None else _read(file)

    async def look(settings: Settings) -> Sequence[WouldFire]:
        async with open_hub(settings, tenant=tenant) as hub:
            return await check_rules(hub, operator(hub), text)

    found = run(look)
    if as_json:
        print_json([_describe(each) for each in found])
        return
    table = make_table("rule", "condition", "now", "tells")
    for each in found:
        recipients = ", ".join(str(one) for one in each.rule.recipients)
        add_row(table, (each.rule.name, str(each.rule.condition), _judge(each), recipients))
    open_console().print(table)


def _judge(found: WouldFire) -> str:
    if not found.rule.enabled:
        return "is off"
    metric = found.rule.condition.metric.name
    if found.firing:
        return "fires: " + "; ".join(_tell(metric, each) for each in found.firing[:5])
    return "-" if not found.readings else f"is well ({_tell(metric, found.readings[0])})"


def _tell(metric: str, reading: Reading) -> str:
    about = "/".join(each for each in (reading.connection, reading.object) if each)
    return f"{about} {tell_value(metric, reading.value)}".strip()


def _describe(found: WouldFire) -> dict[str, Any]:
    def plain(each: Reading) -> dict[str, Any]:
        return {"connection": each.connection, "object": each.object, "value": each.value}

    return {
        "rule": found.rule.name,
        "condition": str(found.rule.condition),
        "enabled": found.rule.enabled,
        "recipients": [str(each) for each in found.rule.recipients],
        "readings": [plain(each) for each in found.readings],
        "firing": [plain(each) for each in found.firing],
    }


@group.command("set")
def set_command(file: File, as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let rules hold from the next look on. Faults are told by rule and field, and nothing changes then."""
    text = _read(file)

    async def act(settings: Settings) -> ShownRules:
        async with open_hub(settings, tenant=tenant) as hub:
            return await set_rules(hub, operator(hub), text)

    found = run(act)
    if as_json:
        print_json(found)
    else:
        open_console().print("These rules hold now.")


@group.command("reset")
def reset_command(as_json: AsJson = False, tenant: Tenant = DEFAULT_TENANT) -> None:
    """Let the shipped rules hold again."""

    async def act(settings: Settings) -> ShownRules:
        async with open_hub(settings, tenant=tenant) as hub:
            return await reset_rules(hub, operator(hub))

    found = run(act)
    if as_json:
        print_json(found)
    else:
        open_console().print("The shipped rules hold now.")


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read(_MOST).decode()
        with Path(file).open("rb") as opened:
            return opened.read(_MOST).decode()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not UTF-8.") from None
