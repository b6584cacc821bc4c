"""Mail to people, by the SMTP server that the settings name. Knows nothing of what is in it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from syncline.config import Settings
from syncline.domain.hosts import is_this_machine
from syncline.errors import Unavailable

_log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 20.0
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent to one person, as plain text."""

    to: str
    subject: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    name: str | None
    password: str | None = field(repr=False)
    tls: bool

    @property
    def start_tls(self) -> bool | None:
        """Whether to turn to TLS: never twice, before a password leaves this machine, else if offered."""
        if self.tls:
            return False
        return True if self.password is not None and not is_this_machine(self.host) else None


def can_mail(settings: Settings) -> bool:
    """Tell whether mail can be sent at all."""
    return settings.smtp_url is not None and settings.mail_from is not None


async def send_mail(settings: Settings, letter: Letter) -> None:
    """Hand a letter to the server. Raises `Unavailable` when it does not take it, telling no secret."""
    if settings.smtp_url is None or settings.mail_from is None:
        raise Unavailable("No mail can be sent: SYNCLINE_SMTP_URL is not set.", unsent=True)
    server = _read(settings.smtp_url.get_secret_value())
    try:
        await aiosmtplib.send(
            _compose(settings.mail_from, letter),
            hostname=server.host,
            port=server.port,
            username=server.name,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.start_tls,
            timeout=_TIMEOUT_SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
        # The server's own words may repeat the address or the password.
        reason = type(error).__name__
        code = getattr(error, "code", None)
        _log.warning("mail_not_sent", reason=reason, code=code)
        raise Unavailable(
            f"The mail server did not take the message ({reason}). Check SYNCLINE_SMTP_URL, then try again."
        ) from None


def _compose(sender: str, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or None)
    # So that no holiday notice comes back.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


def _read(url: str) -> _Server:
    parts = urlsplit(url)
    return _Server(
        host=parts.hostname or "localhost",
        port=parts.port or _PORTS[parts.scheme],
        name=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        tls=parts.scheme == "smtps",
    )
