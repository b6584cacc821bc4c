"""An account under another program's hand: it ends with that program, and remembers its colleagues' edits."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


class Journal:
    """Counts colleagues' edits in a file, so that the next start can do the same ones again.

    The edits are the same since they come from the seed; their times are those of the new start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._edits = 0

    def repeat(self, edit: Callable[[], object]) -> int:
        """Do the edits of earlier starts again and return how many. Call once, with the account filled."""
        try:
            count = int(self._path.read_text())
        except (FileNotFoundError, ValueError):
            count = 0
        for _ in range(count):
            edit()
        self._edits = count
        return count

    def note(self) -> None:
        """Remember that one more edit is about to be made."""
        self._edits += 1
        unfinished = self._path.with_name(self._path.name + ".new")
        unfinished.write_text(str(self._edits))
        unfinished.replace(self._path)


def follow(change: Callable[[Any], None], stream: BinaryIO) -> None:
    """Hand on lines of JSON, in a thread of its own, and end the process with the stream.

    The other end is closed by the system when the other program dies, however it dies.
    """

    def read() -> None:
        for line in stream:
            change(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
