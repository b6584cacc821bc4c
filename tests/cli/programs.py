"""The program as a real process, as a person or a script runs it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prepared
from syncline.actions.connect import Wish, connect_token
from syncline.actions.hub import open_hub
from syncline.actions.sync import sync
from syncline.config import Settings
from syncline.simulators.hubspot.auth import DEFAULT_TOKEN
from unlimited import SIMULATED, lift_limits


@dataclass(frozen=True)
class Program:
    """The program with an environment of its own."""

    environment: Mapping[str, str]

    def __call__(
        self, *words: str, timeout: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return prepared.run(words, {**self.environment, **environment}, timeout=timeout)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        return subprocess.Popen(
            self.command(words),
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @staticmethod
    def command(words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "syncline", *words]


def connect(program: Program, url: str, *objects: str, read: bool = False) -> Program:
    """Connect objects of an account as "acme", and read them: what a test begins with and is not about.

    Done here and not by two processes, whose starts would cost more than all they do.
    """
    given: dict[str, Any] = {
        name.removeprefix("SYNCLINE_").lower(): value
        for name, value in program.environment.items()
        if name.startswith("SYNCLINE_")
    }

    async def begin() -> None:
        async with open_hub(Settings(**given)) as hub:
            await lift_limits(hub.db, SIMULATED)
            await connect_token(hub, Wish("hubspot", "acme", url, objects), DEFAULT_TOKEN)
            if read:
                result = await sync(hub, names=["acme"], objects=objects)
                assert not result.errors

    asyncio.run(begin())
    return program


def environment_of(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"SYNCLINE_HOME": str(home)}
