"""The floor: pages fetched several at once, COPY, one upsert into a table of columns and jsonb. Nothing else.

No change detection, no mapping, no history, no tenant: what any loader must at least do. Run by run.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx2
import msgspec
import psycopg
from psycopg import sql

CHUNK = 2000
WALKERS = 8
COLUMNS: dict[str, tuple[str, ...]] = {
    "contacts": ("email", "phone", "firstname", "lastname", "createdate", "lifecyclestage"),
    "deals": ("dealname", "amount", "dealstage", "pipeline", "createdate", "closedate"),
    "calls": ("hs_call_duration", "hs_call_direction", "hs_call_to_number", "hs_timestamp"),
}


class Record(msgspec.Struct):
    id: str
    properties: msgspec.Raw


class Answer(msgspec.Struct):
    results: list[Record]
    paging: dict[str, Any] | None = None


decode = msgspec.json.Decoder(Answer).decode
decode_properties = msgspec.json.Decoder(dict[str, str | None]).decode


async def create(conn: psycopg.AsyncConnection[Any], name: str) -> None:
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(each)) for each in COLUMNS[name])
    await conn.execute(
        sql.SQL("create table if not exists {} (id text primary key, {}, properties jsonb)").format(
            sql.Identifier(f"floor_{name}"), columns
        )
    )


async def write(conn: psycopg.AsyncConnection[Any], name: str, records: list[Record]) -> None:
    wanted = COLUMNS[name]
    names = sql.SQL(", ").join(map(sql.Identifier, wanted))
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(each)) for each in wanted
    )
    async with conn.transaction():
        await conn.execute(
            sql.SQL("create temp table staging (id text, {}, properties text) on commit drop").format(
                sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(each)) for each in wanted)
            )
        )
        async with conn.cursor() as cursor, cursor.copy("copy staging from stdin") as copy:
            for record in records:
                properties = decode_properties(record.properties)
                await copy.write_row(
                    (record.id, *(properties.get(each) for each in wanted), bytes(record.properties).decode())
                )
        await conn.execute(
            sql.SQL(
                "insert into {} (id, {}, properties) select id, {}, properties::jsonb from staging"
                " on conflict (id) do update set {}, properties = excluded.properties"
            ).format(sql.Identifier(f"floor_{name}"), names, names, updates)
        )


async def load(
    client: httpx2.AsyncClient, database: str, name: str, properties: str, first: int, last: int
) -> int:
    """Load one object: its ids are cut into equal ranges, each with a connection of its own in turn."""
    bounds = [first - 1 + (last - first + 1) * step // WALKERS for step in range(WALKERS + 1)]
    queue: asyncio.Queue[list[Record] | None] = asyncio.Queue(4)
    loaded = 0

    async def walk(after: int, until: int) -> None:
        pending: list[Record] = []
        while True:
            response = await client.get(
                f"/crm/v3/objects/{name}",
                params={"limit": "100", "after": str(after), "properties": properties},
            )
            response.raise_for_status()
            answer = decode(response.content)
            pending += [each for each in answer.results if after < int(each.id) <= until]
            if len(pending) >= CHUNK:
                await queue.put(pending)
                pending = []
            if answer.paging is None or not answer.results or int(answer.results[-1].id) >= until:
                await queue.put(pending)
                return
            after = int(answer.results[-1].id)

    async def writer() -> None:
        nonlocal loaded
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
            pending: list[Record] = []
            while (part := await queue.get()) is not None:
                pending += part
                if len(pending) >= CHUNK:
                    await write(conn, name, pending)
                    loaded += len(pending)
                    pending = []
            if pending:
                await write(conn, name, pending)
                loaded += len(pending)

    writing = [asyncio.create_task(writer()) for _ in range(2)]
    await asyncio.gather(*(walk(bounds[n], bounds[n + 1]) for n in range(WALKERS)))
    for _ in writing:
        await queue.put(None)
    await asyncio.gather(*writing)
    return loaded


async def main() -> None:
    job = json.loads(sys.argv[1])
    total = 0
    async with httpx2.AsyncClient(
        base_url=job["url"], headers={"authorization": f"Bearer {job['token']}"}, timeout=60
    ) as client:
        async with await psycopg.AsyncConnection.connect(job["database"], autocommit=True) as conn:
            for name in job["objects"]:
                await create(conn, name)
        for name in job["objects"]:
            first, last = await find_ids(client, name)
            names = (await client.get(f"/crm/v3/properties/{name}")).json()
            properties = ",".join(each["name"] for each in names["results"])
            total += await load(client, job["database"], name, properties, first, last)
    print(json.dumps({"records": total}))


async def find_ids(client: httpx2.AsyncClient, name: str) -> tuple[int, int]:
    found = []
    for direction in ("ASCENDING", "DESCENDING"):
        body = {"sorts": [{"propertyName": "hs_object_id", "direction": direction}], "limit": 1}
        response = await client.post(f"/crm/v3/objects/{name}/search", json=body)
        response.raise_for_status()
        found.append(int(response.json()["results"][0]["id"]))
    return found[0], found[1]


asyncio.run(main())
