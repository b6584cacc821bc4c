"""Who is behind a token, and whether our clocks agree."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import msgspec

from syncline.clock import now
from syncline.connectors.base import Account
from syncline.connectors.pipedrive.api import Api
from syncline.connectors.transport import QuotaFacts, Response
from syncline.errors import Unavailable

_COST = 2


class _Me(msgspec.Struct):
    company_id: int | str
    company_name: str | None = None
    company_domain: str | None = None
    default_currency: str | None = None
    timezone_name: str | None = None


async def check(api: Api) -> Account:
    """Ask whose token it is. Currency and time zone are that user's own: the company's are not told."""
    began = now()
    answer = await api.call("GET", "/v1/users/me", cost=_COST)
    took = (now() - began).total_seconds()
    try:
        me = msgspec.convert(answer.data, _Me)
    except msgspec.ValidationError as error:
        raise Unavailable("Pipedrive did not say whose token it is.") from error
    used, limit = _daily(answer.response.quota)
    domain = me.company_domain
    return Account(
        account_id=str(me.company_id),
        name=me.company_name or domain or f"Pipedrive company {me.company_id}",
        time_zone=me.timezone_name or None,
        currency=me.default_currency or None,
        url=f"https://{domain}.pipedrive.com" if domain else None,
        clock_skew_seconds=_skew(answer.response, began.timestamp() + took / 2),
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
