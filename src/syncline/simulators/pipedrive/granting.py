"""Handlers of OAuth: consent, tokens, revoking. Need no token themselves."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any
from urllib.parse import urlencode

from syncline.simulators.answers import Answer, json_answer
from syncline.simulators.pipedrive.answers import ApiError, Grant, Request
from syncline.simulators.pipedrive.api import Api
from syncline.simulators.pipedrive.auth import ALL_SCOPES


def authorize(api: Api, request: Request) -> Answer:
    """Agree at once, as a person on the consent page would, and send the browser back with a code."""
    query = request.query
    client_id, redirect_uri = query.get("client_id") or "", query.get("redirect_uri") or ""
    if client_id not in api.world.auth.clients or not redirect_uri:
        raise _refused("invalid_client", "client_id or redirect_uri is not known")
    asked = frozenset((query.get("scope") or "").split())
    scopes = ALL_SCOPES & asked if asked else ALL_SCOPES
    code = api.world.auth.issue_code(scopes, client_id=client_id, redirect_uri=redirect_uri)
    back = {"code": code} | ({"state": query.get("state")} if query.get("state") else {})
    separator = "&" if "?" in redirect_uri else "?"
    return Answer(302, headers=[(b"location", f"{redirect_uri}{separator}{urlencode(back)}".encode())])


def token(api: Api, request: Request) -> Answer:
    """Give an access token for a code or a refresh token; the client proves itself by Basic."""
    auth, form = api.world.auth, request.form()
    client_id, secret = _client(request)
    if secret is None or auth.clients.get(client_id) != secret:
        raise _refused("invalid_client", "Client authentication failed", 401)
    kind = form.get("grant_type")
    if kind == "authorization_code":
        consent = auth.take_code(form.get("code", ""))
        if consent is None or consent.client_id != client_id:
            raise _refused("invalid_grant", "Invalid authorization code")
        if consent.redirect_uri and consent.redirect_uri != form.get("redirect_uri"):
            raise _refused("invalid_grant", "redirect_uri does not match")
        refresh_token = auth.issue_refresh_token(consent.scopes, client_id=client_id)
    elif kind == "refresh_token":
        refresh_token = form.get("refresh_token", "")
        if auth.find_refresh_token(refresh_token) is None:
            raise _refused("invalid_grant", "Invalid refresh token")
        auth.refreshes += 1
    else:
        raise _refused("unsupported_grant_type", f"grant_type {kind} is not supported")
    return json_answer(200, _issued(api, request, auth.issue_access_token(refresh_token)))


def _client(request: Request) -> tuple[str, str | None]:
    scheme, _, coded = request.authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", None
    try:
        name, colon, secret = b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", None
    return name, secret if colon else None


def _refused(error: str, words: str, status: int = 400) -> ApiError:
    return ApiError(status, words, body={"success": False, "message": words, "error": error})


def _issued(api: Api, request: Request, grant: Grant) -> dict[str, Any]:
    return {
        "access_token": grant.token,
        "token_type": "Bearer",
        "refresh_token": grant.refresh_token,
        "scope": ",".join(sorted(grant.scopes or ())),
        "expires_in": int(api.world.auth.lifetime_seconds),
        # Where the company's own host would be named is where the simulator listens.
        "api_domain": request.base_url,
    }


def revoke(api: Api, request: Request) -> Answer:
    """End a token; of which kind it is need not be said."""
    client_id, secret = _client(request)
    if secret is None or api.world.auth.clients.get(client_id) != secret:
        raise _refused("invalid_client", "Client authentication failed", 401)
    api.world.auth.revoke(request.form().get("token", ""))
    return json_answer(200, {})
