"""Who is behind a token, and whether our clocks agree."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import msgspec

from syncline.clock import now
from syncline.connectors.base import Account
from syncline.connectors.hubspot.api import Api
from syncline.connectors.hubspot.decode import read_as
from syncline.connectors.transport import QuotaFacts, Response


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
    used, limit = _daily(response.quota)
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
        clock_skew_seconds=_skew(response, began.timestamp() + took / 2),
        scopes=None,
        daily_used=used,
        daily_limit=limit,
    )


def _daily(quota: QuotaFacts) -> tuple[int | None, int | None]:
    if quota.daily_limit is None or quota.daily_remaining is None:
        return None, quota.daily_limit
    return quota.daily_limit - quota.daily_remaining, quota.daily_limit


def _skew(response: Response, ours_seconds: float) -> float:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return 0.0
    # `Date` is cut to whole seconds: half a second more is the best guess.
    return round(theirs + 0.5 - ours_seconds, 1)
