"""The end of a consent: one code, with the right state, and nothing else."""

from __future__ import annotations

import asyncio
import socket

import pytest

from syncline.cli.callback import PATH, open_callback
from syncline.errors import Invalid

pytestmark = pytest.mark.anyio


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def visit(port: int, target: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_the_code_arrives():
    port = free_port()
    async with open_callback(port) as callback:
        callback.expect("right")
        answer = await visit(port, f"{PATH}?code=abc-123&state=right")
        assert answer.startswith("HTTP/1.1 200 ")
        assert await callback.wait() == "abc-123"


async def test_a_wrong_state_is_refused_and_the_right_one_still_welcome():
    port = free_port()
    async with open_callback(port) as callback:
        callback.expect("right")
        assert "400" in await visit(port, f"{PATH}?code=evil&state=wrong")
        assert "400" in await visit(port, f"{PATH}?code=evil")
        assert "404" in await visit(port, "/favicon.ico")
        await visit(port, f"{PATH}?code=good&state=right")
        assert await callback.wait() == "good"


async def test_a_refusal_is_told():
    port = free_port()
    async with open_callback(port) as callback:
        callback.expect("right")
        await visit(port, f"{PATH}?error=access_denied&state=right")
        with pytest.raises(Invalid, match="not granted"):
            await callback.wait()


async def test_nonsense_on_the_port_does_no_harm():
    port = free_port()
    async with open_callback(port) as callback:
        callback.expect("right")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 nonsense\r\n")
        await reader.read()
        writer.close()
        await visit(port, f"{PATH}?code=good&state=right")
        assert await callback.wait() == "good"


async def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Invalid, match="--redirect-port"):
            async with open_callback(taken.getsockname()[1]):
                pass
