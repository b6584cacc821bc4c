"""`syncline version`."""

from __future__ import annotations

import importlib.metadata

import typer


def command() -> None:
    """Show the version of this program."""
    typer.echo(importlib.metadata.version("syncline"))
