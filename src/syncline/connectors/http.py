"""One HTTP attempt against a CRM: connections, time limits, compression, and failures by name.

Knows nothing of quotas, retries or token refreshing (the engine's), nor of any platform's bodies:
what a status and a header mean is told by the functions a platform gives.
"""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from syncline.connectors.base import bearer
from syncline.connectors.transport import QuotaFacts, Request, Response, Token
from syncline.errors import SettingInvalid, SynclineError, TokenRejected, Unavailable

if TYPE_CHECKING:
    import httpcore2

_encode = msgspec.json.Encoder().encode
#: How long one attempt may take, from the first byte sent to the last received.
ATTEMPT_SECONDS = 150.0
_TIMEOUT: dict[str, Any] = {"timeout": {"connect": 10.0, "read": 120.0, "write": 30.0, "pool": 120.0}}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Http:
    """The HTTP connections of one CRM connection. Safe to use from many tasks of one event loop.

    Sends exactly once: no retry, no redirect to another host, no cookies. Messages of its errors name
    the host and the kind of failure, never a query, a header or a body.
    """

    def __init__(
        self,
        base_url: str,
        explain_failure: Callable[[int, Mapping[str, str], bytes], SynclineError],
        read_quota: Callable[[Mapping[str, str]], QuotaFacts],
        *,
        authorize: Callable[[Token], tuple[str, str]] = bearer,
        connections: int = 20,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        parts = _split(base_url)
        self.host = parts.hostname or ""
        self._scheme = parts.scheme.encode()
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")
        self._attempt_seconds = attempt_seconds
        self._explain_failure = explain_failure
        self._read_quota = read_quota
        self._authorize = authorize
        self._pool = _open_pool(parts, connections)
        netloc = parts.netloc.rpartition("@")[2]
        self._headers = [
            (b"host", netloc.encode()),
            (b"user-agent", b"syncline"),
            (b"accept", b"application/json"),
            (b"accept-encoding", b"gzip"),
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def send(self, request: Request, token: Token | None) -> Response:
        """Send once and return an answer below 300 whose body is complete and, if any, JSON.

        Raises what the platform's `explain_failure` makes of other statuses, `Unavailable` for
        everything that went wrong on the way, `SettingInvalid` for a redirect to another place.
        """
        headers = self._headers.copy()
        if request.authorized:
            name, value = self._authorize(_checked(token))
            headers.append((name.encode(), value.encode()))
        elif request.basic is not None:
            headers.append((b"authorization", b"Basic " + b64encode(":".join(request.basic).encode())))
        content = _content(request, headers)
        target = self._prefix + request.path
        if request.query:
            target = f"{target}?{urlencode(request.query, safe=',', quote_via=quote)}"
        origin = self._other_origin(request)
        if origin is not None:
            headers[0] = (b"host", origin.netloc.encode())
            target = target.removeprefix(self._prefix)
        answer = await self._attempt(request.method, target, headers, content, origin)
        location = _header(answer, b"location")
        if answer.status in _REDIRECTS and request.method == "GET" and location is not None:
            answer = await self._attempt("GET", self._same_host(location), headers, None)
        return self._judge(answer)

    async def _attempt(
        self,
        method: str,
        target: str,
        headers: list[tuple[bytes, bytes]],
        content: bytes | None,
        origin: SplitResult | None = None,
    ) -> httpcore2.Response:
        import httpcore2  # slow to import, and most commands call no CRM

        url = httpcore2.URL(scheme=self._scheme, host=self.host, port=self._port, target=target)
        if origin is not None:
            url = httpcore2.URL(scheme=origin.scheme, host=origin.hostname or "", port=None, target=target)
        try:
            async with asyncio.timeout(self._attempt_seconds):
                return await self._pool.request(
                    method, url, headers=headers, content=content, extensions=_TIMEOUT
                )
        except (httpcore2.TimeoutException, TimeoutError) as error:
            unsent = isinstance(error, httpcore2.ConnectTimeout | httpcore2.PoolTimeout)
            raise Unavailable(f"{self.host} did not answer in time.", unsent=unsent) from error
        except (httpcore2.ConnectError, httpcore2.ProxyError) as error:
            reason = str(error) or "no connection"
            raise Unavailable(f"{self.host} cannot be reached: {reason}.", unsent=True) from error
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            raise Unavailable(f"{self.host} broke off the connection in the middle of an answer.") from error

    def _other_origin(self, request: Request) -> SplitResult | None:
        """Return where else a call goes; None where the connection's own host answers it."""
        if request.origin is None or request.authorized:
            return None
        parts = urlsplit(request.origin)
        own, other = self.host.split("."), (parts.hostname or "").split(".")
        return parts if len(own) > 2 and own[-2:] == other[-2:] else None

    def _same_host(self, location: str) -> str:
        parts = urlsplit(location)
        if parts.netloc and (parts.hostname, parts.port, parts.scheme) != (
            self.host,
            self._port,
            self._scheme.decode(),
        ):
            raise SettingInvalid(
                f"{self.host} redirects to another host, {parts.hostname}. Check the connection's base URL."
            )
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def _judge(self, answer: httpcore2.Response) -> Response:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        body = answer.content
        if headers.get("content-encoding") == "gzip" and body:
            try:
                body = zlib.decompress(body, wbits=31)
            except zlib.error as error:
                raise Unavailable(f"{self.host} sent an answer that cannot be unpacked.") from error
        if answer.status in _REDIRECTS:
            raise SettingInvalid(f"{self.host} answers with a redirect. Check the connection's base URL.")
        if not 200 <= answer.status < 300:
            raise self._explain_failure(answer.status, headers, body)
        # Cut off without a length, or a page of some gateway: seen here, where it is still retried.
        if body and not _looks_like_json(body):
            raise Unavailable(f"{self.host} sent an answer that is no JSON, or only a part of one.")
        return Response(answer.status, headers, body, self._read_quota(headers))


def _split(base_url: str) -> SplitResult:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingInvalid("The base URL must look like https://api.example.com.")
    if parts.username or parts.password:
        raise SettingInvalid("The base URL must not contain a user name or password.")
    return parts


def _open_pool(parts: SplitResult, connections: int) -> httpcore2.AsyncConnectionPool:
    from urllib.request import getproxies, proxy_bypass  # slow to import, as is the next

    import httpcore2

    host = parts.hostname or ""
    # No proxy reaches this machine's own services, whatever the environment says or forgets.
    direct = host in _LOOPBACK or proxy_bypass(host)
    proxy_url = None if direct else getproxies().get(parts.scheme)
    return httpcore2.AsyncConnectionPool(
        # Made once: else every connection reads the machine's certificates anew.
        ssl_context=httpcore2.default_ssl_context() if parts.scheme == "https" else None,
        proxy=httpcore2.Proxy(proxy_url) if proxy_url else None,
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=30.0,
    )


def _checked(token: Token | None) -> Token:
    if token is None:
        raise TokenRejected("This connection has no token. Connect again with one.")
    value = token.access_token
    # A stray newline would otherwise be quoted, with the token, in a library's error message.
    if not value.isascii() or not value.isprintable() or " " in value or not value:
        raise TokenRejected(
            "The token is empty or contains characters no token has. Check how it was copied."
        )
    return token


def _content(request: Request, headers: list[tuple[bytes, bytes]]) -> bytes | None:
    if request.json is not None:
        headers.append((b"content-type", b"application/json"))
        return _encode(request.json)
    if request.form is not None:
        headers.append((b"content-type", b"application/x-www-form-urlencoded"))
        return urlencode(request.form).encode()
    return b"" if request.method in ("POST", "PUT", "PATCH") else None


def _header(answer: httpcore2.Response, name: bytes) -> str | None:
    for key, value in answer.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return None


def _looks_like_json(body: bytes) -> bool:
    return body[:64].lstrip()[:1] in (b"{", b"[") and body[-64:].rstrip()[-1:] in (b"}", b"]")
