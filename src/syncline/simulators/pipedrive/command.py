"""The simulator's command line: reads options, fills a company, serves it until it is stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TextIO

from syncline.simulators import command
from syncline.simulators.faults import read_plan
from syncline.simulators.journal import follow
from syncline.simulators.pipedrive.app import App
from syncline.simulators.pipedrive.auth import DEFAULT_TOKEN
from syncline.simulators.pipedrive.faults import KINDS
from syncline.simulators.pipedrive.population import Counts
from syncline.simulators.pipedrive.settings import Settings
from syncline.simulators.pipedrive.world import World
from syncline.simulators.settings import change
from syncline.simulators.times import time_ms

_SETTINGS = [field.name for field in fields(Settings)]
_COUNTS = asdict(Counts())
#: The name that webhooks of the command line prove themselves with, beside the secret.
WEBHOOK_USER = "syncline"


def run(
    *, port: int = 0, host: str = "127.0.0.1", seed: int = 1, anchor: str | None = None,
    journal: str | None = None, guided: bool = False, webhooks_to: str | None = None,
    webhooks_secret_env: str | None = None, out: TextIO | None = None, **options: Any,
) -> None:  # fmt: skip
    """Serve a filled company until interrupted; the first line of `out` is JSON with port, url and token.

    Options are the names of `Settings` and of `population.Counts`. Raises `ValueError` for any other.
    `journal` names the file that remembers colleagues' edits; `guided` takes settings from standard input
    and ends with it. `webhooks_to` is told of every change from then on, with the password that is in the
    environment variable `webhooks_secret_env`.
    """
    wanted, counts = command.sort_options(options, _SETTINGS, list(_COUNTS))
    settings = Settings(**wanted)
    read_plan(settings.faults, KINDS)
    secret = read_webhooks(webhooks_to, webhooks_secret_env)
    if guided:
        follow(lambda given: change(settings, given, KINDS), sys.stdin.buffer)
    app = App(World(seed, settings, anchor_ms=time_ms(anchor) if anchor else None))

    def subscribe() -> None:
        if webhooks_to and secret:
            app.api.webhooks.subscribe(webhooks_to, http_user=WEBHOOK_USER, http_password=secret)

    command.serve_filled(
        app, lambda: app.world.populate(**counts), host=host, port=port, token=DEFAULT_TOKEN, journal=journal,
        prepare=subscribe, out=out,
    )  # fmt: skip


def read_webhooks(url: str | None, secret_env: str | None) -> str | None:
    """Return the password that goes with webhooks; None without any. Raises `ValueError`."""
    secret = command.read_secret(url, secret_env)
    if secret is not None and not str(url).startswith(("http://", "https://")):
        raise ValueError("webhooks need a url of http or https")
    return secret


def scale(contacts: int) -> dict[str, int]:
    """Return counts for a company with so many persons: fewer of everything for a small one."""
    return command.scale(_COUNTS, "contacts", contacts)


def parser() -> argparse.ArgumentParser:
    found = command.common_parser("Pipedrive", KINDS, _COUNTS)
    found.add_argument("--rate", type=int, default=0, help="requests per 2 s and API token; 0 is no limit")
    found.add_argument("--search-rate", type=int, help="searches per 2 s; default 10 when --rate is set")
    found.add_argument("--daily-limit", type=int, default=0, help="tokens a day; 0 is no limit")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run from a command line; returns the exit code."""
    return command.run_line(parser(), run, KINDS, read_webhooks, argv)
