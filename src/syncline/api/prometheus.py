"""`/metrics` as Prometheus reads it, and the counts of HTTP requests that this process keeps for it.

Shown to whoever has SYNCLINE_METRICS_TOKEN; without one only to programs of this machine, where nothing
says that others reach it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.actions.gauges import Watch
from syncline.actions.hub import Hub
from syncline.api.problems import problem
from syncline.api.prometheus_families import families
from syncline.config import Settings
from syncline.domain.hosts import is_this_machine
from syncline.errors import RetryLater

_log = structlog.get_logger(__name__)

_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: What a proxy adds: whoever seems to call from here may then be anybody.
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Traffic:
    """What this process counts of requests, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "syncline_http_requests", "Requests answered.", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "syncline_http_request_duration_seconds",
            "From a request to the beginning of its answer.",
            ("method", "route"),
            buckets=_EDGES,
            registry=self.registry,
        )
        self._under_way = Gauge(
            "syncline_http_requests_in_progress", "Requests that are being answered.", registry=self.registry
        )
        self._cache = Counter(
            "syncline_cache_answers",
            "Reads answered with what was known (hit), or worked out (miss).",
            ("result",),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def note(self, scope: Scope, message: Message, seconds: float) -> None:
        """Count an answer that begins."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route_of(scope)
        self._requests.labels(method, route, str(message["status"])).inc()
        self._seconds.labels(method, route).observe(seconds)
        for name, value in message.get("headers", ()):
            if name == b"x-cache":
                self._cache.labels(value.decode("latin-1")).inc()

    def enter(self) -> None:
        self._under_way.inc()

    def leave(self) -> None:
        self._under_way.dec()


def route_of(scope: Scope) -> str:
    """Return the address as it is written in the program, with names where it has values."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str) and path:
        return path
    return "/static" if scope["path"].startswith("/static/") else "unmatched"


class Counting:
    """The middleware that counts, around all of the API's and the pages' routes."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        traffic, answered = self._traffic, False

        async def noted(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                traffic.note(scope, message, time.perf_counter() - began)
            await send(message)

        traffic.enter()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            if not answered:  # who answers it stands outside
                traffic.note(scope, {"status": 500}, time.perf_counter() - began)
            raise
        finally:
            traffic.leave()


class _Read(Collector):
    """What was read of the database for one answer."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def add_metrics(app: FastAPI, hub: Hub) -> None:
    """Serve `/metrics` and count requests from here on."""
    traffic, watch = Traffic(), Watch(hub)

    @app.get("/metrics", include_in_schema=False)
    async def scrape(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - registered by its decorator
        refusal = refuse(request, hub)
        if refusal is not None:
            return refusal
        read = CollectorRegistry()
        read.register(_Read(await _tell(watch)))
        body = generate_latest(read) + generate_latest(traffic.registry)
        return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    app.add_middleware(Counting, traffic=traffic)


async def _tell(watch: Watch) -> list[Metric]:
    """Return what the database tells, or that it does not; what takes too long is told from what is away."""
    is_up, is_slow, told = True, False, list[Metric]()
    try:
        told = families(await watch.read())
    except (RetryLater, TimeoutError) as error:
        _log.warning("metrics_unread", reason=type(error).__name__)
        is_up, is_slow = False, isinstance(error, TimeoutError)
    return [
        GaugeMetricFamily("syncline_up", "1 when the database could be asked.", int(is_up)),
        GaugeMetricFamily("syncline_read_timed_out", "1 when reading took too long.", int(is_slow)),
        *told,
    ]


def refuse(request: Request, hub: Hub) -> Response | None:
    """Return the refusal of whoever may not read the metrics of the installation; None for who may."""
    token = hub.settings.metrics_token
    if token is not None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = token.get_secret_value().encode()
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted):
            return None
        told = "Send `Authorization: Bearer` with the token that SYNCLINE_METRICS_TOKEN holds."
        return problem(401, told, {"www-authenticate": "Bearer"})
    if _is_public(hub.settings):
        told = "Others reach this installation, so /metrics wants a token: set SYNCLINE_METRICS_TOKEN."
        return problem(403, told)
    if _is_from_here(request):
        return None
    told = "Without SYNCLINE_METRICS_TOKEN, /metrics answers programs of its own machine only."
    return problem(403, told)


def _is_public(settings: Settings) -> bool:
    """Tell whether there may be a proxy: one that adds no header looks like a program of this machine."""
    public = settings.public_url
    if public is not None and not is_this_machine(urlsplit(public).hostname or ""):
        return True
    return settings.trusted_proxies is not None


def _is_from_here(request: Request) -> bool:
    """Tell whether a program of this machine calls, by its own name for it, and no proxy stands between.

    A page of another site that a browser here was led to calls by that site's name.
    """
    caller = request.client.host if request.client is not None else ""
    if any(name in request.headers for name in _OF_PROXIES):
        return False
    return is_this_machine(caller) and is_this_machine(request.url.hostname or "")
