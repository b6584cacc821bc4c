"""The command line. Commands are thin: they read options, call an action and show its answer.

Only the module of the command that was typed is imported, so that help and errors come at once.
"""

from __future__ import annotations

from syncline.cli.entry import main

__all__ = ["main"]
