"""The simulated CRM of the demo: a process of its own that ends with us, however we end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncline.errors import Unavailable

_START_SECONDS = 120.0
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated CRM that runs."""

    url: str
    token: str = field(repr=False)
    process: asyncio.subprocess.Process

    async def change(self, **settings: Any) -> None:
        """Change its settings while it runs."""
        pipe = self.process.stdin
        if pipe is not None:
            pipe.write(json.dumps(settings).encode() + b"\n")
            await pipe.drain()


@asynccontextmanager
async def run_simulator(
    platform: str, *, anchor: str, journal: Path, **options: Any
) -> AsyncGenerator[Simulation]:
    """Run a simulator for the length of the block. Its colleagues' edits of earlier times are done again.

    Raises `Unavailable` when it does not start.
    """
    words = ["--port", "0", "--anchor", anchor, "--journal", str(journal), "--guided"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "syncline", "simulate", platform, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        # Ctrl-C is for us: the worker still needs the CRM to end what it is at.
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("SYNCLINE_")},
    )  # fmt: skip
    try:
        address = await _read_address(process)
        yield Simulation(address["url"], address["token"], process)
    finally:
        await _end(process)


async def _read_address(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline()
        return json.loads(line)
    except (TimeoutError, ValueError) as error:
        process.kill()
        said = (await process.stderr.read()).decode(errors="replace") if process.stderr else ""
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(f"The simulated CRM did not start: {last}.") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
