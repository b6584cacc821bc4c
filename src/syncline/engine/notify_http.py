"""Posts to addresses that people gave: once, to nobody inside our own network, and reads only the status.

The name is resolved once, what it means is checked, and that very address is called: a name that means
something else a moment later leads nowhere. Knows nothing of what is sent, nor of trying again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from syncline.errors import Invalid

_SECONDS = 15.0
_TIMEOUT: dict[str, Any] = {"timeout": {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 15.0}}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
#: IPv4 within IPv6, which Python takes for global: what a gateway translates (RFC 6052), and the form that
#: RFC 4291 gave up.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
_LONGEST_URL = 2000


@dataclass(frozen=True, slots=True)
class Posted:
    """How a post went. `error` is set unless the other side took it (2xx)."""

    status: int | None
    ms: int
    error: str | None


class Blocked(Exception):
    """An address that is not to be called. Its text is a sentence without the address."""


def check_url(url: str, *, private: bool) -> None:
    """Raise `Invalid` for what cannot be posted to. Whom a name means is looked at when it is called.

    `private` lets this machine be posted to, also without TLS.
    """
    told = "It has to be an https address, such as https://hooks.example.com/syncline."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid(told, fields={"url": told}) from None
    host = parts.hostname or ""
    is_here = host in _LOOPBACK
    allowed = private and parts.scheme in ("http", "https") if is_here else parts.scheme == "https"
    if not allowed or not host or port == 0 or parts.username or parts.password or parts.fragment:
        raise Invalid(told, fields={"url": told})
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(told, fields={"url": told})


class Poster:
    """Posts for any number of tasks of one event loop. Use with `async with`."""

    def __init__(self, *, private: bool) -> None:
        proxies = getproxies()
        backend = _Checked(private=private)
        self._direct = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=20,
            max_keepalive_connections=10,
            keepalive_expiry=20.0,
            network_backend=backend,
        )
        proxy = proxies.get("https")
        # Behind a proxy it is the proxy that resolves names, and that knows what may be reached.
        self._proxied = None if proxy is None else httpcore2.AsyncConnectionPool(proxy=httpcore2.Proxy(proxy))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._direct.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post once. Follows no redirect. Whatever goes wrong is in the answer, in words without values."""
        began_at = time.monotonic()
        status: int | None = None
        try:
            async with asyncio.timeout(_SECONDS):
                status = await self._send(url, body, headers)
            error = None if 200 <= status < 300 else f"The answer was {status}."
        except Blocked as blocked:
            error = str(blocked)
        except (httpcore2.TimeoutException, TimeoutError):
            error = "There was no answer in time."
        except (httpcore2.ConnectError, httpcore2.ProxyError, OSError):
            error = "It cannot be reached."
        except (httpcore2.NetworkError, httpcore2.ProtocolError):
            error = "The connection was broken off, or spoke no HTTP."
        return Posted(status, round((time.monotonic() - began_at) * 1000), error)

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        host = urlsplit(url).hostname or ""
        direct = self._proxied is None or host in _LOOPBACK or bool(proxy_bypass(host))
        pool = self._direct if direct or self._proxied is None else self._proxied
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        sent += [(b"host", urlsplit(url).netloc.encode()), (b"user-agent", b"syncline")]
        async with pool.stream("POST", url, headers=sent, content=body, extensions=_TIMEOUT) as answer:
            return answer.status


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that may be called, by the address and not by the name."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        # Typed as what it is where anyio is installed, which our dependency on it sees to.
        self._backend = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore2.ConnectError("The name is not known.") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not addresses or not all(self._may_call(each, host) for each in addresses):
            raise Blocked(
                "The address belongs to a private network, or to this machine. Whoever runs this "
                "installation can allow that: SYNCLINE_WEBHOOKS_TO_PRIVATE_ADDRESSES."
            )
        refused: Exception | None = None
        for address in addresses[:4]:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                refused = error
        raise refused or httpcore2.ConnectError("There is no address.")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        del path, timeout, socket_options
        raise Blocked("Files are not posted to.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _may_call(self, address: str, host: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address):
            inner = found.ipv4_mapped or found.sixtofour
            found = inner or found
        if found.is_loopback:
            # Only where it was asked for by its own name, and not by a name that was made to mean it.
            return self._private and host in _LOOPBACK
        if isinstance(found, ipaddress.IPv6Address) and (
            found.is_site_local or any(found in each for each in _TRANSLATED)
        ):
            return False
        if found.is_multicast or found.is_unspecified or found.is_link_local:
            return False  # among them the metadata services of clouds
        return found.is_global or (self._private and found.is_private)
