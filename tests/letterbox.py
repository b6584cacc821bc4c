"""A mail server that keeps what it is sent."""

from __future__ import annotations

import asyncio
import logging
import re
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

NAME, PASSWORD = "syncline", "the server's own p@ssword"


@dataclass
class Letterbox:
    """What was sent, and where to."""

    port: int = 0
    #: Answered instead of taking the next letters.
    refusal: str | None = None
    letters: list[EmailMessage] = field(default_factory=list[EmailMessage])
    logins: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session
        if self.refusal is not None:
            return self.refusal
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        async with self._arrived:
            self._arrived.notify_all()
        return "250 OK"

    async def wait_for(self, count: int) -> None:
        """Wait until so many letters have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.letters) >= count)

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        # Not "handled": the server itself is to say no, at once.
        return AuthResult(success=given == (NAME, PASSWORD), handled=False)

    def links(self) -> list[str]:
        """Every link that was sent, in the order of the letters."""
        return [link for each in self.letters for link in re.findall(r"https?://\S+", each.get_content())]


@asynccontextmanager
async def open_letterbox(*, with_login: bool = False) -> AsyncGenerator[Letterbox]:
    box, loop = Letterbox(), asyncio.get_running_loop()
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the server's own, with every line it hears

    def answer() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a password goes over loopback without TLS
            return SMTP(
                box,
                hostname="mail.example.com",
                loop=loop,
                authenticator=box.authenticate if with_login else None,
                auth_required=with_login,
                auth_require_tls=False,
            )

    server = await loop.create_server(answer, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
