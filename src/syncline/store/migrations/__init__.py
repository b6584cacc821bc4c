"""The migrations: plain SQL with its way back, run by Alembic. Knows files, not when to run them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import op


def run_sql(version_file: str, direction: Literal["up", "down"]) -> None:
    """Run the SQL beside a version: `NNNN_name.up.sql` or `NNNN_name.down.sql` for `NNNN_name.py`.

    The file may hold any number of statements; percent signs, colons and dollar quotes mean nothing special.
    In offline mode it is printed instead of run.
    """
    path = Path(version_file)
    text = path.with_name(f"{path.stem}.{direction}.sql").read_text(encoding="utf-8")
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(text)
        return
    # Without parameters the driver sends the text as it is, in one simple-protocol message.
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(text)
