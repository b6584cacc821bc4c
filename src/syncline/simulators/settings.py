"""Changing what a simulated account is set to, by name. Knows no service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

from syncline.simulators.faults import read_plan


def change(settings: Any, changes: Any, kinds: Sequence[str]) -> None:
    """Change settings, a dataclass; `kinds` are the faults there are. Raises `ValueError` for others."""
    known = {field.name for field in fields(settings)}
    for name, value in cast("dict[str, Any]", changes).items():
        if name not in known:
            raise ValueError(f"there is no setting {name}; there are {', '.join(sorted(known))}")
        if name == "faults":
            read_plan(str(value), kinds)
        setattr(settings, name, str(value) if name == "faults" else value)
