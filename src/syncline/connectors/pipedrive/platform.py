"""Pipedrive as the registry hands it out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncline.connectors.base import OAuth, Platform, bearer
from syncline.connectors.pipedrive.connector import Pipedrive
from syncline.connectors.pipedrive.decode import recall
from syncline.connectors.pipedrive.failures import explain_failure, read_quota
from syncline.connectors.pipedrive.fields import classify
from syncline.connectors.pipedrive.mapping import MAPPING
from syncline.connectors.pipedrive.oauth import authorize_url, exchange_code, refresh
from syncline.connectors.pipedrive.objects import CAPABILITIES, quotas
from syncline.connectors.pipedrive.webhooks import WEBHOOKS
from syncline.connectors.transport import Send, Token

#: A personal token; those of apps are longer.
_PERSONAL = re.compile(r"[0-9a-fA-F]{40}")


def make(send: Send, settings: Mapping[str, str]) -> Pipedrive:
    """Make a connector. Raises `SettingInvalid` for a plan or a number of seats that cannot be."""
    quotas(settings)
    return Pipedrive(send)


def authorize(token: Token) -> tuple[str, str]:
    """Return the header that carries a token: personal ones have one of their own."""
    if _PERSONAL.fullmatch(token.access_token):
        return "x-api-token", token.access_token
    return bearer(token)


PIPEDRIVE = Platform(
    capabilities=CAPABILITIES,
    make=make,
    explain_failure=explain_failure,
    read_quota=read_quota,
    mapping=MAPPING,
    classify=classify,
    recall=recall,
    authorize=authorize,
    quotas=quotas,
    oauth=OAuth(authorize_url, exchange_code, refresh),
    webhooks=WEBHOOKS,
)
