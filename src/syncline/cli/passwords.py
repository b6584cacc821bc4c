"""Passwords on the command line: read from standard input, never from the line, which others can see."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from syncline.actions.hub import Hub
from syncline.actions.letters import password_link
from syncline.errors import Invalid

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]
#: Where `syncline serve` listens unless it is told otherwise.
_LOCAL = "http://127.0.0.1:8750"


def read_password(wanted: bool) -> str | None:
    """Return the first line of standard input; None when it was not asked for. Raises `Invalid`."""
    if not wanted:
        return None
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise Invalid("Standard input holds no password.")
    return line


def base_url(hub: Hub) -> str:
    """Return where this installation's pages are, as far as the settings tell."""
    return hub.settings.public_url or _LOCAL


def link_for(hub: Hub, token: str) -> str:
    return password_link(base_url(hub), token)
