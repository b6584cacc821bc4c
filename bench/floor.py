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

from upsert import CHUNK, Row, Writing, create

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


def make_row(name: str, record: Record) -> Row:
    properties = decode_properties(record.properties)
    return (
        record.id,
        *(properties.get(each) for each in COLUMNS[name]),
        bytes(record.properties).decode(),
    )


async def load(
    client: httpx2.AsyncClient, database: str, name: str, properties: str, first: int, last: int
) -> int:
    """Load one object: its ids are cut into equal ranges, each with a connection of its own in turn."""
    bounds = [first - 1 + (last - first + 1) * step // WALKERS for step in range(WALKERS + 1)]
    writing = Writing(database, name, COLUMNS[name], 4)

    async def walk(after: int, until: int) -> None:
        pending: list[Row] = []
        while True:
            response = await client.get(
                f"/crm/v3/objects/{name}",
                params={"limit": "100", "after": str(after), "properties": properties},
            )
            response.raise_for_status()
            answer = decode(response.content)
            pending += [make_row(name, each) for each in answer.results if after < int(each.id) <= until]
            if len(pending) >= CHUNK:
                await writing.put(pending)
                pending = []
            if answer.paging is None or not answer.results or int(answer.results[-1].id) >= until:
                await writing.put(pending)
                return
            after = int(answer.results[-1].id)

    await asyncio.gather(*(walk(bounds[n], bounds[n + 1]) for n in range(WALKERS)))
    return await writing.end()


async def main() -> None:
    job = json.loads(sys.argv[1])
    total = 0
    async with httpx2.AsyncClient(
        base_url=job["url"], headers={"authorization": f"Bearer {job['token']}"}, timeout=60
    ) as client:
        async with await psycopg.AsyncConnection.connect(job["database"], autocommit=True) as conn:
            for name in job["objects"]:
                await create(conn, name, COLUMNS[name])
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
