"""One attempt over a real socket: what comes back whole, and what is called by which error."""

import asyncio
import datetime as dt
import gzip
import ipaddress
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from syncline.connectors.http import Http
from syncline.connectors.hubspot.failures import explain_failure, read_quota
from syncline.connectors.transport import Request, Token
from syncline.errors import NotFound, RateLimited, SettingInvalid, TokenRejected, Unavailable

pytestmark = pytest.mark.anyio

TOKEN = Token("pat-na1-00000000-0000-0000-0000-00000000abcd")
Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def http_to(
    serve: Serve, path: str = "", tls: ssl.SSLContext | None = None, **options: float
) -> AsyncGenerator[Http]:
    """Serve requests with a function of (head and body received, writer)."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                await serve(head + body, writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if tls is None else "https"
    async with Http(f"{scheme}://127.0.0.1:{port}{path}", explain_failure, read_quota, **options) as http:  # type: ignore[arg-type]
        yield http
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def answer(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def always(raw: bytes, *, close: bool = False) -> Serve:
    async def serve(received: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if close:
            writer.close()

    return serve


GET = Request("GET", "/crm", {"properties": "email,phone"})


async def test_an_answer_comes_back_with_its_headers_and_quota():
    raw = answer(
        b'{"results":[]}', b"200 OK", b"X-HubSpot-RateLimit-Max: 190", b"X-HubSpot-RateLimit-Remaining: 7"
    )
    async with http_to(always(raw)) as http:
        response = await http.send(GET, TOKEN)
    assert (response.status, response.body) == (200, b'{"results":[]}')
    assert response.headers["x-hubspot-ratelimit-max"] == "190"
    assert (response.quota.limit, response.quota.remaining) == (190, 7)


async def test_requests_carry_token_query_and_body_and_reuse_their_connection():
    seen: list[bytes] = []
    peers: set[object] = set()

    async def serve(received: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(received)
        peers.add(writer.get_extra_info("peername"))
        writer.write(answer(b"{}"))

    async with http_to(serve, "/base/") as http:
        await http.send(GET, TOKEN)
        await http.send(Request("POST", "/search", json={"limit": 1}), TOKEN)
        await http.send(Request("POST", "/token", form={"a": "b c"}, authorized=False), None)
    assert seen[0].startswith(b"GET /base/crm?properties=email,phone HTTP/1.1\r\n")
    assert b"Bearer " + TOKEN.access_token.encode() in seen[0]
    assert seen[1].endswith(b'{"limit":1}')
    assert b"application/json" in seen[1]
    assert seen[2].endswith(b"a=b+c")
    assert b"uthorization" not in seen[2]
    assert len(peers) == 1


async def test_a_compressed_answer_is_unpacked():
    raw = answer(gzip.compress(b'{"a":1}'), b"200 OK", b"Content-Encoding: gzip")
    async with http_to(always(raw)) as http:
        assert (await http.send(GET, TOKEN)).body == b'{"a":1}'


async def test_an_answer_without_body_is_no_failure():
    async with http_to(always(b"HTTP/1.1 204 No Content\r\n\r\n")) as http:
        assert (await http.send(Request("POST", "/archive", json={}), TOKEN)).body == b""


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n'


@pytest.mark.parametrize(
    "raw",
    [
        answer(b'{"results":[]}')[:-4],
        CHUNKED,
        b'HTTP/1.1 200 OK\r\n\r\n{"results":[{"id":"1"},',
        answer(b"<html>welcome to the hotel</html>"),
        answer(b"not gzip", b"200 OK", b"Content-Encoding: gzip"),
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
async def test_an_answer_that_is_broken_or_no_json_is_asked_for_again(raw: bytes):
    async with http_to(always(raw, close=True)) as http:
        with pytest.raises(Unavailable) as caught:
            await http.send(GET, TOKEN)
    assert not caught.value.unsent


async def test_a_service_that_stays_silent_is_given_up():
    async def serve(received: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with http_to(serve, attempt_seconds=0.05) as http:
        with pytest.raises(Unavailable, match="in time"):
            await http.send(GET, TOKEN)


async def test_an_unreachable_host_is_named_and_nothing_was_sent():
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Http(f"http://127.0.0.1:{port}", explain_failure, read_quota) as http:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached") as caught:
            await http.send(GET, TOKEN)
    assert caught.value.unsent


async def test_a_redirect_to_another_host_is_refused_and_takes_no_token_there():
    raw = answer(b"", b"302 Found", b"Location: http://example.invalid/login?next=1")
    async with http_to(always(raw)) as http:
        with pytest.raises(SettingInvalid, match=r"example\.invalid"):
            await http.send(GET, TOKEN)


async def test_a_redirect_within_the_host_is_followed_once():
    async def serve(received: bytes, writer: asyncio.StreamWriter) -> None:
        moved = not received.startswith(b"GET /crm/?")
        location = b"Location: /crm/?properties=email"
        writer.write(answer(b"", b"301 Moved", location) if moved else answer(b'{"a":1}'))

    async with http_to(serve) as http:
        assert (await http.send(GET, TOKEN)).body == b'{"a":1}'
    async with http_to(always(answer(b"", b"301 Moved", b"Location: /again"))) as http:
        with pytest.raises(SettingInvalid):
            await http.send(GET, TOKEN)


async def test_other_statuses_become_what_the_platform_says_they_are():
    async with http_to(always(answer(b'{"policyName":"TEN_SECONDLY_ROLLING"}', b"429 Too Many"))) as http:
        with pytest.raises(RateLimited):
            await http.send(GET, TOKEN)
    async with http_to(always(answer(b'{"message":"resource not found"}', b"404 Not Found"))) as http:
        with pytest.raises(NotFound):
            await http.send(GET, TOKEN)


@pytest.mark.parametrize("text", ["pat-na1\n", "pat na1", "", "pät-na1"])
async def test_a_token_that_cannot_be_one_is_refused_without_being_repeated(text: str):
    async with http_to(always(answer(b"{}"))) as http:
        with pytest.raises(TokenRejected) as caught:
            await http.send(GET, Token(text))
    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_no_error_repeats_the_token_the_query_or_the_body():
    secret = Request("POST", "/search", {"email": "ann@example.com"}, json={"value": "ann@example.com"})
    for raw in (
        b"",
        answer(b'{"message":"bad"}', b"400 Bad"),
        answer(b"<html>", b"502 Bad"),
        b"HTTP/1.1 nonsense",
    ):
        async with http_to(always(raw, close=True)) as http:
            with pytest.raises(Exception) as caught:  # noqa: PT011 -- whichever it is
                await http.send(secret, TOKEN)
        chain = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert "ann@example" not in chain
        assert TOKEN.access_token not in chain


@pytest.mark.parametrize(
    "url", ["api.hubapi.com", "ftp://api.hubapi.com", "https://", "https://a:b@hubapi.com", "https://x/?a=1"]
)
def test_a_base_url_that_is_none_is_refused(url: str):
    with pytest.raises(SettingInvalid):
        Http(url, explain_failure, read_quota)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_https_needs_a_certificate_this_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*paths)
    async with http_to(always(answer(b"{}")), tls=tls) as http:
        with pytest.raises(Unavailable, match="certificate") as caught:
            await http.send(GET, TOKEN)
    assert caught.value.unsent
    monkeypatch.setenv("SSL_CERT_FILE", str(paths[0]))
    async with http_to(always(answer(b'{"a":1}')), tls=tls) as http:
        assert (await http.send(GET, TOKEN)).body == b'{"a":1}'
