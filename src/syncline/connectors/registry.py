"""Which platforms there are. A new one adds its folder, and one line here."""

from __future__ import annotations

from syncline.connectors.base import Platform
from syncline.connectors.http import Http
from syncline.connectors.hubspot.platform import HUBSPOT
from syncline.errors import NotFound

PLATFORMS: dict[str, Platform] = {each.capabilities.platform: each for each in (HUBSPOT,)}


def get_platform(name: str) -> Platform:
    """Return a platform by name. Raises `NotFound`."""
    platform = PLATFORMS.get(name)
    if platform is None:
        raise NotFound(f"There is no platform called {name}. Known: {', '.join(sorted(PLATFORMS))}.")
    return platform


def open_http(platform: Platform, base_url: str | None = None) -> Http:
    """Open the HTTP connections of one CRM connection; close them with `aclose` or `async with`.

    Raises `SettingInvalid` for a malformed base URL.
    """
    return Http(
        base_url or platform.capabilities.default_base_url, platform.explain_failure, platform.read_quota
    )
