"""HubSpot's OAuth: the address a person opens, and the three calls that give tokens.

Access tokens live 30 minutes. Refresh tokens neither expire nor rotate today; a new one is kept anyway
when the answer brings one.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from syncline.clock import now, to_ms
from syncline.connectors.base import Grant
from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.transport import Send, Token
from syncline.errors import TokenRejected

_AUTHORIZE = "https://app.hubspot.com/oauth/authorize"


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: int
    refresh_token: str | None = None
    hub_id: int | None = None
    scopes: list[str] | None = None


def authorize_url(client_id: str, redirect_uri: str, scopes: Sequence[str], state: str) -> str:
    """Return the address where a person grants access. `state` comes back with the code, to be compared."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(dict.fromkeys(("oauth", *scopes))),
        "state": state,
    }
    return f"{_AUTHORIZE}?{urlencode(query, quote_via=quote)}"


async def exchange_code(
    send: Send, client_id: str, client_secret: str, redirect_uri: str, code: str
) -> Grant:
    """Turn the code of a redirect into tokens. A code works once."""
    return await _ask_token(
        send,
        {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "client_secret": client_secret,
            "redirect_uri": redirect_uri,
            "code": code,
        },
        idempotent=False,
    )


async def refresh(send: Send, client_id: str, client_secret: str, token: Token) -> Grant:
    """Get a new access token. Raises `TokenRejected` when the grant was revoked."""
    if token.refresh_token is None:
        raise TokenRejected("This connection's token cannot be refreshed. Connect again.")
    grant = await _ask_token(
        send,
        {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": token.refresh_token,
        },
        idempotent=True,
    )
    if grant.token.refresh_token is not None:
        return grant
    kept = Token(grant.token.access_token, token.refresh_token, grant.token.expires_ms)
    return Grant(kept, grant.account_id, grant.scopes)


async def _ask_token(send: Send, form: dict[str, str], *, idempotent: bool) -> Grant:
    asked_ms = to_ms(now())
    response = await Api(send).call("POST", "token", form=form, idempotent=idempotent, authorized=False)
    answer = read_as(_Answer, response.body)
    return Grant(
        Token(answer.access_token, answer.refresh_token, asked_ms + answer.expires_in * 1000),
        None if answer.hub_id is None else str(answer.hub_id),
        None if answer.scopes is None else frozenset(answer.scopes),
    )
