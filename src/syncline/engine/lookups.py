"""Brings a connection's definitions up to date: properties, pipelines, and what references resolve to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from syncline.clock import now
from syncline.connectors.base import Connector, RemoteObject
from syncline.connectors.reads import Pipeline
from syncline.domain.mapping import Lookups, StageFact
from syncline.domain.values import Value
from syncline.store import definitions, tenants
from syncline.store.db import Conn, Database
from syncline.store.definitions import PropertyRow, StageOf, StageRow


async def refresh_properties(
    db: Database,
    connector: Connector,
    remote_object: RemoteObject,
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> list[str]:
    """Read the object's property definitions, store them, and return the names to ask for."""
    if not remote_object.has_properties:
        return []
    found = await connector.describe(remote_object.name)
    rows = [
        PropertyRow(each.name, each.label, each.type, each.read_only, each.calculated, dict(each.definition))
        for each in found
    ]
    async with db.transaction(tenant_id=tenant_id) as conn:
        await definitions.put_properties(
            conn,
            rows,
            tenant_id=tenant_id,
            connection_id=connection_id,
            object_name=remote_object.name,
            now=now(),
        )
    return [each.name for each in found]


async def refresh_pipelines(
    db: Database,
    connector: Connector,
    remote_object: RemoteObject,
    *,
    tenant_id: UUID,
    connection_id: UUID,
) -> None:
    """Read the object's pipelines and stages and store them; those that are gone are archived."""
    if not remote_object.has_pipelines:
        return
    pipelines = await connector.list_pipelines(remote_object.name)
    async with db.transaction(tenant_id=tenant_id) as conn:
        for pipeline in pipelines:
            await _put_pipeline(
                conn, pipeline, remote_object.name, tenant_id=tenant_id, connection_id=connection_id
            )
        if pipelines:  # an empty list is no proof that all of them are gone
            await definitions.archive_other_pipelines(
                conn,
                [pipeline.remote_id for pipeline in pipelines],
                tenant_id=tenant_id,
                connection_id=connection_id,
                object_name=remote_object.name,
                now=now(),
            )


async def _put_pipeline(
    conn: Conn, pipeline: Pipeline, object_name: str, *, tenant_id: UUID, connection_id: UUID
) -> None:
    at = now()
    pipeline_id = await definitions.put_pipeline(
        conn,
        tenant_id=tenant_id,
        connection_id=connection_id,
        object_name=object_name,
        remote_id=pipeline.remote_id,
        label=pipeline.label,
        position=pipeline.position,
        archived_at=at if pipeline.archived else None,
    )
    rows = [
        StageRow(
            stage.remote_id,
            stage.label,
            stage.position,
            stage.is_closed,
            # A closed stage of full probability is a won one.
            stage.is_closed and stage.probability is not None and stage.probability >= 100,
            stage.probability,
        )
        for stage in pipeline.stages
    ]
    await definitions.put_stages(conn, rows, tenant_id=tenant_id, pipeline_id=pipeline_id, now=at)


async def load_lookups(
    conn: Conn,
    *,
    tenant_id: UUID,
    connection_id: UUID,
    currency: str | None,
    places: Mapping[str, str] | None = None,
) -> Lookups:
    """Return what references of this connection's records resolve to, as of now.

    `places` is `ObjectMap.stages`. A stage that it leads nowhere, or to a stage that nobody has, is unknown.
    """
    settings = await tenants.get_settings(conn, tenant_id=tenant_id)
    owners = await definitions.list_owner_links(conn, tenant_id=tenant_id, connection_id=connection_id)
    colleagues = await definitions.list_colleagues(conn, tenant_id=tenant_id, connection_id=connection_id)
    stages = await definitions.list_stages(conn, tenant_id=tenant_id, connection_id=connection_id)
    return Lookups(
        owners={remote_id: str(owner_id) for remote_id, owner_id in owners.items()},
        colleagues=frozenset(str(each) for each in colleagues),
        stages=await _place(conn, stages, places, tenant_id) if places else _facts(stages),
        region=settings.default_region,
        currency=currency or settings.currency,
    )


def _facts(stages: Iterable[StageOf]) -> dict[tuple[str, str], StageFact]:
    return {(stage.pipeline, stage.stage): _fact(stage) for stage in stages}


def _fact(stage: StageOf, place: tuple[str, str] | None = None) -> StageFact:
    return StageFact(
        str(stage.pipeline_id),
        str(stage.stage_id),
        stage.is_closed,
        stage.is_won,
        _plain(stage.probability),
        place,
    )


async def _place(
    conn: Conn, stages: Iterable[StageOf], places: Mapping[str, str], tenant_id: UUID
) -> dict[tuple[str, str], StageFact]:
    """Lead a connection's stages to those that our records name: the hub's own, else another connection's."""
    ours = {
        f"{each.pipeline}/{each.stage}": each
        for each in await definitions.list_places(conn, list(places.values()), tenant_id=tenant_id)
    }
    found: dict[tuple[str, str], StageFact] = {}
    for theirs in stages:
        target = ours.get(places.get(f"{theirs.pipeline}/{theirs.stage}", ""))
        if target is not None:
            found[theirs.pipeline, theirs.stage] = _fact(target, (target.pipeline, target.stage))
    return found


def _plain(value: Value) -> Value:
    """Write whole numbers as such: 20, not 20.0."""
    return int(value) if value is not None and not isinstance(value, str) and value == int(value) else value
