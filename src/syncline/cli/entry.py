"""The entry point: builds the commands' tree, and turns what they raise into a sentence and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from syncline.cli import exit_codes
from syncline.cli.commands import COMMANDS, Command
from syncline.cli.debugging import DEBUGGING
from syncline.errors import SynclineError

_HELP = (
    "Syncline keeps your CRMs and your own Postgres in agreement. It runs on your machines, and your data "
    "stays there: it sends no telemetry."
)
_DEBUG = "--debug"
_COMPLETION = "_SYNCLINE_COMPLETE"


def build_app(wanted: str | None, *, whole: bool = False) -> typer.Typer:
    """Return the tree of commands; only the `wanted` one is imported, or with `whole` every one.

    The others stand with their summary only, which is all that the help of the program shows.
    """
    app = typer.Typer(
        name="syncline",
        help=_HELP,
        epilog=exit_codes.EXPLANATION,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for each in COMMANDS:
        if whole or each.name == wanted:
            _add(app, each)
        else:
            app.command(each.name, help=each.summary, rich_help_panel=each.panel)(_placeholder)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process. Errors are one sentence on standard error."""
    words, debug = _take_debug(list(sys.argv[1:] if arguments is None else arguments))
    DEBUGGING.set(debug)
    try:
        app = build_app(_find_command(words), whole=_COMPLETION in os.environ)
        code = app(words, standalone_mode=True, prog_name="syncline")
    except SynclineError as error:
        code = _report(str(error), error, exit_codes.code_of(error), debug=debug)
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    except BrokenPipeError:
        code = _close_output()
    except Exception as error:  # noqa: BLE001 - the last one to see it says so in a sentence
        message = (
            f"Syncline stopped at an unexpected {type(error).__name__}. Run it with --debug to see where."
        )
        code = _report(message, error, exit_codes.FAILURE, debug=debug)
    sys.exit(code)


def _root(
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Log everything and show where an error arose.")
    ] = False,
) -> None:
    del debug


def _add(app: typer.Typer, command: Command) -> None:
    module = importlib.import_module(f"syncline.cli.{command.module}")
    if command.is_group:
        group: typer.Typer = module.group
        app.add_typer(group, name=command.name, help=command.summary, rich_help_panel=command.panel)
        return
    function: Callable[..., Any] = module.command
    settings: dict[str, Any] = getattr(module, "CONTEXT", {})
    app.command(
        command.name,
        help=function.__doc__,
        short_help=command.summary,
        rich_help_panel=command.panel,
        context_settings=settings,
    )(function)


def _placeholder() -> None:
    """Stand for a command that was not asked for."""


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take --debug out of the line, wherever it stands before a `--`."""
    end = words.index("--") if "--" in words else len(words)
    debug = _DEBUG in words[:end]
    kept = [word for word in words[:end] if word != _DEBUG] + words[end:]
    return kept, debug


def _find_command(words: list[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _report(message: str, error: BaseException, code: int, *, debug: bool) -> int:
    if debug:
        from syncline.cli.logs import mask_value  # slow to import, and needed for this alone

        print(mask_value("".join(traceback.format_exception(error))), file=sys.stderr)  # noqa: T201 - as below
    with contextlib.suppress(BrokenPipeError):
        print(f"syncline: {message}", file=sys.stderr)  # noqa: T201 - the one place that speaks for errors
    return code


def _close_output() -> int:
    """Leave quietly when whoever read our output has gone (`syncline status | head`)."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return exit_codes.SUCCESS
