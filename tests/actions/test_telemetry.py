"""Spans as a collector receives them: of runs, calls and requests, and nothing in them that is anybody's."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from syncline.actions.api_keys import make_key
from syncline.actions.connect import Connected
from syncline.actions.hub import Hub
from syncline.actions.sync import sync
from syncline.api.app import make_app
from syncline.config import Settings
from syncline.connectors.transport import Request, Response, Token
from syncline.domain.callers import Caller
from syncline.engine.calls import Calls
from syncline.engine.quota import Governor
from syncline.engine.telemetry import endpoint_of, is_tracing, span, tracing
from syncline.errors import NotFound, SettingInvalid

pytestmark = pytest.mark.anyio

Connect = Callable[..., Awaitable[Connected]]


class Collector:
    """Takes spans by OTLP over HTTP on one address."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.raw = b""
        self.spans: list[Span] = []
        self.services: set[str] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.paths.append(head[0].split(" ")[1])
                self._read(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _read(self, body: bytes) -> None:
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> list[Span]:
        return [each for each in self.spans if each.name == name]


def told(each: Span) -> dict[str, Any]:
    return {
        one.key: one.value.string_value if one.value.HasField("string_value") else one.value.int_value
        for one in each.attributes
    }


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def collector() -> AsyncGenerator[Collector]:
    made = Collector()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
def traced(settings: Settings, collector: Collector) -> Settings:
    return settings.model_copy(update={"otlp_endpoint": collector.url})


async def test_a_sync_is_told_as_runs_with_the_calls_they_made(
    hub: Hub, connect: Connect, collector: Collector, traced: Settings
) -> None:
    await connect()
    async with tracing(traced):
        await sync(hub)
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.services == {"syncline"}
    runs = {each.span_id: told(each) for each in collector.named("run")}
    assert {"contacts", "companies", "deals", "owners"} <= {each["syncline.object"] for each in runs.values()}
    assert {each["syncline.connection"] for each in runs.values()} == {"acme"}
    calls = [each for each in collector.spans if each.kind == Span.SPAN_KIND_CLIENT]
    assert [each for each in calls if each.parent_span_id in runs]
    for each in calls:
        known = told(each)
        assert known["http.response.status_code"] in range(200, 300)
        assert each.name == f"{known['http.request.method']} {known['url.template']}"
        assert set(known) == {"http.request.method", "url.template", "http.response.status_code"}
    assert "/crm/objects/2026-03/{object}" in {told(each)["url.template"] for each in calls}
    texts = [text for each in collector.spans for text in (each.name, *map(str, told(each).values()))]
    assert not [text for text in texts if "@" in text or "?" in text]


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def call(hub: Hub, traced: Settings, headers: dict[str, str]) -> None:
    """Make one request whose caller names a span of theirs."""

    async def nothing() -> list[Any]:
        return []

    async with tracing(traced):
        transport = httpx2.ASGITransport(app=make_app(nothing, hub=hub))
        async with httpx2.AsyncClient(transport=transport, base_url="http://syncline.example") as client:
            await client.get(
                "/api/v1/contacts/00000000-0000-7000-8000-00000000c0de?q=ada@example.com",
                headers={"traceparent": f"00-{TRACE}-{PARENT}-01", **headers},
            )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer secret-of-somebody"},
        {"cookie": "syncline=secret-of-somebody"},
    ],
)
async def test_whoever_is_not_known_begins_a_trace_of_its_own(
    hub: Hub, collector: Collector, traced: Settings, headers: dict[str, str]
) -> None:
    await call(hub, traced, headers)
    [found] = collector.spans
    assert told(found)["http.response.status_code"] == 401
    assert found.trace_id.hex() != TRACE
    assert not found.parent_span_id
    assert not found.links
    assert b"secret-of" not in collector.raw


async def test_a_request_is_told_by_its_route_within_the_span_of_its_caller(
    hub: Hub, collector: Collector, traced: Settings
) -> None:
    ada = Caller(hub.tenant_id, "admin", "ada@example.com", "cli", is_operator=True)
    key = await make_key(hub, ada, "theirs", None, "manager", None)
    await call(hub, traced, {"authorization": f"Bearer {key.token}"})
    [found] = collector.spans
    assert found.name == "GET /api/v1/contacts/{record_id}"
    assert found.kind == Span.SPAN_KIND_SERVER
    assert told(found) == {
        "http.request.method": "GET",
        "http.route": "/api/v1/contacts/{record_id}",
        "http.response.status_code": 404,
    }
    assert (found.trace_id.hex(), found.parent_span_id.hex()) == (TRACE, PARENT)
    for secret in (b"ada@", key.token.encode(), b"c0de"):
        assert secret not in collector.raw


async def test_of_a_failure_the_kind_is_told_and_not_the_text(collector: Collector, traced: Settings) -> None:
    async with tracing(traced):
        with pytest.raises(NotFound), span("work"):
            raise NotFound("ada@example.com is not here")
    [found] = collector.spans
    assert told(found) == {"error.type": "NotFound"}
    assert found.status.code == found.status.STATUS_CODE_ERROR
    assert not found.events
    assert b"ada@" not in collector.raw


async def test_a_collector_that_is_away_stops_nothing(settings: Settings) -> None:
    async with tracing(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"})):
        with span("work"):
            pass
    assert not is_tracing()


async def test_without_a_collector_nothing_is_made(settings: Settings) -> None:
    async with tracing(settings):
        assert not is_tracing()
        with span("work") as nothing:
            nothing.note("a", 1)
            nothing.call("b")
            nothing.fail("c")


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
async def test_the_variables_of_opentelemetry_are_heeded(
    settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = "/v1/traces" if "TRACES" in name else ""
    monkeypatch.setenv(name, collector.url + path)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "hub")
    async with tracing(settings):
        with span("work"):
            pass
    assert (collector.services, collector.paths) == ({"hub"}, ["/v1/traces"])
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert endpoint_of(settings) is None


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        each for each in sys.modules if each.startswith(("opentelemetry.exporter", "opentelemetry.sdk"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        monkeypatch.setitem(sys.modules, name, None)
    importlib.invalidate_caches()


@pytest.mark.usefixtures("_not_installed")
async def test_without_the_extra_the_setting_is_refused_in_words(settings: Settings) -> None:
    with pytest.raises(SettingInvalid, match=r"syncline\[opentelemetry\]"):
        async with tracing(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"})):
            pass


class Answering:
    """A CRM that answers everything with nothing."""

    async def send(self, request: Request, token: Token | None) -> Response:
        del request, token
        return Response(200, {}, b"{}")


async def test_of_a_path_nothing_is_told_but_what_the_connector_says_of_it(
    hub: Hub, collector: Collector, traced: Settings
) -> None:
    async with Governor(hub.db, platform="test", account_id="a", quotas=()) as governor, tracing(traced):
        calls = Calls(Answering(), governor, None)
        await calls.send(Request("GET", "/contacts/jane-doe/acme"))
        await calls.send(Request("GET", "/contacts/jane-doe", template="/contacts/{}"))
    assert [each.name for each in collector.spans] == ["GET {}", "GET /contacts/{}"]
    assert b"jane-doe" not in collector.raw
