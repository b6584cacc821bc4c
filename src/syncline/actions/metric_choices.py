"""What numbers can be filtered by, as somebody may choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.actions.seeing import owners_seen
from syncline.domain.callers import Caller
from syncline.store import connections, metric_choices, metrics, tenants

#: More than anybody looks through; others are named by their id.
_MOST_OWNERS = 500


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str
    #: What else it may be called by.
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Choices:
    """What each filter can be set to. A rep may choose among their own owners only."""

    owners: Sequence[Choice]
    pipelines: Sequence[Choice]
    connections: Sequence[Choice]
    #: The tenant's own comes first.
    currencies: Sequence[Choice]


async def read_choices(hub: Hub, caller: Caller) -> Choices:
    """Return what the tenant's numbers can be filtered by. Raises `Forbidden`."""
    caller.require("records:read")
    seen = owners_seen(caller)
    async with hub.db.transaction(tenant_id=hub.tenant_id) as conn:
        own = None if seen is None else sorted(seen)
        owners = await metric_choices.list_owners(
            conn, tenant_id=hub.tenant_id, owners=own, limit=_MOST_OWNERS
        )
        pipelines = await metrics.list_pipelines(conn, tenant_id=hub.tenant_id)
        known = await connections.list_all(conn, tenant_id=hub.tenant_id)
        home = (await tenants.get_settings(conn, tenant_id=hub.tenant_id)).currency.upper()
        currencies = await metric_choices.list_currencies(conn, tenant_id=hub.tenant_id)
    return Choices(
        [_owner(each) for each in owners],
        [_pipeline(each, pipelines) for each in pipelines],
        [Choice(each.name, each.name, (str(each.id),)) for each in known],
        [Choice(code, code) for code in dict.fromkeys([home, *currencies])],
    )


def _owner(each: metrics.OwnerName) -> Choice:
    names = [name for name in (each.name, each.email) if name]
    return Choice(str(each.id), names[0] if names else str(each.id), names)


def _pipeline(each: metrics.PipelineName, known: Sequence[metrics.PipelineName]) -> Choice:
    """Return a pipeline; its CRM stands beside its name where another one is called the same."""
    namesakes = [other for other in known if other.label == each.label]
    label = f"{each.label} ({each.connection or 'here'})" if len(namesakes) > 1 else each.label
    return Choice(str(each.id), label, (each.key, each.label) if len(namesakes) == 1 else ())
