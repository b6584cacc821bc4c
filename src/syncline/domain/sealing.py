"""Secrets at rest: sealed with a data key of their own, which the installation's key seals in turn.

A new installation key re-seals the small data keys only. Several keys may be given while rotating: the
first seals, each of them opens.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Seals and opens secrets with the installation's keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._master = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise SettingInvalid(
                "The secret key is not one that `syncline init` makes (32 bytes as URL-safe base64)."
            ) from error

    def seal(self, secret: bytes) -> bytes:
        key = Fernet.generate_key()
        return msgspec.msgpack.encode(_Envelope(self._master.encrypt(key), Fernet(key).encrypt(secret)))

    def open(self, sealed: bytes) -> bytes:
        """Return the secret. Raises `SettingInvalid` when none of the keys fits."""
        try:
            envelope = msgspec.msgpack.decode(sealed, type=_Envelope)
            return Fernet(self._master.decrypt(envelope.key)).decrypt(envelope.secret)
        except (InvalidToken, msgspec.DecodeError) as error:
            raise SettingInvalid(
                "The stored credentials were sealed with another secret key. Give the old key as well, or"
                " connect again."
            ) from error

    def reseal(self, sealed: bytes) -> bytes:
        """Seal the data key anew with the first key; the secret itself is not opened."""
        try:
            envelope = msgspec.msgpack.decode(sealed, type=_Envelope)
            return msgspec.msgpack.encode(_Envelope(self._master.rotate(envelope.key), envelope.secret))
        except (InvalidToken, msgspec.DecodeError) as error:
            raise SettingInvalid(
                "The stored credentials were sealed with a key that is not given."
            ) from error
