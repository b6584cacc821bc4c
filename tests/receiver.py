"""A place that webhooks are sent to: a small HTTP server that keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from syncline.connectors.webhooks import Delivery


class Receiver:
    """Takes deliveries on one address and answers each as told, with 200 where nothing was said."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.url = ""
        self.deliveries: list[Delivery] = []
        self.events: list[dict[str, Any]] = []
        #: Statuses of the next answers; 0 hangs up. After them `always`.
        self.next: list[int] = []
        self.always = 200
        self.extra_headers = ""
        self.at_once = 0
        self.most_at_once = 0
        #: Answers wait for so many requests to be under way, for the first that are.
        self.hold_until = 0
        self._released = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._now_ms = now_ms

    def release(self) -> None:
        """Let go what is held, and hold nothing more."""
        self.hold_until = 0
        self._released.set()

    async def wait_for(self, count: int) -> None:
        """Wait until so many deliveries have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.deliveries) >= count)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (status := await self._take_one(reader)) > 0:
                writer.write(f"HTTP/1.1 {status} X\r\n{self.extra_headers}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _take_one(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.most_at_once >= self.hold_until:
                self._released.set()
            await self._released.wait()
            # What others that were let go begin meanwhile is counted before this one ends.
            await asyncio.sleep(0)
            self.deliveries.append(
                Delivery(method, f"http://{headers['host']}{path}", headers, body, self._now_ms())
            )
            async with self._arrived:
                self._arrived.notify_all()
            status = self.next.pop(0) if self.next else self.always
            found = json.loads(body)
            if 200 <= status < 300:
                self.events += found if isinstance(found, list) else [found]
            return status
        finally:
            self.at_once -= 1


@asynccontextmanager
async def receiving(now_ms: Callable[[], int]) -> AsyncGenerator[Receiver]:
    """Run a receiver inside the running loop."""
    receiver = Receiver(now_ms)
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks?from=a%3Ab"
    try:
        yield receiver
    finally:
        server.close()
