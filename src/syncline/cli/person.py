"""Who types the command: the name that stands in the change log."""

from __future__ import annotations

import getpass

from syncline.actions.editing import Editor


def whoever() -> Editor:
    """Return the user of the operating system; in a container without accounts, nobody in particular."""
    try:
        return Editor(getpass.getuser())
    except (OSError, KeyError, ImportError):
        return Editor("somebody at the command line")
