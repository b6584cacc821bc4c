"""Who types the command: the name that stands in change log and audit."""

from __future__ import annotations

import getpass

from syncline.actions.editing import Editor
from syncline.actions.hub import Hub
from syncline.domain.callers import Caller


def whoever() -> Editor:
    """Return the user of the operating system; in a container without accounts, nobody in particular."""
    try:
        return Editor(getpass.getuser())
    except (OSError, KeyError, ImportError):
        return Editor("somebody at the command line")


def operator(hub: Hub) -> Caller:
    """Return who types the command, as actions know them: whoever has the database runs it."""
    return Caller(hub.tenant_id, "admin", whoever().name, "cli", is_operator=True)
