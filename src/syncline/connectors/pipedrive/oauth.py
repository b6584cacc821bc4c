"""Pipedrive's OAuth: the address a person opens, and the calls that give tokens.

Access tokens live about an hour; a refresh token dies after 60 days without use, and does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.base import Grant
from syncline.connectors.transport import Request, Send, Token
from syncline.errors import TokenRejected, Unavailable

_ORIGIN = "https://oauth.pipedrive.com"


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None


def authorize_url(client_id: str, redirect_uri: str, scopes: Sequence[str], state: str) -> str:
    """Return the address where a person grants access. The app's own settings decide about scopes."""
    del scopes
    query = {"client_id": client_id, "redirect_uri": redirect_uri, "state": state}
    return f"{_ORIGIN}/oauth/authorize?{urlencode(query, quote_via=quote)}"


async def exchange_code(
    send: Send, client_id: str, client_secret: str, redirect_uri: str, code: str
) -> Grant:
    """Turn the code of a redirect into tokens. A code works once, for five minutes."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return await _ask_token(send, client_id, client_secret, form, idempotent=False)


async def refresh(send: Send, client_id: str, client_secret: str, token: Token) -> Grant:
    """Get a new access token. Raises `TokenRejected` when the grant was revoked."""
    if token.refresh_token is None:
        raise TokenRejected("This connection's token cannot be refreshed. Connect again.")
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}
    grant = await _ask_token(send, client_id, client_secret, form, idempotent=True)
    if grant.token.refresh_token is not None:
        return grant
    kept = Token(grant.token.access_token, token.refresh_token, grant.token.expires_ms)
    return Grant(kept, grant.account_id, grant.scopes)


async def _ask_token(
    send: Send, client_id: str, client_secret: str, form: dict[str, str], *, idempotent: bool
) -> Grant:
    asked_ms = to_ms(now())
    request = Request(
        "POST",
        "/oauth/token",
        form=form,
        cost=0,
        idempotent=idempotent,
        authorized=False,
        origin=_ORIGIN,
        basic=(client_id, client_secret),
        template="/oauth/token",
    )
    response = await send(request)
    try:
        answer = msgspec.json.decode(response.body, type=_Answer)
    except msgspec.MsgspecError as error:
        raise Unavailable("Pipedrive did not answer with a token.") from error
    return Grant(
        Token(answer.access_token, answer.refresh_token, asked_ms + answer.expires_in * 1000),
        None,
        None if answer.scope is None else frozenset(answer.scope.replace(",", " ").split()),
    )
