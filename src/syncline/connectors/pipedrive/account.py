"""Who is behind a token, and whether our clocks agree."""

from __future__ import annotations

import msgspec

from syncline.clock import now
from syncline.connectors.pipedrive.api import Answer, Api
from syncline.connectors.reads import Account
from syncline.errors import Unavailable

_COST = 2


class _Me(msgspec.Struct):
    company_id: int | str
    id: int | str | None = None
    company_name: str | None = None
    company_domain: str | None = None
    default_currency: str | None = None
    timezone_name: str | None = None


async def find_user(api: Api) -> str:
    """Return the id of the token's user, who is the author of whatever we make."""
    me, _ = await _ask(api)
    if me.id is None:
        raise Unavailable("Pipedrive did not say whose token it is.")
    return str(me.id)


async def _ask(api: Api) -> tuple[_Me, Answer]:
    answer = await api.call("GET", "/v1/users/me", cost=_COST)
    try:
        return msgspec.convert(answer.data, _Me), answer
    except msgspec.ValidationError as error:
        raise Unavailable("Pipedrive did not say whose token it is.") from error


async def check(api: Api) -> Account:
    """Ask whose token it is. Currency and time zone are that user's own: the company's are not told."""
    began = now()
    me, answer = await _ask(api)
    took = (now() - began).total_seconds()
    domain = me.company_domain
    return Account(
        account_id=str(me.company_id),
        name=me.company_name or domain or f"Pipedrive company {me.company_id}",
        time_zone=me.timezone_name or None,
        currency=me.default_currency or None,
        url=f"https://{domain}.pipedrive.com" if domain else None,
        clock_skew_seconds=answer.response.measure_skew(began.timestamp() + took / 2),
        scopes=None,
        daily_used=answer.response.quota.daily_used,
        daily_limit=answer.response.quota.daily_limit,
    )
