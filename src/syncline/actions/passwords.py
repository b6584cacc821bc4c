"""Hashing and comparing passwords by argon2id, beside the event loop and never many at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from syncline.domain.people import normal_password
from syncline.domain.tokens import new_token

#: By RFC 9106's second recommendation: 64 MiB, three passes, four lanes.
_hasher = PasswordHasher()
#: Each hash takes 64 MiB while it is made.
_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="passwords")


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_pool, _hash, password)


async def check_password(password: str, password_hash: str | None) -> bool:
    """Tell whether it is the password. Without a hash it takes as long, and it is not."""
    return await asyncio.get_running_loop().run_in_executor(_pool, _check, password, password_hash)


def needs_rehash(password_hash: str) -> bool:
    """Tell whether it was made with less work than is done now."""
    return _hasher.check_needs_rehash(password_hash)


def _hash(password: str) -> str:
    return _hasher.hash(normal_password(password))


def _check(password: str, password_hash: str | None) -> bool:
    # Made before either branch, so that the first look at an unknown address takes no longer.
    nobodys = _nobodys_hash()
    try:
        matches = _hasher.verify(password_hash or nobodys, normal_password(password))
    except (VerificationError, InvalidHashError):
        return False
    return matches and password_hash is not None


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(new_token())
