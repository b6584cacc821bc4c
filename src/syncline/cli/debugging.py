"""Whether --debug was given: everything is logged, and errors come with their traceback."""

from __future__ import annotations

from contextvars import ContextVar

DEBUGGING: ContextVar[bool] = ContextVar("debugging", default=False)
