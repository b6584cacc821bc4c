"""A small provider of OpenID Connect on loopback, and what can be wrong with its word."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "syncline", "its s3cret+/="


@dataclass
class IdentityProvider:
    """Vouches for whoever it is told to be."""

    url: str = ""
    email: str = "ada@example.com"
    #: Claims put in place of the right ones, or None to leave one out.
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    #: 'other' signs by a key that is not published, 'none' by none, 'shared' by the client's secret.
    signing: str = "right"
    issuer: str | None = None
    #: Answered by the token endpoint instead.
    token_status: int = 200
    asked: list[str] = field(default_factory=list[str])
    _codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    _key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    _other: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))

    def agree(self, location: str) -> dict[str, str]:
        """Let somebody in who was sent to `location`; returns what they are sent back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return {"code": code, "state": query["state"], "iss": self.url}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            found: Any = {
                "issuer": self.issuer or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
            status = 200
        elif path == "/authorize":
            await self._send_back(scope, send)
            return
        elif path == "/keys":
            status, found = 200, {"keys": [self._key.as_dict(private=False)]}
        else:
            body = (await receive())["body"].decode()
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            status, found = self._redeem({k: v[0] for k, v in parse_qs(body).items()}, headers)
        content = json.dumps(found).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})

    async def _send_back(self, scope: Any, send: Any) -> None:
        """Agree at once, as somebody who is signed in there would."""
        asked = f"{self.url}/authorize?{scope['query_string'].decode()}"
        back = parse_qs(urlsplit(asked).query)["redirect_uri"][0]
        location = f"{back}?{urlencode(self.agree(asked))}".encode()
        head = [(b"location", location), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": head})
        await send({"type": "http.response.body", "body": b""})

    def _redeem(self, form: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
        if self.token_status != 200:
            return self.token_status, {"error": "temporarily_unavailable"}
        basic = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        if [unquote_plus(each) for each in basic.split(":")] != [CLIENT_ID, CLIENT_SECRET]:
            return 401, {"error": "invalid_client"}
        query = self._codes.pop(form["code"], None)
        if query is None or query["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != query["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": self._word(query["nonce"])}

    def _word(self, nonce: str) -> str:
        at = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "4711",
            "exp": at + 300,
            "iat": at,
            "nonce": nonce,
            "email": self.email,
            "email_verified": True,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.signing == "none":
            parts = [{"alg": "none"}, claims]
            return (
                ".".join(
                    base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
                )
                + "."
            )
        if self.signing == "shared":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET * 3))
        key = self._other if self.signing == "other" else self._key
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever runs the tests."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve_asgi(app: Callable[..., Awaitable[None]]) -> AsyncGenerator[str]:
    """Serve an application on a port of its own for the length of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1, access_log=False)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


@asynccontextmanager
async def open_provider() -> AsyncGenerator[IdentityProvider]:
    provider = IdentityProvider()
    async with serve_asgi(provider) as url:
        provider.url = url
        yield provider
