"""Handlers of OAuth: consent, tokens, what a token is, revoking. Need no token themselves."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from syncline.simulators.answers import Answer, json_answer
from syncline.simulators.hubspot.answers import ApiError, Request
from syncline.simulators.hubspot.api import Api
from syncline.simulators.hubspot.auth import ALL_SCOPES
from syncline.simulators.hubspot.grants import Grant


def authorize(api: Api, request: Request) -> Answer:
    """Agree at once, as a person on the consent page would, and send the browser back with a code."""
    query = request.query
    client_id, redirect_uri = query.get("client_id") or "", query.get("redirect_uri") or ""
    if client_id not in api.world.auth.clients or not redirect_uri:
        raise ApiError(400, "The client_id or redirect_uri is not known", "VALIDATION_ERROR")
    asked = f"{query.get('scope') or ''} {query.get('optional_scope') or ''}".split()
    code = api.world.auth.issue_code(
        ALL_SCOPES & set(asked) if asked else ALL_SCOPES, client_id=client_id, redirect_uri=redirect_uri
    )
    back = {"code": code} | ({"state": query.get("state")} if query.get("state") else {})
    separator = "&" if "?" in redirect_uri else "?"
    location = f"{redirect_uri}{separator}{urlencode(back)}"
    return Answer(302, headers=[(b"location", location.encode())])


def token(api: Api, request: Request) -> Answer:
    auth, form = api.world.auth, request.form()
    kind = form.get("grant_type")
    if auth.clients.get(form.get("client_id", "")) != form.get("client_secret"):
        raise _refused("invalid_client", "client_id or client_secret is not valid", "BAD_CLIENT_ID", 401)
    if kind == "authorization_code":
        consent = auth.codes.pop(form.get("code", ""), None)
        if consent is None or consent.client_id != form.get("client_id"):
            raise _refused("invalid_grant", "missing or invalid auth code", "BAD_AUTH_CODE")
        if consent.redirect_uri and consent.redirect_uri != form.get("redirect_uri"):
            raise _refused("invalid_grant", "redirect_uri does not match", "MISMATCH_REDIRECT_URI_AUTH_CODE")
        refresh_token = auth.issue_refresh_token(consent.scopes, client_id=consent.client_id)
    elif kind == "refresh_token":
        refresh_token = form.get("refresh_token", "")
        if refresh_token not in auth.refresh_tokens:
            raise _refused(
                "invalid_grant", "refresh token is invalid, expired or revoked", "BAD_REFRESH_TOKEN"
            )
        auth.refreshes += 1
    elif kind == "client_credentials":
        refresh_token = auth.issue_refresh_token(client_id=form["client_id"])
    else:
        raise _refused("unsupported_grant_type", f"grant_type {kind} is not known", "BAD_GRANT_TYPE")
    return json_answer(200, _issued(api, refresh_token, auth.issue_access_token(refresh_token)))


def _refused(error: str, words: str, status: str, code: int = 400) -> ApiError:
    return ApiError(code, words, extra={"error": error, "error_description": words, "status": status})


def _issued(api: Api, refresh_token: str, grant: Grant) -> dict[str, Any]:
    return {
        "token_type": "bearer",
        "refresh_token": refresh_token,
        "access_token": grant.token,
        "hub_id": api.world.portal_id,
        "scopes": sorted(grant.scopes),
        "expires_in": int(api.world.auth.lifetime_seconds),
        "user_id": grant.user_id,
        "token_use": "access_token",
    }


def access_token(api: Api, request: Request) -> Answer:
    """Tell what an access token is (v1)."""
    return json_answer(200, _about(api, request.params[0]))


def _about(api: Api, wanted: str) -> dict[str, Any]:
    grant = api.world.auth.tokens.get(wanted)
    now = api.world.now_ms()
    if grant is None or (grant.expires_ms is not None and grant.expires_ms <= now):
        raise ApiError(404, "the token does not exist or has expired", "OBJECT_NOT_FOUND")
    expires_in = 0 if grant.expires_ms is None else (grant.expires_ms - now) // 1000
    return {
        "token": wanted, "user": "admin@syncline.example", "hub_domain": "syncline.example",
        "scopes": sorted(grant.scopes), "hub_id": api.world.portal_id, "app_id": int(grant.app_id),
        "expires_in": expires_in, "user_id": grant.user_id, "token_type": "access",
    }  # fmt: skip


def introspect(api: Api, request: Request) -> Answer:
    form = request.form()
    wanted = form.get("token") or form.get("access_token") or form.get("refresh_token") or ""
    if wanted in api.world.auth.refresh_tokens:
        return json_answer(200, {"active": True, "token_type": "refresh", "hub_id": api.world.portal_id})
    try:
        return json_answer(200, {"active": True, **_about(api, wanted)})
    except ApiError:
        return json_answer(200, {"active": False})


def revoke(api: Api, request: Request) -> Answer:
    form = request.form()
    api.world.auth.revoke(form.get("token") or form.get("refresh_token") or "")
    return Answer(204)


def refresh_token(api: Api, request: Request) -> Answer:
    consent = api.world.auth.refresh_tokens.get(request.params[0])
    if consent is None:
        raise ApiError(404, "the refresh token does not exist", "OBJECT_NOT_FOUND")
    return json_answer(
        200,
        {
            "token": request.params[0],
            "user": "admin@syncline.example",
            "hub_domain": "syncline.example",
            "scopes": sorted(consent.scopes),
            "hub_id": api.world.portal_id,
            "client_id": consent.client_id,
            "user_id": 47_812_075,
            "token_type": "refresh",
        },
    )


def delete_refresh_token(api: Api, request: Request) -> Answer:
    api.world.auth.revoke(request.params[0])
    return Answer(204)
