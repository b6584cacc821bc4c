"""The command line that simulators share: its options, and serving until stopped. Knows no service."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from syncline.simulators.faults import read_plan
from syncline.simulators.journal import Journal
from syncline.simulators.server import Application, ApplicationServer, listen, url_of

_FEWEST = 20


def serve_filled(
    app: Application, fill: Callable[[], None], *, host: str, port: int, token: str,
    journal: str | None, prepare: Callable[[], object] | None, out: TextIO | None,
) -> None:  # fmt: skip
    """Fill an account and serve it until interrupted; the first line of `out` says where, as JSON.

    Edits that the file `journal` remembers are made again; `prepare` comes last before serving.
    """
    listener = listen(host, port)
    # The records are there to stay: looking through them for garbage, again and again, costs seconds.
    gc.disable()
    fill()
    if journal:
        remembered = Journal(Path(journal))
        remembered.repeat(app.world.colleague_edit)
        app.world.journal = remembered
    gc.freeze()
    gc.enable()
    listener.listen(1024)
    address = {"port": listener.getsockname()[1], "url": url_of(listener), "token": token}
    print(json.dumps(address), file=out or sys.stdout, flush=True)
    if prepare is not None:
        prepare()
    ApplicationServer(app).run(sockets=[listener])


def sort_options(options: Mapping[str, Any], *groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return options by the group of names they belong to. Raises `ValueError` for one of none."""
    unknown = set(options).difference(*groups)
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    return [{name: options[name] for name in options if name in group} for group in groups]


def read_secret(url: str | None, secret_env: str | None) -> str | None:
    """Return the secret that goes with webhooks to `url`; None without webhooks. Raises `ValueError`."""
    if url is None and secret_env is None:
        return None
    if url is None or secret_env is None:
        raise ValueError("--webhooks-to and --webhooks-secret-env go together")
    secret = os.environ.get(secret_env, "")
    if not secret:
        raise ValueError(f"{secret_env} holds no secret to sign webhooks with")
    return secret


def scale(defaults: Mapping[str, int], name: str, wanted: int) -> dict[str, int]:
    """Return counts for an account with so many of `name`: fewer of everything for a small one."""
    share = min(1.0, wanted / defaults[name])
    counts = {each: max(min(count, _FEWEST), round(count * share)) for each, count in defaults.items()}
    return counts | {name: wanted}


def common_parser(label: str, kinds: Sequence[str], counts: Mapping[str, int]) -> argparse.ArgumentParser:
    """Return a parser with the options that all simulators have."""
    found = argparse.ArgumentParser(
        prog=f"{label.lower()} simulator",
        description=f"A {label} on this machine, filled with made-up records.",
    )
    found.add_argument("--port", type=int, default=0, help="0 takes any free port")
    found.add_argument("--host", default="127.0.0.1", help="address to listen on")
    found.add_argument("--seed", type=int, default=1, help="same seed, same records")
    found.add_argument("--anchor", help="day before which all records are made (default: today)")
    for name, count in counts.items():
        found.add_argument(f"--{name.replace('_', '-')}", type=int, default=count, metavar="N")
    found.add_argument("--latency-ms", type=float, default=0, help="added to every answer")
    found.add_argument("--index-lag", type=float, default=0, help="seconds until search sees a change")
    found.add_argument(
        "--faults",
        default="0",
        help=f"share of requests that fail, e.g. 0.1 or 0.1:429,reset; kinds: {', '.join(kinds)}",
    )
    found.add_argument("--slow-seconds", type=float, default=2.0, help="how slow a slow answer is")
    found.add_argument("--journal", metavar="FILE", help="remembers colleagues' edits for the next start")
    found.add_argument(
        "--guided", action="store_true", help="settings come as JSON lines on standard input; end with it"
    )
    found.add_argument("--webhooks-to", metavar="URL", help="send webhooks of every change there")
    found.add_argument(
        "--webhooks-secret-env", metavar="VAR", help="variable with the secret that proves them"
    )
    found.add_argument("--edits-per-minute", type=float, default=0, help="edits by simulated colleagues")
    return found


def run_line(
    reader: argparse.ArgumentParser, run: Callable[..., None], kinds: Sequence[str],
    read_webhooks: Callable[[str | None, str | None], object], argv: Sequence[str] | None,
) -> int:  # fmt: skip
    """Run from a command line; returns the exit code. `read_webhooks` raises `ValueError` for bad ones."""
    options = vars(reader.parse_args(argv))
    try:
        read_plan(options["faults"], kinds)
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
