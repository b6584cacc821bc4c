"""An HTTP server that keeps a strict sliding window by its own clock, and counts what it let through."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class LimitedServer:
    limit: int
    window: float
    #: Whether answers carry headers with the limit.
    tells: bool = False
    latency: float = 0.0
    port: int = 0
    #: Arrival times of calls let through, and of calls refused.
    passed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)
    _handlers: set[asyncio.Task] = field(default_factory=set)

    def use(self, calls: int = 1) -> None:
        """Let somebody else use up a part of the window."""
        self._recent.extend([time.monotonic()] * calls)

    def judge(self) -> tuple[bool, int]:
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - self.window:
            self._recent.popleft()
        if len(self._recent) >= self.limit:
            self.refused.append(now)
            return False, 0
        self._recent.append(now)
        self.passed.append(now)
        return True, self.limit - len(self._recent)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                ok, remaining = self.judge()
                if self.latency:
                    await asyncio.sleep(self.latency)
                head = b"HTTP/1.1 200 OK\r\n" if ok else b"HTTP/1.1 429 Too Many Requests\r\n"
                if self.tells:
                    told = f"x-max: {self.limit}\r\nx-remaining: {remaining}\r\n"
                    head += f"{told}x-window-ms: {int(self.window * 1000)}\r\n".encode()
                writer.write(head + b"content-length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._handlers.discard(task)

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[LimitedServer]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._handlers):
                task.cancel()
            await asyncio.gather(*self._handlers, return_exceptions=True)

    def most_in_a_window(self) -> int:
        """The largest number let through within any window, which cannot exceed the limit."""
        worst, start = 0, 0
        for end, at in enumerate(self.passed):
            while self.passed[start] <= at - self.window:
                start += 1
            worst = max(worst, end - start + 1)
        return worst


class Client:
    """One keep-alive connection; the least that speaks HTTP, so that the limit is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int) -> AsyncGenerator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def get(self) -> tuple[int, dict[str, str]]:
        self._writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        await self._reader.readexactly(2)
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers
