"""Writes a world of known numbers into a database, as a pull would leave it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from measured_world import ACCOUNT, GOVERNMENT, NOW, OTHER_ACCOUNT, SALES, Thing, World
from psycopg import sql

from syncline.store.db import Conn, Database

Rows = Sequence[dict[str, Any]]


async def insert(conn: Conn, table: tuple[str, str], rows: Rows) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(*table),
        sql.SQL(", ").join(map(sql.Identifier, rows[0])),
        sql.SQL(", ").join(map(sql.Placeholder, rows[0])),
    )
    async with conn.cursor() as cursor:
        await cursor.executemany(statement, rows)


async def insert_world(db: Database, tenant_id: UUID, world: World) -> None:
    async with db.transaction(tenant_id=tenant_id, bulk=True) as conn:
        await conn.execute(
            "update app.tenants set time_zone = %s, currency = %s where tenant_id = %s",
            (world.zone, world.currency, tenant_id),
        )
        for table, rows in _ground(world).items():
            await insert(conn, table, [{"tenant_id": tenant_id, **row} for row in rows])
        for table, rows in _records(world).items():
            await insert(conn, table, [{"tenant_id": tenant_id, **row} for row in rows])
        await insert(conn, ("sync", "links"), [{"tenant_id": tenant_id, **row} for row in _links(world)])


def _ground(world: World) -> dict[tuple[str, str], Rows]:
    return {
        ("sync", "connections"): [
            {
                "id": connection,
                "platform": "hubspot",
                "name": name,
                "base_url": "https://crm.example",
                "created_at": NOW,
                "updated_at": NOW,
            }
            for connection, name in ((ACCOUNT, "first"), (OTHER_ACCOUNT, "second"))
        ],
        ("crm", "owners"): [
            {"id": owner, "email": f"rep{n}@example.com", "first_name": "Rep", "last_name": str(n)}
            for n, owner in enumerate(world.owners)
        ],
        ("crm", "pipelines"): [
            {"id": pipeline, "key": key, "label": key.title(), "position": position}
            for position, (pipeline, key) in enumerate(((SALES, "sales"), (GOVERNMENT, "government")))
        ],
        ("crm", "stages"): [
            {
                "id": each.id,
                "pipeline_id": each.pipeline,
                "key": each.key,
                "label": each.label,
                "position": each.position,
                "is_closed": each.is_closed,
                "is_won": each.is_won,
                "probability": each.probability,
            }
            for each in world.stages
        ],
        ("crm", "exchange_rates"): [
            {
                "from_currency": origin,
                "to_currency": target,
                "valid_on": day,
                "rate": rate,
                "given_at": NOW,
                "given_by": "test",
            }
            for (origin, target, day), rate in world.rates.items()
        ],
    }


def _marks(thing: Thing) -> dict[str, Any]:
    return {
        "id": thing.id,
        "owner_id": thing.owner,
        "archived_at": NOW if thing.archived else None,
        "merged_into": UUID(int=1) if thing.merged else None,
    }


def _records(world: World) -> dict[tuple[str, str], Rows]:
    return {
        ("crm", "contacts"): [
            {
                **_marks(each),
                "first_name": f"Person {n}",
                "created_at": each.created_at,
                "vsl_watched": each.watched,
                "sales_script_version": each.script,
            }
            for n, each in enumerate(world.contacts)
        ],
        ("crm", "deals"): [
            {
                **_marks(each),
                "name": f"Deal {n}",
                "amount": each.amount,
                "currency": each.currency,
                "pipeline_id": each.stage and each.stage.pipeline,
                "stage_id": each.stage and each.stage.id,
                "stage": each.stage and each.stage.key,
                "status": each.status,
                "probability": each.probability,
                "expected_close_date": each.expected_on,
                "closed_at": each.closed_at,
                "created_at": each.created_at,
                "contact_id": each.contact,
                "qualified_status": each.qualified,
                "trial_status": each.trial,
                "payment_status": each.payment,
                "installments": each.installments,
            }
            for n, each in enumerate(world.deals)
        ],
        ("crm", "deal_contacts"): [
            {"deal_id": each.id, "contact_id": person, "connection_id": ACCOUNT}
            for each in world.deals
            for person in each.people
        ],
        ("crm", "field_history"): [
            {
                "record_type": "deal",
                "record_id": each.id,
                "field": name,
                "valid_from": span.from_at,
                "valid_to": span.to_at,
                "value": span.value,
                "source": "crm",
            }
            for each in world.deals
            for name, spans in (("stage", each.stages), ("amount", each.amounts))
            for span in spans
        ],
        ("crm", "activities"): [
            {
                **_marks(each),
                "type": each.type,
                "subject": f"{each.type} {n}",
                "occurred_at": each.occurred_at,
                "duration_ms": each.duration_ms,
                "direction": each.direction,
                "contact_id": each.contact,
                "deal_id": each.deal,
            }
            for n, each in enumerate(world.activities)
        ],
    }


def _links(world: World) -> Rows:
    kinds: dict[str, Sequence[Thing]] = {
        "contact": world.contacts,
        "deal": world.deals,
        "activity": world.activities,
    }
    return [
        {
            "connection_id": connection,
            "object": kind,
            "remote_id": str(each.id),
            "record_type": kind,
            "record_id": each.id,
            "base": "{}",
            "linked_at": NOW,
        }
        for kind, things in kinds.items()
        for each in things
        for connection in each.links
    ]
