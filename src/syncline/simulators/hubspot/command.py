"""The simulator's command line: reads options, fills an account, serves it until it is stopped."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from syncline.simulators.hubspot.faults import KINDS, read_plan
from syncline.simulators.hubspot.guided import RememberingWorld, follow
from syncline.simulators.hubspot.population import Counts
from syncline.simulators.hubspot.server import Server, listen, url_of
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.hubspot.values import time_ms
from syncline.simulators.hubspot.webhooks import read_target
from syncline.simulators.hubspot.world import World

_SETTINGS = {field.name for field in fields(Settings)}
_FEWEST = 20
_COUNTS = {field.name: field.default for field in fields(Counts)}


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
    unknown = set(options) - _SETTINGS - set(_COUNTS)
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    settings = Settings(**{name: options[name] for name in options if name in _SETTINGS})
    read_plan(settings.faults)
    webhooks = read_webhooks(webhooks_to, webhooks_secret_env)
    if guided:
        follow(settings, sys.stdin.buffer)
    anchor_ms = time_ms(anchor) if anchor else None
    remembering = RememberingWorld(Path(journal), seed, settings, anchor_ms=anchor_ms) if journal else None
    world = remembering or World(seed, settings, anchor_ms=anchor_ms)
    listener = listen(host, port)
    # The records are there to stay: looking through them for garbage, again and again, costs seconds.
    gc.disable()
    world.populate(**{name: options[name] for name in options if name in _COUNTS})
    if remembering is not None:
        remembering.repeat_edits()
    gc.freeze()
    gc.enable()
    listener.listen(1024)
    address = {"port": listener.getsockname()[1], "url": url_of(listener), "token": DEFAULT_TOKEN}
    print(json.dumps(address), file=out or sys.stdout, flush=True)
    server = Server(world)
    if webhooks is not None:
        server.app.api.webhooks.change(webhooks)
    server.run(sockets=[listener])


def read_webhooks(url: str | None, secret_env: str | None) -> dict[str, Any] | None:
    """Return what the options set up; None without any. Raises `ValueError`."""
    if url is None and secret_env is None:
        return None
    if url is None or secret_env is None:
        raise ValueError("--webhooks-to and --webhooks-secret-env go together")
    found = {"url": url, "secret": os.environ.get(secret_env, "")}
    if not found["secret"]:
        raise ValueError(f"{secret_env} holds no secret to sign webhooks with")
    read_target(found, None)
    return found


def scale(contacts: int) -> dict[str, int]:
    """Return counts for an account of so many contacts: fewer of everything for a small one."""
    share = min(1.0, contacts / Counts().contacts)
    counts = {
        name: max(min(count, _FEWEST), round(count * share)) for name, count in asdict(Counts()).items()
    }
    return counts | {"contacts": contacts}


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="hubspot simulator", description="A HubSpot on this machine, filled with made-up records."
    )
    found.add_argument("--port", type=int, default=0, help="0 takes any free port")
    found.add_argument("--host", default="127.0.0.1", help="address to listen on")
    found.add_argument("--seed", type=int, default=1, help="same seed, same records")
    found.add_argument("--anchor", help="day before which all records are made (default: today)")
    for name, count in _COUNTS.items():
        found.add_argument(f"--{name.replace('_', '-')}", type=int, default=count, metavar="N")
    found.add_argument("--rate", type=int, default=0, help="requests per 10 s and token; 0 is no limit")
    found.add_argument("--search-rate", type=int, help="searches per second; default 5 when --rate is set")
    found.add_argument("--association-rate", type=int, help="association calls per 10 s")
    found.add_argument("--daily-limit", type=int, default=0, help="calls a day; 0 is no limit")
    found.add_argument("--latency-ms", type=float, default=0, help="added to every answer")
    found.add_argument("--index-lag", type=float, default=0, help="seconds until search sees a change")
    found.add_argument(
        "--faults",
        default="0",
        help=f"share of requests that fail, e.g. 0.1 or 0.1:429,reset; kinds: {', '.join(KINDS)}",
    )
    found.add_argument("--slow-seconds", type=float, default=2.0, help="how slow a slow answer is")
    found.add_argument("--opaque-after", action="store_true", help="list cursors that are no record ids")
    found.add_argument(
        "--no-dated-paths", dest="dated_paths", action="store_false", help="answer v3 and v4 only"
    )
    found.add_argument("--journal", metavar="FILE", help="remembers colleagues' edits for the next start")
    found.add_argument(
        "--guided", action="store_true", help="settings come as JSON lines on standard input; end with it"
    )
    found.add_argument("--webhooks-to", metavar="URL", help="send webhooks of every change there")
    found.add_argument(
        "--webhooks-secret-env", metavar="VAR", help="variable with the client secret that signs them"
    )
    found.add_argument("--edits-per-minute", type=float, default=0, help="edits by simulated colleagues")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run from a command line; returns the exit code."""
    reader = parser()
    options = vars(reader.parse_args(argv))
    try:
        read_plan(options["faults"])
        read_webhooks(options["webhooks_to"], options["webhooks_secret_env"])
    except ValueError as problem:
        reader.error(str(problem))
    try:
        run(**options)
    except KeyboardInterrupt:
        return 0
    except OSError as problem:
        print(f"Cannot listen on port {options['port']}: {problem.strerror}", file=sys.stderr)  # noqa: T201 -- as above
        return 1
    return 0
