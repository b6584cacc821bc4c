"""Running one action from the command line: settings, logs, event loop, in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from syncline.cli.debugging import DEBUGGING
from syncline.cli.logs import configure_logs
from syncline.config import Settings, load_settings
from syncline.engine.telemetry import tracing

T = TypeVar("T")


def run(action: Callable[[Settings], Coroutine[Any, Any, T]], *, serves: bool = False) -> T:
    """Run an action with the settings of the environment and return its answer.

    What `serves` logs as the settings say; a command that a person waits for speaks for itself and logs
    grave things only. Raises what the action raises; Ctrl-C cancels it and raises `KeyboardInterrupt`.
    """
    settings = load_settings()
    return run_with(settings, action, serves=serves)


def run_with(
    settings: Settings, action: Callable[[Settings], Coroutine[Any, Any, T]], *, serves: bool = False
) -> T:
    """Run an action with these settings. See `run`."""
    chosen = settings.log_level if serves else "error"
    level = "debug" if DEBUGGING.get() else chosen
    configure_logs(level=level, log_format=settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_traced(settings, action))


async def _traced(settings: Settings, action: Callable[[Settings], Coroutine[Any, Any, T]]) -> T:
    async with tracing(settings):
        return await action(settings)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # not on every system, and slow to import where only help is wanted
    except ImportError:
        return None
    return uvloop.new_event_loop
