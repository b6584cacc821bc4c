"""Which platforms there are. A new one adds its folder, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.connectors.base import Platform
from syncline.connectors.http import Http
from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.connectors.pipedrive.platform import PIPEDRIVE
from syncline.connectors.postgres.platform import POSTGRES
from syncline.connectors.transport import Quota, Transport
from syncline.errors import NotFound

PLATFORMS: dict[str, Platform] = {each.capabilities.platform: each for each in (HUBSPOT, PIPEDRIVE, POSTGRES)}


def get_platform(name: str) -> Platform:
    """Return a platform by name. Raises `NotFound`."""
    platform = PLATFORMS.get(name)
    if platform is None:
        raise NotFound(f"There is no platform called {name}. Known: {', '.join(sorted(PLATFORMS))}.")
    return platform


def quotas_of(platform: Platform, settings: Mapping[str, str]) -> tuple[Quota, ...]:
    """Return the quotas of a connection, before any header has corrected them. Raises `SettingInvalid`."""
    return platform.capabilities.quotas if platform.quotas is None else platform.quotas(settings)


def open_transport(platform: Platform, base_url: str | None = None) -> Transport:
    """Open what carries the calls of one CRM connection; close it with `aclose`.

    Raises `SettingInvalid` for a malformed base URL.
    """
    address = base_url or platform.capabilities.default_base_url
    if platform.open is not None:
        return platform.open(address)
    return Http(address, platform.explain_failure, platform.read_quota, authorize=platform.authorize)
