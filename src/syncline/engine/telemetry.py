"""Spans by OpenTelemetry, where a collector is configured; without one nothing is made and nothing imported.

Told are names that people gave and templates of addresses: never a query, a body, an id, or an error's text.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

from syncline.config import Settings
from syncline.errors import SettingInvalid

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

P = ParamSpec("P")
T = TypeVar("T")
#: Whose span it is: of somebody who called us, of our call to somebody, or of work of our own.
Kind = Literal["server", "client", "internal"]
Attribute = str | int

#: The variables by which OpenTelemetry's own programs are told where to send.
_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: How long the end of a program waits for its last spans to be taken.
_FLUSH_MS = 3000

_tracer: Tracer | None = None


def endpoint_of(settings: Settings) -> str | None:
    """Return where spans go, as the settings or OpenTelemetry's variables say; None for nowhere."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if settings.otlp_endpoint is not None:
        return f"{settings.otlp_endpoint}/v1/traces"
    return next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)


def is_tracing() -> bool:
    return _tracer is not None


@asynccontextmanager
async def tracing(settings: Settings) -> AsyncGenerator[None]:
    """Send spans for the length of the block where that is configured.

    One block at a time in a process. A collector that is away stops nothing; its spans are lost.
    Raises `SettingInvalid` when it is configured and the extra is not installed.
    """
    global _tracer  # noqa: PLW0603 - what a span belongs to is the process's
    if endpoint_of(settings) is None:
        yield
        return
    provider = _provide(settings)
    _tracer = provider.get_tracer("syncline", importlib.metadata.version("syncline"))
    try:
        yield
    finally:
        _tracer = None
        await asyncio.to_thread(_end, provider)


def _provide(settings: Settings) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingInvalid(
            "Spans are to be sent by OpenTelemetry, which is not installed. "
            "Install it with `pip install 'syncline[opentelemetry]'`, or unset SYNCLINE_OTLP_ENDPOINT and "
            "OTEL_EXPORTER_OTLP_ENDPOINT."
        ) from error
    # Without an argument the exporter reads OpenTelemetry's variables by their own rules.
    ours = None if settings.otlp_endpoint is None else endpoint_of(settings)
    name = os.environ.get("OTEL_SERVICE_NAME", "syncline")
    version = importlib.metadata.version("syncline")
    resource = Resource.create({"service.name": name, "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=ours)))
    return provider


def _end(provider: TracerProvider) -> None:
    provider.force_flush(_FLUSH_MS)
    provider.shutdown()


class Span:
    """What is told of a piece of work while it goes on; of nothing where nobody listens."""

    def note(self, name: str, value: Attribute) -> None: ...

    def call(self, name: str) -> None: ...

    def fail(self, kind: str) -> None: ...


class _Told(Span):
    def __init__(self, span: object) -> None:
        from opentelemetry.trace import Span as Real

        assert isinstance(span, Real)  # noqa: S101 - only made by `span`
        self._span = span

    def note(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def call(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


_NOTHING = Span()


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Attribute] | None = None,
    *,
    kind: Kind = "internal",
    carrier: Mapping[str, str] | None = None,
) -> Generator[Span]:
    """Tell of what is done within the block. `carrier` are headers that may name the span it belongs to."""
    tracer = _tracer
    if tracer is None:
        yield _NOTHING
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None if carrier is None else TraceContextTextMapPropagator().extract(carrier)
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as real:
        told = _Told(real)
        try:
            yield told
        except BaseException as error:
            told.fail(type(error).__name__)
            raise


def traced(
    name: str, tell: Callable[..., Mapping[str, Attribute]]
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Give each call of an async function a span; `tell` says of its arguments what may be known."""

    def wrap(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            if _tracer is None:
                return await function(*args, **kwargs)
            with span(name, tell(*args, **kwargs)):
                return await function(*args, **kwargs)

        return wrapped

    return wrap
