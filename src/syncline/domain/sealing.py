"""Secrets at rest: sealed with a data key of their own, which the installation's key seals in turn.

A new installation key re-seals the small data keys only. Several keys may be given while rotating: the
first seals, each of them opens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from syncline.errors import SettingInvalid


class _Envelope(msgspec.Struct, array_like=True):
    key: bytes
    secret: bytes


def new_key() -> str:
    """Make an installation key: 32 random bytes as URL-safe base64."""
    return Fernet.generate_key().decode()


class Vault:
    """Seals and opens secrets with the installation's keys.

    `again` returns the keys as they are now: it is asked before sealing, and when a secret cannot be opened,
    so that a program that runs while the key is changed goes on.
    """

    def __init__(self, keys: Sequence[str], again: Callable[[], Sequence[str]] | None = None) -> None:
        self._again = again
        self._take(list(keys))

    def _take(self, keys: list[str]) -> None:
        try:
            fernets = [Fernet(key) for key in keys]
            self._master = MultiFernet(fernets)
        except ValueError as error:
            raise SettingInvalid(
                "The secret key is not one that `syncline init` makes (32 bytes as URL-safe base64)."
            ) from error
        self._keys, self._first = keys, fernets[0]

    def _look_again(self) -> bool:
        """Take the keys as they are now; returns whether they have changed."""
        keys = self._keys if self._again is None else list(self._again())
        if not keys or keys == self._keys:
            return False
        self._take(keys)
        return True

    def seal(self, secret: bytes) -> bytes:
        self._look_again()
        key = Fernet.generate_key()
        return msgspec.msgpack.encode(_Envelope(self._master.encrypt(key), Fernet(key).encrypt(secret)))

    def open(self, sealed: bytes) -> bytes:
        """Return the secret. Raises `SettingInvalid` when none of the keys fits."""
        try:
            return self._open(sealed)
        except InvalidToken as error:
            if self._look_again():
                with suppress(InvalidToken):
                    return self._open(sealed)
            raise SettingInvalid(
                "The stored credentials were sealed with another secret key. Give the old key as well, or"
                " connect again."
            ) from error

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether a secret is sealed with the first key. Raises `SettingInvalid` when none fits."""
        envelope = _read(sealed)
        try:
            self._first.decrypt(envelope.key)
        except InvalidToken:
            self.reseal(sealed)
            return False
        return True

    def reseal(self, sealed: bytes) -> bytes:
        """Seal the data key anew with the first key; the secret itself is not opened."""
        envelope = _read(sealed)
        try:
            return msgspec.msgpack.encode(_Envelope(self._master.rotate(envelope.key), envelope.secret))
        except InvalidToken as error:
            raise SettingInvalid(_NO_KEY) from error

    def _open(self, sealed: bytes) -> bytes:
        envelope = _read(sealed)
        return Fernet(self._master.decrypt(envelope.key)).decrypt(envelope.secret)


_NO_KEY = "The stored credentials were sealed with a key that is not given."


def _read(sealed: bytes) -> _Envelope:
    try:
        return msgspec.msgpack.decode(sealed, type=_Envelope)
    except msgspec.DecodeError as error:
        raise SettingInvalid(_NO_KEY) from error
