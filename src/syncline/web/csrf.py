"""The token that a form must carry, looking different on every page.

Pages are packed, and a packed page tells by its length what it repeats: a token that stays the same could be
guessed letter by letter by whoever makes a browser ask for pages and sees their lengths.
"""

from __future__ import annotations

import base64
import binascii
import secrets


def mask(token: str) -> str:
    """Return the token under a mask of its own, and the mask."""
    plain = token.encode()
    cover = secrets.token_bytes(len(plain))
    covered = bytes(a ^ b for a, b in zip(plain, cover, strict=True))
    return base64.urlsafe_b64encode(cover + covered).decode()


def unmask(text: str) -> str:
    """Return the token again; "", which no token is, for what was never masked."""
    try:
        packed = base64.urlsafe_b64decode(text.encode())
        half = len(packed) // 2
        return bytes(a ^ b for a, b in zip(packed[:half], packed[half:], strict=True)).decode()
    except (ValueError, binascii.Error):
        return ""
