"""Webhooks made and taken back. Pipedrive signs nothing, so both what it calls and what it says are secret.

Facts: webhooks guide v2, read 2026-08. At most 40 for a user; one that fails for three days is dropped, and
nobody is told. Events are filtered by what the user who made the webhook may see: an administrator should.
"""

from __future__ import annotations

import hmac
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from syncline.connectors.pipedrive.api import Api
from syncline.connectors.pipedrive.failures import CallRefused, Forbidden, describe
from syncline.errors import Invalid, NotFound, ScopeMissing

_PATH = "/v1/webhooks"
_LIST_COST, _CREATE_COST, _DELETE_COST = 10, 10, 6
_VERSION = "2.0"
_NAME = "Syncline"
#: Every action of these.
ENTITIES = ("person", "organization", "deal", "activity", "note", "lead", "user")
_ANY = "*"
USER = "syncline"
KEY = "key"


def derive_key(secret: str) -> str:
    """Return what stands in the address."""
    return hmac.digest(secret.encode(), b"pipedrive webhook address", "sha256").hex()[:40]


def derive_password(secret: str) -> str:
    """Return the password that deliveries bring."""
    return hmac.digest(secret.encode(), b"pipedrive webhook password", "sha256").hex()[:40]


async def ensure_webhooks(api: Api, address: str, secret: str) -> list[str]:
    """Subscribe to what is missing. See `base.Connector.ensure_webhooks`.

    What leads to the address with another secret, or is switched off, is taken away and made anew.
    """
    url = _with_key(address, secret)
    there: set[str] = set()
    for each in await _list(api):
        if not _leads_to(each, address):
            continue
        if each.get("subscription_url") == url and _is_active(each) and _is_ours(each):
            there.add(str(each.get("event_object")))
        else:
            await _remove(api, each)
    if _ANY in there:
        return []
    made: list[str] = []
    for entity in ENTITIES:
        if entity not in there:
            await _create(api, entity, url, secret)
            made.append(f"every change of {entity}")
    return made


async def remove_webhooks(api: Api, address: str) -> int:
    """Take back all that leads to an address; returns how many that were."""
    ours = [each for each in await _list(api) if _leads_to(each, address)]
    for each in ours:
        await _remove(api, each)
    return len(ours)


async def _list(api: Api) -> list[dict[str, Any]]:
    answer = await api.call("GET", _PATH, cost=_LIST_COST, may_be_empty=True)
    rows = cast("list[Any]", answer.data) if isinstance(answer.data, list) else []
    return [cast("dict[str, Any]", each) for each in rows if isinstance(each, dict)]


async def _create(api: Api, entity: str, url: str, secret: str) -> None:
    body = {
        "subscription_url": url,
        "event_action": _ANY,
        "event_object": entity,
        "name": f"{_NAME}: {entity}",
        "version": _VERSION,
        "http_auth_user": USER,
        "http_auth_password": derive_password(secret),
    }
    try:
        await api.call("POST", _PATH, cost=_CREATE_COST, json=body, idempotent=False)
    except CallRefused as error:
        said = describe(error.failure, [url]) or "no reason given"
        raise Invalid(
            f"Pipedrive does not subscribe the address to changes of a {entity}: {said}. It must be https, "
            "with a certificate that is valid, and reachable from the internet."
        ) from error
    except Forbidden as error:
        if error.failure.errors:  # too many of them, and not one too few permission
            raise Invalid(f"Pipedrive makes no more webhooks: {describe(error.failure)}.") from error
        raise ScopeMissing(
            "Pipedrive does not let this token make webhooks. An app needs the scope webhooks:full.",
            scopes=("webhooks:full",),
        ) from error


async def _remove(api: Api, webhook: dict[str, Any]) -> None:
    try:
        path = f"{_PATH}/{int(webhook.get('id') or 0)}"
        await api.call("DELETE", path, cost=_DELETE_COST, may_be_empty=True)
    except NotFound:
        return


def _with_key(address: str, secret: str) -> str:
    parts = urlsplit(address)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}{KEY}={derive_key(secret)}", fragment=""))


def _leads_to(webhook: dict[str, Any], address: str) -> bool:
    theirs = urlsplit(str(webhook.get("subscription_url") or ""))
    return urlunsplit(theirs._replace(query="", fragment="")) == address.partition("?")[0]


def _is_active(webhook: dict[str, Any]) -> bool:
    return webhook.get("is_active") in (1, True, "1")


def _is_ours(webhook: dict[str, Any]) -> bool:
    return webhook.get("event_action") == _ANY and str(webhook.get("version") or _VERSION) == _VERSION
