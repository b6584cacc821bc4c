"""How log lines look and where they go: set up once per process, on standard error.

Text for a person at a terminal, JSON for everything else. No secret passes, at no level: names that mean
secrets are masked, tokens are recognised by their shape, and libraries that print requests stay silent.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import Processor

from syncline.config import LogFormat, LogLevel

_SECRET_NAME = re.compile(r"token|secret|password|authorization|credential|api_?key|cookie", re.IGNORECASE)
#: A bearer token, a URL's password, a key of ours, an API key, a link: whoever wrote them into a text.
_SECRET_TEXT = re.compile(
    r"(?i:bearer\s+)\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)|\bpat-[\w-]{8,}|[A-Za-z0-9_-]{43}=|\bgAAAA[\w=-]{20,}"
    r"|\bsyncline_[\w-]{22}_[\w-]{43}|(?<=/password/)[\w-]{43}|(?<=/invitation/)[\w-]{66}"
)
_MASK = "***"
#: They print headers and statements when asked for detail; their warnings are wanted, their detail is not.
_DISCREET = ("httpcore2", "httpx2", "psycopg", "psycopg.pool", "alembic", "sqlalchemy", "asyncio", "pgqueuer")


def configure_logs(
    *, level: LogLevel = "info", log_format: LogFormat = "auto", stream: TextIO | None = None
) -> None:
    """Set up logging for the process. Calling it again replaces what was set up."""
    out = stream or sys.stderr
    as_text = log_format == "text" or (log_format == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(shared, as_text=as_text, colors=as_text and out.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in _DISCREET:
        logging.getLogger(name).setLevel(max(logging.WARNING, number))


def _formatter(
    shared: list[Processor], *, as_text: bool, colors: bool
) -> structlog.stdlib.ProcessorFormatter:
    renderer: Processor
    if as_text:
        renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    # Tracebacks become text before secrets are masked, not in the renderer.
    finish: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), mask_secrets],
        processors=[*finish, mask_secrets, renderer],
    )


def mask_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets in a log event: by the name they go under, and by how they look."""
    del logger, method
    for name, value in event.items():
        event[name] = _MASK if _SECRET_NAME.search(name) and value is not None else mask_value(value)
    return event


def mask_value(value: Any) -> Any:
    """Return a value with every secret in it masked, whatever holds it."""
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_mask_match, value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {k: _MASK if _SECRET_NAME.search(str(k)) else mask_value(v) for k, v in items}
    if isinstance(value, list | tuple):
        return [mask_value(each) for each in cast("list[Any]", value)]
    return value


def _mask_match(match: re.Match[str]) -> str:
    text = match.group()
    return f"{text.split()[0]} {_MASK}" if text.lower().startswith("bearer") else _MASK
