"""Tokens that are shown once and kept as hashes: sessions, links, API keys. Knows no users and no tables."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from uuid import UUID

_SECRET_BYTES = 32
_KEY_START = "syncline_"
#: 16 bytes in base64url without padding.
_TENANT_CHARACTERS = 22
_SHOWN_CHARACTERS = 6


def new_token() -> str:
    """Make a token of 32 random bytes, in base64url."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def hash_token(token: str) -> bytes:
    """Return what is stored of a token. Its bytes are random, so that one pass of SHA-256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def csrf_token(session_token: str) -> str:
    """Return what a request that changes something must carry beside its session; it follows from it.

    Whoever knows it cannot tell the session's token.
    """
    digest = hmac.digest(session_token.encode("utf-8", "surrogatepass"), b"csrf", "sha256")
    return _encode(digest)


def is_same(given: str, expected: str) -> bool:
    """Compare two secrets in a time that tells nothing of them."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


@dataclass(frozen=True, slots=True)
class TenantToken:
    """A token that says whose it is, so that it is looked up inside that tenant."""

    text: str = field(repr=False)
    tenant_id: UUID

    @property
    def hash(self) -> bytes:
        return hash_token(self.text)

    @property
    def shown(self) -> str:
        """How it begins where that tells keys of one tenant apart, for lists."""
        start, secret = self.text[: -_secret_length()], self.text[-_secret_length() :]
        return f"{start[: len(_KEY_START)]}…{secret[:_SHOWN_CHARACTERS]}"


def new_key(tenant_id: UUID) -> TenantToken:
    """Make an API key of a tenant: `syncline_`, the tenant's id, `_` and a secret of 32 bytes."""
    return TenantToken(f"{_KEY_START}{_encode(tenant_id.bytes)}_{new_token()}", tenant_id)


def new_invitation(tenant_id: UUID) -> TenantToken:
    """Make the token of an invitation to a tenant."""
    return TenantToken(f"{_encode(tenant_id.bytes)}_{new_token()}", tenant_id)


def read_key(text: str) -> TenantToken:
    """Read an API key as it was sent; one of another shape belongs to a tenant that nobody has."""
    inner = text.removeprefix(_KEY_START) if text.startswith(_KEY_START) else ""
    return TenantToken(text, _tenant_of(inner))


def read_invitation(text: str) -> TenantToken:
    """Read an invitation's token as it was sent; see `read_key`."""
    return TenantToken(text, _tenant_of(text))


def _tenant_of(text: str) -> UUID:
    wanted = _TENANT_CHARACTERS + 1 + _secret_length()
    if len(text) != wanted or text[_TENANT_CHARACTERS] != "_" or not text.isascii():
        return UUID(int=0)
    try:
        return UUID(bytes=base64.urlsafe_b64decode(text[:_TENANT_CHARACTERS] + "=="))
    except ValueError:
        return UUID(int=0)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _secret_length() -> int:
    return -(-_SECRET_BYTES * 4 // 3)
