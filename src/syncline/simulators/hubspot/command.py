"""The simulator's command line: reads options, fills an account, serves it until it is stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TextIO

from syncline.simulators import command
from syncline.simulators.faults import read_plan
from syncline.simulators.hubspot.app import App
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.faults import KINDS
from syncline.simulators.hubspot.population import Counts
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.hubspot.webhooks import read_target
from syncline.simulators.hubspot.world import World
from syncline.simulators.journal import follow
from syncline.simulators.settings import change
from syncline.simulators.times import time_ms

_SETTINGS = [field.name for field in fields(Settings)]
_COUNTS = asdict(Counts())


def run(
    *, port: int = 0, host: str = "127.0.0.1", seed: int = 1, anchor: str | None = None,
    journal: str | None = None, guided: bool = False, webhooks_to: str | None = None,
    webhooks_secret_env: str | None = None, out: TextIO | None = None, **options: Any,
) -> None:  # fmt: skip
    """Serve a filled account until interrupted; the first line of `out` is JSON with port, url and token.

    Options are the names of `Settings` and of `population.Counts`. Raises `ValueError` for any other.
    `journal` names the file that remembers colleagues' edits; `guided` takes settings from standard input
    and ends with it. `webhooks_to` is told of every change from then on, signed with the secret that is in
    the environment variable `webhooks_secret_env`.
    """
    wanted, counts = command.sort_options(options, _SETTINGS, list(_COUNTS))
    settings = Settings(**wanted)
    read_plan(settings.faults, KINDS)
    webhooks = read_webhooks(webhooks_to, webhooks_secret_env)
    if guided:
        follow(lambda given: change(settings, given, KINDS), sys.stdin.buffer)
    app = App(World(seed, settings, anchor_ms=time_ms(anchor) if anchor else None))
    command.serve_filled(
        app, lambda: app.world.populate(**counts), host=host, port=port, token=DEFAULT_TOKEN, journal=journal,
        prepare=(lambda: app.api.webhooks.change(webhooks)) if webhooks else None, out=out,
    )  # fmt: skip


def read_webhooks(url: str | None, secret_env: str | None) -> dict[str, Any] | None:
    """Return what the options set up; None without any. Raises `ValueError`."""
    secret = command.read_secret(url, secret_env)
    if secret is None:
        return None
    found = {"url": url, "secret": secret}
    read_target(found, None)
    return found


def scale(contacts: int) -> dict[str, int]:
    """Return counts for an account of so many contacts: fewer of everything for a small one."""
    return command.scale(_COUNTS, "contacts", contacts)


def parser() -> argparse.ArgumentParser:
    found = command.common_parser("HubSpot", KINDS, _COUNTS)
    found.add_argument("--rate", type=int, default=0, help="requests per 10 s and token; 0 is no limit")
    found.add_argument("--search-rate", type=int, help="searches per second; default 5 when --rate is set")
    found.add_argument("--association-rate", type=int, help="association calls per 10 s")
    found.add_argument("--daily-limit", type=int, default=0, help="calls a day; 0 is no limit")
    found.add_argument("--opaque-after", action="store_true", help="list cursors that are no record ids")
    found.add_argument(
        "--no-dated-paths", dest="dated_paths", action="store_false", help="answer v3 and v4 only"
    )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run from a command line; returns the exit code."""
    return command.run_line(parser(), run, KINDS, read_webhooks, argv)
