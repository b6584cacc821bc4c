"""What those ask who watch over processes: does it live, can it work."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from syncline.actions.hub import Hub, open_hub
from syncline.actions.readiness import Unready, list_unready
from syncline.api.app import make_app
from syncline.config import Settings
from syncline.domain.sealing import new_key
from syncline.errors import Invalid
from syncline.web.server import serve

pytestmark = pytest.mark.anyio


async def ask(unready: list[Unready], path: str) -> tuple[int, dict[str, str], bytes]:
    """Call the application as a server does."""

    async def look() -> list[Unready]:
        return unready

    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": [], "root_path": "", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await make_app(look)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


async def test_a_process_that_lives_says_so_whatever_it_can_do():
    status, _, body = await ask([Unready("database", "Gone.")], "/healthz")
    assert (status, body) == (200, b"ok\n")


async def test_an_installation_that_can_work_is_ready():
    status, _, _ = await ask([], "/readyz")
    assert status == 200


async def test_one_that_cannot_gives_its_reasons():
    reasons = [Unready("schema", "Run `syncline migrate`."), Unready("worker", "There is none.")]
    status, headers, body = await ask(reasons, "/readyz")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    problem = json.loads(body)
    assert problem["status"] == 503
    assert [each["code"] for each in problem["reasons"]] == ["schema", "worker"]
    assert "syncline migrate" in problem["detail"]


@pytest.fixture
async def hub(settings: Settings) -> AsyncGenerator[Hub]:
    keyed = settings.model_copy(update={"secret_key": SecretStr(new_key())})
    async with open_hub(keyed, application_name="test") as opened:
        yield opened


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


@asynccontextmanager
async def serving(hub: Hub, port: int) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(serve(hub, host="127.0.0.1", port=port))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_one_process_serves_http_and_the_queue(hub: Hub):
    port = free_port()
    async with serving(hub, port) as task, asyncio.timeout(30):
        while True:
            try:
                if b"200 OK" in await get(port, "/readyz"):
                    break
            except OSError:
                assert not task.done()
            await asyncio.sleep(0.05)
        assert b"200 OK" in await get(port, "/healthz")
    assert await list_unready(hub)


async def test_a_port_that_is_taken_is_told(hub: Hub):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Invalid, match="--port"):
            await serve(hub, host="127.0.0.1", port=taken.getsockname()[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
