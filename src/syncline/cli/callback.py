"""The end of an OAuth consent on this machine: waits for the browser to bring the code."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from syncline.errors import Invalid, Unavailable

PATH = "/oauth/callback"
_HEADERS = "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close"
_PATIENCE_SECONDS = 600.0
_REQUEST_SECONDS = 10.0
_LONGEST_REQUEST = 16_384


class Callback:
    """A small server on 127.0.0.1 that takes one redirect."""

    def __init__(self, port: int) -> None:
        self.redirect_uri = f"http://localhost:{port}{PATH}"
        self._state = ""
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def expect(self, state: str) -> None:
        """Accept no code that does not come with this state."""
        self._state = state

    async def wait(self) -> str:
        """Return the code. Raises `Invalid` when consent was refused, `Unavailable` when nobody came."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._code
        except TimeoutError as error:
            raise Unavailable("Nobody granted access within ten minutes. Run the command again.") from error

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a browser."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                line = await reader.readuntil(b"\r\n")
            status, text = self._take(line.decode("latin-1"))
            body = text.encode()
            writer.write(_HEADERS.format(status, len(body)).encode() + b"\r\n\r\n" + body)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a browser that asks for something else, or goes away, is no matter of ours
        finally:
            writer.close()

    def _take(self, line: str) -> tuple[str, str]:
        parts = urlsplit(line.split(" ")[1] if line.count(" ") >= 2 else "")
        if parts.path != PATH or self._code.done():
            return "404 Not Found", "There is nothing here."
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not self._state or not hmac.compare_digest(query.get("state", ""), self._state):
            return "400 Bad Request", "This answer does not belong to the question Syncline asked."
        if "code" not in query:
            self._code.set_exception(
                Invalid("Access was not granted. Run the command again to be asked anew.")
            )
            return "200 OK", "Access was not granted. You may close this window."
        self._code.set_result(query["code"])
        return "200 OK", "Access was granted. You may close this window and go back to the terminal."


@asynccontextmanager
async def open_callback(port: int) -> AsyncGenerator[Callback]:
    """Listen on 127.0.0.1 for the length of the block. Raises `Invalid` for a port that is taken."""
    callback = Callback(port)
    try:
        server = await asyncio.start_server(callback.answer, "127.0.0.1", port, limit=_LONGEST_REQUEST)
    except OSError as error:
        raise Invalid(
            f"Port {port} cannot be listened on ({error.strerror}). Choose another with --redirect-port, and "
            "enter its address in the app's settings at the CRM."
        ) from error
    async with server:
        yield callback
