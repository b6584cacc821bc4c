"""HubSpot as the registry hands it out."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.connectors.base import OAuth, Platform
from syncline.connectors.hubspot.api import LEGACY, VERSION
from syncline.connectors.hubspot.connector import HubSpot
from syncline.connectors.hubspot.definitions import classify
from syncline.connectors.hubspot.failures import explain_failure, read_quota
from syncline.connectors.hubspot.mapping import MAPPING
from syncline.connectors.hubspot.oauth import authorize_url, exchange_code, refresh
from syncline.connectors.hubspot.objects import CAPABILITIES
from syncline.connectors.hubspot.reading import recall
from syncline.connectors.hubspot.webhooks import WEBHOOKS
from syncline.connectors.transport import Send
from syncline.errors import SettingInvalid


def make(send: Send, settings: Mapping[str, str]) -> HubSpot:
    """Make a connector. `api_version` pins a family of paths; without it the server's answer decides."""
    version = settings.get("api_version")
    if version not in (None, VERSION, LEGACY):
        raise SettingInvalid(f"api_version must be {VERSION} or {LEGACY}.")
    return HubSpot(send, version)


HUBSPOT = Platform(
    capabilities=CAPABILITIES,
    make=make,
    explain_failure=explain_failure,
    read_quota=read_quota,
    mapping=MAPPING,
    classify=classify,
    recall=recall,
    oauth=OAuth(authorize_url, exchange_code, refresh),
    webhooks=WEBHOOKS,
)
