"""What every number is asked with: the tenant's zone, currency, settings, filters, what the caller sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from syncline import clock
from syncline.actions.hub import Hub
from syncline.actions.seeing import owners_seen
from syncline.domain.callers import Caller
from syncline.domain.periods import Period, midnight, read_period, today_in
from syncline.errors import Invalid
from syncline.store import connections, metrics, tenants
from syncline.store.db import Conn
from syncline.store.metrics import MetricSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """A period as somebody asked for it; see `domain.periods.read_period`."""

    text: str | None = None
    from_on: date | None = None
    #: The day behind the last.
    to_on: date | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records count, as somebody named them; None for all."""

    #: An owner's id, e-mail address or name; 'me' for whoever asks.
    owner: str | None = None
    #: A pipeline's id, key or name.
    pipeline: str | None = None
    #: A connection's id or name.
    connection: str | None = None
    #: What amounts are converted into; the tenant's currency if nothing is said.
    currency: str | None = None

    @property
    def is_for_me(self) -> bool:
        return self.owner is not None and self.owner.strip().lower() == "me"


@dataclass(frozen=True, slots=True)
class Scope:
    """Filters that were found, with all else that reports are asked with."""

    tenant_id: UUID
    now: datetime
    time_zone: str
    home_currency: str
    currency: str
    #: Owners whose records are seen beside those of nobody; None for all.
    seen: list[UUID] | None
    owners: list[UUID] | None
    pipeline: UUID | None
    connection: UUID | None
    settings: MetricSettings

    @property
    def today(self) -> date:
        return today_in(self.time_zone, self.now)

    def midnight(self, day: date) -> datetime:
        return midnight(day, self.time_zone)

    def values(self) -> dict[str, Any]:
        """Return the parameters that reports share, whatever their period."""
        return {
            "tenant_id": self.tenant_id,
            "time_zone": self.time_zone,
            "currency": self.currency,
            "home_currency": self.home_currency,
            "seen": self.seen,
            "owners": self.owners,
            "pipeline": self.pipeline,
            "connection": self.connection,
            "now_at": self.now,
            **{name: list(each) for name, each in asdict(self.settings).items()},
        }


async def find_scope(conn: Conn, hub: Hub, caller: Caller, filters: Filters) -> Scope:
    """Find what filters name. Raises `Invalid` with the field for what there is not."""
    tenant = await tenants.get_settings(conn, tenant_id=hub.tenant_id)
    seen = owners_seen(caller)
    return Scope(
        tenant_id=hub.tenant_id,
        now=clock.now(),
        time_zone=tenant.time_zone,
        home_currency=tenant.currency.upper(),
        currency=_read_currency(filters.currency) or tenant.currency.upper(),
        seen=None if seen is None else sorted(seen),
        owners=await _find_owners(conn, hub, caller, filters),
        pipeline=await _find_pipeline(conn, hub, filters.pipeline),
        connection=await _find_connection(conn, hub, filters.connection),
        settings=await metrics.get_settings(conn, tenant_id=hub.tenant_id),
    )


def find_period(scope: Scope, asked: Asked) -> Period:
    """Read a period by the tenant's calendar. Raises `Invalid`."""
    return read_period(asked.text, scope.today, from_on=asked.from_on, to_on=asked.to_on)


def _read_currency(code: str | None) -> str | None:
    if not code:
        return None
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise wrong("currency", f"{code[:20]!r} is not a currency; write its three letters, such as EUR.")
    return code.upper()


async def _find_owners(conn: Conn, hub: Hub, caller: Caller, filters: Filters) -> list[UUID] | None:
    named = filters.owner
    if not named:
        return None
    if filters.is_for_me:
        return sorted(caller.owner_ids)
    if (owner_id := _as_id(named)) is not None:
        return [owner_id]
    found = await metrics.list_owners_called(conn, named, tenant_id=hub.tenant_id)
    if not found:
        raise wrong("owner", f"There is no owner called {named[:80]!r}. Name one by e-mail address or id.")
    return [each.id for each in found]


async def _find_pipeline(conn: Conn, hub: Hub, named: str | None) -> UUID | None:
    if not named:
        return None
    if (pipeline_id := _as_id(named)) is not None:
        return pipeline_id
    known = await metrics.list_pipelines(conn, tenant_id=hub.tenant_id)
    wanted = named.strip().lower()
    found = [each for each in known if wanted in (each.key.lower(), each.label.lower())]
    if len(found) == 1:
        return found[0].id
    if found:
        ids = ", ".join(f"{each.id} ({each.connection or 'of the hub'})" for each in found)
        raise wrong("pipeline", f"Several pipelines are called {named[:80]!r}; name one by its id: {ids}.")
    names = ", ".join(each.label for each in known) or "none"
    raise wrong("pipeline", f"There is no pipeline called {named[:80]!r}. There are: {names}.")


async def _find_connection(conn: Conn, hub: Hub, named: str | None) -> UUID | None:
    if not named:
        return None
    known = await connections.list_all(conn, tenant_id=hub.tenant_id)
    for each in known:
        if named.strip() in (each.name, str(each.id)):
            return each.id
    names = ", ".join(each.name for each in known) or "none"
    raise wrong("connection", f"There is no connection called {named[:80]!r}. There are: {names}.")


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def wrong(name: str, detail: str, others: Mapping[str, str] | None = None) -> Invalid:
    return Invalid(detail, fields={name: detail, **(others or {})})
