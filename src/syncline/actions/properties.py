"""Properties that Syncline makes at a CRM: its own id of a record, and sets on demand. It changes none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.actions.hub import Hub
from syncline.connectors.base import Connector
from syncline.connectors.writes import PropertyPlan, WantedProperty
from syncline.engine.lookups import refresh_properties
from syncline.engine.remotes import Remote
from syncline.errors import Invalid, NotFound

#: What the property of our own ids is listed under.
OWN_ID = "own id"


@dataclass(frozen=True, slots=True)
class PropertyLine:
    """One wanted property of one object, and how the account stands to it."""

    object: str
    #: The set it belongs to, or `OWN_ID`.
    set: str
    plan: PropertyPlan

    @property
    def is_fault(self) -> bool:
        return self.plan.state in ("differs", "refused")


async def plan_properties(
    hub: Hub, name: str, *, objects: Sequence[str] = (), sets: Sequence[str] = ()
) -> list[PropertyLine]:
    """Compare what is wanted with what the account has. Writes nothing.

    Without `objects` it is all that are read and can be written. Sets come beside our own id.
    Raises `NotFound` for an unknown connection, object or set, `PauseConnection`, `RetryLater`.
    """
    return await _go_through(hub, name, objects, sets, applies=False)


async def apply_properties(
    hub: Hub, name: str, *, objects: Sequence[str] = (), sets: Sequence[str] = ()
) -> list[PropertyLine]:
    """Create what is missing, and take the object's definitions over anew. May be repeated.

    Raises as `plan_properties`, and `ScopeMissing` where the token may not; objects before it are done.
    """
    return await _go_through(hub, name, objects, sets, applies=True)


async def _go_through(
    hub: Hub, name: str, objects: Sequence[str], sets: Sequence[str], *, applies: bool
) -> list[PropertyLine]:
    connection = await hub.get_connection(name)
    lines: list[PropertyLine] = []
    async with hub.remotes() as remotes:
        remote = remotes.open(connection, lane="person")
        for object_name, wanted in _list_wanted(remote, objects, sets).items():
            properties = [each for _, each in wanted]
            if applies:
                plans = await remote.connector.apply_properties(object_name, properties)
            else:
                plans = await remote.connector.plan_properties(object_name, properties)
            lines += [
                PropertyLine(object_name, origin, plan)
                for (origin, _), plan in zip(wanted, plans, strict=True)
            ]
            if any(plan.state == "created" for plan in plans):
                await refresh_properties(
                    hub.db,
                    remote.connector,
                    await remote.connector.get_object(object_name),
                    tenant_id=hub.tenant_id,
                    connection_id=connection.id,
                )
    return lines


def _list_wanted(
    remote: Remote, objects: Sequence[str], sets: Sequence[str]
) -> dict[str, list[tuple[str, WantedProperty]]]:
    """Return object → (set, property), our own id first."""
    connector = remote.connector
    _require_sets(connector, sets)
    named = list(dict.fromkeys(objects))
    found: dict[str, list[tuple[str, WantedProperty]]] = {}
    for object_name in named or [each for each in remote.mapping if each in remote.wanted]:
        own = connector.external_id_property(object_name)
        if own is None:
            if object_name in named:
                if object_name in connector.capabilities.found_by_content:
                    raise Invalid(
                        f"{object_name} of {remote.name} take no property for our ids, and need none: what "
                        "was made is found by what it holds."
                    )
                raise Invalid(f"{object_name} of {remote.name} cannot be written: the CRM takes none.")
            continue
        found[object_name] = [(OWN_ID, own)]
        for each in dict.fromkeys(sets):
            of_set = connector.property_sets[each].properties.get(object_name, ())
            found[object_name] += [(each, wanted) for wanted in of_set]
    return found


def _require_sets(connector: Connector, sets: Sequence[str]) -> None:
    for each in sets:
        if each not in connector.property_sets:
            known = ", ".join(sorted(connector.property_sets)) or "none"
            raise NotFound(f"There is no set of properties called {each!r}. There are: {known}.")
