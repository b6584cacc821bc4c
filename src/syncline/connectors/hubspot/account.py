"""Who is behind a token, and whether our clocks agree."""

from __future__ import annotations

import msgspec

from syncline.clock import now
from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.reads import Account


class _Details(msgspec.Struct, rename="camel"):
    portal_id: int
    account_type: str = "STANDARD"
    time_zone: str | None = None
    company_currency: str | None = None
    ui_domain: str | None = None


async def check(api: Api) -> Account:
    """Ask for the account's details: works with every kind of token and needs no scope.

    HubSpot tells scopes only to whoever holds the app's secret, so they are None here; a missing one
    shows in `ScopeMissing.scopes` of the first call that needs it.
    """
    began = now()
    response = await api.call("GET", "account")
    took = (now() - began).total_seconds()
    details = read_as(_Details, response.body)
    domain = details.ui_domain or "app.hubspot.com"
    return Account(
        account_id=str(details.portal_id),
        name=f"HubSpot account {details.portal_id}"
        + (
            ""
            if details.account_type == "STANDARD"
            else f" ({details.account_type.lower().replace('_', ' ')})"
        ),
        time_zone=details.time_zone,
        currency=details.company_currency,
        url=f"https://{domain}/home?portalId={details.portal_id}",
        clock_skew_seconds=response.measure_skew(began.timestamp() + took / 2),
        scopes=None,
        daily_used=response.quota.daily_used,
        daily_limit=response.quota.daily_limit,
    )
