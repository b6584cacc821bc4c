"""An account under another program's hand: it ends with that program, and remembers its colleagues' edits."""

from __future__ import annotations

import json
import os
import random
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, cast

from syncline.simulators.hubspot.faults import read_plan
from syncline.simulators.hubspot.settings import Settings
from syncline.simulators.hubspot.world import World

_NAMES = {field.name for field in fields(Settings)}


class RememberingWorld(World):
    """Counts its colleagues' edits in a file, so that the next start can do the same ones again.

    The edits are the same since they come from the seed; their times are those of the new start.
    """

    def __init__(self, journal: Path, seed: int, settings: Settings, *, anchor_ms: int | None) -> None:
        super().__init__(seed, settings, anchor_ms=anchor_ms)
        self._journal = journal
        self._edits = 0

    def repeat_edits(self) -> int:
        """Do the edits of earlier starts again and return how many. Call once, after `populate`."""
        try:
            count = int(self._journal.read_text())
        except (FileNotFoundError, ValueError):
            count = 0
        for _ in range(count):
            super().colleague_edit()
        self._edits = count
        return count

    def colleague_edit(self, rng: random.Random | None = None) -> str:
        self._edits += 1
        unfinished = self._journal.with_name(self._journal.name + ".new")
        unfinished.write_text(str(self._edits))
        unfinished.replace(self._journal)
        return super().colleague_edit(rng)


def follow(settings: Settings, stream: BinaryIO) -> None:
    """Take changes of settings as lines of JSON, in a thread of its own, and end the process with the stream.

    The other end is closed by the system when the other program dies, however it dies.
    """

    def read() -> None:
        for line in stream:
            change(settings, json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()


def change(settings: Settings, changes: Any) -> None:
    """Change settings by name. Raises `ValueError` for one there is not."""
    for name, value in cast("dict[str, Any]", changes).items():
        if name not in _NAMES:
            raise ValueError(f"there is no setting {name}; there are {', '.join(sorted(_NAMES))}")
        if name == "faults":
            read_plan(str(value))
        setattr(settings, name, str(value) if name == "faults" else value)
