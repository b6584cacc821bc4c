"""A word to the person for the next page they see: what was done, or why not. Kept in a cookie of theirs."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal, get_args

from starlette.requests import Request
from starlette.responses import Response

_COOKIE = "flash"
#: Browsers keep about 4 kB in a cookie.
_LONGEST = 600

Tone = Literal["ok", "note", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Flash:
    text: str
    tone: Tone = "ok"


def put_flash(response: Response, flash: Flash, *, secure: bool) -> None:
    text = flash.text if len(flash.text) <= _LONGEST else f"{flash.text[:_LONGEST]}…"
    packed = base64.urlsafe_b64encode(json.dumps([flash.tone, text]).encode()).decode()
    response.set_cookie(_COOKIE, packed, max_age=60, path="/", httponly=True, samesite="lax", secure=secure)


def take_flash(request: Request) -> Flash | None:
    """Return what was left for this page; whoever shows it must `forget_flash`."""
    packed = request.cookies.get(_COOKIE)
    if packed is None:
        return None
    try:
        tone, text = json.loads(base64.urlsafe_b64decode(packed))
    except ValueError:
        return None
    return Flash(str(text), tone) if tone in get_args(Tone) else None


def forget_flash(response: Response) -> None:
    response.delete_cookie(_COOKIE, path="/")
